//! Reads of one row by its sources: as it is right now, as it was, as another module folds it, and
//! event by event.

use gavel_model::{Json, ModuleDigest, Position, RecordedEvent, RowKey, ViewId};
use gavel_store::views::{ParkedRow, RowRead, TableHead};
use gavel_store::{PAGE_BYTES, Room};
use time::OffsetDateTime;

use super::Views;
use super::refold::{HistoryError, Refold};

/// A choice of what a row is folded from, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowMoment {
    /// The time of the last event (inclusive); none for all that the table has.
    pub at: Option<OffsetDateTime>,
    /// The module that folds; none for the active one.
    pub module: Option<ModuleDigest>,
}

/// An event of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowStep {
    /// The event.
    pub event: RecordedEvent,
    /// The row after the event; none if there is none.
    pub row: Option<Json>,
}

/// Successive events of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowSteps {
    /// The table that the events are in.
    pub head: TableHead,
    /// The events, by ascending position; no more than take up about
    /// [`PAGE_BYTES`] with the rows, but one at least.
    pub steps: Vec<RowStep>,
    /// The fault of the row at the last of the events, if there is one.
    pub parked: Option<ParkedRow>,
    /// The position to resume from, if more events follow.
    pub next: Option<Position>,
}

impl Views {
    /// Reads a row with all that was stored before the call, however far the table is. A row that
    /// cannot be folded is parked in the answer.
    ///
    /// The row comes first, and then what was stored after its position: in the other order, events
    /// that reach the table in between would be missing. Later events than those of the table need
    /// not be all that there are up to the last of them: nothing resumes from this.
    ///
    /// # Errors
    ///
    /// [`HistoryError`].
    pub async fn fresh_row(&self, view: &ViewId, key: &RowKey) -> Result<RowRead, HistoryError> {
        let mut read = self.row(view, key).await?;
        let start = (read.head.position, read.value.take());
        let digest = read.head.digest;
        let mut refold = Refold::begin(self, (view, key), digest, start).await?;
        if read.parked.is_none() {
            refold.fold_all().await?;
            read.parked = refold.parked;
        }
        read.head.parked_events += u64::from(refold.is_incomplete);
        read.value = refold.value;
        Ok(read)
    }

    /// Reads a row as it was at a time, or as another module folds it. All of it is from what the
    /// table has, whose position the answer names.
    ///
    /// # Errors
    ///
    /// [`HistoryError`].
    pub async fn row_at(
        &self,
        view: &ViewId,
        key: &RowKey,
        moment: RowMoment,
    ) -> Result<RowRead, HistoryError> {
        let mut head = self.row(view, key).await?.head;
        let is_other = moment.module.is_some_and(|module| module != head.digest);
        head.digest = moment.module.unwrap_or(head.digest);
        let start = (Position::BEGINNING, None);
        let refold = Refold::begin(self, (view, key), head.digest, start).await?;
        let mut refold = refold.through(head.position, moment.at);
        refold.fold_all().await?;
        if is_other {
            head.parked_events = 0;
        }
        head.parked_events += u64::from(refold.is_incomplete);
        Ok(RowRead {
            head,
            value: refold.value,
            parked: refold.parked,
        })
    }

    /// Lists events of a row after a position, and the row after each. All of it is from what the
    /// table has.
    ///
    /// # Errors
    ///
    /// [`HistoryError`].
    pub async fn row_steps(
        &self,
        view: &ViewId,
        key: &RowKey,
        after: Position,
        limit: u32,
    ) -> Result<RowSteps, HistoryError> {
        let mut head = self.row(view, key).await?.head;
        let start = (Position::BEGINNING, None);
        let refold = Refold::begin(self, (view, key), head.digest, start).await?;
        let mut refold = refold.through(head.position, None);
        let (mut steps, mut room) = (Vec::new(), Room::new(limit, PAGE_BYTES));
        let mut next = None;
        'pages: loop {
            let page = match refold.next().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                // The next page is the one that is too far into the row.
                Err(HistoryError::TooLong { .. }) if !steps.is_empty() => {
                    next = last(&steps);
                    break;
                }
                Err(error) => return Err(error),
            };
            let known = page.partition_point(|event| event.position <= after);
            refold.fold(&page, 0..known).await?;
            for place in known..page.len() {
                if refold.parked.is_some() {
                    break 'pages;
                }
                if room.is_used_up() {
                    next = last(&steps);
                    break 'pages;
                }
                refold.fold(&page, place..place + 1).await?;
                let (event, row) = (page[place].clone(), refold.value.clone());
                let bytes = row.as_ref().map_or(0, |row| row.as_str().len());
                if !room.take_bytes(event.size_bytes() + bytes) {
                    next = last(&steps);
                    break 'pages;
                }
                steps.push(RowStep { event, row });
            }
        }
        head.parked_events += u64::from(refold.is_incomplete);
        Ok(RowSteps {
            head,
            steps,
            parked: refold.parked.filter(|_| next.is_none()),
            next,
        })
    }
}

fn last(steps: &[RowStep]) -> Option<Position> {
    steps.last().map(|step| step.event.position)
}
