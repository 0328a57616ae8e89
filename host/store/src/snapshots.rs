//! Snapshots: states kept so that a long stream need not be folded from its start.
//!
//! **Invariant:** snapshots are disposable. Deleting any or all of them changes no answer, only the
//! time that it takes.

use std::fmt::Debug;

use async_trait::async_trait;
use gavel_model::{DeciderName, Json, ModuleDigest, Namespace, StreamId, Version};

use super::{Error, History};

/// A state that a module has folded from a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamId,
    /// The module; no other reads the snapshot.
    pub module: ModuleDigest,
    /// The version of the last event that was folded; at least 1.
    pub version: Version,
    /// The state, in the module's own form.
    pub state: Json,
}

/// The history from which a stream's state is folded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The snapshot to begin with; none to begin with the initial state.
    pub snapshot: Option<Snapshot>,
    /// The events after the snapshot; as many as the limit if there are at least that many.
    pub history: History,
}

/// Keeps at most one snapshot of each stream for each module.
///
/// ```text
/// stream:     1 2 3 4 5 6 7        head = 7
/// snapshot:         ^              at version 4
/// load(…, 2):         5 6          the snapshot, and the first 2 events after it
/// ```
///
/// - A store MAY lose snapshots at any time; it MUST NOT give back another state than was put at
///   that version by that module.
/// - Snapshots MUST NOT be part of an append's transaction, nor hold one up.
#[async_trait]
pub trait SnapshotStore: Debug + Send + Sync {
    /// The snapshot of `stream` by `module` if there is one, and the first `limit` events after it;
    /// after version 0 without one.
    ///
    /// Both MUST be as of one moment. A snapshot that is beyond the stream's head, or whose state
    /// is no JSON, MUST be left out.
    ///
    /// # Errors
    ///
    /// As [`EventStore::history`](super::EventStore::history).
    async fn load(
        &self,
        stream: &StreamId,
        module: ModuleDigest,
        limit: u32,
    ) -> Result<Loaded, Error>;

    /// Keeps snapshots, in any order and of any streams.
    ///
    /// A snapshot MUST NOT replace another of the same stream and module at the same or a higher
    /// version. A snapshot at version 0, which is the initial state, MUST be left out. If the
    /// future is dropped midway, any of them may have been kept.
    ///
    /// # Errors
    ///
    /// [`Error`] when they cannot be written; any of them may have been. Nothing depends on it.
    async fn put_snapshots(&self, snapshots: Vec<Snapshot>) -> Result<(), Error>;

    /// Looks at the `limit` snapshots of a decider that come after a place, by id and module, and
    /// deletes those of no module in `kept`.
    ///
    /// Returns the place of the last snapshot that was looked at; none when no snapshot was left.
    /// If the future is dropped midway, any of them may have been deleted.
    ///
    /// # Errors
    ///
    /// [`Error`] when they cannot be deleted; any of them may have been. Nothing depends on it.
    async fn forget_snapshots(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        kept: &[ModuleDigest],
        after: &SnapshotPlace,
        limit: u32,
    ) -> Result<Option<SnapshotPlace>, Error>;
}

/// The place of a snapshot among those of its decider. The default is before all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotPlace {
    /// The id of the stream within its decider.
    pub id: String,
    /// The module's digest, as the row has it.
    pub module: String,
}
