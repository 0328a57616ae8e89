//! The production store: PostgreSQL 14 or newer, shared by any number of hosts and by writers of plain SQL.
//!
//! The rules of streams are kept by the database, for every writer (`migrations/postgres`). This module asks, and translates what it is
//! answered; it holds no state but connections, and the appends on their way. **Invariant:** no statement is put together from values: they are all bound.

mod append;
mod arguments;
mod claim;
mod commit;
mod consumer_rows;
mod consumers;
mod errors;
mod events;
mod history;
mod hold;
mod ledger;
mod log;
mod modules;
mod notify;
mod open;
mod past;
mod query;
mod rehearsals;
mod rows;
mod snapshots;
#[cfg(test)]
mod tests;

pub use open::{PostgresOptions, PostgresStore};
