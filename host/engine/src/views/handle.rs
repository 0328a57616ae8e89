//! A runner's hold of its table: reads rows and commits changes, however long the store is away,
//! and says what it is doing.

use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Position, RowKey};
use gavel_store::Error;
use gavel_store::views::{CommitError, RowsChange, StoredRow, TableId};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Inner;
use super::progress::{Activity, TableProgress};

/// The first pause after something has failed; it doubles up to [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause before another try.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The pause before a table is looked at again that another host moves.
const OTHER_HOST: Duration = Duration::from_secs(1);

/// The reason for which a runner does not go on from where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    /// Another host has moved the table.
    Moved,
    /// The table is not there any more.
    Gone,
    /// The log does not go as far as the table: it was restored to an earlier state.
    Lost,
}

/// A table that this host moves. Clones are of the same table.
#[derive(Debug, Clone)]
pub(super) struct TableHandle {
    pub(super) inner: Arc<Inner>,
    pub(super) id: TableId,
    pub(super) progress: watch::Sender<TableProgress>,
}

impl TableHandle {
    pub(super) fn now(&self, activity: Activity) {
        self.progress
            .send_modify(|progress| progress.activity = activity);
    }

    /// Says that something failed, and rests.
    pub(super) async fn stall(&self, error: &(dyn std::error::Error + Sync)) {
        self.now(Activity::Failing(in_words(error)));
        sleep(FIRST_PAUSE).await;
    }

    /// Reads rows as they are stored.
    ///
    /// # Errors
    ///
    /// [`Halt::Moved`] when that cannot be done with this table.
    pub(super) async fn rows(&self, keys: &[RowKey]) -> Result<Vec<StoredRow>, Halt> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.now(Activity::Reading);
            match self.inner.store.rows(self.id, keys).await {
                Ok(rows) => return Ok(rows),
                Err(error @ Error::Unavailable(_)) => self.stall(&error).await,
                Err(error) => {
                    self.stall(&error).await;
                    return Err(Halt::Moved);
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Commits a change to which so many events have led.
    ///
    /// # Errors
    ///
    /// A [`Halt`], after which nothing has changed.
    pub(super) async fn commit(&self, change: RowsChange, events: u64) -> Result<(), Halt> {
        let (to, rows) = (change.to, change.put.len() + change.ended.len());
        self.make(change).await?;
        self.progress.send_modify(|progress| {
            progress.position = progress.position.max(to);
            progress.events += events;
            progress.rows += rows as u64;
        });
        Ok(())
    }

    async fn make(&self, change: RowsChange) -> Result<(), Halt> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.now(Activity::Writing);
            match self.inner.store.commit(change.clone()).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Gone) => return Err(Halt::Gone),
                Err(CommitError::Moved) => {
                    // A commit whose answer was lost may have been made. But it may as well be
                    // another host that has come there, and rows that were read meanwhile may be
                    // its: nothing that is known of them is kept.
                    let table = self.inner.table(self.id).await;
                    if !matches!(table, Ok(Some(table)) if table.position == change.to) {
                        self.now(Activity::OtherHost);
                        sleep(OTHER_HOST).await;
                    }
                    return Err(Halt::Moved);
                }
                Err(CommitError::Held) => {}
                Err(CommitError::Store(error)) => self.stall(&error).await,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The position where the table stands, as others are to see it.
    pub(super) fn tell_position(&self, position: Position) {
        self.progress
            .send_modify(|progress| progress.position = position);
    }
}

/// An error with its causes, in one line.
fn in_words(error: &(dyn std::error::Error + Sync)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
