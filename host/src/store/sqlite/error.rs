//! What SQLite says, in the words of the store.

use crate::store::{AppendError, Error, Source};

/// Primary result codes (the low byte of an extended one) of a store that may answer later.
const OUTAGES: [i32; 10] = [
    5,  // SQLITE_BUSY: another process writes
    6,  // SQLITE_LOCKED
    7,  // SQLITE_NOMEM
    8,  // SQLITE_READONLY: the file system is mounted so
    9,  // SQLITE_INTERRUPT
    10, // SQLITE_IOERR
    13, // SQLITE_FULL
    14, // SQLITE_CANTOPEN
    15, // SQLITE_PROTOCOL: the lock could not be had
    23, // SQLITE_AUTH
];

/// The extended result code of a row that another row refers to.
const CONSTRAINT_FOREIGN_KEY: i32 = 787;

/// What an error with an extended result code is to the store.
fn of_code(extended_code: Option<i32>, error: Source) -> Error {
    match extended_code {
        Some(code) if OUTAGES.contains(&(code & 0xff)) => Error::Unavailable(error),
        // A constraint that the checks should have kept us from, a damaged file, a table that is not there.
        _ => Error::Corrupt {
            what: "database",
            reason: error.to_string(),
        },
    }
}

/// A read failed.
pub(super) fn failed(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().and_then(|code| code.parse().ok());
            of_code(code, database.into())
        }
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::Unavailable(error.into()),
        other => Error::Corrupt {
            what: "row",
            reason: other.to_string(),
        },
    }
}

/// A statement of a write failed; nothing is committed.
pub(super) fn write_failed(error: rusqlite::Error) -> Error {
    match error.sqlite_error() {
        Some(found) => of_code(Some(found.extended_code), error.into()),
        None => Error::Corrupt {
            what: "row",
            reason: error.to_string(),
        },
    }
}

/// An append failed before its COMMIT.
pub(super) fn append_failed(error: Error) -> AppendError {
    match error {
        Error::Unavailable(source) => AppendError::Unavailable(source),
        Error::Malformed { .. } | Error::Corrupt { .. } => AppendError::Corrupt(error),
    }
}

/// Whether a row could not be deleted because another refers to it.
pub(super) fn is_referred_to(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == CONSTRAINT_FOREIGN_KEY)
}
