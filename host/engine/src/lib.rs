//! The engine: the modules there are and which of them are active, the commands that they decide,
//! and the way out for their events.
//!
//! In reading order: each module uses only those above it.

pub mod catalog;

pub mod command;
pub mod streaming;
