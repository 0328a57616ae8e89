//! The rows that a stretch of the log changes, as they are now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use gavel_model::{Json, Position, RowKey, ViewId};
use gavel_sandbox::RunError;
use gavel_store::views::TableId;
use gavel_store::{Error, LogFilter};

use crate::catalog::View;
use crate::views::Views;

/// The most events of a step.
pub(super) const STEP_EVENTS: u32 = 100;
/// The most bytes of rows that are read at a time, about.
const BYTES: usize = 512 << 10;
/// The number of rows that are read first, before it is known how large they are.
const FIRST_ROWS: usize = 16;
/// The most rows that are read at a time.
const MOST_ROWS: usize = 256;

/// A table whose rows are followed.
#[derive(Debug)]
pub(super) struct FollowedTable {
    pub(super) id: TableId,
    pub(super) view: ViewId,
    pub(super) module: Arc<View>,
}

/// The rows that a stretch of the log changes.
#[derive(Debug)]
pub(super) struct FeedStep {
    /// The beginning of the stretch (exclusive).
    pub(super) after: Position,
    /// The end of the stretch (inclusive).
    pub(super) through: Position,
    /// The number of events in between that the view reads.
    pub(super) events: u64,
    pub(super) keys: Vec<RowKey>,
    /// The rows of all keys; none where they are too large to be kept.
    pub(super) rows: Option<ReadRows>,
    /// The time before anything was read.
    pub(super) began: Instant,
}

/// Rows as they were at a time.
#[derive(Debug, Clone)]
pub(super) struct ReadRows {
    /// The rows, in the order of their keys; none where there is none.
    pub(super) values: Vec<Option<Json>>,
    /// The position that the rows are not beyond.
    pub(super) seen: Position,
    /// The time after all were read.
    pub(super) ended: Instant,
}

/// The reason for which a step could not be made now.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("the module could not be called")]
    NotRun(#[from] RunError),
}

impl FollowedTable {
    /// Asks the store for the position of the table.
    pub(super) async fn look(&self, views: &Views) -> Result<Position, Error> {
        let found = views.0.table(self.id).await?;
        let gone = || Error::Refused(format!("there is no table {}", self.id));
        Ok(found.ok_or_else(gone)?.position)
    }
}

impl FeedStep {
    /// Makes the first step after a position, of a table that has come to `known`.
    pub(super) async fn make(
        views: &Views,
        table: &FollowedTable,
        after: Position,
        known: Position,
    ) -> Result<Self, StepError> {
        let began = Instant::now();
        let filter = LogFilter::from(table.module.filter());
        let log = &views.0.log_store;
        let namespace = table.view.namespace();
        let page = log.read_log(namespace, after, &filter, STEP_EVENTS).await;
        let (mut events, through) = match page {
            Ok(page) if page.caught_up => (page.events, known),
            Ok(page) => (page.events, page.next.min(known)),
            Err(Error::Malformed { position, .. }) => (Vec::new(), position.min(known)),
            Err(error) => return Err(error.into()),
        };
        events.retain(|event| event.position <= known);
        let count = events.len() as u64;
        let keys = views.keys_of(&table.module, events).await?;
        // An event whose keys cannot be told has changed no row.
        let keys: BTreeSet<RowKey> = keys.into_iter().flatten().flatten().collect();
        let keys: Vec<RowKey> = keys.into_iter().collect();
        Ok(Self {
            after,
            through,
            events: count,
            rows: read_few(views, table, &keys).await?,
            keys,
            began,
        })
    }

    /// The memory that the step takes up, in bytes; about right.
    pub(super) fn bytes(&self) -> usize {
        let rows = self.rows.iter().flat_map(|rows| &rows.values).flatten();
        let keys = self.keys.iter().map(|key| key.as_str().len());
        keys.sum::<usize>() + rows.map(|row| row.as_str().len()).sum::<usize>()
    }
}

/// The number of rows to read at a time, of such sizes as were read before.
#[derive(Debug)]
pub(super) struct RowCount(usize);

impl Default for RowCount {
    fn default() -> Self {
        Self(FIRST_ROWS)
    }
}

impl RowCount {
    /// Reads rows of the first of some keys.
    pub(super) async fn read(
        &mut self,
        views: &Views,
        table: &FollowedTable,
        keys: &[RowKey],
    ) -> Result<ReadRows, Error> {
        let keys = keys.get(..self.0).unwrap_or(keys);
        let rows = views.0.store.rows(table.id, keys).await?;
        let ended = Instant::now();
        let values: Vec<Option<Json>> = rows.into_iter().map(|row| row.value).collect();
        let largest = values.iter().flatten().map(|row| row.as_str().len()).max();
        let fitting = BYTES / largest.unwrap_or_default().max(1);
        self.0 = fitting.clamp(1, self.0.saturating_mul(4).min(MOST_ROWS));
        Ok(ReadRows {
            values,
            seen: table.look(views).await?,
            ended,
        })
    }
}

/// Reads all rows, unless they are too large.
async fn read_few(
    views: &Views,
    table: &FollowedTable,
    keys: &[RowKey],
) -> Result<Option<ReadRows>, Error> {
    let mut all = ReadRows {
        values: Vec::with_capacity(keys.len().min(MOST_ROWS)),
        seen: Position::BEGINNING,
        ended: Instant::now(),
    };
    let (mut count, mut bytes) = (RowCount::default(), 0);
    while let Some(rest) = keys.get(all.values.len()..).filter(|rest| !rest.is_empty()) {
        if bytes > BYTES {
            return Ok(None);
        }
        let read = count.read(views, table, rest).await?;
        let sizes = read.values.iter().flatten().map(|row| row.as_str().len());
        bytes += sizes.sum::<usize>();
        all.values.extend(read.values);
        (all.seen, all.ended) = (read.seen, read.ended);
    }
    Ok(Some(all))
}
