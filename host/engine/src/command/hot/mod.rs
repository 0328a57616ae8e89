//! Hot state: streams whose state stays alive in a guest, so that a command costs no read and no
//! fold.
//!
//! The streams of a namespace and a module are spread over *shards* (`shard.rs`) by their ids. Hot
//! state is a cache: each append is still checked against the version at which it was decided, and
//! dropped state is loaded again. A command that is carried out here ends in an answer, or in a
//! [`AttemptError`] that `Commands` deals with as with any other attempt.

mod budget;
mod history;
mod pool;
mod queued;
mod shard;
mod stream;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Instant;

use gavel_model::{Clock, StreamId};
use gavel_sandbox::RunError;
use gavel_store::{Store, StreamHead};
use tokio::sync::oneshot;

use super::attempt::AttemptError;
use super::decision::Task;
use super::{
    BatchError, CommandAnswer, CommandOptions, CommandRequest, CommandSettings, Commands, Error,
    Origin,
};
use crate::catalog::{Active, Modules};
use budget::{Holdings, HotBudget};
use queued::{QueuedCommand, Stop};
use shard::{Environment, Message, Shard};

pub(super) use pool::{CallSubject, Company, Pool};
pub(super) use shard::Reservation;
pub use shard::SnapshotPolicy;

/// The streams that are kept hot, and the way to them.
#[derive(Debug)]
pub(super) struct HotStreams {
    env: Arc<Environment>,
    /// Most commands that wait in one shard.
    queue: usize,
}

impl HotStreams {
    /// Must be made within the async runtime that is to run what waits for the store.
    pub(super) fn new(
        store: Arc<dyn Store>,
        modules: &Modules,
        clock: Arc<dyn Clock>,
        settings: &CommandSettings,
    ) -> Self {
        Self {
            env: Arc::new(Environment {
                store,
                clock,
                runtime: modules.runtime().clone(),
                decisions: modules.decisions().clone(),
                outputs: modules.outputs().clone(),
                tasks: tokio::runtime::Handle::current(),
                snapshots: settings.snapshots,
                budget: HotBudget::new(Holdings {
                    streams: settings.hot_streams,
                    bytes: settings.hot_bytes,
                }),
                started: Instant::now(),
            }),
            queue: settings.queue,
        }
    }

    fn shard(&self, active: &Active, stream: &StreamId) -> Arc<Shard> {
        // Half of the threads, so that one module leaves the others room whatever it does.
        let shards = self.env.runtime.threads().get().div_ceil(2);
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % shards as u64).unwrap_or(0);
        let decider = &active.decider;
        let key = (stream.namespace().clone(), decider.digest(), index);
        self.env
            .budget
            .shard(key, || Shard::new(self.env.clone(), decider, self.queue))
    }

    /// Leaves a message for the shard of a stream.
    fn send(&self, active: &Active, stream: &StreamId, mut message: Message) {
        loop {
            let shard = self.shard(active, stream);
            match shard.send(message) {
                Ok(()) => return,
                Err(returned) => message = returned,
            }
            self.env.budget.forget(&shard);
        }
    }

    /// Waits until all that was decided on `stream` before is stored, and keeps others away from
    /// it.
    pub(super) async fn reserve(&self, active: &Active, stream: &StreamId) -> Option<Reservation> {
        let (grant, granted) = oneshot::channel();
        self.send(active, stream, Message::Reserve(stream.clone(), grant));
        // A shard that has broken down keeps nobody away; the version check of the append is what
        // counts.
        granted.await.ok()
    }
}

impl Drop for HotStreams {
    fn drop(&mut self) {
        self.env.budget.end();
    }
}

impl Commands {
    /// Decides one command on the hot state of its stream, and stores what it decides.
    pub(super) async fn attempt_hot(
        &self,
        request: &CommandRequest,
        origin: &Origin,
        options: CommandOptions,
    ) -> Result<CommandAnswer, AttemptError> {
        let stream = &request.stream;
        let known = self
            .0
            .modules
            .known_active(stream.namespace(), stream.decider())
            .await;
        let active = match known {
            Ok(Some(active)) => active,
            Ok(None) => {
                let decider = stream.decider().clone();
                return Err(refused(Error::DeciderNotFound { decider }));
            }
            Err(error) => return Err(refused(Error::Module(error))),
        };
        let task = match Task::new(active.clone(), request, origin, self.ledger_of(stream)) {
            Ok(task) => task,
            Err(error) => return Err(self.confirmed(&active, stream, error).await),
        };
        let hot = &self.0.hot;
        let shard = hot.shard(&active, stream);
        let Ok(place) = shard.places().clone().try_acquire_owned() else {
            let queue = hot.queue;
            return Err(refused(Error::NotRun(RunError::Overloaded { queue })));
        };
        let (reply, answer) = oneshot::channel();
        let job = Box::new(QueuedCommand {
            task,
            return_state: options.return_state,
            retries: if options.retry_conflicts {
                self.0.settings.conflict_retries
            } else {
                0
            },
            reply,
            _place: place,
        });
        hot.env.runtime.throttle().note_call();
        hot.send(&active, stream, Message::Command(job));
        let stop = match answer.await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(stop)) => stop,
            Err(_) => Stop::Refused(Error::NotRun(RunError::Panicked)),
        };
        Err(match stop {
            Stop::Unconfirmed { error, head } => {
                self.confirmed_at(&active, stream, head, error).await
            }
            Stop::Unfit(error) => self.confirmed(&active, stream, error).await,
            Stop::Refused(error) => refused(error),
            Stop::Lost(error) => AttemptError::Lost(BatchError::new(0, error)),
            Stop::Fenced(error) => match self
                .0
                .modules
                .active(stream.namespace(), stream.decider())
                .await
            {
                Ok(_) => AttemptError::Disturbed(BatchError::new(0, error)),
                Err(error) => refused(Error::Module(error)),
            },
            Stop::InDoubt => AttemptError::InDoubt,
            Stop::Recorded => AttemptError::Recorded,
            // What is told if that never ends.
            Stop::Again => AttemptError::Disturbed(BatchError::new(
                0,
                Error::NotRun(RunError::Overloaded { queue: hot.queue }),
            )),
        })
    }

    /// Confirms a refusal by the active module. A refusal does not pass the fence of an append, so
    /// it holds only if no swap came before it.
    async fn confirmed(&self, active: &Active, stream: &StreamId, error: Error) -> AttemptError {
        let newest = self
            .0
            .modules
            .active(stream.namespace(), stream.decider())
            .await;
        match newest {
            Ok(Some(newest)) if newest.activation.number == active.activation.number => {
                refused(error)
            }
            Ok(_) => AttemptError::Disturbed(BatchError::new(0, error)),
            Err(error) => refused(Error::Module(error)),
        }
    }

    /// Confirms a refusal at the stream's stored head. A refusal does not pass the version check of
    /// an append either: it holds only if the stream is still where it was believed to be.
    async fn confirmed_at(
        &self,
        active: &Active,
        stream: &StreamId,
        believed: StreamHead,
        error: Error,
    ) -> AttemptError {
        match self.0.store.head(stream).await {
            Ok(head) if head != believed => {
                let moved = Message::Moved(stream.clone(), head);
                self.0.hot.send(active, stream, moved);
                AttemptError::Disturbed(BatchError::new(0, error))
            }
            Ok(_) => self.confirmed(active, stream, error).await,
            Err(error) => refused(Error::Store(error)),
        }
    }
}

fn refused(error: Error) -> AttemptError {
    AttemptError::Refused(BatchError::new(0, error))
}
