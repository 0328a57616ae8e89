//! Changes of rows, and what cannot be folded.

use gavel_model::{EventId, Json, Position, RowKey};
use time::OffsetDateTime;

use super::super::{Error, Source};
use super::{Cell, TableId};

/// A change of a table, from one position of the log to another.
#[derive(Debug, Clone, PartialEq)]
pub struct RowsChange {
    /// The table.
    pub table: TableId,
    /// The position where the table has to stand.
    pub from: Position,
    /// The position where the table stands afterwards; may be the same.
    pub to: Position,
    /// The rows that there are afterwards. No key is in two of these lists.
    pub put: Vec<KeyedRow>,
    /// The rows that end.
    pub ended: Vec<RowKey>,
    /// The number of rows that this adds, without those that end.
    pub added: u64,
    /// The number of rows that end, of those that were there.
    pub removed: u64,
    /// The rows that are parked from now on, in place of what was said of them before. What waited
    /// behind one of them after its event waits on.
    pub parked: Vec<ParkedRow>,
    /// The rows that are not parked any more; no event waits behind them.
    pub unparked: Vec<RowKey>,
    /// The events that wait behind rows that are parked, be it by this change. A row that is not
    /// parked any more was retried since the change was computed: the table has moved.
    pub waiting: Vec<(RowKey, Position)>,
    /// The events that are parked.
    pub parked_events: Vec<ParkedEvent>,
}

impl RowsChange {
    /// A change that moves a table on, and nothing else.
    #[must_use]
    pub fn moving(table: TableId, from: Position, to: Position) -> Self {
        Self {
            table,
            from,
            to,
            put: Vec::new(),
            ended: Vec::new(),
            added: 0,
            removed: 0,
            parked: Vec::new(),
            unparked: Vec::new(),
            waiting: Vec::new(),
            parked_events: Vec::new(),
        }
    }
}

/// A row, with its key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyedRow {
    /// The key.
    pub key: RowKey,
    /// The row.
    pub value: Json,
    /// The values of the columns, in the order of the table's shape. Empty where a store was asked
    /// for rows: they follow from the row.
    pub cells: Vec<Option<Cell>>,
    /// The position of the newest event that the row folds.
    pub position: Position,
}

/// A row as it is stored, to be folded further.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredRow {
    /// The row; none if there is no such row.
    pub value: Option<Json>,
    /// Tells whether the row is parked.
    pub is_parked: bool,
}

/// A row that cannot fold an event. The events after it wait.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedRow {
    /// The key.
    pub key: RowKey,
    /// The position of the event.
    pub position: Position,
    /// The event.
    pub event_id: EventId,
    /// The reason, one sentence.
    pub reason: String,
    /// The time at which the row was parked, by the host's clock.
    pub since: OffsetDateTime,
}

/// An event whose keys cannot be told.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedEvent {
    /// The position of the event.
    pub position: Position,
    /// The event.
    pub event_id: EventId,
    /// The reason, one sentence.
    pub reason: String,
}

/// The reason for which a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The table stands elsewhere: another host was faster.
    #[error("the table is not where the change begins")]
    Moved,
    /// The table is not there any more.
    #[error("the table is not there any more")]
    Gone,
    /// The table is held. Try again soon.
    #[error("the table is held")]
    Held,
    /// The store failed. Where its answer was lost, the change may have been made all the same: the
    /// position of the table tells.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<Source> for CommitError {
    fn from(source: Source) -> Self {
        Self::Store(Error::Unavailable(source))
    }
}
