//! The storage of events, commands and modules: the contracts of a store, and the parts that stores
//! share.
//!
//! A store knows bytes, versions and activation numbers. It knows nothing of deciders' logic: it
//! neither decides nor folds.
//!
//! ```text
//! every backend has      EventStore  LogStore
//! capabilities           PastStore  ModuleStore  SnapshotStore  ConsumerStore  RehearsalStore
//!                        HeartbeatStore  TagIndex  processes::ProcessStore
//! ```
//!
//! A backend starts from the first two: [`Composed`] has the capabilities on any of them, as it has
//! them in memory. SQLite and PostgreSQL implement them all, since rows are faster. All stores pass
//! one list of cases, `conformance`.
//!
//! **Invariant:** an append is answered only after it is durable. What was answered is never lost,
//! doubled or reordered.

mod append;
mod composed;
#[cfg(any(test, feature = "conformance"))]
#[macro_use]
pub mod conformance;
mod consumers;
mod error;
mod events;
mod fence;
mod floor;
mod heartbeats;
mod log;
mod memory;
pub mod metrics;
mod modules;
mod past;
pub mod processes;
mod read;
mod rehearsals;
mod snapshots;
mod tags;
pub mod toolkit;
pub mod views;

pub use append::{Append, Appended, Claim, LARGE_APPEND_BYTES, StreamAppend};
pub use composed::{Composed, Core};
pub use consumers::{ConsumerError, ConsumerStore, Leased, Nacked, Unpark};
pub use error::{
    ActivateError, AppendError, DeleteModuleError, Error, OpenError, QueueLimit, ResumeError,
    Source,
};
pub use events::EventStore;
pub use fence::Fence;
pub use floor::{Floor, Outdated};
pub use heartbeats::{HOST_ALIVE_FOR, HeartbeatStore};
pub use log::{LogFilter, LogPage, LogStore, Withholding};
pub use memory::{MemoryLog, MemoryStore, MemoryViews};
pub use modules::{
    ActivationFilter, ActivationSet, Hold, ModuleFilter, ModuleStore, ModuleViewer, NewActivation,
    NewModule, StoredModule, SwapCount, UnfitSet,
};
pub use past::{Counted, Moment, PastPage, PastRange, PastStore, Place, Segment};
pub use read::Room;
pub use read::{Direction, History, PAGE_BYTES, Page, StreamHead, StreamRange, StreamSummary};
pub use rehearsals::{Beat, REHEARSALS_KEPT, REHEARSALS_WATCHED, RehearsalRecord, RehearsalStore};
pub use snapshots::{Loaded, Snapshot, SnapshotPlace, SnapshotStore};
pub use tags::{EventKind, HistoryIndex, TagCondition, TagIndex, TaggedPage};

use processes::ProcessStore;

/// The store of a host, with all capabilities.
///
/// The times that a store keeps are those of its own clock: SQLite and memory have that of the
/// host, read once for each write before it is carried out ([`toolkit::writes`]); PostgreSQL has
/// the server's, since plain SQL goes by the same rules.
pub trait Store:
    EventStore
    + LogStore
    + PastStore
    + ModuleStore
    + SnapshotStore
    + ConsumerStore
    + RehearsalStore
    + HeartbeatStore
    + TagIndex
    + ProcessStore
{
}

impl<
    T: EventStore
        + LogStore
        + PastStore
        + ModuleStore
        + SnapshotStore
        + ConsumerStore
        + RehearsalStore
        + HeartbeatStore
        + TagIndex
        + ProcessStore,
> Store for T
{
}
