//! Errors of commands, imports and queries.

use gavel_model::{
    CommandId, DeciderName, EventId, ModuleDigest, ModuleKind, Rejection, StreamId, Version,
};
use gavel_sandbox::{Fault, RunError};
use gavel_store::{self as store, AppendError};

use crate::catalog;

/// One place where a payload breaks its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaViolation {
    /// JSON pointer (RFC 6901) to the offending value within the payload.
    pub pointer: String,
    /// The fault of that value, for people.
    pub message: String,
}

/// A reason for which a command, an import or a query was not carried out.
///
/// A rejection is among the variants since it too leaves the sender without events; it is an
/// expected outcome all the same.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No module is active for the decider.
    #[error("decider {decider} has no active module")]
    DeciderNotFound {
        /// The decider.
        decider: DeciderName,
    },
    /// The active module has no such command.
    #[error("decider {decider} has no command {command}")]
    CommandUnknown {
        /// The decider.
        decider: DeciderName,
        /// The command.
        command: String,
        /// The nearest name that it has.
        did_you_mean: Option<String>,
    },
    /// The payload breaks the command's schema.
    #[error("the data of the command breaks its schema")]
    InvalidData {
        /// Each place; never empty.
        violations: Vec<SchemaViolation>,
    },
    /// The decider rejected the command.
    #[error("the command was rejected: {}", .rejection.code)]
    Rejected {
        /// The decider's rejection.
        rejection: Rejection,
        /// The command's id.
        command_id: CommandId,
        /// The version that was decided at.
        version: Version,
        /// The module that decided.
        module: ModuleDigest,
        /// Tells whether this is the outcome of an earlier command with the same id.
        replayed: bool,
    },
    /// The stream has moved, and the sender did not want it decided again, or the retries were used
    /// up.
    #[error("stream {stream} is at version {current}, not {expected}")]
    VersionConflict {
        /// The stream.
        stream: StreamId,
        /// The version that was expected or decided at.
        expected: Version,
        /// The stream's present version.
        current: Version,
    },
    /// The stream has ended.
    #[error("stream {stream} has ended with version {version}")]
    StreamFinal {
        /// The stream.
        stream: StreamId,
        /// The stream's last version.
        version: Version,
    },
    /// The key was used for something else before.
    #[error("command id {command_id} was used for another command")]
    KeyReused {
        /// The key as a command id.
        command_id: CommandId,
    },
    /// An imported event's id is in use.
    #[error("event id {event_id} is already in use")]
    DuplicateEventId {
        /// The id.
        event_id: EventId,
    },
    /// An imported event is not in the registry.
    #[error("decider {decider} has no event {event} in schema version {schema_version}")]
    EventUnregistered {
        /// The decider.
        decider: DeciderName,
        /// The event's name.
        event: String,
        /// The event's schema version.
        schema_version: u32,
    },
    /// The name of the streams belongs to a module of another kind, which alone may write to them.
    #[error("the name {decider} belongs to a {kind}")]
    NameTaken {
        /// The name.
        decider: DeciderName,
        /// The kind to which it belongs.
        kind: ModuleKind,
    },
    /// The stream does not exist, or had no event yet at the wanted moment.
    #[error("stream {stream} has no event at that point")]
    StreamNotFound {
        /// The stream.
        stream: StreamId,
        /// The stream's newest version.
        current: Version,
    },
    /// The module failed; nothing was stored.
    #[error("module {module} failed")]
    Fault {
        /// The module.
        module: ModuleDigest,
        /// The fault of the call.
        #[source]
        fault: Fault,
    },
    /// The guests' threads did not take the call.
    #[error("the module could not be called")]
    NotRun(#[source] RunError),
    /// The module was swapped more often than the command could be decided.
    #[error("decider {decider} is being swapped")]
    SwapUnderWay {
        /// The decider.
        decider: DeciderName,
    },
    /// The newest event is not the one that the writer named.
    #[error("the newest event of stream {stream} is another one")]
    WrongPreviousId {
        /// The stream.
        stream: StreamId,
    },
    /// A module could not be had.
    #[error("a module could not be loaded")]
    Module(#[source] catalog::Error),
    /// The decisions of an atomic batch, with the states that it asks for, are larger than the host
    /// holds for one batch; nothing was written.
    #[error("the batch takes up more than {limit_bytes} bytes")]
    BatchTooLarge {
        /// The limit that was reached.
        limit_bytes: usize,
    },
    /// The store has more to write than it takes; nothing was written.
    #[error("the store is overloaded: {limit} are waiting already")]
    StoreOverloaded {
        /// The limit that was reached.
        limit: store::QueueLimit,
    },
    /// The store did not answer; nothing was written.
    #[error("the store could not be used")]
    Store(#[source] store::Error),
    /// The append was interrupted, and its outcome has not been learnt since.
    #[error("the outcome of command {command_id} is unknown")]
    OutcomeUnknown {
        /// The id under which to ask again.
        command_id: CommandId,
    },
}

impl Error {
    /// Converts the failure of an append. For a command, [`Stop`](super::stop::Stop) says first
    /// what follows from it.
    pub(super) fn of_append(error: &AppendError, command_id: CommandId) -> Self {
        match error {
            AppendError::VersionConflict {
                stream,
                expected,
                current,
            } => Self::VersionConflict {
                stream: stream.clone(),
                expected: *expected,
                current: *current,
            },
            AppendError::WrongPreviousId { stream, .. } => Self::WrongPreviousId {
                stream: stream.clone(),
            },
            AppendError::StreamFinal { stream, version } => Self::StreamFinal {
                stream: stream.clone(),
                version: *version,
            },
            AppendError::DuplicateEventId { event_id } => Self::DuplicateEventId {
                event_id: *event_id,
            },
            AppendError::EventUnregistered {
                decider,
                event,
                schema_version,
            } => Self::EventUnregistered {
                decider: decider.clone(),
                event: event.clone(),
                schema_version: *schema_version,
            },
            AppendError::Fenced { decider, .. } => Self::SwapUnderWay {
                decider: decider.clone(),
            },
            AppendError::Overloaded { limit } => Self::StoreOverloaded { limit: *limit },
            AppendError::Unavailable(source) => {
                Self::Store(store::Error::Unavailable(source.to_string().into()))
            }
            AppendError::Corrupt(error) => Self::Store(error.clone_for_waiter()),
            AppendError::OutcomeUnknown(_) | AppendError::DuplicateCommand { .. } => {
                Self::OutcomeUnknown { command_id }
            }
        }
    }
}

/// The command of a batch that stopped it.
#[derive(Debug, thiserror::Error)]
#[error("command {index} of the batch was not carried out")]
pub struct BatchError {
    /// The command's place in the batch; the first is 0.
    pub index: usize,
    /// The error of that command.
    #[source]
    pub error: Box<Error>,
}

impl BatchError {
    /// Says that the command at `index` was not carried out because of `error`.
    #[must_use]
    pub fn new(index: usize, error: Error) -> Self {
        Self {
            index,
            error: Box::new(error),
        }
    }
}
