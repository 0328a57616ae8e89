//! The errors of a store. Each error type says whether trying again can help.

use std::fmt;

use gavel_model::{
    ActivationKey, ActivationNumber, DeciderName, ModuleDigest, ModuleKind, Position, StreamId,
    Version,
};
use uuid::Uuid;

use super::{Fence, Outdated};

/// The error of a database driver or a file system; for the log, never for a client.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The failure of a read, or of a write that is not an append.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer, or not in time. Nothing was written.
    #[error("the store is unavailable")]
    Unavailable(#[source] Source),
    /// The database refuses the write, and will refuse it again. Nothing was written.
    #[error("the database refuses it: {0}")]
    Refused(String),
    /// A stored event cannot be read. Such a row is reported, never left out.
    #[error("the event at {position} of stream {stream} cannot be read: {reason}")]
    Malformed {
        /// The stream, as the row names it.
        stream: String,
        /// The position of the row in the log.
        position: Position,
        /// The fault that was found in the stored data.
        reason: String,
        /// The row's payload, unchanged.
        raw: String,
    },
    /// A stored row other than an event cannot be read.
    #[error("a stored {what} cannot be read: {reason}")]
    Corrupt {
        /// The kind of row.
        what: &'static str,
        /// The fault that was found in the stored data.
        reason: String,
    },
}

impl Error {
    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Refused(_) | Self::Malformed { .. } | Self::Corrupt { .. } => false,
        }
    }

    /// A copy for another waiter; the source is kept as text only.
    #[must_use]
    pub fn clone_for_waiter(&self) -> Self {
        match self {
            Self::Unavailable(source) => Self::Unavailable(source.to_string().into()),
            Self::Refused(reason) => Self::Refused(reason.clone()),
            Self::Malformed {
                stream,
                position,
                reason,
                raw,
            } => Self::Malformed {
                stream: stream.clone(),
                position: *position,
                reason: reason.clone(),
                raw: raw.clone(),
            },
            Self::Corrupt { what, reason } => Self::Corrupt {
                what,
                reason: reason.clone(),
            },
        }
    }
}

/// The limit that was reached: on all appends that wait, or on those of one decider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueLimit {
    /// A limit on the number of appends.
    Appends(usize),
    /// A limit on the bytes of payload.
    Bytes(usize),
}

impl fmt::Display for QueueLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appends(limit) => write!(f, "{limit} appends"),
            Self::Bytes(limit) => write!(f, "{limit} bytes of appends"),
        }
    }
}

/// The failure of an append, or an unknown outcome.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream is not at the version that the writer expected. Load, decide again, retry.
    #[error("stream {stream} is at version {current}, not {expected}")]
    VersionConflict {
        /// The stream.
        stream: StreamId,
        /// The version that the writer expected.
        expected: Version,
        /// The version of the stream.
        current: Version,
    },
    /// The newest event is not the one that the writer named.
    #[error("the newest event of stream {stream} is another one")]
    WrongPreviousId {
        /// The stream.
        stream: StreamId,
        /// The id of the stream's newest event.
        current: Option<Uuid>,
    },
    /// The stream has ended.
    #[error("stream {stream} has ended with version {version}")]
    StreamFinal {
        /// The stream.
        stream: StreamId,
        /// The last version of the stream.
        version: Version,
    },
    /// An event id is in the store already, or twice in this append.
    #[error("event id {event_id} is already in use")]
    DuplicateEventId {
        /// The id.
        event_id: Uuid,
    },
    /// The registry does not know the event for this decider.
    #[error("decider {decider} has no event {event} in schema version {schema_version}")]
    EventUnregistered {
        /// The decider.
        decider: DeciderName,
        /// The event's name.
        event: String,
        /// The schema version of the event.
        schema_version: u32,
    },
    /// The ledger has a command with this id. Answer with its outcome.
    #[error("command {command_id} is already recorded")]
    DuplicateCommand {
        /// The id.
        command_id: Uuid,
    },
    /// Another activation is the newest. Decide again with its module, unless the fence required
    /// that there is none.
    #[error("{} {decider} is at activation {current}, not {}", .fence.kind, .fence.number)]
    Fenced {
        /// The name of the streams.
        decider: DeciderName,
        /// The activation that had to be the newest.
        fence: Fence,
        /// The newest activation.
        current: ActivationNumber,
    },
    /// The queue is full, or the decider's share of it; nothing was written. Try later.
    #[error("{limit} are waiting already")]
    Overloaded {
        /// The limit that was reached.
        limit: QueueLimit,
    },
    /// The store did not answer; nothing was written.
    #[error("the store is unavailable")]
    Unavailable(#[source] Source),
    /// A stored row that the append depends on cannot be read, or the database refuses it for good;
    /// nothing was written.
    #[error("the store holds something that the append cannot follow")]
    Corrupt(#[source] Error),
    /// The connection was lost while committing: the events may or may not be there. Look up the
    /// command id, or read the stream.
    #[error("the outcome of the append is unknown")]
    OutcomeUnknown(#[source] Source),
}

/// Converts a failure before the COMMIT of an append.
impl From<Error> for AppendError {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(source) => Self::Unavailable(source),
            Error::Refused(_) | Error::Malformed { .. } | Error::Corrupt { .. } => {
                Self::Corrupt(error)
            }
        }
    }
}

impl AppendError {
    /// Tells whether the same command may be decided and appended again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::VersionConflict { .. }
            | Self::Fenced { .. }
            | Self::Overloaded { .. }
            | Self::Unavailable(_) => true,
            Self::WrongPreviousId { .. }
            | Self::StreamFinal { .. }
            | Self::DuplicateEventId { .. }
            | Self::EventUnregistered { .. }
            | Self::DuplicateCommand { .. }
            | Self::Corrupt(_)
            | Self::OutcomeUnknown(_) => false,
        }
    }
}

/// The reason for which a reader cannot resume at its position.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The log has no event at the position: it was restored to an earlier state, or is not the log
    /// that the reader knows.
    #[error("the log holds no event at {position}")]
    Lost {
        /// The position after which the reader wants to read.
        position: Position,
        /// The last event of the namespace before that position: all later events are new to the
        /// reader.
        end: Position,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl ResumeError {
    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Lost { .. } => false,
            Self::Store(error) => error.is_retryable(),
        }
    }
}

/// The reason for which a module was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteModuleError {
    /// No module has this digest.
    #[error("no such module")]
    NotFound,
    /// The module is or was active.
    #[error("the module is or was active")]
    InUse,
    /// The store failed.
    #[error("the module could not be deleted")]
    Store(#[source] Error),
}

impl DeleteModuleError {
    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotFound | Self::InUse => false,
            Self::Store(error) => error.is_retryable(),
        }
    }
}

/// The reason for which an activation did not take place.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// Another activation came first: compare with that one.
    #[error("the newest activation of {key} is {current}")]
    Moved {
        /// The pointer.
        key: ActivationKey,
        /// The newest activation.
        current: ActivationNumber,
    },
    /// Another swap of the namespace came first: check what depends on the modules once more.
    #[error("another module of the namespace was activated or deactivated meanwhile")]
    NamespaceMoved,
    /// Events were stored in the streams of the name after the moment up to which the past was
    /// checked: check these as well.
    #[error("events were stored in the streams of {key} after the last check")]
    Overtaken {
        /// The pointer.
        key: ActivationKey,
    },
    /// The name has events or activations of another kind in the namespace, to which it belongs for
    /// good.
    #[error("the name of {key} belongs to a {kind}")]
    NameTaken {
        /// The pointer.
        key: ActivationKey,
        /// The kind.
        kind: ModuleKind,
    },
    /// The module is not stored (any more).
    #[error("there is no module {digest}")]
    ModuleNotFound {
        /// The module.
        digest: ModuleDigest,
    },
    /// The store failed. The activations may have taken place: read the newest ones.
    #[error("the activation could not be recorded")]
    Store(#[source] Error),
}

impl ActivateError {
    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overtaken { .. } => true,
            Self::Moved { .. }
            | Self::NamespaceMoved
            | Self::NameTaken { .. }
            | Self::ModuleNotFound { .. } => false,
            Self::Store(error) => error.is_retryable(),
        }
    }
}

/// The reason for which a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// This program is older than the schema allows.
    #[error(transparent)]
    Outdated(Outdated),
    /// The store cannot be reached or created.
    #[error("cannot open the store at {url}")]
    Unreachable {
        /// The address of the store, without credentials.
        url: String,
        /// The cause.
        #[source]
        source: Source,
    },
    /// The schema is older than this program, and migrating was forbidden.
    #[error("the schema of the store is not up to date, and migrating was turned off")]
    NotMigrated,
    /// The schema could not be brought up to date.
    #[error("the schema of the store cannot be brought up to date")]
    Migrate(#[source] Source),
    /// The database's encoding cannot hold every text.
    #[error(
        "the database has the encoding {encoding}, which cannot hold every text: \
         create another with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
    )]
    NotUtf8 {
        /// The encoding (`server_encoding`).
        encoding: String,
    },
    /// A setting that a session asks for at its start does not reach the server.
    #[error(
        "the sessions have another `{setting}` than they asked for, as behind a pooler that ignores or refuses it: \
         connect to the server itself, for a host keeps few connections and shares none between transactions"
    )]
    SettingIgnored {
        /// The setting.
        setting: String,
    },
    /// The store may lose data that it acknowledged.
    #[error("the server has `{setting}` off: what it acknowledges can be lost")]
    NotDurable {
        /// The setting.
        setting: &'static str,
    },
}
