//! The Gavel host, in reading order: each module uses only those above it.

pub mod core;
pub mod store;

