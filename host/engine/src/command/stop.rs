//! The vocabulary for commands without an answer: the same for one that comes alone, for a batch,
//! and for a dry run.

use gavel_model::{CommandId, ExpectedVersion};
use gavel_sandbox::RunError;
use gavel_store::{AppendError, StreamHead};

use super::Error;

/// A reason for which a command has no answer yet, or never will.
#[derive(Debug)]
pub(super) enum Stop {
    /// The refusal is the answer.
    Refused(Box<Error>),
    /// The refusal is the answer if the module is still active, and the stream still where this
    /// host believed it to be. No append says so: the store has to be asked.
    Unconfirmed {
        /// The refusal.
        error: Box<Error>,
        /// The head at which the stream was believed to be; none where the refusal does not depend
        /// on it.
        head: Option<StreamHead>,
    },
    /// Another writer was faster. Deciding again may help, if the sender leaves that to the host.
    Lost(Box<Error>),
    /// Another module is active by now. Deciding again helps.
    Fenced(Box<Error>),
    /// An append that the command was stored with, or a state that its decision was built on, is
    /// gone. Deciding again helps.
    Again,
    /// The append was broken off; it may have taken place. The ledger has the outcome.
    InDoubt,
    /// The ledger has the outcome, for another host has carried out the command.
    Recorded,
}

/// The command of a batch that was stopped, which stops the batch.
#[derive(Debug)]
pub(super) struct Stopped {
    /// The command's place in the batch; the first is 0.
    pub(super) index: usize,
    pub(super) stop: Stop,
}

impl Stopped {
    pub(super) fn new(index: usize, stop: Stop) -> Self {
        Self { index, stop }
    }
}

impl Stop {
    /// A refusal that is the answer.
    pub(super) fn refused(error: Error) -> Self {
        Self::Refused(Box::new(error))
    }

    /// A refusal that rests on the active module, and on a stream at `head` if there is one.
    pub(super) fn unconfirmed(error: Error, head: Option<StreamHead>) -> Self {
        let error = Box::new(error);
        Self::Unconfirmed { error, head }
    }

    /// The stop of a command whose shard has broken down.
    pub(super) fn panicked() -> Self {
        Self::refused(Error::NotRun(RunError::Panicked))
    }

    /// Tells what a failed append means for one of its commands, whose sender has expected the
    /// stream at `expected`.
    pub(super) fn of_append(
        error: &AppendError,
        expected: ExpectedVersion,
        command_id: CommandId,
    ) -> Self {
        match error {
            // What the sender expects may be what the others have made of the stream.
            AppendError::VersionConflict { current, .. }
                if expected != ExpectedVersion::Any && expected.accepts(*current) =>
            {
                Self::Again
            }
            AppendError::VersionConflict {
                stream,
                expected: decided_at,
                current,
            } => Self::Lost(Box::new(Error::VersionConflict {
                stream: stream.clone(),
                expected: expected.version().unwrap_or(*decided_at),
                current: *current,
            })),
            AppendError::WrongPreviousId { .. } => Self::Again,
            AppendError::Fenced { .. } => {
                Self::Fenced(Box::new(Error::of_append(error, command_id)))
            }
            AppendError::OutcomeUnknown(_) => Self::InDoubt,
            AppendError::DuplicateCommand { .. } => Self::Recorded,
            AppendError::StreamFinal { .. }
            | AppendError::DuplicateEventId { .. }
            | AppendError::EventUnregistered { .. }
            | AppendError::Overloaded { .. }
            | AppendError::Unavailable(_)
            | AppendError::Corrupt(_) => Self::refused(Error::of_append(error, command_id)),
        }
    }
}
