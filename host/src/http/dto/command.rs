//! Commands and their answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Event, ProblemBody, exact, metadata_schema, version};
use crate::command;
use crate::core::Version;

/// How a command is to be carried out.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct CommandQuery {
    /// Decide, and append nothing.
    #[param(required = false)]
    pub(in crate::http) dry_run: bool,
    /// What becomes of a command without an expected version that loses a race.
    #[param(inline, required = false)]
    pub(in crate::http) on_conflict: OnConflict,
    /// What to add to the answer.
    #[serde(rename = "return")]
    #[param(inline, required = false, nullable = false)]
    pub(in crate::http) returns: Option<Returns>,
}

/// What becomes of a lost race.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum OnConflict {
    /// The host loads, decides and appends again, within bounds.
    #[default]
    Retry,
    /// The sender is told at once.
    Fail,
}

/// What can be added to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Returns {
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
pub(in crate::http) struct CommandBody {
    /// Its name, in the imperative.
    pub(in crate::http) command: String,
    /// Its payload, as the schema of the command asks.
    #[serde(default = "empty_object", deserialize_with = "exact")]
    #[schema(required = false)]
    pub(in crate::http) data: Value,
    /// Stored beside every event that follows. `actor`, `module` and `traceparent` are the host's.
    #[schema(schema_with = metadata_schema, required = false)]
    pub(in crate::http) metadata: Option<BTreeMap<String, String>>,
    /// The idempotency key as a UUID, for those who would rather not send the header.
    pub(in crate::http) command_id: Option<Uuid>,
    /// The version that the stream must be at; 0 means that it must be new.
    #[serde(default, deserialize_with = "version")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub(in crate::http) expected_version: Option<Version>,
}

/// Several commands.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Batch)]
pub(in crate::http) struct BatchBody {
    /// Whether all are carried out or none, each seeing the events of those before it.
    #[serde(default)]
    pub(in crate::http) atomic: bool,
    /// The commands. Those of one stream are carried out in this order.
    #[schema(max_items = 1000)]
    pub(in crate::http) commands: Vec<BatchItem>,
}

/// A command of a batch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BatchCommand)]
pub(in crate::http) struct BatchItem {
    /// The decider that rules the stream.
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_-]{0,127}$")]
    pub(in crate::http) decider: String,
    /// The stream.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]+$"
    )]
    pub(in crate::http) id: String,
    /// Its name, in the imperative.
    pub(in crate::http) command: String,
    /// Its payload, as the schema of the command asks.
    #[serde(default = "empty_object", deserialize_with = "exact")]
    #[schema(required = false)]
    pub(in crate::http) data: Value,
    /// Stored beside every event that follows.
    #[schema(schema_with = metadata_schema, required = false)]
    pub(in crate::http) metadata: Option<BTreeMap<String, String>>,
    /// The idempotency key of this command; one is derived from that of the batch if it has one.
    pub(in crate::http) command_id: Option<Uuid>,
    /// The version that the stream must be at; 0 means that it must be new.
    #[serde(default, deserialize_with = "version")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub(in crate::http) expected_version: Option<Version>,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

/// What became of an accepted command.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct CommandAnswer<'a> {
    /// The command's id.
    command_id: Uuid,
    /// The decider.
    decider: &'a str,
    /// The stream.
    id: &'a str,
    /// The newest version of the stream right after the command.
    version: u64,
    /// Whether this is the outcome of an earlier command with the same key.
    replayed: bool,
    /// The digest of the module that decided.
    module: String,
    /// What follows from it.
    events: Vec<Event<'a>>,
    /// The state after the command, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    state: Option<&'a RawValue>,
}

impl<'a> From<&'a command::CommandAnswer> for CommandAnswer<'a> {
    fn from(answer: &'a command::CommandAnswer) -> Self {
        Self {
            command_id: answer.command_id,
            decider: answer.stream.decider().as_str(),
            id: answer.stream.id(),
            version: answer.version.get(),
            replayed: answer.replayed,
            module: answer.module.to_string(),
            events: Event::all(&answer.events),
            state: answer.state.as_ref().map(|state| state.as_raw()),
        }
    }
}

/// The answers to the commands of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchAnswer<'a> {
    /// In the order of the commands.
    pub(in crate::http) results: Vec<CommandResult<'a>>,
}

/// The answer to one command of a batch, or why it was not carried out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum CommandResult<'a> {
    /// Carried out.
    Answer(CommandAnswer<'a>),
    /// Not carried out.
    Problem(ProblemBody),
}
