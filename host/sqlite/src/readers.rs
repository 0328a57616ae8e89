//! The connections that read.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gavel_store::Error;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::connect;
use super::error::SqliteError;
use super::files::Files;
use super::rows;

/// The number of reads that run at the same time; more wait. Each connection has a page cache of 2
/// MB.
const READERS: usize = 4;

/// The time that a read waits for a free connection, before the store counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs reads, each as a whole on a thread that may wait for the disk. They never wait for the
/// writer.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    files: Files,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Opens the file, which is there and has its schema.
    pub(super) fn open(files: Files) -> Result<Self, rusqlite::Error> {
        let first = connect::reading(files.path())?;
        Ok(Self {
            files,
            places: Arc::new(Semaphore::new(READERS)),
            idle: Arc::new(Mutex::new(vec![first])),
        })
    }

    /// Closes all connections, once nothing is read any more.
    pub(super) async fn close(&self) {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        // It is never closed.
        let Ok(_places) = self.places.acquire_many(all).await else {
            return;
        };
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Asks the file for something that it always has.
    pub(super) async fn ping(&self) -> Result<(), Error> {
        let count = "SELECT count(*) FROM sqlite_schema";
        let found = self.read(move |database| rows::one(database, count, [], |_| Ok(())));
        found.await?;
        Ok(())
    }

    /// Runs `work` on a connection of its own for the time. If the future is dropped, `work` still
    /// runs to its end.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(ACQUIRE_TIMEOUT, place).await;
        // It is never closed.
        let place = place.map_err(|elapsed| Error::Unavailable(elapsed.into()))?;
        let (files, idle) = (self.files.clone(), Arc::clone(&self.idle));
        let reading = spawn_blocking(move || {
            let _place = place;
            files.check().map_err(Error::Unavailable)?;
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match kept {
                Some(connection) => connection,
                None => connect::reading(files.path()).map_err(SqliteError::from)?,
            };
            let result = work(&connection);
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            Ok(result?)
        });
        reading
            .await
            .unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is shutting down.
                Err(cancelled) => Err(Error::Unavailable(cancelled.into())),
            })
    }
}
