//! The write-ahead log that outgrows its bound, since readers keep it from being used anew.
//!
//! A COMMIT copies a full log into the file, and the next one writes the log from its start if no
//! reader needs it any more. Reads of this host are of one page each, but others may come before
//! they end, and another program may keep an old state open for hours. Nothing is lost by that, and
//! nothing is refused: the log grows, which is told, until the readers have ended.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::connect;
use super::files::Files;

/// The time that a write waits for readers when the log has outgrown its bound. Reads of this host
/// end sooner, and those that begin meanwhile need the log no more.
const PATIENCE: Duration = Duration::from_millis(50);

/// The time between two such waits, so that a reader that does not end costs writes half a percent
/// of their time.
const PAUSE: Duration = Duration::from_secs(10);

/// The log of a connection that writes.
#[derive(Debug, Default)]
pub(super) struct Overgrowth {
    /// The time of the last wait for readers, since the log has outgrown its bound.
    waited: Option<Instant>,
}

impl Overgrowth {
    /// Looks at the log after a COMMIT, and empties it when it has outgrown its bound. Gives the
    /// size that it had, in bytes.
    pub(super) fn check(&mut self, connection: &Connection, files: &Files) -> u64 {
        // That the files are there has just been checked; what comes later concerns the next write.
        let bytes = files.log_bytes().unwrap_or_default();
        if bytes <= connect::LOG_BYTES.into() {
            self.waited = None;
            return bytes;
        }
        if self.waited.is_some_and(|waited| waited.elapsed() < PAUSE) {
            return bytes;
        }
        if !empty(connection).unwrap_or_default() {
            tracing::warn!(
                file = %files.path().display(),
                log.bytes = bytes,
                "the log of the database grows: a reader keeps an old state open"
            );
        }
        self.waited = Some(Instant::now());
        bytes
    }
}

/// Copies all of the log into the file and cuts it, unless a reader needs it for longer than a
/// write waits. Tells whether it has.
fn empty(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.busy_timeout(PATIENCE)?;
    let copied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, bool>(0)
    });
    connection.busy_timeout(connect::BUSY_TIMEOUT)?;
    Ok(!copied?)
}
