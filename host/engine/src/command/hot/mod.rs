//! Hot state: streams whose state stays alive in a guest, so that a command costs no read and no
//! fold.
//!
//! The streams of a namespace and a module are spread over *shards* (`shard.rs`) by their ids. Hot
//! state is a cache: each append is still checked against the version at which it was decided, and
//! dropped state is loaded again. A command by itself is decided and stored here; a batch
//! [reserves](Reservation) its streams, has its commands decided, and stores what was decided.

mod budget;
mod pool;
mod queued;
mod reservation;
mod settled;
mod shard;
mod state;
mod stream;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gavel_model::{Clock, StreamId};
use gavel_sandbox::RunError;
use gavel_store::{Store, StreamHead};
use metrics::counter;
use tokio::sync::oneshot;

use super::decision::PreparedCommand;
use super::metrics::HOT_HITS;
use super::stop::Stop;
use super::{CommandAnswer, CommandSettings, Error};
use crate::catalog::{Active, Modules};
use budget::{Holdings, HotBudget};
use queued::QueuedCommand;
pub(super) use queued::ReservedDecision;
pub(super) use reservation::Reservation;
pub(super) use settled::Settled;
use shard::{Environment, Message, Shard};
use state::StreamRules;

/// The streams that are kept hot, and the way to them.
#[derive(Debug)]
pub(super) struct HotStreams {
    env: Arc<Environment>,
    /// Most commands that wait in one shard.
    queue: usize,
    /// The number of reservations so far, by which they are told apart.
    reservations: AtomicU64,
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
                runtime: modules.runtime().clone(),
                decisions: modules.decisions().clone(),
                outputs: modules.outputs().clone(),
                tasks: tokio::runtime::Handle::current(),
                rules: StreamRules {
                    clock,
                    snapshots: settings.snapshots,
                },
                budget: HotBudget::new(Holdings {
                    streams: settings.hot_streams,
                    bytes: settings.hot_bytes,
                }),
                started: Instant::now(),
                hits: counter!(HOT_HITS),
            }),
            queue: settings.queue,
            reservations: AtomicU64::new(0),
        }
    }

    /// Decides a command on the hot state of its stream, and stores what it decides. A race that is
    /// lost is decided again up to `retries` times.
    pub(super) async fn execute(
        &self,
        prepared: PreparedCommand,
        return_state: bool,
        retries: u32,
    ) -> Result<CommandAnswer, Stop> {
        let (active, stream) = (prepared.active.clone(), prepared.stream.clone());
        let shard = self.shard(&active, &stream);
        let Ok(place) = shard.places().clone().try_acquire_owned() else {
            let queue = self.queue;
            return Err(Stop::refused(Error::NotRun(RunError::Overloaded { queue })));
        };
        let (reply, answer) = oneshot::channel();
        let queued = Box::new(QueuedCommand {
            prepared,
            return_state,
            retries,
            reply,
            _place: place,
        });
        self.env.runtime.throttle().note_call();
        self.send(&active, &stream, Message::Command(queued));
        answer.await.unwrap_or_else(|_| Err(Stop::panicked()))
    }

    /// Waits until all that was decided on `stream` before is stored, and keeps others away from
    /// it.
    ///
    /// # Errors
    ///
    /// [`Stop::Refused`] when the shard has broken down meanwhile.
    pub(super) async fn reserve(
        &self,
        active: &Active,
        stream: &StreamId,
    ) -> Result<Reservation, Stop> {
        let id = self.reservations.fetch_add(1, Ordering::Relaxed);
        let (grant, granted) = oneshot::channel();
        let shard = self.send(active, stream, Message::Reserve(stream.clone(), id, grant));
        // Made before it is granted: dropped meanwhile, it ends.
        let reservation = Reservation::new(shard, stream.clone(), id);
        granted.await.map_err(|_| Stop::panicked())?;
        Ok(reservation)
    }

    /// Says that a stream was found to be at `head`.
    pub(super) fn moved(&self, active: &Active, stream: &StreamId, head: StreamHead) {
        self.send(active, stream, Message::Moved(stream.clone(), head));
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

    /// Leaves a message for the shard of a stream. Gives the shard that has taken it.
    fn send(&self, active: &Active, stream: &StreamId, mut message: Message) -> Arc<Shard> {
        loop {
            let shard = self.shard(active, stream);
            match shard.send(message) {
                Ok(()) => return shard,
                Err(returned) => message = returned,
            }
            self.env.budget.forget(&shard);
        }
    }
}

impl Drop for HotStreams {
    fn drop(&mut self) {
        self.env.budget.end();
    }
}
