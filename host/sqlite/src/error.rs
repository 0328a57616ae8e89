//! The errors of SQLite, as errors of the store.

use gavel_store::processes::RosterCommitError;
use gavel_store::views::CommitError;
use gavel_store::{ConsumerError, Error, ResumeError};

/// The primary result codes (the low byte of an extended one) of a store that may answer later.
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

/// The error of a function that works on a connection: one of the store, or one of SQLite in the
/// terms of the store.
#[derive(Debug)]
pub(crate) struct SqliteError(Error);

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|found| found.extended_code);
        Self(match code {
            Some(code) if OUTAGES.contains(&(code & 0xff)) => Error::Unavailable(error.into()),
            // A constraint that the checks should have kept us from, a damaged file, a table that
            // is not there.
            Some(code) => Error::Refused(format!("{error} (SQLite {code})")),
            None => Error::Corrupt {
                what: "row",
                reason: error.to_string(),
            },
        })
    }
}

impl From<Error> for SqliteError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<SqliteError> for Error {
    fn from(error: SqliteError) -> Self {
        error.0
    }
}

impl From<SqliteError> for ConsumerError {
    fn from(error: SqliteError) -> Self {
        Self::Store(error.0)
    }
}

impl From<SqliteError> for CommitError {
    fn from(error: SqliteError) -> Self {
        Self::Store(error.0)
    }
}

impl From<SqliteError> for RosterCommitError {
    fn from(error: SqliteError) -> Self {
        Self::Store(error.0)
    }
}

impl From<SqliteError> for ResumeError {
    fn from(error: SqliteError) -> Self {
        Self::Store(error.0)
    }
}

/// Tells whether a row could not be deleted because another refers to it.
pub(super) fn is_referred_to(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == CONSTRAINT_FOREIGN_KEY)
}
