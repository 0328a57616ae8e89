//! Where events, commands and modules are kept.
//!
//! A store knows bytes, versions and activation numbers. It knows nothing of deciders' logic: it neither decides nor folds.
//! Seven traits, [`EventStore`], [`LogStore`], [`PastStore`], [`ModuleStore`], [`SnapshotStore`], [`ConsumerStore`] and [`RehearsalStore`], and three implementations that obey one list of cases, `conformance`.
//!
//! **Invariant:** an append is answered only after it is durable. What was answered is never lost, doubled or reordered.

mod append;
#[cfg(any(test, feature = "conformance"))]
#[macro_use]
pub mod conformance;
mod consumers;
mod error;
mod events;
mod floor;
mod log;
mod memory;
pub mod metrics;
mod modules;
mod past;
mod read;
mod rehearsals;
mod snapshots;
pub mod toolkit;

use std::fmt::Debug;

pub use append::{Append, Appended, Claim, Fence, LARGE_APPEND_BYTES, StreamAppend};
use async_trait::async_trait;
pub use consumers::{ConsumerError, ConsumerStore, Leased, Nacked, Unpark};
pub use error::{
    ActivateError, AppendError, DeleteModuleError, Error, OpenError, QueueLimit, ResumeError,
    Source,
};
pub use events::EventStore;
pub use floor::{Floor, Outdated};
use gavel_model::{Activation, ActivationKey, ActivationNumber, ModuleDigest};
pub use log::{LogFilter, LogPage, LogStore, Withholding};
pub use memory::MemoryStore;
pub use modules::{
    ActivationFilter, ModuleFilter, ModuleViewer, NewActivation, NewModule, StoredModule,
};
pub use past::{Counted, Moment, Passage, PastPage, PastRange, PastStore, Place};
pub use read::Room;
pub use read::{Direction, History, PAGE_BYTES, Page, StreamHead, StreamRange, StreamSummary};
pub use rehearsals::{Beat, REHEARSALS_KEPT, REHEARSALS_WATCHED, RehearsalRecord, RehearsalStore};
pub use snapshots::{Loaded, Snapshot, SnapshotPlace, SnapshotStore};
pub use toolkit::hold::Hold;

/// Everything that a host keeps.
///
/// The times that a store keeps are those of its own clock: SQLite and memory have that of the host, read once for each write before it is
/// carried out ([`toolkit::writes`]); PostgreSQL has the server's, since plain SQL goes by the same rules.
pub trait Store:
    EventStore + LogStore + PastStore + ModuleStore + SnapshotStore + ConsumerStore + RehearsalStore
{
}

impl<
    T: EventStore
        + LogStore
        + PastStore
        + ModuleStore
        + SnapshotStore
        + ConsumerStore
        + RehearsalStore,
> Store for T
{
}

/// The modules, and the append-only logs of which works under which name. Each log, and the pointer
/// which is its newest entry, is found by an [`ActivationKey`]: two kinds share neither.
#[async_trait]
pub trait ModuleStore: Debug + Send + Sync {
    /// Keeps a module. Gives back what is stored, and whether it was stored just now.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written; then nothing was.
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error>;

    /// One module, without its bytes.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn module(&self, digest: ModuleDigest) -> Result<Option<StoredModule>, Error>;

    /// The component's bytes.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn module_wasm(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>, Error>;

    /// The first `limit` modules that pass the filter after one of them, newest first; none after a module that is not there.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn list_modules(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error>;

    /// Notes who has uploaded a module, and may know of it from now on. Nothing is noted of a module that is not there.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn record_upload(&self, digest: ModuleDigest, uploaded_by: &str) -> Result<(), Error>;

    /// Forgets a module that was never active.
    ///
    /// # Errors
    ///
    /// [`DeleteModuleError::InUse`] when any activation, of any time and namespace, names it.
    async fn delete_module(&self, digest: ModuleDigest) -> Result<(), DeleteModuleError>;

    /// Moves the pointer: registers the module's events, and appends to the activation log.
    ///
    /// Once this has returned, every append that carries an older [`Fence`] of that key MUST be
    /// refused, on every host; appends that hold the older fence and are under way MUST be finished
    /// first.
    ///
    /// The first entry of a log begins a name, which from then on belongs to the kind in that
    /// namespace for good: it MUST NOT have entries of another kind, nor events while it has no
    /// entry of the kind whose streams they are. Of two who begin a name at the same time as
    /// different kinds, one is refused.
    ///
    /// # Errors
    ///
    /// [`ActivateError::Moved`] when another activation came first, [`ActivateError::NameTaken`]
    /// when the name belongs to another kind.
    async fn activate(&self, activation: NewActivation) -> Result<Activation, ActivateError>;

    /// Keeps the appends to the streams of a name waiting, once those under way have ended, so that
    /// the last of their events can be looked at before the pointer moves. Appends to others MUST
    /// NOT wait. Of two who hold one key the second waits for the first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the appends under way do not end in time.
    async fn hold<'s>(&'s self, key: &ActivationKey) -> Result<Box<dyn Hold + 's>, Error>;

    /// The newest entry of an activation log, be it a deactivation.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn active(&self, key: &ActivationKey) -> Result<Option<Activation>, Error>;

    /// The newest entry of each of the first `limit` activation logs that are wanted, after the one
    /// of a key, in the order of keys.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error>;

    /// The first `limit` entries of an activation log, newest first: those older than `before`, if
    /// there is such a bound.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error>;
}
