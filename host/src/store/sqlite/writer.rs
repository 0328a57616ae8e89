//! The one connection that writes.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

/// Gives one write transaction at a time, first come, first served.
///
/// **Invariant:** a connection is kept only after a COMMIT or ROLLBACK that succeeded. Whatever else happens to a transaction, be it dropped
/// midway or rolled back by SQLite itself on a full disk, its connection is closed, which undoes it, and the next one opens another.
#[derive(Debug)]
pub(super) struct Writer {
    options: SqliteConnectOptions,
    idle: Mutex<Option<SqliteConnection>>,
}

/// A transaction that holds SQLite's write lock; undone when dropped.
#[derive(Debug)]
pub(super) struct WriteTransaction<'a> {
    idle: MutexGuard<'a, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        Self {
            options,
            idle: Mutex::new(Some(connection)),
        }
    }

    /// Begins a transaction with the write lock already held, so that what it reads is not outdated when it writes.
    pub(super) async fn begin(&self) -> Result<WriteTransaction<'_>, sqlx::Error> {
        let mut idle = self.idle.lock().await;
        let mut connection = match idle.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await?;
        Ok(WriteTransaction { idle, connection })
    }
}

impl WriteTransaction<'_> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Makes it durable. When it fails, what was written may still appear after a crash: the outcome is unknown.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        *self.idle = Some(self.connection);
        Ok(())
    }

    /// Undoes it, as dropping does, but keeps the connection.
    pub(super) async fn rollback(mut self) {
        let outcome = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        if outcome.is_ok() {
            *self.idle = Some(self.connection);
        }
    }
}
