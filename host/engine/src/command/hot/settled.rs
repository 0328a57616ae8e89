//! The outcome of an append, as its stream takes it.

use gavel_store::AppendError;

/// The outcome of an append to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum Settled {
    /// The append is durable.
    Durable,
    /// The append failed; the stream has to be loaded again.
    Failed,
    /// Not stored: another host appended first.
    Overtaken,
    /// Not stored: one of the commands can never be stored, and which one is unknown.
    OnePoisonsBatch,
}

impl Settled {
    /// Tells what a failed append means for its stream. `is_alone`: it was to store one command.
    pub(in crate::command) fn of(error: &AppendError, is_alone: bool) -> Self {
        match error {
            AppendError::VersionConflict { .. } => Self::Overtaken,
            AppendError::DuplicateEventId { .. } | AppendError::EventUnregistered { .. }
                if !is_alone =>
            {
                Self::OnePoisonsBatch
            }
            AppendError::WrongPreviousId { .. }
            | AppendError::StreamFinal { .. }
            | AppendError::DuplicateEventId { .. }
            | AppendError::EventUnregistered { .. }
            | AppendError::DuplicateCommand { .. }
            | AppendError::Fenced { .. }
            | AppendError::Overloaded { .. }
            | AppendError::Unavailable(_)
            | AppendError::Corrupt(_)
            | AppendError::OutcomeUnknown(_) => Self::Failed,
        }
    }
}
