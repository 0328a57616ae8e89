//! Reads of rows.

use std::cmp::Ordering;
use std::ops::Bound;

use gavel_model::{ActivationNumber, Json, ModuleDigest, Position, RowKey};

use super::{Cell, ParkedRow, TableId};

/// The table that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableHead {
    /// The table.
    pub table: TableId,
    /// The module whose rows it has.
    pub digest: ModuleDigest,
    /// The activation that has moved the pointer to the table.
    pub activation: ActivationNumber,
    /// The position of the table when it was read.
    pub position: Position,
    /// Tells whether the table has been finished since it was at the beginning of the log.
    pub is_finished: bool,
    /// The number of events that are parked.
    pub parked_events: u64,
}

/// A row, and the table that it was read from, all of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RowRead {
    /// The table.
    pub head: TableHead,
    /// The row; none if there is no such row.
    pub value: Option<Json>,
    /// The fault of the row, if it is parked.
    pub parked: Option<ParkedRow>,
}

/// A question for rows: those that have some values, within bounds, in an order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowQuery {
    /// The columns that must have a value, and the value.
    pub equal: Vec<(String, Cell)>,
    /// The column by which rows are ordered, with bounds on its values; none to order by key alone.
    /// Rows without a value come last, whatever the direction, and only where there are no bounds.
    pub range: Option<RowRange>,
    /// Tells whether the greatest value comes first. Rows of the same value are ordered by key, in
    /// the same direction.
    pub is_descending: bool,
    /// The place after which rows are wanted.
    pub after: Option<RowPlace>,
    /// The largest number of rows.
    pub limit: u32,
}

/// A column and bounds on its values.
#[derive(Debug, Clone, PartialEq)]
pub struct RowRange {
    /// The column.
    pub column: String,
    /// The lower bound.
    pub lower: Bound<Cell>,
    /// The upper bound.
    pub upper: Bound<Cell>,
}

impl RowRange {
    /// Tells whether there are bounds.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        !matches!(
            (&self.lower, &self.upper),
            (Bound::Unbounded, Bound::Unbounded)
        )
    }

    /// Tells whether a value is within the bounds.
    #[must_use]
    pub fn has(&self, cell: &Cell) -> bool {
        is_within(cell, &self.lower, Ordering::Greater)
            && is_within(cell, &self.upper, Ordering::Less)
    }
}

fn is_within(cell: &Cell, bound: &Bound<Cell>, side: Ordering) -> bool {
    match bound {
        Bound::Unbounded => true,
        Bound::Excluded(bound) => cell.compare(bound) == Some(side),
        Bound::Included(bound) => {
            matches!(cell.compare(bound), Some(order) if order == side || order == Ordering::Equal)
        }
    }
}

/// The place of a row in an order.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPlace {
    /// The value of the column by which rows are ordered; none where the row has none, or rows are
    /// ordered by key alone.
    pub value: Option<Cell>,
    /// The key.
    pub key: RowKey,
}

/// A page of rows, all of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPage {
    /// The table.
    pub head: TableHead,
    /// The rows: no more than take up [`PAGE_BYTES`](crate::PAGE_BYTES), but one at least.
    pub rows: Vec<(RowKey, Json)>,
    /// The place of the last row, if more follow after it.
    pub next: Option<RowPlace>,
}
