//! Writes as values.
//!
//! Every change of a store of the toolkit is a [`Write`] and the time at which it is carried out;
//! ids and random numbers are made before, and are part of the value. **Invariant:** writes that
//! were carried out on one store, and are carried out again in the same order and at the same times
//! on a copy of the store's earlier state, leave the same rows. A database server that keeps its
//! rules itself, and takes the time from its own clock, has no part in this.

use std::collections::BTreeSet;
use std::time::Duration;

use gavel_model::{
    Activation, ConsumerId, ConsumerSettings, DeciderName, LeaseId, ModuleDigest, Namespace,
    Position, ProcessId, Start, StreamId,
};
use time::OffsetDateTime;

use super::group::Outcome;
use crate::processes::{
    InstancesChange, NewRoster, RetryTasks, Roster, RosterCommitError, RosterId, SettledTask,
};
use crate::{
    ActivateError, ActivationSet, Append, Beat, ConsumerError, DeleteModuleError, Error, EventKind,
    HistoryIndex, Leased, Moment, Nacked, NewModule, RehearsalRecord, Snapshot, SnapshotPlace,
    StoredModule, Unpark,
};

/// A kind of write.
pub trait Change: Clone + Into<Write> + Send + 'static {
    /// The answer to the caller.
    type Answer: Send + 'static;
    /// The reason for which the write is refused; then nothing is written.
    type Error: Send + 'static;
}

/// A store within a transaction, which carries out one kind of write.
pub trait CarryOut<C: Change> {
    /// Carries out the change on the stored rows. It MUST read no clock, and make neither ids nor
    /// random numbers.
    ///
    /// # Errors
    ///
    /// The change's reason to be refused, or the store's failure; the transaction MUST be undone.
    fn carry_out(&mut self, change: C, now: OffsetDateTime) -> Result<C::Answer, C::Error>;
}

/// Declares, from a list of changes with their answers and errors, a type for each and the type of
/// all.
macro_rules! changes {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* } -> $answer:ty, $error:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            #[allow(missing_docs, reason = "the fields are the arguments of the method that the change is named after")]
            pub struct $name {
                $(pub $field: $type,)*
            }

            impl Change for $name {
                type Answer = $answer;
                type Error = $error;
            }

            impl From<$name> for Write {
                fn from(change: $name) -> Self {
                    Self::$name(change)
                }
            }
        )*

        /// A change of a store.
        #[derive(Debug, Clone)]
        pub enum Write {
            $($(#[$doc])* $name($name),)*
        }

        impl Write {
            /// Carries out again a write that was carried out at that time. Tells whether it
            /// succeeds.
            pub fn again<S>(self, store: &mut S, then: OffsetDateTime) -> bool
            where
                $(S: CarryOut<$name>,)*
            {
                match self {
                    $(Self::$name(change) => store.carry_out(change, then).is_ok(),)*
                }
            }
        }
    };
}

changes! {
    /// Begins another life of the log, whose generation is the time in milliseconds.
    BeginGeneration {} -> (), Error;

    /// Calls of [`EventStore::append`](crate::EventStore::append), many at once: each has an
    /// outcome of its own.
    AppendBatch { appends: Vec<Append>, } -> Vec<Outcome>, Error;

    /// A call of [`SnapshotStore::put_snapshots`](crate::SnapshotStore::put_snapshots).
    PutSnapshots { snapshots: Vec<Snapshot>, } -> (), Error;

    /// A call of [`SnapshotStore::forget_snapshots`](crate::SnapshotStore::forget_snapshots),
    /// between two places: exclusive and inclusive.
    ForgetSnapshots {
        namespace: Namespace,
        decider: DeciderName,
        kept: Vec<ModuleDigest>,
        after: SnapshotPlace,
        through: SnapshotPlace,
    } -> (), Error;

    /// A call of [`TagIndex::guard_tags`](crate::TagIndex::guard_tags).
    GuardTags { namespace: Namespace, kinds: BTreeSet<EventKind>, } -> (), Error;

    /// A call of [`TagIndex::index_history`](crate::TagIndex::index_history).
    IndexHistory { namespace: Namespace, limit: u32, } -> HistoryIndex, Error;

    /// A call of [`ModuleStore::put_module`](crate::ModuleStore::put_module).
    PutModule { module: NewModule, } -> (StoredModule, bool), Error;

    /// A call of [`ModuleStore::record_upload`](crate::ModuleStore::record_upload).
    RecordUpload { digest: ModuleDigest, uploaded_by: String, } -> (), Error;

    /// A call of [`ModuleStore::delete_module`](crate::ModuleStore::delete_module).
    DeleteModule { digest: ModuleDigest, } -> (), DeleteModuleError;

    /// A call of [`ModuleStore::activate`](crate::ModuleStore::activate), or that of a
    /// [`Hold`](crate::Hold), which has a moment.
    Activate { set: ActivationSet, looked_through: Option<Moment>, } -> Vec<Activation>, ActivateError;

    /// A call of [`RehearsalStore::put_rehearsal`](crate::RehearsalStore::put_rehearsal).
    PutRehearsal { rehearsal: RehearsalRecord, } -> bool, Error;

    /// A call of [`RehearsalStore::adopt_rehearsal`](crate::RehearsalStore::adopt_rehearsal).
    AdoptRehearsal { last: Beat, seen_at: OffsetDateTime, } -> Option<RehearsalRecord>, Error;

    /// A call of [`ProcessStore::create_roster`](crate::processes::ProcessStore::create_roster).
    CreateRoster { new: NewRoster, } -> Roster, Error;

    /// A call of [`ProcessStore::restart_roster`](crate::processes::ProcessStore::restart_roster).
    RestartRoster { roster: RosterId, } -> (), Error;

    /// A call of [`ProcessStore::drop_roster`](crate::processes::ProcessStore::drop_roster).
    DropRoster { roster: RosterId, } -> (), Error;

    /// A call of [`ProcessStore::pause_process`](crate::processes::ProcessStore::pause_process).
    PauseProcess { process: ProcessId, is_paused: bool, } -> (), Error;

    /// A call of
    /// [`ProcessStore::commit_instances`](crate::processes::ProcessStore::commit_instances).
    CommitInstances { change: InstancesChange, } -> (), RosterCommitError;

    /// A call of [`ProcessStore::settle`](crate::processes::ProcessStore::settle).
    SettleTasks { process: ProcessId, settled: Vec<SettledTask>, } -> (), Error;

    /// A call of [`ProcessStore::retry_tasks`](crate::processes::ProcessStore::retry_tasks).
    OpenTasks { process: ProcessId, which: RetryTasks, } -> u64, Error;

    /// A call of [`ProcessStore::skip_tasks`](crate::processes::ProcessStore::skip_tasks).
    SkipTasks { candidate: RosterId, active: Option<RosterId>, } -> (), Error;

    /// A call of [`ConsumerStore::put_consumer`](crate::ConsumerStore::put_consumer).
    PutConsumer { id: ConsumerId, settings: ConsumerSettings, start: Start, } -> bool, Error;

    /// A call of [`ConsumerStore::pass_over`](crate::ConsumerStore::pass_over).
    PassOver { id: ConsumerId, settings: ConsumerSettings, from: Position, to: Position, } -> (), ConsumerError;

    /// A call of [`ConsumerStore::delete_consumer`](crate::ConsumerStore::delete_consumer).
    DeleteConsumer { id: ConsumerId, } -> (), ConsumerError;

    /// A call of [`ConsumerStore::pause_consumer`](crate::ConsumerStore::pause_consumer).
    PauseConsumer { id: ConsumerId, is_paused: bool, } -> (), ConsumerError;

    /// A call of [`ConsumerStore::pause_for`](crate::ConsumerStore::pause_for).
    PauseConsumerFor { id: ConsumerId, settings: ConsumerSettings, reason: String, } -> bool, ConsumerError;

    /// A call of [`ConsumerStore::reset_consumer`](crate::ConsumerStore::reset_consumer).
    ResetConsumer { id: ConsumerId, start: Start, } -> (), ConsumerError;

    /// A call of [`ConsumerStore::lease`](crate::ConsumerStore::lease), with an id for each stream
    /// that may be leased.
    LeaseStreams { id: ConsumerId, leases: Vec<LeaseId>, max_events: u32, } -> Leased, ConsumerError;

    /// A call of [`ConsumerStore::ack`](crate::ConsumerStore::ack).
    Ack { id: ConsumerId, lease: LeaseId, through: Position, keep: bool, } -> Option<OffsetDateTime>, ConsumerError;

    /// A call of [`ConsumerStore::nack`](crate::ConsumerStore::nack).
    Nack { id: ConsumerId, lease: LeaseId, delay: Option<Duration>, reason: String, } -> Nacked, ConsumerError;

    /// A call of [`ConsumerStore::release`](crate::ConsumerStore::release).
    Release { id: ConsumerId, lease: LeaseId, delay: Duration, } -> (), ConsumerError;

    /// A call of [`ConsumerStore::extend`](crate::ConsumerStore::extend).
    Extend { id: ConsumerId, lease: LeaseId, } -> OffsetDateTime, ConsumerError;

    /// A call of [`ConsumerStore::unpark`](crate::ConsumerStore::unpark).
    UnparkStream { id: ConsumerId, stream: StreamId, how: Unpark, } -> (), ConsumerError;

    /// A call of [`ConsumerStore::retry_parked`](crate::ConsumerStore::retry_parked).
    RetryParked { id: ConsumerId, } -> u64, ConsumerError;
}
