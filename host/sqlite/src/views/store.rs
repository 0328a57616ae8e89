//! The trait `ViewStore`: each read is of one moment, and each change one transaction.

use std::convert::identity;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{ActivationNumber, Position, RowKey, ViewId};
use gavel_store::views::{
    CommitError, KeyedRow, NewTable, ParkedEvent, ParkedRow, RowPage, RowQuery, RowRead,
    RowsChange, SqlName, StoredRow, TableHold, TableId, TableShape, ViewStore, ViewTable,
};
use gavel_store::{Error, Page};
use rusqlite::Connection;
use tokio::time::timeout;

use super::hold::SqliteTableHold;
use super::writer::is_busy;
use super::{SqliteViews, commit, query, registry, rows, sql_view};
use crate::connect::BUSY_TIMEOUT;
use crate::error::SqliteError;

/// The time that a change of rows waits for another process that writes: somebody may hold the
/// tables there, and the change is tried again.
const COMMIT_PATIENCE: Duration = Duration::from_millis(100);

impl SqliteViews {
    /// Reads what is committed at one moment.
    async fn read_moment<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let found = self.readers.read(move |database| {
            let moment = database.unchecked_transaction()?;
            Ok::<T, SqliteError>(read(&moment)?)
        });
        found.await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let written = self.writer.write(BUSY_TIMEOUT, work);
        written.await.map_err(|error| error.into_error(identity))
    }
}

#[async_trait]
impl ViewStore for SqliteViews {
    async fn tables(&self) -> Result<Vec<ViewTable>, Error> {
        self.read_moment(|database| Ok(registry::all(database)?))
            .await
    }

    async fn create_table(&self, new: NewTable) -> Result<ViewTable, Error> {
        let now = self.clock.now();
        self.write(move |tx| registry::create_in_tx(tx, &new, now))
            .await
    }

    /// Makes each index in a transaction of its own, so that changes of other tables come in
    /// between.
    async fn finish_table(&self, table: TableId) -> Result<(), Error> {
        let found = self.read_moment(move |database| registry::table(database, table));
        let found = found.await?;
        if found.is_finished {
            return Ok(());
        }
        for number in 0..found.shape.indexes.len() {
            self.write(move |tx| registry::index_in_tx(tx, table, number))
                .await?;
        }
        self.write(move |tx| registry::finish_in_tx(tx, table))
            .await
    }

    async fn restart_table(&self, table: TableId) -> Result<(), Error> {
        self.write(move |tx| registry::restart_in_tx(tx, table))
            .await
    }

    async fn drop_table(&self, table: TableId) -> Result<(), Error> {
        self.write(move |tx| Ok(registry::drop_in_tx(tx, table)?))
            .await
    }

    async fn sql_name(&self, view: &ViewId, _: &TableShape) -> Result<SqlName, Error> {
        Ok(sql_view::sql_name(view))
    }

    async fn rows(&self, table: TableId, keys: &[RowKey]) -> Result<Vec<StoredRow>, Error> {
        let keys = keys.to_vec();
        self.read_moment(move |database| rows::of_keys(database, table, &keys))
            .await
    }

    async fn commit(&self, change: RowsChange) -> Result<(), CommitError> {
        let Ok(_change) = Arc::clone(&self.changes).try_read_owned() else {
            return Err(CommitError::Held);
        };
        // What is refused has changed nothing, and the connection is as good as before.
        let written = self.writer.write(COMMIT_PATIENCE, move |tx| {
            match commit::commit_in_tx(tx, &change) {
                Err(CommitError::Store(error)) => Err(error),
                committed => Ok(committed),
            }
        });
        match written.await {
            Ok(committed) => committed,
            Err(error) if is_busy(&error) => Err(CommitError::Held),
            Err(error) => Err(CommitError::Store(error.into_error(identity))),
        }
    }

    async fn scan(
        &self,
        table: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<(Page<KeyedRow>, Position), Error> {
        let after = after.cloned();
        self.read_moment(move |database| rows::scan(database, table, after.as_ref(), limit))
            .await
    }

    async fn sums(&self, table: TableId, columns: &[String]) -> Result<Vec<f64>, Error> {
        let columns = columns.to_vec();
        self.read_moment(move |database| rows::sums(database, table, &columns))
            .await
    }

    async fn parked(
        &self,
        table: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Page<ParkedRow>, Error> {
        let after = after.cloned();
        self.read_moment(move |database| rows::parked(database, table, after.as_ref(), limit))
            .await
    }

    async fn waiting(
        &self,
        table: TableId,
        key: &RowKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error> {
        let key = key.clone();
        self.read_moment(move |database| rows::waiting(database, table, &key, after, limit))
            .await
    }

    async fn parked_events(&self, table: TableId, limit: u32) -> Result<Vec<ParkedEvent>, Error> {
        self.read_moment(move |database| rows::parked_events(database, table, limit))
            .await
    }

    async fn read(&self, view: &ViewId, key: &RowKey) -> Result<Option<RowRead>, Error> {
        let (view, key) = (view.clone(), key.clone());
        self.read_moment(move |database| Ok(rows::read(database, &view, &key)?))
            .await
    }

    async fn query(&self, view: &ViewId, asked: &RowQuery) -> Result<Option<RowPage>, Error> {
        let (view, asked) = (view.clone(), asked.clone());
        self.read_moment(move |database| query::run(database, &view, &asked))
            .await
    }

    async fn hold_tables(&self, tables: &[TableId]) -> Result<Box<dyn TableHold>, Error> {
        let alone = timeout(BUSY_TIMEOUT, Arc::clone(&self.changes).write_owned()).await;
        let alone = alone.map_err(|elapsed| Error::Unavailable(elapsed.into()))?;
        let tables = tables.to_vec();
        let begun = self.writer.begin(move |tx| {
            let positions = tables.iter().map(|id| rows::position(tx, *id));
            Ok(positions.collect::<Result<Vec<_>, _>>()?)
        });
        let (open, positions) = begun.await?;
        let clock = Arc::clone(&self.clock);
        Ok(Box::new(SqliteTableHold::keep(
            open, alone, positions, clock,
        )))
    }

    async fn pause(&self, view: &ViewId, is_paused: bool) -> Result<bool, Error> {
        let view = view.clone();
        self.write(move |tx| Ok(registry::pause_in_tx(tx, &view, is_paused)?))
            .await
    }

    async fn point(
        &self,
        view: &ViewId,
        table: Option<TableId>,
        activation: ActivationNumber,
    ) -> Result<bool, Error> {
        let (view, now) = (view.clone(), self.clock.now());
        self.write(move |tx| registry::point_in_tx(tx, &view, table, activation, now))
            .await
    }
}
