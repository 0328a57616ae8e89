//! What modules have written.

use gavel_engine::catalog::Output;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::IntoParams;
use uuid::Uuid;

/// How much of it is wanted: all that is kept unless told.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OutputQuery {
    /// Only so many of those that are kept: the newest.
    #[param(nullable = false)]
    pub tail: Option<u32>,
    /// Whether to go on with what is written later.
    pub follow: bool,
}

/// What a module has written in one piece of work.
#[derive(Debug, Serialize)]
pub struct OutputLine<'a> {
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    decider: &'a str,
    id: &'a str,
    command_id: Option<Uuid>,
    module: String,
    text: &'a str,
}

impl<'a> From<&'a Output> for OutputLine<'a> {
    fn from(output: &'a Output) -> Self {
        Self {
            time: output.time,
            decider: output.stream.decider().as_str(),
            id: output.stream.id(),
            command_id: output.command_id,
            module: output.module.to_string(),
            text: &output.text,
        }
    }
}
