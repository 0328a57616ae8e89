//! Measures the host: a load driver, the figures of processes and databases, and the benches that
//! use them.
//!
//! Everything runs on one thread, since the driver shares the machine with what it measures.
//! Programs are measured from outside, as processes that answer HTTP: nothing here links the host.

mod lab;
mod load;
mod paired;
mod parts;
mod processes;
mod rehearsals;
mod report;

mod commands;
mod gate;
mod peers;
mod replay;
mod startup;
mod streaming;
mod views;

pub use lab::{Backend, Lab, Options};
pub use report::Report;

/// The benches, one per issue of the same name.
pub mod benches {
    pub use crate::commands::run as commands;
    pub use crate::gate::run as gate;
    pub use crate::peers::run as peers;
    pub use crate::replay::run as replay;
    pub use crate::startup::run as startup;
    pub use crate::streaming::run as streaming;
    pub use crate::views::run as views;
}
