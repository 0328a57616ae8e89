//! A command on its way through a shard, and how it ends there.

use gavel_model::{CommandId, ExpectedVersion, Json, Rejection};
use gavel_store::{self as store, AppendError, Appended, StreamAppend, StreamHead};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::command::decision::{Decided, Task};
use crate::command::metrics::CONFLICTS;
use crate::command::{CommandAnswer, Error};

/// A command whose sender waits.
#[derive(Debug)]
pub(super) struct QueuedCommand {
    pub(super) task: Task,
    /// Asks for the state after the command.
    pub(super) return_state: bool,
    /// The number of times that the command may still lose a race and be decided again.
    pub(super) retries: u32,
    pub(super) reply: oneshot::Sender<Result<CommandAnswer, Stop>>,
    /// The command's place among those that may wait.
    pub(super) _place: OwnedSemaphorePermit,
}

/// A reason for which a command has no answer yet, or never will.
#[derive(Debug)]
pub(super) enum Stop {
    /// The refusal rests on a state that is durable as far as this host knows.
    Unconfirmed {
        error: Error,
        /// The head at which this host believed the stream to be.
        head: StreamHead,
    },
    /// The module has no such command, or cannot fold the history.
    Unfit(Error),
    /// The refusal is the answer.
    Refused(Error),
    /// Another writer was faster.
    Lost(Error),
    /// Another module is active by now.
    Fenced(Error),
    /// The append was broken off; it may have taken place.
    InDoubt,
    /// The ledger has its outcome.
    Recorded,
    /// An append that the command was stored with, or decided upon, has failed.
    Again,
}

/// A decision that is being made durable.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) job: QueuedCommand,
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
            job: *self,
            rejection: decided.rejection,
            state,
        };
        (decided.part, pending)
    }
}

impl Pending {
    pub(super) fn command_id(&self) -> CommandId {
        self.job.task.command_id
    }

    /// Gives the command back, to be decided again.
    pub(super) fn into_job(self) -> QueuedCommand {
        self.job
    }

    /// Answers what has become durable.
    pub(super) fn stored(self, appended: Appended) {
        let Self {
            job,
            rejection,
            state,
        } = self;
        let command_id = job.task.command_id;
        let module = job.task.active.decider.digest();
        let outcome = match rejection {
            Some(rejection) => Err(Stop::Refused(Error::Rejected {
                rejection,
                command_id,
                version: appended.version,
                module,
                replayed: false,
            })),
            None => Ok(CommandAnswer {
                command_id,
                stream: job.task.stream,
                version: appended.version,
                replayed: false,
                module,
                events: appended.events,
                state,
            }),
        };
        let _ = job.reply.send(outcome);
    }

    /// Says why it was not stored, or gives it back to be decided again. `is_alone`: nothing else
    /// was in the same append.
    pub(super) fn not_stored(
        mut self,
        error: &AppendError,
        is_alone: bool,
    ) -> Option<QueuedCommand> {
        let task = &self.job.task;
        if matches!(error, AppendError::VersionConflict { .. })
            && task.expected == ExpectedVersion::Any
            && self.job.retries > 0
        {
            metrics::counter!(CONFLICTS).increment(1);
            self.job.retries -= 1;
            return Some(self.job);
        }
        let stop = match error {
            AppendError::VersionConflict { current, .. } => {
                // What the sender expected may be what the others have made of the stream.
                if task.expected != ExpectedVersion::Any && task.expected.accepts(*current) {
                    Stop::Again
                } else {
                    Stop::Lost(task.conflict(*current))
                }
            }
            AppendError::WrongPreviousId { .. } => Stop::Again,
            AppendError::StreamFinal { stream, version } => Stop::Refused(Error::StreamFinal {
                stream: stream.clone(),
                version: *version,
            }),
            AppendError::Fenced { decider, .. } => Stop::Fenced(Error::SwapUnderWay {
                decider: decider.clone(),
            }),
            AppendError::DuplicateCommand { command_id } if *command_id == task.command_id => {
                Stop::Recorded
            }
            AppendError::DuplicateCommand { .. } => Stop::Again,
            AppendError::OutcomeUnknown(_) => Stop::InDoubt,
            AppendError::Overloaded { limit } => {
                Stop::Refused(Error::StoreOverloaded { limit: *limit })
            }
            AppendError::Unavailable(source) => Stop::Refused(Error::Store(
                store::Error::Unavailable(source.to_string().into()),
            )),
            AppendError::Corrupt(error) => Stop::Refused(Error::Store(error.clone_for_waiter())),
            AppendError::DuplicateEventId { .. } | AppendError::EventUnregistered { .. }
                if !is_alone =>
            {
                Stop::Again
            }
            AppendError::DuplicateEventId { event_id } => Stop::Refused(Error::DuplicateEventId {
                event_id: *event_id,
            }),
            AppendError::EventUnregistered {
                decider,
                event,
                schema_version,
            } => Stop::Refused(Error::EventUnregistered {
                decider: decider.clone(),
                event: event.clone(),
                schema_version: *schema_version,
            }),
        };
        self.job.stop(stop);
        None
    }
}
