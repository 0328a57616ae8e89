//! A kit for Gavel deciders in plain Rust: one crate for WebAssembly and for native tests.
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
//! # What happens to data
//!
//! A command or event is its variant's name, after serde's renaming, and data: the fields of a
//! struct variant as an object, the value of a newtype variant, the values of a tuple variant as an
//! array, and `{}` for a unit variant. A snapshot is the state's JSON with all keys sorted. Whole
//! numbers are integers however they are written, so `5.0` is one, as in JSON Schema.
//!
//! # What is a panic
//!
//! A panic is a fault of the module, never an answer: its message goes to the module's log, the
//! instance is thrown away, and nothing is stored. The SDK panics where no answer could be right:
//! when a command cannot be read although the host has checked it against the schema, or when an
//! event, a rejection or the state cannot be written as JSON. An event that cannot be folded is no
//! panic, but an error that names it.

mod context;
mod decider;
mod event;
#[cfg(target_arch = "wasm32")]
mod export;
mod manifest;
mod module;
mod payload;
mod rejection;
pub mod schema;
mod testing;

pub use context::{Context, Random};
pub use decider::{Decider, Module};
pub use event::{Event, Upcast};
pub use gavel_guest_sdk_macros::{Event, JsonSchema, Rejection, decider};
pub use manifest::describe;
pub use rejection::Rejection;
pub use schema::JsonSchema;
/// The crate of [`serde_json::Value`], for upcasters that take or make one.
pub use serde_json;
pub use testing::{Given, Outcome, given, given_state};

/// The items that the expansions of the macros and the benches need; not for use by hand, and not
/// stable.
#[doc(hidden)]
pub mod __private {
    pub use crate::event::{EventProbe, EventTable, PlainEvents, apply_upcaster, upcaster_schema};
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::bindings::__export_component;
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::{Component, bindings};
    pub use crate::module::{StoredEvent, decide, read_event, rejection_data, restore, snapshot};
    pub use crate::testing::assert_spec;
}

// The macros' expansions name this crate as its users do.
#[cfg(test)]
extern crate self as gavel;

#[cfg(test)]
mod tests;
