//! The store that forgets: everything in memory, for tests and for trying things out.
//!
//! It obeys the contract but for one word, *durable*: what it acknowledges is gone with the process.

mod consumers;
mod events;
mod modules;
mod past;
mod rehearsals;
mod writes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gavel_model::{
    Activation, ActivationKey, ActivationNumber, Clock, CommandId, CommandRecord, DeciderName,
    ModuleDigest, Namespace, Position, RecordedEvent, StreamId, Version,
};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::toolkit::hold::{Held, Holds};
use super::toolkit::newest_of;
use super::toolkit::writes::{
    Activate, AppendBatch, CarryOut, Change, DeleteModule, ForgetSnapshots, PutModule,
    PutSnapshots, RecordUpload,
};
use super::{
    ActivateError, ActivationFilter, Append, AppendError, Appended, DeleteModuleError, Error,
    EventStore, History, Hold, Loaded, LogFilter, LogPage, LogStore, ModuleFilter, ModuleStore,
    Moment, NewActivation, NewModule, Page, ResumeError, Snapshot, SnapshotPlace, SnapshotStore,
    StoredModule, StreamHead, StreamRange, StreamSummary,
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

    async fn history(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<History, Error> {
        Ok(self.kept().events.history(stream, after, through, limit))
    }

    async fn version_at(&self, stream: &StreamId, at: OffsetDateTime) -> Result<Version, Error> {
        Ok(self.kept().events.version_at(stream, at))
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

#[async_trait]
impl SnapshotStore for MemoryStore {
    async fn load(
        &self,
        stream: &StreamId,
        module: ModuleDigest,
        limit: u32,
    ) -> Result<Loaded, Error> {
        let kept = self.kept();
        let head = kept.events.head(stream).version;
        let snapshot = kept.snapshots.get(&(stream.clone(), module)).cloned();
        let snapshot = snapshot.filter(|snapshot| snapshot.version <= head);
        let after = snapshot.as_ref().map(|snapshot| snapshot.version);
        let history = kept
            .events
            .history(stream, after.unwrap_or_default(), None, limit);
        Ok(Loaded { snapshot, history })
    }

    async fn put_snapshots(&self, snapshots: Vec<Snapshot>) -> Result<(), Error> {
        let snapshots = newest_of(snapshots);
        self.carry_out(PutSnapshots { snapshots })
    }

    async fn forget_snapshots(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        kept: &[ModuleDigest],
        after: &SnapshotPlace,
        limit: u32,
    ) -> Result<Option<SnapshotPlace>, Error> {
        let seen = {
            let snapshots = &self.kept().snapshots;
            let places = snapshots
                .keys()
                .filter_map(|key| place_of(key, namespace, decider))
                .filter(|place| place > after);
            let mut seen: Vec<_> = places.collect();
            seen.sort_unstable();
            seen.truncate(limit as usize);
            seen
        };
        let Some(last) = seen.last().cloned() else {
            return Ok(None);
        };
        self.carry_out(ForgetSnapshots {
            namespace: namespace.clone(),
            decider: decider.clone(),
            kept: kept.to_vec(),
            after: after.clone(),
            through: last.clone(),
        })?;
        Ok(Some(last))
    }
}

/// The place of a snapshot, if it is one of this decider.
fn place_of(
    (stream, module): &(StreamId, ModuleDigest),
    namespace: &Namespace,
    decider: &DeciderName,
) -> Option<SnapshotPlace> {
    let is_of_it = stream.namespace() == namespace && stream.decider() == decider;
    is_of_it.then(|| SnapshotPlace {
        id: stream.id().to_owned(),
        module: module.to_string(),
    })
}

#[async_trait]
impl ModuleStore for MemoryStore {
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error> {
        self.carry_out(PutModule { module })
    }

    async fn module(&self, digest: ModuleDigest) -> Result<Option<StoredModule>, Error> {
        Ok(self.kept().modules.module(digest))
    }

    async fn module_wasm(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.kept().modules.wasm(digest))
    }

    async fn list_modules(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error> {
        Ok(self.kept().modules.list(filter, after, limit))
    }

    async fn record_upload(&self, digest: ModuleDigest, uploaded_by: &str) -> Result<(), Error> {
        let uploaded_by = uploaded_by.to_owned();
        self.carry_out(RecordUpload {
            digest,
            uploaded_by,
        })
    }

    async fn delete_module(&self, digest: ModuleDigest) -> Result<(), DeleteModuleError> {
        self.carry_out(DeleteModule { digest })
    }

    async fn activate(&self, activation: NewActivation) -> Result<Activation, ActivateError> {
        self.carry_out(Activate {
            activation,
            looked_through: None,
        })
    }

    async fn hold<'s>(&'s self, key: &ActivationKey) -> Result<Box<dyn Hold + 's>, Error> {
        Ok(Box::new(MemoryHold {
            store: self,
            _held: self.holds.hold(key).await?,
        }))
    }

    async fn active(&self, key: &ActivationKey) -> Result<Option<Activation>, Error> {
        Ok(self.kept().modules.active(key))
    }

    async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        Ok(self.kept().modules.list_active(filter, after, limit))
    }

    async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        Ok(self.kept().modules.activations(key, before, limit))
    }
}

/// A decider of the store is held.
#[derive(Debug)]
struct MemoryHold<'s> {
    store: &'s MemoryStore,
    _held: Held,
}

#[async_trait]
impl Hold for MemoryHold<'_> {
    async fn activate(
        self: Box<Self>,
        activation: NewActivation,
        looked_through: &Moment,
    ) -> Result<Activation, ActivateError> {
        let looked_through = Some(looked_through.clone());
        self.store.carry_out(Activate {
            activation,
            looked_through,
        })
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
