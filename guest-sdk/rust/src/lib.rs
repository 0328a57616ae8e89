//! A kit for Gavel modules in plain Rust: one crate for WebAssembly and for native tests. A
//! *decider* decides commands, a *view* keeps rows that people query, a *process* lists what is to
//! be done next.
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! gavel = { package = "gavel-guest-sdk", path = "…" }
//! serde = { version = "1", features = ["derive"] }
//!
//! [profile.release]
//! opt-level = "s"
//! lto = true
//! codegen-units = 1
//! strip = true
//! panic = "abort"
//! ```
//!
//! # A decider
//!
//! ```
//! use gavel::{Context, Decider, JsonSchema, given};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! pub enum Command { Open { owner: String }, Deposit { amount: u64 }, Withdraw { amount: u64 } }
//! #[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
//! pub enum Event {
//!     Opened { owner: String },
//!     Deposited { amount: u64 },
//!     Withdrawn { amount: u64 },
//! }
//! #[derive(PartialEq, Serialize, gavel::Rejection)]
//! pub enum Rejection { NotOpen, InsufficientFunds }
//! #[derive(Default, Serialize, Deserialize, JsonSchema)]
//! pub struct Account { open: bool, balance: u64 }
//!
//! #[gavel::decider(name = "account")]
//! impl Decider for Account {
//!     type Command = Command; type Event = Event; type Rejection = Rejection;
//!     fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Rejection> {
//!         match command {
//!             Command::Open { owner } => Ok(vec![Event::Opened { owner }]),
//!             _ if !self.open => Err(Rejection::NotOpen),
//!             Command::Deposit { amount } => Ok(vec![Event::Deposited { amount }]),
//!             Command::Withdraw { amount } if amount > self.balance => {
//!                 Err(Rejection::InsufficientFunds)
//!             }
//!             Command::Withdraw { amount } => Ok(vec![Event::Withdrawn { amount }]),
//!         }
//!     }
//!     fn evolve(&mut self, event: &Event) {
//!         match event {
//!             Event::Opened { .. } => self.open = true,
//!             Event::Deposited { amount } => self.balance += amount,
//!             Event::Withdrawn { amount } => self.balance -= amount,
//!         }
//!     }
//! }
//!
//! // In a `#[test]`:
//! given::<Account>([Event::Opened { owner: "ann".into() }])
//!     .when(Command::Withdraw { amount: 4 })
//!     .then_rejected(Rejection::InsufficientFunds);
//! ```
//!
//! `cargo build --release --target wasm32-wasip2` makes the module that `gavel deploy` takes,
//! `cargo test` runs the tests and the specifications natively. See [`decider`], [`Decider`], and
//! the derive macros [`Event`](macro@Event), [`Rejection`](macro@Rejection) and
//! [`JsonSchema`](macro@JsonSchema).
//!
//! # A view
//!
//! ```
//! use gavel::{JsonSchema, Recorded, Row, Timestamp, View};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, gavel::Foreign)]
//! #[foreign(decider = "account")]
//! pub enum AccountEvent {
//!     Opened { owner: String },
//!     Deposited { amount: u64 },
//!     Withdrawn { amount: u64 },
//!     Closed {},
//! }
//!
//! #[derive(Default, Serialize, Deserialize, JsonSchema)]
//! pub struct AccountRow {
//!     #[index]
//!     owner: String,
//!     #[index]
//!     balance: u64,
//!     changed_at: Timestamp,
//! }
//!
//! #[gavel::view(name = "accounts", key = stream_id)]
//! impl View for AccountRow {
//!     type Event = AccountEvent;
//!     fn evolve(&mut self, event: &Recorded<AccountEvent>) -> Row {
//!         self.changed_at = event.created_at();
//!         match &event.event {
//!             AccountEvent::Opened { owner } => self.owner = owner.clone(),
//!             AccountEvent::Deposited { amount } => self.balance += amount,
//!             AccountEvent::Withdrawn { amount } => self.balance -= amount,
//!             AccountEvent::Closed {} => return Row::End,
//!         }
//!         Row::Keep
//!     }
//! }
//! ```
//!
//! The host folds each event once, in the order of the log, and answers questions about the rows.
//! See [`view`](macro@view), [`View`], [`Recorded`], and the derive macros
//! [`Foreign`](macro@Foreign) and [`JsonSchema`](macro@JsonSchema).
//!
//! # A process
//!
//! ```
//! use std::time::Duration;
//!
//! use gavel::{Input, JsonSchema, News, Order, Process, Task, Timestamp};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, gavel::Foreign)]
//! #[foreign(decider = "payment")]
//! pub enum PaymentEvent { PaymentRequested {}, PaymentReceived {}, PaymentCancelled {} }
//! #[derive(Serialize, gavel::Target)]
//! #[target(decider = "payment")]
//! pub enum PaymentCommand { CancelPayment {} }
//!
//! #[derive(Default, Serialize, Deserialize, JsonSchema)]
//! pub struct Awaited { until: Option<Timestamp>, is_late: bool }
//!
//! #[gavel::process(name = "payment-timeout", key = stream_id, sends(PaymentCommand))]
//! impl Process for Awaited {
//!     type Event = PaymentEvent;
//!     fn evolve(&mut self, input: &Input<PaymentEvent>) {
//!         match &input.what {
//!             News::Event(event) => match event.event {
//!                 PaymentEvent::PaymentRequested {} => {
//!                     self.until = Some(input.at + Duration::from_secs(1800));
//!                 }
//!                 _ => *self = Self::default(),
//!             },
//!             News::Due { .. } => self.is_late = true,
//!             _ => {}
//!         }
//!     }
//!     fn todo(&self, key: &str) -> Vec<Task> {
//!         let mut tasks = Vec::new();
//!         if self.is_late {
//!             let cancel = Order::new(key, &PaymentCommand::CancelPayment {});
//!             tasks.push(Task::send("cancel", cancel));
//!         } else if let Some(time) = self.until {
//!             tasks.push(Task::wait_until("timeout", time));
//!         }
//!         tasks
//!     }
//! }
//! ```
//!
//! The host folds what an instance learns in the order of the log, sends each command once, and
//! tells of rejections and of waits that are over. See [`process`](macro@process), [`Process`],
//! [`Input`], [`Task`], [`Saga`] for one that keeps nothing, [`Workflow`] for one that goes through
//! steps and undoes them, and the derive macros
//! [`Foreign`](macro@Foreign), [`Target`](macro@Target) and [`JsonSchema`](macro@JsonSchema).
//!
//! # What happens to data
//!
//! A command or event is its variant's name, after serde's renaming, and data: the fields of a
//! struct variant as an object, the value of a newtype variant, the values of a tuple variant as an
//! array, and `{}` for a unit variant. A snapshot is the state's JSON with all keys sorted, and so
//! is a row or the state of a process. Whole numbers are integers however they are written, so
//! `5.0` is one, as in JSON Schema.
//!
//! # What is a panic
//!
//! A panic is a fault of the module, never an answer: its message goes to the module's log, the
//! instance is thrown away, and nothing is stored. The SDK panics where no answer could be right:
//! when a command cannot be read although the host has checked it against the schema, or when an
//! event, a rejection or the state cannot be written as JSON. An event that cannot be folded is no
//! panic, but an error that names it; so is a row, a state of a process or a command of one that
//! cannot be written. Where the author of a view or a process writes its `keys`, an event that
//! cannot be read is a panic there.

mod context;
mod decider;
mod event;
#[cfg(target_arch = "wasm32")]
mod export;
mod log;
mod manifest;
mod module;
mod payload;
mod process;
mod rejection;
pub mod schema;
mod testing;
mod view;

pub use context::{Context, Random};
pub use decider::{Decider, Module};
pub use event::{Event, Upcast};
pub use gavel_guest_sdk_macros::{
    Event, Foreign, JsonSchema, Rejection, Target, decider, process, view,
};
pub use log::{Foreign, ForeignEvent, QueryItem, Recorded, Sources, Timestamp};
pub use manifest::{describe, describe_process, describe_view};
pub use process::{
    Action, Flow, Input, News, Order, Process, ProcessModule, Saga, Target, Task, TaskRejection,
    Workflow, WorkflowStep,
};
pub use rejection::Rejection;
pub use schema::JsonSchema;
/// The crate of [`serde_json::Value`], for upcasters that take or make one.
pub use serde_json;
pub use testing::{Given, Outcome, given, given_state};
pub use view::{Row, View, ViewModule};

/// The items that the expansions of the macros and the benches need; not for use by hand, and not
/// stable.
#[doc(hidden)]
pub mod __private {
    pub use crate::event::{EventProbe, EventTable, PlainEvents, apply_upcaster, upcaster_schema};
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::decider::{Component, bindings, bindings::__export_component};
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::{
        log::{sources_bindings, sources_bindings::__export_sources},
        process::{ProcessComponent, process_bindings, process_bindings::__export_process},
        view::{ViewComponent, view_bindings, view_bindings::__export_view},
    };
    pub use crate::log::{EventText, FoldError, Key, event_names, read_of, reads_of};
    pub use crate::module::{StoredEvent, decide, read_event, rejection_data, restore, snapshot};
    pub use crate::process::{
        Folded, Rules, Stateful, Stateless, Step, StoredInstance, fold as fold_instances,
        keys as instance_keys, todo,
    };
    pub use crate::testing::{assert_spec, assert_view_spec};
    pub use crate::view::{StoredRow, fold, keys};
}

// The macros' expansions name this crate as its users do.
#[cfg(test)]
extern crate self as gavel;

#[cfg(test)]
mod tests;
