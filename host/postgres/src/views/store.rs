//! The trait `ViewStore`.

use async_trait::async_trait;
use gavel_model::{ActivationNumber, Position, RowKey, ViewId};
use gavel_store::views::{
    CommitError, KeyedRow, NewTable, ParkedEvent, ParkedRow, RowPage, RowQuery, RowRead,
    RowsChange, SqlName, StoredRow, TableHold, TableId, TableShape, ViewStore, ViewTable,
};
use gavel_store::{Error, Page};

use super::PostgresViews;
use super::registry::{gone, pointed};
use crate::query::{answered, run};

#[async_trait]
impl ViewStore for PostgresViews {
    fn place(&self) -> &str {
        &self.place
    }

    async fn tables(&self) -> Result<Vec<ViewTable>, Error> {
        self.require_tables()?;
        self.all_tables().await
    }

    /// Dropped midway, the table is made or it is not.
    async fn create_table(&self, new: NewTable) -> Result<ViewTable, Error> {
        self.require_tables()?;
        let tx = answered(self.pool.begin()).await;
        let mut tx = tx.map_err(Error::Unavailable)?;
        let id = self.create(&mut tx, &new).await?;
        answered(tx.commit()).await.map_err(Error::Unavailable)?;
        self.find_table(id).await?.ok_or_else(|| gone(id))
    }

    async fn finish_table(&self, table: TableId) -> Result<(), Error> {
        self.finish(table).await
    }

    async fn restart_table(&self, table: TableId) -> Result<(), Error> {
        self.restart(table).await
    }

    async fn drop_table(&self, table: TableId) -> Result<(), Error> {
        self.forget(table).await
    }

    async fn sql_name(&self, view: &ViewId, shape: &TableShape) -> Result<SqlName, Error> {
        self.name_in_sql(view, shape).await
    }

    async fn rows(&self, table: TableId, keys: &[RowKey]) -> Result<Vec<StoredRow>, Error> {
        self.rows_of_keys(table, keys).await
    }

    async fn commit(&self, change: RowsChange) -> Result<(), CommitError> {
        self.change(&change).await
    }

    async fn scan(
        &self,
        table: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<(Page<KeyedRow>, Position), Error> {
        self.scan_rows(table, after, limit).await
    }

    async fn sums(&self, table: TableId, columns: &[String]) -> Result<Vec<f64>, Error> {
        self.sums_of(table, columns).await
    }

    async fn parked(
        &self,
        table: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Page<ParkedRow>, Error> {
        self.parked_rows(table, after, limit).await
    }

    async fn waiting(
        &self,
        table: TableId,
        key: &RowKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error> {
        self.waiting_events(table, key, after, limit).await
    }

    async fn parked_events(&self, table: TableId, limit: u32) -> Result<Vec<ParkedEvent>, Error> {
        self.events_parked(table, limit).await
    }

    async fn read(&self, view: &ViewId, key: &RowKey) -> Result<Option<RowRead>, Error> {
        self.read_row(view, key).await
    }

    async fn query(&self, view: &ViewId, query: &RowQuery) -> Result<Option<RowPage>, Error> {
        self.run_query(view, query).await
    }

    async fn hold_tables(&self, tables: &[TableId]) -> Result<Box<dyn TableHold>, Error> {
        self.hold(tables).await
    }

    async fn pause(&self, view: &ViewId, is_paused: bool) -> Result<bool, Error> {
        self.require_tables()?;
        self.set_paused(view, is_paused).await
    }

    async fn point(
        &self,
        view: &ViewId,
        table: Option<TableId>,
        activation: ActivationNumber,
    ) -> Result<bool, Error> {
        self.require_tables()?;
        let found = run(&self.pool, self.pointing(view, table, activation)).await?;
        pointed(&found, table)
    }
}
