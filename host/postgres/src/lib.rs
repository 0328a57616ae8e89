//! The production store: PostgreSQL 14 or newer, shared by any number of hosts and by writers of
//! plain SQL.
//!
//! The rules of streams are kept by the database, for every writer (`migrations/postgres`). This
//! module asks, and translates what it is answered; it holds no state but connections, and the
//! appends on their way. **Invariant:** no statement is put together from values: they are all
//! bound.

mod append;
mod arguments;
mod claim;
mod commit;
mod connect;
mod consumers;
mod error;
mod events;
mod history;
mod hold;
mod hosts;
mod ledger;
mod log;
mod migrations;
mod modules;
mod notify;
mod open;
mod past;
mod places;
mod processes;
mod query;
mod rehearsals;
mod rows;
mod snapshots;
mod streams;
mod tags;
#[cfg(test)]
mod tests;
mod views;

use std::sync::Arc;

use gavel_store::Floor;
use gavel_store::toolkit::group::Group;
use gavel_store::toolkit::hold::Holds;
use gavel_store::toolkit::lookup::Lookups;
pub use open::PostgresOptions;
use sqlx::postgres::PgPool;
use tokio::sync::Semaphore;
pub use views::PostgresViews;

use self::notify::Notices;

/// Events, commands and modules in a PostgreSQL database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    group: Arc<Group>,
    lookups: Lookups,
    notices: Arc<Notices>,
    /// Permits for claims, each of which holds a connection.
    claims: Arc<Semaphore>,
    holds: Arc<Holds>,
    floor: Arc<Floor>,
}
