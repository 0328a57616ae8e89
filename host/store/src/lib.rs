//! Where events, commands and modules are kept.
//!
//! A store knows bytes, versions and activation numbers. It knows nothing of deciders' logic: it neither decides nor folds.
//! Seven traits, [`EventStore`], [`LogStore`], [`PastStore`], [`ModuleStore`], [`SnapshotStore`], [`ConsumerStore`] and [`RehearsalStore`], and three implementations that obey one list of cases, `conformance`.
//!
//! **Invariant:** an append is answered only after it is durable. What was answered is never lost, doubled or reordered.

pub mod admit;
mod append;
#[cfg(any(test, feature = "conformance"))]
#[macro_use]
pub mod conformance;
pub mod consumers;
mod error;
pub mod group;
pub mod hold;
mod log;
pub mod lookup;
mod memory;
pub mod metrics;
mod modules;
pub mod past;
mod read;
mod rehearsals;
pub mod snapshots;

use std::fmt::Debug;

pub use append::{Append, Appended, Claim, Fence, LARGE_APPEND_BYTES, StreamAppend};
use async_trait::async_trait;
pub use consumers::{ConsumerError, ConsumerStore, Leased, Nacked, Unpark};
pub use error::{
    ActivateError, AppendError, DeleteModuleError, Error, OpenError, QueueLimit, ResumeError,
    Source,
};
use gavel_model::{
    Activation, ActivationNumber, CommandId, CommandRecord, DeciderName, ModuleDigest, Namespace,
    RecordedEvent, StreamId, Version,
};
pub use hold::Hold;
pub use log::{LogFilter, LogPage, LogStore, Withholding};
pub use memory::MemoryStore;
pub use modules::{ModuleFilter, ModuleViewer, NewActivation, NewModule, StoredModule};
pub use past::{Counted, Moment, Passage, PastPage, PastRange, PastStore, Place};
pub use read::Room;
pub use read::{Direction, History, PAGE_BYTES, Page, StreamHead, StreamRange, StreamSummary};
pub use rehearsals::{Beat, REHEARSALS_KEPT, REHEARSALS_WATCHED, RehearsalRecord, RehearsalStore};
pub use snapshots::{Loaded, Snapshot, SnapshotPlace, SnapshotStore};
use time::OffsetDateTime;

/// Everything that a host keeps.
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

/// The events of all streams, and the ledger of the commands they follow from.
///
/// ```text
/// stream a:  1 2 3 4          versions: per stream, from 1, without gaps
/// stream b:      1 2          head(b) = 2
/// log:       · · ·   · · ·    positions: over all streams, ascending, with gaps
/// ```
///
/// - Versions of a stream MUST be 1, 2, 3 … in the order in which the appends were acknowledged.
/// - `previous_id` of an event MUST be the id of the event before it in its stream, and none for the first.
/// - `created_at` MUST NOT decrease within a stream.
/// - Positions MUST ascend within a stream. Across streams they MAY differ from the order of acknowledgement.
#[async_trait]
pub trait EventStore: Debug + Send + Sync {
    /// Appends all parts in one transaction, or none of them.
    ///
    /// The answer has one [`Appended`] per part, in order. A later part on the same stream sees the events of those before it.
    /// Implementations MUST lock the streams in one order for all appends whatever the order of the parts, or without waiting, so that two
    /// appends never deadlock, and MUST check in this order: the fence, the ledger (a known command id wins over a conflict: the caller then
    /// answers with the recorded outcome), `is_final`, the expected version, the expected previous id, the registry, the event ids.
    /// Fence and ledger of all parts come before the rest of any; of other faults in several parts any one MAY be reported.
    /// Parts without events are checked like all others: nothing is decided on a stream that has moved or ended.
    ///
    /// Calls MAY share a transaction with others that arrive at the same time; the outcome of each is its own. A store that has more to
    /// write than it takes MUST refuse at once, with [`AppendError::Overloaded`].
    /// If the future is dropped after it was first polled, the append may or may not take place: look up the command id, or read the stream.
    ///
    /// # Errors
    ///
    /// Each variant of [`AppendError`] but `OutcomeUnknown` means that nothing was written.
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError>;

    /// Finishes what is under way, and lets go of the database, which then needs nothing of this process. For the end of a host: a call
    /// that comes later fails, or opens the database anew.
    async fn close(&self) {}

    /// Keeps the writers of all hosts away from a stream, once those before have finished, so that what is decided on it then is not
    /// overtaken. For streams on which others have been faster; the append is checked as ever.
    ///
    /// None where this store has one host only, or where too many streams are claimed already: then appends as ever have to do.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the stream does not become free in time.
    async fn claim(&self, _stream: &StreamId) -> Result<Option<Box<dyn Claim>>, Error> {
        Ok(None)
    }

    /// The newest version of a stream and what belongs to it, in one step whatever the stream's length; a stream without events is at 0.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error>;

    /// The events of one stream within `range`, in its direction.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] when a stored event cannot be read; none is left out. [`Error::Unavailable`] as ever.
    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error>;

    /// The first `limit` events of one stream after `after` (exclusive), up to `through` (inclusive) if there is a bound, as folding needs
    /// them; no more than take up [`PAGE_BYTES`], but one at least. It is what folds long streams: a store SHOULD read nothing that is not in a [`History`].
    ///
    /// # Errors
    ///
    /// As [`EventStore::read_stream`], and the same error, when something that folding needs cannot be read. What it does not need, as
    /// metadata, MAY be overlooked.
    async fn history(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<History, Error>;

    /// The version that the stream had at a time: that of its last event created at or before `at`, else 0.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn version_at(&self, stream: &StreamId, at: OffsetDateTime) -> Result<Version, Error>;

    /// The first `limit` streams of a decider whose id sorts after `after`, by id in the order of its bytes.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error>;

    /// What the ledger holds for a command, with `null` as the payload that was not stored. Whatever was acknowledged before the call MUST be found.
    ///
    /// Calls MAY share a round trip with others that are made at the same time.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error>;

    /// Whether the store answers; one cheap round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it does not.
    async fn ping(&self) -> Result<(), Error>;
}

/// The modules, and the append-only log of which decider runs which.
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
    /// Once this has returned, every append that carries an older [`Fence`] of that decider MUST be refused, on every host; appends that hold
    /// the older fence and are under way MUST be finished first.
    ///
    /// # Errors
    ///
    /// [`ActivateError::Moved`] when another activation came first.
    async fn activate(&self, activation: NewActivation) -> Result<Activation, ActivateError>;

    /// Keeps the appends of a decider waiting, once those under way have ended, so that the last of its events can be looked at before the
    /// pointer moves. Appends of others MUST NOT wait. Of two who hold one decider the second waits for the first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the appends under way do not end in time.
    async fn hold<'s>(
        &'s self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Box<dyn Hold + 's>, Error>;

    /// The newest activation of a decider.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn active(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Option<Activation>, Error>;

    /// The newest activation of each of the first `limit` deciders of a namespace, or of all namespaces, after one of them, sorted by namespace
    /// and name.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn list_active(
        &self,
        namespace: Option<&Namespace>,
        after: Option<(&Namespace, &DeciderName)>,
        limit: u32,
    ) -> Result<Page<Activation>, Error>;

    /// The first `limit` entries of the activation log of a decider, newest first: those older than `before`, if there is such a bound.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn activations(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error>;
}
