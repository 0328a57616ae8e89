//! The store that forgets: everything in memory, for tests and for trying things out.
//!
//! It obeys the contract but for one word, *durable*: what it acknowledges is gone with the process.

mod consumers;
mod events;
mod modules;
mod past;
mod rehearsals;
mod snapshots;
mod writes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gavel_model::{
    Clock, CommandId, CommandRecord, DeciderName, ModuleDigest, Namespace, Position, RecordedEvent,
    StreamId,
};
use tokio::sync::watch;

use super::toolkit::hold::Holds;
use super::toolkit::writes::{AppendBatch, CarryOut, Change};
use super::{
    Append, AppendError, Appended, Error, EventStore, LogFilter, LogPage, LogStore, ResumeError,
    Snapshot, StreamHead, StreamRange, StreamSummary,
};

/// Keeps everything in memory. All calls answer at once; one append at a time.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    appended: watch::Sender<()>,
    holds: Holds,
}

/// Everything that is kept.
#[derive(Debug, Default)]
struct Kept {
    events: events::Events,
    modules: modules::Modules,
    snapshots: HashMap<(StreamId, ModuleDigest), Snapshot>,
    consumers: consumers::Consumers,
    rehearsals: rehearsals::Rehearsals,
}

impl MemoryStore {
    /// An empty store that takes its times from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let since_1970 = clock.now().unix_timestamp_nanos() / 1_000_000;
        let generation = u64::try_from(since_1970).unwrap_or_default();
        // The log of another process is another one, though it may be as long.
        let kept = Kept {
            events: events::Events::new(generation),
            ..Kept::default()
        };
        Self {
            clock,
            kept: Mutex::new(kept),
            appended: watch::Sender::new(()),
            holds: Holds::default(),
        }
    }

    /// What is kept; each change is whole before anything can panic, so that a poisoned lock guards sound data.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a change out. This is where all writes pass.
    fn carry_out<C: Change>(&self, change: C) -> Result<C::Answer, C::Error>
    where
        Kept: CarryOut<C>,
    {
        let mut kept = self.kept();
        let now = self.clock.now();
        kept.carry_out(change, now)
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError> {
        let _passed = self.holds.pass(append.streams()).await;
        let appends = vec![append];
        let mut outcomes = self.carry_out(AppendBatch { appends })?;
        self.appended.send_replace(());
        // One append, one outcome.
        outcomes.pop().unwrap_or_else(|| Ok(Vec::new()))
    }

    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error> {
        Ok(self.kept().events.head(stream))
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error> {
        Ok(self.kept().events.read_stream(stream, range))
    }

    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error> {
        Ok(self
            .kept()
            .events
            .list_streams(namespace, decider, after, limit))
    }

    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error> {
        Ok(self.kept().events.command(namespace, command_id))
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl LogStore for MemoryStore {
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error> {
        Ok(self.kept().events.read_log(namespace, after, filter, limit))
    }

    async fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        self.kept().events.check_position(namespace, position)
    }

    fn wakeups(&self) -> watch::Receiver<()> {
        self.appended.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    macro_rules! memory_case {
        ($case:ident) => {
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let clock = Arc::new(conformance::support::UnsteadyClock::default());
                conformance::$case(Arc::new(MemoryStore::new(clock))).await;
            }
        };
    }
    for_each_store_case!(memory_case);
}
