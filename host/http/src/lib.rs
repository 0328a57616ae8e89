//! The HTTP API: extract, call, respond.
//!
//! Handlers translate; nothing is decided here. `extract` checks everything that a client may send,
//! `error` chooses everything that a client may learn of a failure, and each resource has a folder
//! of its own. **Invariants:** every answer carries `Request-Id`; every error is a problem document
//! (RFC 9457) with a stable code; text that was not written for clients never reaches one.

mod activations;
mod answer;
mod auth;
mod commands;
mod consumers;
mod deciders;
mod error;
mod extract;
mod graph;
mod guards;
mod log;
mod metrics;
mod modules;
mod openapi;
mod operations;
mod output;
mod rehearsals;
mod request_id;
mod router;
mod server;
mod settings;
mod state;
mod streams;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod views;
mod why;

pub use auth::tokens::{ReplaceError, Tokens};
pub use error::{Code, Problem};
pub use gavel_api::delivery;
pub use metrics::recorder;
pub use router::router;
pub use server::serve;
pub use settings::{ApiSettings, BodyLimit, ServerSettings};
pub use state::{AppState, Services};
