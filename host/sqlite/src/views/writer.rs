//! The one connection that writes rows.

use std::sync::Arc;
use std::time::Duration;

use gavel_store::{Error, Floor, Source};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::connect::{self, BUSY_TIMEOUT};
use crate::files::Files;
use crate::migrations;
use crate::overgrowth::Overgrowth;
use crate::writer::{WriteError, in_turn};

/// Runs one write transaction at a time, each as a whole on a thread that may wait for the disk.
///
/// **Invariant:** a connection is kept only after a COMMIT that succeeded, on files that are those
/// at the path. Otherwise it is closed, which undoes its transaction, and the next one opens
/// another.
#[derive(Debug)]
pub(super) struct RowsWriter {
    files: Files,
    floor: Arc<Floor>,
    idle: Arc<Mutex<Option<RowsSession>>>,
}

/// A connection that writes, and what it has seen of the log.
#[derive(Debug)]
struct RowsSession {
    connection: Connection,
    overgrowth: Overgrowth,
}

/// A transaction that stays open, and keeps all others away.
#[derive(Debug)]
pub(super) struct OpenWrite {
    files: Files,
    idle: OwnedMutexGuard<Option<RowsSession>>,
    session: RowsSession,
}

impl RowsWriter {
    /// Opens the file, which is there and has its schema.
    pub(super) fn open(files: Files, floor: Arc<Floor>) -> Result<Self, rusqlite::Error> {
        let first = RowsSession::open(&files)?;
        Ok(Self {
            files,
            floor,
            idle: Arc::new(Mutex::new(Some(first))),
        })
    }

    /// Closes the connection, once nothing is written any more.
    pub(super) async fn close(&self) {
        let mut idle = Arc::clone(&self.idle).lock_owned().await;
        if let Err(error) = spawn_blocking(move || drop(idle.take())).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the log of the rows could not be copied into their file"
            );
        }
    }

    /// Runs `work` in a transaction, which waits for one of another process for as long as
    /// `patience`, and makes it durable, or undoes it if `work` fails.
    ///
    /// If the future is dropped once the transaction has begun, or is about to, the transaction
    /// continues without it.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, WriteError<Error>> {
        let (files, floor) = (self.files.clone(), Arc::clone(&self.floor));
        let written = in_turn(Arc::clone(&self.idle), move |idle| {
            let session = RowsSession::begin(idle, &files, &floor, patience);
            let mut session = session.map_err(WriteError::NotBegun)?;
            let done = work(&session.connection).map_err(WriteError::Undone)?;
            session.commit(&files).map_err(WriteError::Unknown)?;
            *idle = Some(session);
            Ok(done)
        });
        written.await
    }

    /// Begins a transaction that stays open, with a look at what is committed by then.
    ///
    /// If the future is dropped, the transaction ends.
    pub(super) async fn begin<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<(OpenWrite, T), Error> {
        let idle = timeout(BUSY_TIMEOUT, Arc::clone(&self.idle).lock_owned()).await;
        let mut idle = idle.map_err(|elapsed| Error::Unavailable(elapsed.into()))?;
        let (files, floor) = (self.files.clone(), Arc::clone(&self.floor));
        let begun = spawn_blocking(move || {
            let session = RowsSession::begin(&mut idle, &files, &floor, BUSY_TIMEOUT);
            let session = session.map_err(Error::Unavailable)?;
            let seen = look(&session.connection)?;
            let open = OpenWrite {
                files,
                idle,
                session,
            };
            Ok((open, seen))
        });
        let begun = begun.await;
        begun.unwrap_or_else(|error| Err(Error::Unavailable(error.into())))
    }
}

impl OpenWrite {
    /// Runs `work` in the transaction, and commits it.
    pub(super) async fn end<T: Send + 'static>(
        self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Self {
            files,
            mut idle,
            mut session,
        } = self;
        let ended = spawn_blocking(move || {
            let done = work(&session.connection)?;
            session.commit(&files).map_err(Error::Unavailable)?;
            *idle = Some(session);
            Ok(done)
        });
        let ended = ended.await;
        ended.unwrap_or_else(|error| Err(Error::Unavailable(error.into())))
    }
}

impl RowsSession {
    fn open(files: &Files) -> Result<Self, rusqlite::Error> {
        let connection = connect::VIEWS.writing(files.path())?;
        Ok(Self {
            connection,
            overgrowth: Overgrowth::default(),
        })
    }

    /// Takes the connection, or opens one, and the write lock of the file.
    fn begin(
        idle: &mut Option<Self>,
        files: &Files,
        floor: &Floor,
        patience: Duration,
    ) -> Result<Self, Source> {
        files.check()?;
        let session = idle.take().map_or_else(|| Self::open(files), Ok)?;
        session.connection.busy_timeout(patience)?;
        session.connection.execute_batch("BEGIN IMMEDIATE")?;
        floor.check(migrations::floor(&session.connection)?)?;
        Ok(session)
    }

    fn commit(&mut self, files: &Files) -> Result<(), Source> {
        self.connection.execute_batch("COMMIT")?;
        files.check()?;
        self.overgrowth.check(&self.connection, files);
        Ok(())
    }
}

/// Tells whether a transaction has not begun because of one of another process.
pub(super) fn is_busy<E>(error: &WriteError<E>) -> bool {
    let WriteError::NotBegun(source) = error else {
        return false;
    };
    let error = source.downcast_ref::<rusqlite::Error>();
    let code = error.and_then(rusqlite::Error::sqlite_error_code);
    code == Some(ErrorCode::DatabaseBusy)
}
