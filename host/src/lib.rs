//! The Gavel host, in reading order: each module uses only those above it.

pub mod core;

pub mod runtime;
pub mod store;

pub mod modules;

pub mod command;
pub mod gate;
pub mod log;

pub mod config;

pub mod http;

pub mod cli;
