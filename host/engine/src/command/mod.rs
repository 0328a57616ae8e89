//! The command loop: load, evolve, decide, append.
//!
//! Every command takes one road, alone, in an atomic batch, or as a dry run: it is prepared
//! (`decision.rs`), decided on the hot state of its stream (`hot`), and stored (`single.rs`,
//! `batch.rs`). A command without an answer was stopped (`stop.rs`), and `execute.rs` says what
//! follows from that.
//! **Invariants:** nothing is answered before it is durable; nothing is appended that was decided
//! by a module that is not active any more; a state that was advanced for an append is dropped when
//! the append fails.

mod batch;
mod commands;
mod confirm;
mod decision;
mod error;
mod execute;
mod given_up;
mod history;
mod hot;
mod import;
pub mod metrics;
mod query;
mod recorded;
mod request;
mod settings;
mod single;
mod stop;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use commands::Commands;
pub use error::{BatchError, Error, SchemaViolation};
pub use request::{
    CommandAnswer, CommandOptions, CommandRequest, ImportedEvent, Origin, StateAnswer, StateAt,
};
pub use settings::{CommandSettings, SnapshotPolicy};
