//! The requests of senders, and the answers to them.

use gavel_model::{
    CommandId, EventId, ExpectedVersion, Json, Metadata, ModuleDigest, RecordedEvent, StreamId,
    Version,
};
use time::OffsetDateTime;

/// The origin of commands: the host writes it to the metadata of every event that follows from
/// them.
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
    /// The command's payload, checked against the module's schema before the module sees it; none
    /// if it holds U+0000, for which the command is refused.
    pub data: Option<Json>,
    /// The sender's metadata.
    pub metadata: Metadata,
    /// The sender's idempotency key as a command id; none lets the host choose one.
    pub command_id: Option<CommandId>,
    /// The version at which the sender expects the stream. Anything but `Any` is never retried.
    pub expected: ExpectedVersion,
}

/// The options with which commands are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandOptions {
    /// Allows a lost race to be decided again, within bounds, for commands without an expected
    /// version.
    pub retry_conflicts: bool,
    /// Stops before anything is stored.
    pub dry_run: bool,
    /// Asks for the state after the command.
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

/// The answer to an accepted command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandAnswer {
    /// The command's id.
    pub command_id: CommandId,
    /// The stream.
    pub stream: StreamId,
    /// The newest version of the stream right after the command.
    pub version: Version,
    /// Tells whether this is the outcome of an earlier command with the same id; the module was not
    /// called.
    pub replayed: bool,
    /// The module that decided.
    pub module: ModuleDigest,
    /// The events that follow from it, from none upwards. In a dry run they are stored nowhere:
    /// their position is [`Position::BEGINNING`](gavel_model::Position::BEGINNING).
    pub events: Vec<RecordedEvent>,
    /// The state after the command, when it was asked for.
    pub state: Option<Json>,
}

impl CommandAnswer {
    /// Estimates the memory that the answer's events and state take up, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let events: usize = self.events.iter().map(RecordedEvent::size_bytes).sum();
        events + self.state.as_ref().map_or(0, |state| state.as_str().len())
    }
}

/// An event to append without a decider.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedEvent {
    /// The event's name.
    pub event: String,
    /// The event's id; none lets the host choose one.
    pub event_id: Option<EventId>,
    /// The version of its schema; the first is 1.
    pub schema_version: u32,
    /// The event's payload.
    pub data: Json,
    /// Ends the stream with this event.
    pub is_final: bool,
    /// The event's labels, accepted by [`check_tags`](gavel_model::check_tags).
    pub tags: Vec<String>,
    /// The importer's metadata.
    pub metadata: Metadata,
}

/// The point of a stream's history at which its state is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateAt {
    /// The point after the stream's newest event.
    Newest,
    /// The point after the event of this version.
    Version(Version),
    /// The point after the last event created at or before this time.
    Time(OffsetDateTime),
}

/// The state of a stream at some point of its history.
#[derive(Debug, Clone, PartialEq)]
pub struct StateAnswer {
    /// The stream.
    pub stream: StreamId,
    /// The version that the state belongs to.
    pub version: Version,
    /// Tells whether the stream ended with that version.
    pub is_final: bool,
    /// The state, as the module shows it.
    pub state: Json,
    /// The module that folded it.
    pub module: ModuleDigest,
}
