//! The component's exports, for a module of each kind. The only place that knows the bindings; wasm
//! only.

pub(crate) mod decider;
pub(crate) mod log;
pub(crate) mod process;
pub(crate) mod view;
