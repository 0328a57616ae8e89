//! The newest ends of streams, kept from one append to the next, so that a stream that is appended
//! to is not looked up each time.
//!
//! **Invariant:** what is kept is what the file holds. Only appends of the host write through this
//! connection, and each leaves the ends as they are after it; a connection is kept only after a
//! COMMIT that succeeded, and with it what it knows. Whatever another connection commits, changes
//! the number by which SQLite itself sees that its page cache is outdated. And the database judges
//! each event once more.

use std::collections::HashMap;
use std::mem;

use gavel_model::StreamId;
use gavel_store::toolkit::admit::Tip;
use rusqlite::Connection;

/// The largest number of streams whose ends are kept, at about 200 bytes each.
const STREAMS: usize = 32_768;

const DATA_VERSION: &str = "PRAGMA data_version";

/// The ends that a connection knows.
#[derive(Debug, Default)]
pub(super) struct Tips {
    /// The number that changes with each commit of another connection.
    data_version: i64,
    known: HashMap<StreamId, Tip>,
}

impl Tips {
    /// Takes out all ends that are still those of the file, as it is inside this transaction.
    pub(super) fn take_in_tx(
        &mut self,
        tx: &Connection,
    ) -> rusqlite::Result<HashMap<StreamId, Tip>> {
        let mut select = tx.prepare_cached(DATA_VERSION)?;
        let data_version = select.query_row([], |row| row.get(0))?;
        let known = mem::take(&mut self.known);
        let is_outdated = mem::replace(&mut self.data_version, data_version) != data_version;
        Ok(if is_outdated { HashMap::new() } else { known })
    }

    /// Keeps the ends as they are after an append. When there are too many, it begins anew.
    pub(super) fn keep(&mut self, tips: HashMap<StreamId, Tip>) {
        if tips.len() <= STREAMS {
            self.known = tips;
        }
    }
}
