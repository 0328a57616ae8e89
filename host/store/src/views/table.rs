//! Tables of rows, as all hosts see them.

use std::fmt;

use gavel_model::{ActivationNumber, ModuleDigest, Position, ViewId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::ColumnType;
use crate::Error;

/// Tells a table from all others of the store, also from those that were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(i64);

impl TableId {
    /// The table with this number.
    #[must_use]
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number of the table, which its name in SQL ends with.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A column of a table besides `key`, `row` and `position`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The name of the column, which is that of a member of the rows:
    /// `[A-Za-z_][A-Za-z0-9_]{0,58}`, and equal to no other but for case.
    pub name: String,
    /// The type of the values.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// The columns and indexes of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableShape {
    /// The columns, in the order in which they were declared.
    pub columns: Vec<Column>,
    /// The indexes: names of columns. The key comes after the last.
    pub indexes: Vec<Vec<String>>,
}

impl TableShape {
    /// Tells whether an index has the column.
    #[must_use]
    pub fn is_indexed(&self, column: &str) -> bool {
        let mut fields = self.indexes.iter().flatten();
        fields.any(|field| field == column)
    }

    /// The type of a column; none if there is no such column.
    #[must_use]
    pub fn column_type(&self, name: &str) -> Option<ColumnType> {
        self.column(name).ok().map(|column| column.kind)
    }

    /// The column of a name.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when there is none.
    pub fn column(&self, name: &str) -> Result<&Column, Error> {
        Ok(&self.columns[self.place_of(name)?])
    }

    /// The place of a column among the columns; the first is 0.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when there is none.
    pub fn place_of(&self, name: &str) -> Result<usize, Error> {
        let mut columns = self.columns.iter();
        let place = columns.position(|column| column.name == name);
        place.ok_or_else(|| Error::Refused(format!("there is no column `{name}`")))
    }
}

/// A table that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTable {
    /// The view.
    pub view: ViewId,
    /// The module whose rows the table takes.
    pub digest: ModuleDigest,
    /// The columns and indexes.
    pub shape: TableShape,
}

/// A table of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewTable {
    /// The id of the table.
    pub id: TableId,
    /// The view.
    pub view: ViewId,
    /// The module whose rows it has.
    pub digest: ModuleDigest,
    /// The columns and indexes.
    pub shape: TableShape,
    /// The position through which all events are folded or parked.
    pub position: Position,
    /// Tells whether the table was [finished](super::ViewStore::finish_table).
    pub is_finished: bool,
    /// The activation that has moved the pointer to the table; none when the pointer is elsewhere.
    pub active: Option<ActivationNumber>,
    /// The time since which the pointer is elsewhere, by the store's clock; none while it is here.
    pub unused_since: Option<OffsetDateTime>,
    /// The number of rows.
    pub rows: u64,
    /// The number of rows that are parked.
    pub parked_rows: u64,
    /// The number of events that are parked.
    pub parked_events: u64,
    /// The number of times that rows were changed other than by events that came: by a retry of a
    /// parked row, or because the table began anew.
    pub revision: u64,
    /// Tells whether the pointer is at the table and [paused](super::ViewStore::pause).
    pub is_paused: bool,
}

/// A pointer of a view as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPointer {
    /// The view.
    pub view: ViewId,
    /// The table that people are to read; none where there are to be no rows.
    pub table: Option<TableId>,
    /// The activation that the pointer follows.
    pub activation: ActivationNumber,
}

/// The consequence of a table for the name by which SQL reads its view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SqlName {
    /// The name, quoted as SQL needs it; none where the view has none.
    pub name: Option<String>,
    /// The reason for which there is less in SQL than usual: no name, or no columns.
    pub lacks: Option<String>,
    /// The columns that cannot keep their place or type, so that the name has to be made anew.
    pub columns: Vec<String>,
    /// The views of others, by name, that go with it when it is made anew.
    pub dependents: Vec<String>,
}
