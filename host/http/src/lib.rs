//! The HTTP API: extract, call, respond.
//!
//! Handlers translate; nothing is decided here. What a client may send is checked in `extract`, what it may be told is chosen in
//! `error`, and each resource has a file of its own. **Invariants:** every answer carries `Request-Id`; every error is a problem
//! document (RFC 9457) with a stable code; text that was not written for clients never reaches one.

mod admit;
mod answer;
mod audit;
mod auth;
mod batch;
mod code;
mod commands;
mod consumers;
mod deciders;
mod door;
mod error;
mod extract;
mod follow;
mod import;
mod log;
mod metrics;
mod modules;
mod openapi;
mod operations;
mod origin;
mod output;
mod problem;
mod rehearsals;
mod router;
mod server;
mod settings;
mod state;
mod streams;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod uploads;
mod verify;
mod why;

pub use code::Code;
pub use gavel_api::delivery;
pub use metrics::recorder;
pub use problem::Problem;
pub use router::router;
pub use server::serve;
pub use settings::{ApiSettings, BodyLimit, ServerSettings};
pub use state::{AppState, Services};
pub use tokens::{ReplaceError, Tokens};
