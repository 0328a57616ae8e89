//! What senders ask for, and what they are answered.

use std::sync::Arc;

use gavel_model::{
    CommandId, EventId, ExpectedVersion, Json, Metadata, ModuleDigest, RecordedEvent, StreamId,
    Version,
};
use serde_json::Value;
use time::OffsetDateTime;

/// Who sends, and what the host writes beside every event that follows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origin {
    /// The authenticated sender; none when authentication is off.
    pub actor: Option<String>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
}

/// One command for one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRequest {
    /// The stream to decide on.
    pub stream: StreamId,
    /// The command's name.
    pub command: String,
    /// The command's payload, as [`Json::exact_value`](gavel_model::Json::exact_value) reads it; checked against the module's schema
    /// before the module sees it.
    pub data: Arc<Value>,
    /// The sender's metadata.
    pub metadata: Metadata,
    /// The sender's idempotency key as a command id; none lets the host choose one.
    pub command_id: Option<CommandId>,
    /// What the sender expects of the stream. Anything but `Any` is never retried.
    pub expected: ExpectedVersion,
}

/// How commands are to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandOptions {
    /// Whether a lost race is decided again, within bounds, for commands without an expected version.
    pub retry_conflicts: bool,
    /// Whether to stop before anything is stored.
    pub dry_run: bool,
    /// Whether to answer with the state after the command.
    pub return_state: bool,
}

impl Default for CommandOptions {
    fn default() -> Self {
        Self {
            retry_conflicts: true,
            dry_run: false,
            return_state: false,
        }
    }
}

/// What became of an accepted command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandAnswer {
    /// The command's id.
    pub command_id: CommandId,
    /// The stream.
    pub stream: StreamId,
    /// The newest version of the stream right after the command.
    pub version: Version,
    /// Whether this is the outcome of an earlier command with the same id; the module was not called.
    pub replayed: bool,
    /// The module that decided.
    pub module: ModuleDigest,
    /// The events that follow from it, from none upwards. In a dry run they are stored nowhere: their position is [`Position::BEGINNING`](gavel_model::Position::BEGINNING).
    pub events: Vec<RecordedEvent>,
    /// The state after the command, when it was asked for.
    pub state: Option<Json>,
}

impl CommandAnswer {
    /// What its events and its state take up in memory, in bytes; about right.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let events: usize = self.events.iter().map(RecordedEvent::size_bytes).sum();
        events + self.state.as_ref().map_or(0, |state| state.as_str().len())
    }
}

/// An event to append without a decider.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedEvent {
    /// Its name.
    pub event: String,
    /// Its id; none lets the host choose one.
    pub event_id: Option<EventId>,
    /// The version of its schema; the first is 1.
    pub schema_version: u32,
    /// Its payload.
    pub data: Json,
    /// Whether the stream ends with it.
    pub is_final: bool,
    /// Its labels, which [`check_tags`](gavel_model::check_tags) has let pass.
    pub tags: Vec<String>,
    /// The importer's metadata.
    pub metadata: Metadata,
}

/// At which point of a stream's history its state is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After its newest event.
    Newest,
    /// After the event of this version.
    Version(Version),
    /// After the last event created at or before this time.
    Time(OffsetDateTime),
}

/// The state of a stream at some point of its history.
#[derive(Debug, Clone, PartialEq)]
pub struct StateAnswer {
    /// The stream.
    pub stream: StreamId,
    /// The version that the state belongs to.
    pub version: Version,
    /// Whether the stream ended with that version.
    pub is_final: bool,
    /// The state, as the module shows it.
    pub state: Json,
    /// The module that folded it.
    pub module: ModuleDigest,
}
