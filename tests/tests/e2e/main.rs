//! End to end: the real binary, a real socket, and each store that keeps what it is given.
//!
//! Laid out like the API, with the faults after it. A case takes a fresh store and starts hosts of
//! its own on it; `on_every_store!` runs it on SQLite and on PostgreSQL.
#![expect(
    clippy::unwrap_used,
    reason = "what is not as it should be fails the test"
)]

mod activations;
mod batches;
mod commands;
mod consumers;
mod deactivations;
mod idempotency;
mod imports;
mod log;
mod modules;
mod namespaces;
mod operations;
mod push;
mod streams;
mod subscriptions;
mod time_travel;
mod view_bad_input;
mod view_faults;
mod view_feed;
mod view_fresh;
mod view_gate;
mod view_history;
mod view_hosts;
mod view_log;
mod view_operations;
mod view_sources;
mod view_stalls;
mod view_swaps;
mod view_tags;
mod view_waits;
mod views;
mod workers;

mod gate;
mod gate_dependents;
mod gate_model;
mod gate_rehearsals;
mod gate_specs;
mod gate_steps;
mod gate_swaps;
mod gate_verify;
mod graph;

mod hostile;

mod bad_modules;
mod bad_requests;
mod crashes;
mod faults;
mod outages;
mod outdated;
mod races;
mod shutdown;
mod swaps;
mod two_hosts;
mod upgrade;

mod feed;
mod load;
mod wallet;

mod cli;
mod coverage;
mod examples;
