//! What SQLite says, in the words of the store.

use sqlx::error::DatabaseError;

use crate::store::{AppendError, Error};

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

fn extended_code(error: &dyn DatabaseError) -> Option<i32> {
    error.code()?.parse().ok()
}

/// A read failed, or a write of which nothing was committed.
pub(super) fn failed(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(ref database) => match extended_code(&**database) {
            Some(code) if OUTAGES.contains(&(code & 0xff)) => Error::Unavailable(error.into()),
            // A constraint that the checks should have kept us from, a damaged file, a table that is not there.
            _ => Error::Corrupt {
                what: "database",
                reason: database.to_string(),
            },
        },
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

/// An append failed before its COMMIT.
pub(super) fn append_failed(error: Error) -> AppendError {
    match error {
        Error::Unavailable(source) => AppendError::Unavailable(source),
        Error::Malformed { .. } | Error::Corrupt { .. } => AppendError::Corrupt(error),
    }
}

/// Whether a row could not be deleted because another refers to it.
pub(super) fn is_referred_to(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(extended_code)
        .is_some_and(|code| code == CONSTRAINT_FOREIGN_KEY)
}
