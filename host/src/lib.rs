//! The Gavel host, in reading order: each module uses only those above it.

pub mod cli;
pub mod config;
