//! Writes as values.
//!
//! Whatever changes a store of the toolkit is a [`Write`] and the time at which it is carried out;
//! ids and random numbers are made before, and are in it. **Invariant:** writes that were carried
//! out on one store, and are carried out again in the same order and at the same times on a copy of
//! what it was, leave the same rows. A store that keeps its rules itself, as a server does, and
//! takes the time from there, has no part in this.

use std::time::Duration;

use gavel_model::{
    Activation, ConsumerId, ConsumerSettings, DeciderName, LeaseId, ModuleDigest, Namespace,
    Position, Start, StreamId,
};
use time::OffsetDateTime;

use super::group::Outcome;
use crate::{
    ActivateError, Append, Beat, ConsumerError, DeleteModuleError, Error, Leased, Moment, Nacked,
    NewActivation, NewModule, RehearsalRecord, Snapshot, SnapshotPlace, StoredModule, Unpark,
};

/// A kind of write.
pub trait Change: Clone + Into<Write> + Send + 'static {
    /// The answer to whoever wants it.
    type Answer: Send + 'static;
    /// The reason for which it is refused; then nothing is written.
    type Error: Send + 'static;
}

/// A store within a transaction, which carries out one kind of write.
pub trait CarryOut<C: Change> {
    /// Writes what the change says and what is stored make of it. It MUST read no clock, and make
    /// neither ids nor random numbers.
    ///
    /// # Errors
    ///
    /// What the change can be refused for, and what the store can fail with; the transaction must
    /// be undone.
    fn carry_out(&mut self, change: C, now: OffsetDateTime) -> Result<C::Answer, C::Error>;
}

/// Makes of a list of changes, each with its answer and its error, their types and the type of all
/// of them.
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

        /// Any change of a store.
        #[derive(Debug, Clone)]
        pub enum Write {
            $($(#[$doc])* $name($name),)*
        }

        impl Write {
            /// Carries out once more what was carried out at that time. Whether it succeeds.
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

    /// [`EventStore::append`](crate::EventStore::append), many at once: each has an outcome of its
    /// own.
    AppendBatch { appends: Vec<Append>, } -> Vec<Outcome>, Error;

    /// [`SnapshotStore::put_snapshots`](crate::SnapshotStore::put_snapshots).
    PutSnapshots { snapshots: Vec<Snapshot>, } -> (), Error;

    /// [`SnapshotStore::forget_snapshots`](crate::SnapshotStore::forget_snapshots), between two
    /// places: exclusive and inclusive.
    ForgetSnapshots {
        namespace: Namespace,
        decider: DeciderName,
        kept: Vec<ModuleDigest>,
        after: SnapshotPlace,
        through: SnapshotPlace,
    } -> (), Error;

    /// [`ModuleStore::put_module`](crate::ModuleStore::put_module).
    PutModule { module: NewModule, } -> (StoredModule, bool), Error;

    /// [`ModuleStore::record_upload`](crate::ModuleStore::record_upload).
    RecordUpload { digest: ModuleDigest, uploaded_by: String, } -> (), Error;

    /// [`ModuleStore::delete_module`](crate::ModuleStore::delete_module).
    DeleteModule { digest: ModuleDigest, } -> (), DeleteModuleError;

    /// [`ModuleStore::activate`](crate::ModuleStore::activate), and that of a
    /// [`Hold`](crate::Hold), which has a moment.
    Activate { activation: NewActivation, looked_through: Option<Moment>, } -> Activation, ActivateError;

    /// [`RehearsalStore::put_rehearsal`](crate::RehearsalStore::put_rehearsal).
    PutRehearsal { rehearsal: RehearsalRecord, } -> bool, Error;

    /// [`RehearsalStore::adopt_rehearsal`](crate::RehearsalStore::adopt_rehearsal).
    AdoptRehearsal { last: Beat, seen_at: OffsetDateTime, } -> Option<RehearsalRecord>, Error;

    /// [`ConsumerStore::put_consumer`](crate::ConsumerStore::put_consumer).
    PutConsumer { id: ConsumerId, settings: ConsumerSettings, start: Start, } -> bool, Error;

    /// [`ConsumerStore::pass_over`](crate::ConsumerStore::pass_over).
    PassOver { id: ConsumerId, settings: ConsumerSettings, from: Position, to: Position, } -> (), ConsumerError;

    /// [`ConsumerStore::delete_consumer`](crate::ConsumerStore::delete_consumer).
    DeleteConsumer { id: ConsumerId, } -> (), ConsumerError;

    /// [`ConsumerStore::pause_consumer`](crate::ConsumerStore::pause_consumer).
    PauseConsumer { id: ConsumerId, is_paused: bool, } -> (), ConsumerError;

    /// [`ConsumerStore::pause_for`](crate::ConsumerStore::pause_for).
    PauseConsumerFor { id: ConsumerId, settings: ConsumerSettings, reason: String, } -> bool, ConsumerError;

    /// [`ConsumerStore::reset_consumer`](crate::ConsumerStore::reset_consumer).
    ResetConsumer { id: ConsumerId, start: Start, } -> (), ConsumerError;

    /// [`ConsumerStore::lease`](crate::ConsumerStore::lease), with an id for each stream that may
    /// be leased.
    LeaseStreams { id: ConsumerId, leases: Vec<LeaseId>, max_events: u32, } -> Leased, ConsumerError;

    /// [`ConsumerStore::ack`](crate::ConsumerStore::ack).
    Ack { id: ConsumerId, lease: LeaseId, through: Position, keep: bool, } -> Option<OffsetDateTime>, ConsumerError;

    /// [`ConsumerStore::nack`](crate::ConsumerStore::nack).
    Nack { id: ConsumerId, lease: LeaseId, delay: Option<Duration>, reason: String, } -> Nacked, ConsumerError;

    /// [`ConsumerStore::release`](crate::ConsumerStore::release).
    Release { id: ConsumerId, lease: LeaseId, delay: Duration, } -> (), ConsumerError;

    /// [`ConsumerStore::extend`](crate::ConsumerStore::extend).
    Extend { id: ConsumerId, lease: LeaseId, } -> OffsetDateTime, ConsumerError;

    /// [`ConsumerStore::unpark`](crate::ConsumerStore::unpark).
    UnparkStream { id: ConsumerId, stream: StreamId, how: Unpark, } -> (), ConsumerError;

    /// [`ConsumerStore::retry_parked`](crate::ConsumerStore::retry_parked).
    RetryParked { id: ConsumerId, } -> u64, ConsumerError;
}
