//! The preparation of snapshots before they are written.

use std::collections::BTreeMap;

use gavel_model::{ModuleDigest, StreamId, Version};

use crate::Snapshot;

/// The newest snapshot of each stream and module, in one order for all writers, so that no two of
/// them deadlock.
pub fn newest_of(snapshots: Vec<Snapshot>) -> Vec<Snapshot> {
    let mut newest: BTreeMap<(StreamId, ModuleDigest), Snapshot> = BTreeMap::new();
    for snapshot in snapshots {
        let kept = newest
            .get(&(snapshot.stream.clone(), snapshot.module))
            .map_or(Version::EMPTY, |kept| kept.version);
        if snapshot.version > kept {
            newest.insert((snapshot.stream.clone(), snapshot.module), snapshot);
        }
    }
    newest.into_values().collect()
}
