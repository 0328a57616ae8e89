//! The vocabulary: names, numbers and envelopes that every other module speaks.
//!
//! Pure values only: no I/O, no runtime, no clock but the [`Clock`] trait. **Invariant:** a value
//! of a type here has passed its checks; code that gets a `StreamId` or a `Json` need not check it
//! again.

mod activation;
mod clock;
mod command;
mod consumer;
mod count;
mod digest;
mod event;
mod filter;
mod host;
mod id;
mod json;
mod kind;
mod metadata;
mod module;
mod name;
mod per_decider;
mod position;
mod process;
mod rehearsal;
mod serial;
mod version;
mod view;

pub use activation::{Activation, ActivationNumber};
pub use clock::{Clock, EARLIEST, LATEST, SystemClock, in_utc};
pub use command::{CommandId, CommandOutcome, CommandRecord, Fingerprint, LedgerMode, Rejection};
pub use consumer::{Consumer, ConsumerId, ConsumerSettings, Lease, LeaseId, Parked, Push, Start};
pub use count::{count_of, grouped};
pub use digest::{DigestError, ModuleDigest};
pub use event::{Event, EventId, EventType, NewEvent, RecordedEvent, TagError, check_tags};
pub use filter::EventFilter;
pub use host::HostId;
pub use id::{is_derived, new_id};
pub use json::{Json, JsonError};
pub use kind::ModuleKind;
pub use metadata::{Metadata, MetadataError, reserved};
pub use module::{ActivationKey, ModuleName};
pub use name::{DeciderName, NameError, Namespace, StreamId, StreamKey};
pub use per_decider::PerDecider;
pub use position::{Position, PositionError};
pub use process::{
    Life, Order, ProcessId, Task, TaskAction, TaskId, TaskIdError, event_of_outcome,
    events_of_processes,
};
pub use rehearsal::RehearsalId;
pub use version::{ExpectedVersion, Version};
pub use view::{RowKey, RowKeyError, ViewId};
