//! The output that modules wrote to stdout and stderr.

use gavel_engine::catalog::{Output, OutputWork};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::IntoParams;
use uuid::Uuid;

/// A selection of a module's output. Default: all that is kept.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OutputQuery {
    /// The most of the kept lines to return, the newest ones. Default: all.
    #[param(nullable = false)]
    pub tail: Option<u32>,
    /// Continues with the output that is written from now on.
    pub follow: bool,
}

/// The output of a module in one piece of work.
#[derive(Debug, Serialize)]
pub struct OutputLine<'a> {
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    #[serde(flatten)]
    work: OutputOrigin<'a>,
    module: String,
    text: &'a str,
}

/// The names of the work during which a module has written something.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum OutputOrigin<'a> {
    Stream {
        decider: &'a str,
        id: &'a str,
        command_id: Option<Uuid>,
    },
    View {
        view: &'a str,
    },
}

impl<'a> From<&'a Output> for OutputLine<'a> {
    fn from(output: &'a Output) -> Self {
        Self {
            time: output.time,
            work: match &output.work {
                OutputWork::Stream { stream, command_id } => OutputOrigin::Stream {
                    decider: stream.decider().as_str(),
                    id: stream.id(),
                    command_id: *command_id,
                },
                OutputWork::Page(view) => OutputOrigin::View {
                    view: view.name().as_str(),
                },
            },
            module: output.module.to_string(),
            text: &output.text,
        }
    }
}
