//! The backend in memory: streams and log of one process, for tests and for trying things out.
//!
//! The contract holds but for one word, *durable*: acknowledged writes are lost with the process.

mod events;
mod view_questions;
mod views;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gavel_model::{
    Clock, CommandId, CommandRecord, DeciderName, Namespace, Position, RecordedEvent, StreamId,
};
use tokio::sync::watch;

use self::events::StoredEvents;
pub use self::views::MemoryViews;
use super::{
    Append, AppendError, Appended, Composed, Error, EventStore, LogFilter, LogPage, LogStore,
    ResumeError, StreamHead, StreamRange, StreamSummary,
};

/// A store that keeps everything in memory.
pub type MemoryStore = Composed<MemoryLog>;

/// Keeps streams and log in memory. All calls answer at once; one append at a time.
#[derive(Debug)]
pub struct MemoryLog {
    clock: Arc<dyn Clock>,
    events: Mutex<StoredEvents>,
    appended: watch::Sender<()>,
}

impl MemoryLog {
    /// An empty one that takes its times from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let since_1970 = clock.now().unix_timestamp_nanos() / 1_000_000;
        let generation = u64::try_from(since_1970).unwrap_or_default();
        Self {
            clock,
            // The log of another process is another one, though it may be as long.
            events: Mutex::new(StoredEvents::new(generation)),
            appended: watch::Sender::new(()),
        }
    }

    /// Locks the events; each change is whole before anything can panic, so that a poisoned lock
    /// guards sound data.
    fn events(&self) -> MutexGuard<'_, StoredEvents> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore {
    /// An empty store that takes its times from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::on(Arc::new(MemoryLog::new(Arc::clone(&clock))), clock)
    }
}

#[async_trait]
impl EventStore for MemoryLog {
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError> {
        let appended = {
            let mut events = self.events();
            let now = self.clock.now();
            events.append(append, now)?
        };
        self.appended.send_replace(());
        Ok(appended)
    }

    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error> {
        Ok(self.events().head(stream))
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error> {
        Ok(self.events().read_stream(stream, range))
    }

    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error> {
        Ok(self.events().list_streams(namespace, decider, after, limit))
    }

    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error> {
        Ok(self.events().command(namespace, command_id))
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl LogStore for MemoryLog {
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error> {
        Ok(self.events().read_log(namespace, after, filter, limit))
    }

    async fn events_at(
        &self,
        namespace: &Namespace,
        positions: &[Position],
    ) -> Result<Vec<RecordedEvent>, Error> {
        Ok(self.events().events_at(namespace, positions))
    }

    async fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        self.events().check_position(namespace, position)
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
