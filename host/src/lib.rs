//! The Gavel host, in reading order: each module uses only those above it.

pub mod command;
pub mod core;
pub mod gate;
pub mod modules;
pub mod runtime;
pub mod store;
