//! The component's exports, for a module of each kind. The only place that knows the bindings; wasm
//! only.

pub(crate) mod decider;
pub(crate) mod view;
