//! Running modules: WebAssembly components that export an interface of the contract.
//!
//! A call into a guest is a function: its arguments in, its answer out. There is no I/O here but
//! the cache of compiled code, no ambient time, and no idea of stores or HTTP. **Invariants:**
//! nothing that a guest or an uploaded component does can panic the host or make it allocate
//! without bound; what one instance did is never seen by another; compiled code is run only if this
//! host made it.

mod bindings;
mod cache;
mod check;
mod compile;
mod engine;
mod error;
mod exports;
mod host;
mod kinds;
mod limits;
mod log;
mod module;
#[cfg(feature = "native")]
mod native;
mod room;
mod running;
pub mod scheduling;
mod service;
mod trap;
mod value;
mod wasi;

pub use bindings::CONTRACT;
#[cfg(feature = "native")]
pub use compile::compile_unbounded;
pub use compile::{COMPILE_ARGUMENT, compile_child};
pub use error::{CompileError, Fault, RunError, StartError};
pub use exports::OptionalInterface;
pub use kinds::*;
pub use limits::Limits;
pub use log::printable;
pub use module::Module;
#[cfg(feature = "native")]
pub use native::{NativeDecider, NativeFold, replace_deciders};
pub use scheduling::{BackgroundThrottle, SMALL_READ_EVENTS, give_way};
pub use service::{Runtime, RuntimeOptions};
pub use value::{Decision, GuestCommand, GuestContext};
