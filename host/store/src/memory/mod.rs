//! The store that forgets: everything in memory, for tests and for trying things out.
//!
//! It obeys the contract but for one word, *durable*: what it acknowledges is gone with the process.

mod consumers;
mod events;
mod modules;
mod past;
mod rehearsals;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gavel_model::{
    Activation, ActivationKey, ActivationNumber, Clock, CommandId, CommandRecord, DeciderName,
    ModuleDigest, ModuleKind, Namespace, Position, RecordedEvent, StreamId, Version,
};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::toolkit::hold::{Held, Holds};
use super::toolkit::newest_of;
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
    events: Mutex<events::Events>,
    modules: Mutex<modules::Modules>,
    snapshots: Mutex<HashMap<(StreamId, ModuleDigest), Snapshot>>,
    consumers: Mutex<consumers::Consumers>,
    rehearsals: Mutex<rehearsals::Rehearsals>,
    appended: watch::Sender<()>,
    holds: Holds,
}

impl MemoryStore {
    /// An empty store that takes its times from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        // The log of another process is another one, though it may be as long.
        let since_1970 = clock.now().unix_timestamp_nanos() / 1_000_000;
        let generation = u64::try_from(since_1970).unwrap_or_default();
        Self {
            clock,
            events: Mutex::new(events::Events::new(generation)),
            modules: Mutex::default(),
            snapshots: Mutex::default(),
            consumers: Mutex::default(),
            rehearsals: Mutex::default(),
            appended: watch::Sender::new(()),
            holds: Holds::default(),
        }
    }
}

impl MemoryStore {
    /// Moves the pointer, unless something was stored in the streams of the name after the moment.
    fn activate_after(
        &self,
        activation: NewActivation,
        looked_through: Option<&Moment>,
    ) -> Result<Activation, ActivateError> {
        // Both at once: an append under way holds `events`, so that it ends before the fence moves.
        let mut events = lock(&self.events);
        let mut modules = lock(&self.modules);
        let key = &activation.key;
        let (namespace, decider) = (key.namespace(), key.name().to_decider());
        if let Some(moment) = looked_through
            && !events.moved_since(namespace, &decider, moment).is_empty()
        {
            return Err(ActivateError::Overtaken);
        }
        if modules.active(key).is_none() {
            let of_events = events.has_any(namespace, &decider);
            let of_events = of_events.then_some(ModuleKind::Decider);
            let taken = modules.other_kind(key).or(of_events);
            if let Some(kind) = taken.filter(|kind| *kind != key.kind()) {
                return Err(ActivateError::NameTaken { kind });
            }
        }
        let event_types = activation.events.clone();
        let activation = modules.activate(activation, self.clock.now())?;
        events.obey(&activation, event_types);
        Ok(activation)
    }
}

/// Locks; each change is whole before anything can panic, so that a poisoned lock guards sound data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError> {
        let _passed = self.holds.pass(append.streams()).await;
        let outcome = {
            let mut events = lock(&self.events);
            events.append(append, self.clock.now())
        };
        self.appended.send_replace(());
        outcome
    }

    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error> {
        Ok(lock(&self.events).head(stream))
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error> {
        Ok(lock(&self.events).read_stream(stream, range))
    }

    async fn history(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<History, Error> {
        Ok(lock(&self.events).history(stream, after, through, limit))
    }

    async fn version_at(&self, stream: &StreamId, at: OffsetDateTime) -> Result<Version, Error> {
        Ok(lock(&self.events).version_at(stream, at))
    }

    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error> {
        Ok(lock(&self.events).list_streams(namespace, decider, after, limit))
    }

    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error> {
        Ok(lock(&self.events).command(namespace, command_id))
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
        Ok(lock(&self.events).read_log(namespace, after, filter, limit))
    }

    async fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        lock(&self.events).check_position(namespace, position)
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
        let events = lock(&self.events);
        let head = events.head(stream).version;
        let snapshots = lock(&self.snapshots);
        let snapshot = snapshots.get(&(stream.clone(), module)).cloned();
        let snapshot = snapshot.filter(|snapshot| snapshot.version <= head);
        let after = snapshot.as_ref().map(|snapshot| snapshot.version);
        let history = events.history(stream, after.unwrap_or_default(), None, limit);
        Ok(Loaded { snapshot, history })
    }

    async fn put_snapshots(&self, snapshots: Vec<Snapshot>) -> Result<(), Error> {
        let mut kept = lock(&self.snapshots);
        for snapshot in newest_of(snapshots) {
            let key = (snapshot.stream.clone(), snapshot.module);
            let is_newer = kept
                .get(&key)
                .is_none_or(|kept| kept.version < snapshot.version);
            if is_newer {
                kept.insert(key, snapshot);
            }
        }
        Ok(())
    }

    async fn forget_snapshots(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        kept: &[ModuleDigest],
        after: &SnapshotPlace,
        limit: u32,
    ) -> Result<Option<SnapshotPlace>, Error> {
        let mut snapshots = lock(&self.snapshots);
        let places = snapshots.keys().filter_map(|(stream, module)| {
            let is_of_it = stream.namespace() == namespace && stream.decider() == decider;
            let place = SnapshotPlace {
                id: stream.id().to_owned(),
                module: module.to_string(),
            };
            (is_of_it && place > *after).then(|| (place, (stream.clone(), *module)))
        });
        let mut seen: Vec<_> = places.collect();
        seen.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        seen.truncate(limit as usize);
        for (_, key) in &seen {
            if !kept.contains(&key.1) {
                snapshots.remove(key);
            }
        }
        Ok(seen.pop().map(|(place, _)| place))
    }
}

#[async_trait]
impl ModuleStore for MemoryStore {
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error> {
        Ok(lock(&self.modules).put(module, self.clock.now()))
    }

    async fn module(&self, digest: ModuleDigest) -> Result<Option<StoredModule>, Error> {
        Ok(lock(&self.modules).module(digest))
    }

    async fn module_wasm(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>, Error> {
        Ok(lock(&self.modules).wasm(digest))
    }

    async fn list_modules(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error> {
        Ok(lock(&self.modules).list(filter, after, limit))
    }

    async fn record_upload(&self, digest: ModuleDigest, uploaded_by: &str) -> Result<(), Error> {
        lock(&self.modules).record_upload(digest, uploaded_by);
        Ok(())
    }

    async fn delete_module(&self, digest: ModuleDigest) -> Result<(), DeleteModuleError> {
        lock(&self.modules).delete(digest)
    }

    async fn activate(&self, activation: NewActivation) -> Result<Activation, ActivateError> {
        self.activate_after(activation, None)
    }

    async fn hold<'s>(&'s self, key: &ActivationKey) -> Result<Box<dyn Hold + 's>, Error> {
        Ok(Box::new(MemoryHold {
            store: self,
            _held: self.holds.hold(key).await?,
        }))
    }

    async fn active(&self, key: &ActivationKey) -> Result<Option<Activation>, Error> {
        Ok(lock(&self.modules).active(key))
    }

    async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        Ok(lock(&self.modules).list_active(filter, after, limit))
    }

    async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        Ok(lock(&self.modules).activations(key, before, limit))
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
        self.store.activate_after(activation, Some(looked_through))
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
