//! The engine: the catalog of modules and of those that are active, the commands that they decide,
//! the delivery of their events, and the rows that are
//! folded from them.
//!
//! In reading order: each module uses only those above it.

pub mod catalog;

pub mod command;
mod hosts;
pub mod streaming;

pub mod views;
