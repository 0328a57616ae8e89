//! Commands on their way through a shard, and how they end there.

use gavel_model::{CommandId, ExpectedVersion, Json, Rejection};
use gavel_store::{AppendError, Appended, StreamAppend, StreamHead};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::command::decision::{Decided, PreparedCommand};
use crate::command::metrics::CONFLICTS;
use crate::command::stop::Stop;
use crate::command::{CommandAnswer, Error};

/// A command whose sender waits.
#[derive(Debug)]
pub(super) struct QueuedCommand {
    pub(super) prepared: PreparedCommand,
    /// Asks for the state after the command.
    pub(super) return_state: bool,
    /// The number of times that the command may still lose a race and be decided again.
    pub(super) retries: u32,
    pub(super) reply: oneshot::Sender<Result<CommandAnswer, Stop>>,
    /// The command's place among those that may wait.
    pub(super) _place: OwnedSemaphorePermit,
}

/// A command on a reserved stream, whose batch waits.
#[derive(Debug)]
pub(super) struct ReservedCommand {
    pub(super) prepared: PreparedCommand,
    /// Asks for the state after the command.
    pub(super) return_state: bool,
    pub(super) reply: oneshot::Sender<Result<ReservedDecision, Stop>>,
}

/// A decision on a reserved stream, which the batch is to store.
#[derive(Debug)]
pub(in crate::command) struct ReservedDecision {
    pub(in crate::command) decided: Decided,
    /// The state after the command, if it was asked for.
    pub(in crate::command) state: Option<Json>,
    /// The head of the stream without the events of the batch.
    pub(in crate::command) durable: StreamHead,
}

/// A decision that is being made durable.
#[derive(Debug)]
pub(super) struct Pending {
    queued: QueuedCommand,
    rejection: Option<Rejection>,
    /// The state after it, if its sender wants to see that.
    state: Option<Json>,
}

impl QueuedCommand {
    /// Tells whether the sender has stopped waiting for the outcome.
    pub(super) fn is_unwanted(&self) -> bool {
        self.reply.is_closed()
    }

    pub(super) fn stop(self, stop: Stop) {
        // Whoever has gone away has given up its answer.
        let _ = self.reply.send(Err(stop));
    }

    /// Splits a decision into what is stored and who waits for that.
    pub(super) fn pending(
        self: Box<Self>,
        decided: Decided,
        state: Option<Json>,
    ) -> (StreamAppend, Pending) {
        let pending = Pending {
            queued: *self,
            rejection: decided.rejection,
            state,
        };
        (decided.part, pending)
    }
}

impl Pending {
    pub(super) fn command_id(&self) -> CommandId {
        self.queued.prepared.command_id
    }

    /// Gives the command back, to be decided again.
    pub(super) fn into_queued(self) -> QueuedCommand {
        self.queued
    }

    /// Answers what has become durable.
    pub(super) fn stored(self, appended: Appended) {
        let Self {
            queued,
            rejection,
            state,
        } = self;
        let QueuedCommand {
            prepared, reply, ..
        } = queued;
        let command_id = prepared.command_id;
        let module = prepared.active.decider.digest();
        let outcome = match rejection {
            Some(rejection) => Err(Stop::refused(Error::Rejected {
                rejection,
                command_id,
                version: appended.version,
                module,
                replayed: false,
            })),
            None => Ok(CommandAnswer {
                command_id,
                stream: prepared.stream,
                version: appended.version,
                replayed: false,
                module,
                events: appended.events,
                state,
            }),
        };
        let _ = reply.send(outcome);
    }

    /// Says why it was not stored, or gives it back to be decided again. `is_alone`: nothing else
    /// was in the same append.
    pub(super) fn not_stored(
        mut self,
        error: &AppendError,
        is_alone: bool,
    ) -> Option<QueuedCommand> {
        let prepared = &self.queued.prepared;
        if matches!(error, AppendError::VersionConflict { .. })
            && prepared.expected == ExpectedVersion::Any
            && self.queued.retries > 0
        {
            metrics::counter!(CONFLICTS).increment(1);
            self.queued.retries -= 1;
            return Some(self.queued);
        }
        let stop = match error {
            // Of another command in the same append.
            AppendError::DuplicateCommand { command_id } if *command_id != prepared.command_id => {
                Stop::Again
            }
            // Of one of the commands, and which one is not known.
            AppendError::DuplicateEventId { .. } | AppendError::EventUnregistered { .. }
                if !is_alone =>
            {
                Stop::Again
            }
            error => Stop::of_append(error, prepared.expected, prepared.command_id),
        };
        self.queued.stop(stop);
        None
    }
}

impl ReservedCommand {
    pub(super) fn stop(self, stop: Stop) {
        // The batch may have been given up.
        let _ = self.reply.send(Err(stop));
    }
}
