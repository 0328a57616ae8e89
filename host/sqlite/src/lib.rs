//! The embedded store: one SQLite file, the default.
//!
//! One connection writes, a few others read and never wait for it (WAL). An append is answered
//! after its COMMIT has reached the disk (`synchronous=FULL`). Several processes may open one file:
//! each write transaction takes SQLite's write lock before its first look. Each transaction and
//! each read is run as a whole on one thread, for they are of several hundred statements or rows.
//! How values are held is in `migrations/README.md`.
//!
//! Whatever is written is a value (`toolkit::writes`), which `tables.rs` carries out. A function
//! that runs in the caller's transaction ends in `_in_tx`.

mod append;
mod cells;
mod commit;
mod connect;
mod consumers;
mod deciding;
mod error;
mod events;
mod facts;
mod files;
mod generations;
mod history;
mod hold;
mod insert;
mod ledger;
mod log;
mod migrations;
mod modules;
mod open;
mod overgrowth;
mod past;
mod processes;
mod query;
mod readers;
mod rehearsals;
mod rows;
mod setup;
mod snapshots;
mod tables;
mod tags;
mod tips;
mod views;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use gavel_model::Clock;
use gavel_store::HeartbeatStore;
use gavel_store::toolkit::group::Group;
use gavel_store::toolkit::hold::Holds;
use gavel_store::toolkit::lookup::Lookups;
use gavel_store::toolkit::roster_holds::RosterHolds;

use readers::Readers;
pub use views::SqliteViews;
use writer::Writer;

/// Keeps everything in one SQLite file. See [`SqliteStore::open`].
#[derive(Debug)]
pub struct SqliteStore {
    clock: Arc<dyn Clock>,
    writer: Arc<Writer>,
    group: Group,
    readers: Readers,
    lookups: Lookups,
    holds: Holds,
    roster_holds: RosterHolds,
}

/// Keeps no heartbeats: processes that share a file do not know of each other, and each does all
/// the work.
impl HeartbeatStore for SqliteStore {}
