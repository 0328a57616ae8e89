//! The tables of views: rows that were folded from events, and how far each table has come.
//!
//! A table holds the rows of one module under one name; a candidate has a table of its own beside
//! the one that people read. The pointer of a view names the table that is read, and lives beside
//! the tables.

mod cell;
mod change;
mod query;
mod table;

use std::fmt::Debug;

use async_trait::async_trait;
use gavel_model::{ActivationNumber, Position, RowKey, ViewId};

pub use cell::{Cell, CellError, ColumnType};
pub use change::{CommitError, KeyedRow, ParkedEvent, ParkedRow, RowsChange, StoredRow};
pub use query::{RowPage, RowPlace, RowQuery, RowRange, RowRead, TableHead};
pub use table::{Column, NewTable, RowPointer, SqlName, TableId, TableShape, ViewTable};

use super::{Error, Page};

/// Keeps the rows of views.
///
/// - A row and the progress of its table change together or not at all.
/// - A table MUST NOT move from one position to another unless it stands where the change says: so
///   of several hosts that fold the same events one is the first, and nothing is folded twice.
/// - All of it follows from the log. A store MAY lose what it was given last, rows and progress
///   together; it is folded again.
#[async_trait]
pub trait ViewStore: Debug + Send + Sync {
    /// Names the place of the rows, so that hosts find out whether they share them: two stores that
    /// keep the same rows give the same. Empty for a store that one process has for itself.
    fn place(&self) -> &str {
        ""
    }

    /// All tables, by id.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn tables(&self) -> Result<Vec<ViewTable>, Error>;

    /// Makes a table, empty and at the beginning of the log. If there is one of the same view and
    /// module already, that is the answer.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be made.
    async fn create_table(&self, new: NewTable) -> Result<ViewTable, Error>;

    /// Finishes a table that has caught up with the log: makes its indexes, and lets the view's
    /// name in SQL show the rows once the pointer is at the table. Does nothing when it is done
    /// already.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be finished, or there is no such table.
    async fn finish_table(&self, table: TableId) -> Result<(), Error>;

    /// Empties a table that has come further than the log goes, since the log was restored to an
    /// earlier state: it is at the beginning again, and not finished. The pointer stays.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written, or there is no such table.
    async fn restart_table(&self, table: TableId) -> Result<(), Error>;

    /// Forgets a table, its rows and its progress. One that the pointer is at, or that is not
    /// there, stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be dropped.
    async fn drop_table(&self, table: TableId) -> Result<(), Error>;

    /// The change to the view's name in SQL that such a table would make.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn sql_name(&self, view: &ViewId, shape: &TableShape) -> Result<SqlName, Error>;

    /// The rows of some keys as they are, in the order of the keys, whatever the pointer.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read, or there is no such table.
    async fn rows(&self, table: TableId, keys: &[RowKey]) -> Result<Vec<StoredRow>, Error>;

    /// Carries out a change of rows together with the progress.
    ///
    /// # Errors
    ///
    /// [`CommitError`], after which nothing has changed.
    async fn commit(&self, change: RowsChange) -> Result<(), CommitError>;

    /// The rows after a key, by the bytes of their keys, whatever the pointer; and the position of
    /// the table when they were read.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read, or there is no such table.
    async fn scan(
        &self,
        table: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<(Page<KeyedRow>, Position), Error>;

    /// The sums of numeric columns over all rows, in the order of the names; 0 without rows.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read, or there is no such table or column.
    async fn sums(&self, table: TableId, columns: &[String]) -> Result<Vec<f64>, Error>;

    /// The rows that are parked, by key after one of them, without what waits behind them.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn parked(
        &self,
        table: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Page<ParkedRow>, Error>;

    /// The positions of the events that wait behind a parked row, after one of them.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn waiting(
        &self,
        table: TableId,
        key: &RowKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error>;

    /// The first of the events that are parked because their keys cannot be told, by position.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn parked_events(&self, table: TableId, limit: u32) -> Result<Vec<ParkedEvent>, Error>;

    /// Reads a row of the table that the pointer is at. None when the view has no pointer.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn read(&self, view: &ViewId, key: &RowKey) -> Result<Option<RowRead>, Error>;

    /// Reads a page of rows of the table that the pointer is at. None when the view has no pointer.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read, or the table has no such column.
    async fn query(&self, view: &ViewId, query: &RowQuery) -> Result<Option<RowPage>, Error>;

    /// Keeps changes away from some tables until the hold is let go of: a commit that is under way
    /// comes first, and those that come meanwhile are refused with [`CommitError::Held`]. Reads go
    /// on.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be reached, or somebody else holds one of the tables.
    async fn hold_tables(&self, tables: &[TableId]) -> Result<Box<dyn TableHold>, Error>;

    /// Pauses a view, or lets it go on, and gives whether it has a pointer at a table. What is
    /// paused is the pointer: another table that it is moved to is paused as well. A store keeps
    /// nobody from changing rows of a paused view.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn pause(&self, view: &ViewId, is_paused: bool) -> Result<bool, Error>;

    /// Moves the pointer of a view to a table that is there, or to none, unless an activation that
    /// is no older has moved it already. Gives whether it was moved.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written, or there is no such table.
    async fn point(
        &self,
        view: &ViewId,
        table: Option<TableId>,
        activation: ActivationNumber,
    ) -> Result<bool, Error>;
}

/// Tables that nothing changes. Dropped, it lets go of them.
#[async_trait]
pub trait TableHold: Debug + Send + Sync {
    /// The positions of the tables, in the order in which they were named; none for one that is not
    /// there.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn positions(&self) -> Result<Vec<Option<Position>>, Error>;

    /// Moves pointers as [`ViewStore::point`] does, at the same moment, and lets go of the tables.
    /// Gives whether each of them was moved.
    ///
    /// # Errors
    ///
    /// As [`ViewStore::point`], and [`Error`] when the tables were not held to the end. No pointer
    /// has moved then.
    async fn point(self: Box<Self>, pointers: Vec<RowPointer>) -> Result<bool, Error>;
}
