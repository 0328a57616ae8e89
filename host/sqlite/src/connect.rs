//! Connections to the file, and their settings.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// The time that a write waits for another process that writes, before the store counts as
/// unavailable.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before another try, in the cases in which SQLite itself does not wait.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// The size of the write-ahead log from which a COMMIT copies its pages into the file, which costs
/// two waits for the disk, in bytes. The more commands lie between two, the more of them have
/// written the same page, which is copied once.
const CHECKPOINT_BYTES: u32 = 64 << 20;

/// The size that the file of the log outgrows only while readers keep old states open, and is cut
/// to afterwards, in bytes. Twice as much, since the COMMIT that fills the log adds its own: a file
/// that is cut in each turn has to grow in each, which costs waits for the disk.
pub(super) const LOG_BYTES: u32 = 2 * CHECKPOINT_BYTES;

/// The number of statements that a connection keeps prepared: each table of views has some.
const PREPARED: usize = 128;

/// The settings in which the files of a host differ.
#[derive(Debug)]
pub(super) struct FileSettings {
    /// The size of a page of a new file, in bytes. A file that is there keeps its size.
    page_bytes: u32,
    /// The waits for the disk: FULL for each COMMIT, NORMAL only before pages are copied from the
    /// log into the file.
    synchronous: &'static str,
    /// The size of the page cache, in KiB.
    cache_kib: i32,
}

/// The settings of the store's file.
///
/// A command touches a page of its stream and the ends of some indexes, and each is written as a
/// whole, so that pages are half as large as SQLite's usual ones; in smaller ones the longest names
/// of a stream would not fit into the index. The cache holds the inner pages and the ends of all
/// indexes, and the leaves of the streams that are written to most. A COMMIT looks at all of its
/// pages whenever a leaf in the middle of an index was split, so that in a large one this costs
/// more than it saves reads, which the system has in memory as well.
pub(super) static STORE: FileSettings = FileSettings {
    page_bytes: 2_048,
    synchronous: "FULL",
    cache_kib: 4 * 1024,
};

/// The settings of the file with the tables of views, in which rows are larger and all over the
/// place. What a crash takes is folded again.
pub(super) static VIEWS: FileSettings = FileSettings {
    page_bytes: 4_096,
    synchronous: "NORMAL",
    cache_kib: 16 * 1024,
};

impl FileSettings {
    /// Creates the file if it does not exist, with a write-ahead log that lets others read while
    /// one writes.
    pub(super) fn creating(&self, path: &Path) -> Result<Connection, rusqlite::Error> {
        let connection = connect(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?;
        connection.pragma_update(None, "page_size", self.page_bytes)?;
        keep_log_beside(&connection)?;
        self.apply(connection)
    }

    /// Opens a connection that writes.
    pub(super) fn writing(&self, path: &Path) -> Result<Connection, rusqlite::Error> {
        self.apply(connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?)
    }

    fn apply(&self, connection: Connection) -> Result<Connection, rusqlite::Error> {
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        // On macOS fsync leaves what is written in the disk's own memory; elsewhere both change
        // nothing.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_BYTES / page_bytes)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        // Negative: KiB, not pages.
        connection.pragma_update(None, "cache_size", -self.cache_kib)?;
        Ok(connection)
    }
}

/// Switches the file to a write-ahead log for good. When several connections do this to a new file
/// at the same time, SQLite refuses all but one without waiting; the others find it done when they
/// try again.
fn keep_log_beside(connection: &Connection) -> Result<(), rusqlite::Error> {
    let end = Instant::now() + BUSY_TIMEOUT;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < end =>
            {
                thread::sleep(BUSY_PAUSE);
            }
            kept => return kept,
        }
    }
}

/// Opens a connection that only reads.
pub(super) fn reading(path: &Path) -> Result<Connection, rusqlite::Error> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}
