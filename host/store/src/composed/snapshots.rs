//! Snapshots, which each process keeps in its own memory, up to a bound.

use std::sync::{MutexGuard, PoisonError};

use async_trait::async_trait;
use gavel_model::{DeciderName, ModuleDigest, Namespace, StreamId, Version};
use hashlink::LruCache;

use super::{Composed, Core};
use crate::{Error, EventStore as _, Loaded, Snapshot, SnapshotPlace, SnapshotStore};

/// The most bytes (inclusive) that the states of all snapshots take up in memory.
pub(super) const SNAPSHOTS_BYTES: usize = 64 * 1024 * 1024;

/// The snapshots; those that were not read for the longest time are dropped first.
#[derive(Debug)]
pub(super) struct Snapshots {
    kept: LruCache<(StreamId, ModuleDigest), Snapshot>,
    bytes: usize,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            kept: LruCache::new_unbounded(),
            bytes: 0,
        }
    }
}

impl Snapshots {
    fn put(&mut self, snapshot: Snapshot) {
        let key = (snapshot.stream.clone(), snapshot.module);
        let kept = self.kept.peek(&key).map(|kept| kept.version);
        if kept.unwrap_or_default() < snapshot.version {
            self.bytes += size_bytes(&snapshot);
            let replaced = self.kept.insert(key, snapshot);
            self.bytes -= replaced.as_ref().map_or(0, size_bytes);
        }
        while self.bytes > SNAPSHOTS_BYTES
            && let Some((_, oldest)) = self.kept.remove_lru()
        {
            self.bytes -= size_bytes(&oldest);
        }
    }

    fn remove(&mut self, key: &(StreamId, ModuleDigest)) {
        let removed = self.kept.remove(key);
        self.bytes -= removed.as_ref().map_or(0, size_bytes);
    }
}

fn size_bytes(snapshot: &Snapshot) -> usize {
    snapshot.state.as_str().len() + snapshot.stream.id().len()
}

impl<B: Core> Composed<B> {
    /// Locks the snapshots; each change is whole before anything can panic, so that a poisoned lock
    /// guards sound data.
    fn snapshots(&self) -> MutexGuard<'_, Snapshots> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<B: Core> SnapshotStore for Composed<B> {
    async fn load(
        &self,
        stream: &StreamId,
        module: ModuleDigest,
        limit: u32,
    ) -> Result<Loaded, Error> {
        let key = (stream.clone(), module);
        let found = self.snapshots().kept.get(&key).cloned();
        let head = match found {
            Some(_) => self.core.head(stream).await?.version,
            None => Version::default(),
        };
        let snapshot = found.filter(|snapshot| snapshot.version <= head);
        // Events are only ever added: whatever came meanwhile, the history has all events after the
        // snapshot.
        let after = snapshot.as_ref().map(|snapshot| snapshot.version);
        let history = self.history(stream, after.unwrap_or_default(), None, limit);
        let history = history.await?;
        Ok(Loaded { snapshot, history })
    }

    async fn put_snapshots(&self, snapshots: Vec<Snapshot>) -> Result<(), Error> {
        let mut kept = self.snapshots();
        for snapshot in snapshots {
            kept.put(snapshot);
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
        let mut snapshots = self.snapshots();
        let of_decider = snapshots
            .kept
            .iter()
            .map(|(key, _)| key)
            .filter(|(stream, _)| stream.namespace() == namespace && stream.decider() == decider);
        let places = of_decider.map(|key| (place_of(key), key.clone()));
        let mut seen: Vec<_> = places.filter(|(place, _)| place > after).collect();
        seen.sort_unstable();
        seen.truncate(limit as usize);
        for (_, key) in &seen {
            if !kept.contains(&key.1) {
                snapshots.remove(key);
            }
        }
        Ok(seen.pop().map(|(place, _)| place))
    }
}

fn place_of((stream, module): &(StreamId, ModuleDigest)) -> SnapshotPlace {
    SnapshotPlace {
        id: stream.id().to_owned(),
        module: module.to_string(),
    }
}
