//! Write a Gavel decider in plain Rust: one crate for WebAssembly and for native tests.
#![doc = ""]

mod context;
mod decider;
mod event;
#[cfg(target_arch = "wasm32")]
mod export;
mod json;
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
pub use serde_json;
pub use testing::{Given, Outcome, given, given_state};

/// What the macros' expansions need; not for use by hand, and not stable.
#[doc(hidden)]
pub mod __private {
    pub use crate::event::{EventProbe, EventTable, PlainEvents, apply_upcaster, upcaster_schema};
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::bindings::__export_component;
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::{Component, bindings};
    pub use crate::module::rejection_data;
    pub use crate::testing::assert_spec;
}

// The macros' expansions name this crate as its users do.
#[cfg(test)]
extern crate self as gavel;

#[cfg(test)]
mod tests;
