//! Commands and their answers.

use std::collections::BTreeMap;

use gavel_engine::command;
use gavel_engine::views::Lateness;
use gavel_model::{Json, ModuleDigest, Version, ViewId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Event, ProblemBody, metadata_schema, payload, text, version};

/// The options of a command.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CommandQuery {
    /// Decides, and appends nothing.
    #[param(required = false)]
    pub dry_run: bool,
    /// The handling of a command without an expected version that loses a race.
    #[param(inline, required = false)]
    pub on_conflict: OnConflict,
    /// An addition to the answer.
    #[serde(rename = "return")]
    #[param(inline, required = false, nullable = false)]
    pub returns: Option<Returns>,
    /// Views, at most 16, with `,` between them. The answer waits until their rows show the events
    /// that follow from the command, and names those that do not in time.
    #[serde(rename = "await")]
    #[param(nullable = false)]
    pub awaited: Option<String>,
}

/// The handling of a lost race.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The host loads, decides and appends again, within bounds.
    #[default]
    Retry,
    /// The sender gets the conflict at once.
    Fail,
}

/// An addition to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    /// The state after the command.
    State,
}

impl From<CommandQuery> for command::CommandOptions {
    fn from(query: CommandQuery) -> Self {
        Self {
            retry_conflicts: query.on_conflict == OnConflict::Retry,
            dry_run: query.dry_run,
            return_state: query.returns == Some(Returns::State),
        }
    }
}

/// A command for the stream that the path names.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Command)]
pub struct CommandBody {
    /// The name of the command, in the imperative.
    pub command: String,
    /// The payload, valid under the command's schema.
    #[serde(default = "empty_object", deserialize_with = "payload")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub data: Option<Json>,
    /// Entries stored with every event that follows. The host sets `actor`, `module` and
    /// `traceparent`.
    #[schema(schema_with = metadata_schema, required = false)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The idempotency key as a UUID, an alternative to the header.
    pub command_id: Option<Uuid>,
    /// The version that the stream must be at; 0 means that it must be new.
    #[serde(default, deserialize_with = "version")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub expected_version: Option<Version>,
}

/// A batch of commands.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Batch)]
pub struct BatchBody {
    /// Carries out all commands or none, each on the state that those before it left.
    #[serde(default)]
    pub atomic: bool,
    /// The commands. Those of one stream are carried out in this order.
    #[schema(max_items = 1000)]
    pub commands: Vec<BatchItem>,
}

/// A command of a batch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BatchCommand)]
pub struct BatchItem {
    /// The decider that rules the stream.
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_-]{0,127}$")]
    pub decider: String,
    /// The stream.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]+$"
    )]
    pub id: String,
    /// The name of the command, in the imperative.
    pub command: String,
    /// The payload, valid under the command's schema.
    #[serde(default = "empty_object", deserialize_with = "payload")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub data: Option<Json>,
    /// Entries stored with every event that follows.
    #[schema(schema_with = metadata_schema, required = false)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The idempotency key of this command. Default: derived from the key of the batch, if that has
    /// one.
    pub command_id: Option<Uuid>,
    /// The version that the stream must be at; 0 means that it must be new.
    #[serde(default, deserialize_with = "version")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub expected_version: Option<Version>,
}

#[expect(clippy::unnecessary_wraps, reason = "a default for serde")]
fn empty_object() -> Option<Json> {
    Some(Json::empty_object())
}

/// The outcome of an accepted command.
#[derive(Debug, Serialize, ToSchema)]
pub struct CommandAnswer<'a> {
    /// The command's id.
    command_id: Uuid,
    /// The decider.
    decider: &'a str,
    /// The stream.
    id: &'a str,
    /// The newest version of the stream right after the command.
    version: u64,
    /// True if this is the recorded outcome of an earlier command with the same key.
    replayed: bool,
    /// The digest of the module that decided.
    #[serde(serialize_with = "text")]
    #[schema(value_type = String)]
    module: ModuleDigest,
    /// The events that follow from the command.
    events: Vec<Event<'a>>,
    /// The state after the command, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    state: Option<&'a RawValue>,
    /// The views of `await` whose rows do not show the events; left out without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub behind: Vec<BehindView<'a>>,
}

/// A view whose rows do not show events.
#[derive(Debug, Serialize, ToSchema)]
pub struct BehindView<'a> {
    /// The view.
    pub view: &'a str,
    /// The reason: `late`, it has not come to the events in time; `paused`, it is paused; `parked`,
    /// a row waits at an event that it cannot fold, or it cannot be told which rows an event
    /// changes.
    reason: &'static str,
}

impl<'a> BehindView<'a> {
    /// Says why a view is behind.
    pub fn new(view: &'a ViewId, lateness: Lateness) -> Self {
        Self {
            view: view.name().as_str(),
            reason: match lateness {
                Lateness::Late => "late",
                Lateness::Paused => "paused",
                Lateness::Parked => "parked",
            },
        }
    }
}

impl<'a> From<&'a command::CommandAnswer> for CommandAnswer<'a> {
    fn from(answer: &'a command::CommandAnswer) -> Self {
        Self {
            command_id: answer.command_id,
            decider: answer.stream.decider().as_str(),
            id: answer.stream.id(),
            version: answer.version.get(),
            replayed: answer.replayed,
            module: answer.module,
            events: Event::all(&answer.events),
            state: answer.state.as_ref().map(|state| state.as_raw()),
            behind: Vec::new(),
        }
    }
}

/// The answers to the commands of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchAnswer<'a> {
    /// The results, in the order of the commands.
    pub results: Vec<CommandResult<'a>>,
    /// The views of `await` whose rows do not show the events of all commands; left out without
    /// any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub behind: Vec<BehindView<'a>>,
}

/// The answer to one command of a batch, or the problem that kept it from being carried out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum CommandResult<'a> {
    /// The answer to a command that was carried out.
    Answer(CommandAnswer<'a>),
    /// The problem of a command that was not carried out.
    Problem(ProblemBody),
}
