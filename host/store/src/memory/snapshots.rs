//! Snapshots in memory.

use async_trait::async_trait;
use gavel_model::{DeciderName, ModuleDigest, Namespace, StreamId};

use super::MemoryStore;
use crate::toolkit::newest_of;
use crate::toolkit::writes::{ForgetSnapshots, PutSnapshots};
use crate::{Error, EventStore as _, Loaded, Snapshot, SnapshotPlace, SnapshotStore};

#[async_trait]
impl SnapshotStore for MemoryStore {
    async fn load(
        &self,
        stream: &StreamId,
        module: ModuleDigest,
        limit: u32,
    ) -> Result<Loaded, Error> {
        let snapshot = {
            let kept = self.kept();
            let head = kept.events.head(stream).version;
            let found = kept.snapshots.get(&(stream.clone(), module)).cloned();
            found.filter(|snapshot| snapshot.version <= head)
        };
        // Events are only ever added, so that those after a snapshot that was found are what they were then, or more.
        let after = snapshot.as_ref().map(|snapshot| snapshot.version);
        let history = self.history(stream, after.unwrap_or_default(), None, limit);
        let history = history.await?;
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
pub(super) fn place_of(
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
