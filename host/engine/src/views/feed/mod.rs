//! Feeds of rows: those that fulfil some conditions, and then each row that changes.
//!
//! ```text
//! pages of the query  -->  steps: the keys of the events after a position, each row as it is now
//! ```
//!
//! The snapshot is at the position where the table stood when its first page was read. Rows may be
//! newer than that, and what they show comes once more: a change is a row as it is, or that there
//! is none, so that it makes no difference how often it is sent.
//!
//! **Invariant:** once a feed has caught up, its changes put one after the other are the rows that
//! fulfil the conditions, from whatever place it was resumed, or it has said that it begins anew.

mod query;
mod reader;
mod step;
mod table;

use gavel_model::{Json, ModuleDigest, Position, RowKey, ViewId};
use gavel_store::views::{RowPlace, ViewTable};
use gavel_store::{Error, ResumeError};

pub use reader::RowFeed;
pub(super) use table::FeedTables;

use query::FeedQuery;

use super::Views;
use super::heads::RowsVersion;
use super::query::Filter;
use super::read::{FindError, ReadError};
use crate::catalog;

/// The part of a feed that comes next.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedPart {
    /// The reason for which all that was sent before is void; none if it is not.
    pub resync: Option<ResyncReason>,
    /// The module whose rows these are.
    pub module: ModuleDigest,
    /// Rows by key: those that fulfil the conditions, and that others do not, or are not there.
    pub changes: Vec<(RowKey, Option<Json>)>,
    /// Tells whether that is all for now.
    pub is_caught_up: bool,
    /// The place from which a feed would send this part again.
    pub before: FeedPlace,
    /// The place from which a feed would go on after this part.
    pub after: FeedPlace,
}

/// A place in a feed; `P` is a place in the order of the query.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedPlace<P = RowPlace> {
    /// The rows that are sent.
    pub version: RowsVersion,
    /// The position of the log whose events come next.
    pub position: Position,
    /// The newest position of the log that rows sent before may show.
    pub seen: Position,
    /// The stage of the feed.
    pub stage: FeedStage<P>,
}

/// A stage of a feed.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedStage<P> {
    /// The rows as they were, after a place or from the first one on.
    Rows(Option<P>),
    /// The changes of rows.
    Changes,
}

/// A place in a feed as a client sends it back: the place in the order is a value and a key.
pub type FeedResume = FeedPlace<(Option<String>, RowKey)>;

/// The reason for which a feed begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResyncReason {
    /// People read rows of another module.
    Module,
    /// Rows were changed other than by events: a parked row was retried, or all were built anew.
    Rows,
    /// The feed is too many events behind.
    Behind,
    /// The log was restored to an earlier state.
    Lost,
}

/// The reason for which a feed does not begin.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The rows cannot be found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The module cannot be made ready.
    #[error("the view's module cannot be used")]
    Module(#[source] catalog::Error),
}

impl From<Error> for FeedError {
    fn from(error: Error) -> Self {
        Self::Find(FindError::Read(error.into()))
    }
}

impl Views {
    /// Begins a feed of the rows that fulfil some conditions, in an order as for
    /// [`Views::find`] until all that there are were sent. `from` is the place to go on from.
    ///
    /// # Errors
    ///
    /// [`FeedError`].
    pub async fn feed(
        &self,
        view: ViewId,
        filters: Vec<Filter>,
        order: Option<(String, bool)>,
        from: Option<FeedResume>,
    ) -> Result<RowFeed, FeedError> {
        let heads = self.0.heads.watch();
        let table = self.active_table(&view).await.map_err(FindError::from)?;
        if !table.is_finished {
            return Err(FindError::from(ReadError::Building { view }).into());
        }
        let query = FeedQuery { filters, order };
        let mut feed = RowFeed::begin(self, view, query, &table, heads).await?;
        if let Some(from) = from {
            match self.refusal(&from, &table).await? {
                Some(reason) => feed.begin_anew(reason),
                None => feed.resume(from),
            }
        }
        Ok(feed)
    }

    /// The reason for which a feed cannot go on from a place.
    async fn refusal(
        &self,
        from: &FeedResume,
        table: &ViewTable,
    ) -> Result<Option<ResyncReason>, Error> {
        if let Some(reason) = change(from.version, RowsVersion::of(table)) {
            return Ok(Some(reason));
        }
        let is_lost = self.is_lost(&table.view, from).await?;
        Ok(is_lost.then_some(ResyncReason::Lost))
    }

    /// Tells whether rows that were sent may show events that the log does not hold any more.
    async fn is_lost<P>(&self, view: &ViewId, place: &FeedPlace<P>) -> Result<bool, Error> {
        for position in [place.position, place.seen] {
            let log = &self.0.log_store;
            match log.check_position(view.namespace(), position).await {
                Ok(()) => {}
                Err(ResumeError::Lost { .. }) => return Ok(true),
                Err(ResumeError::Store(error)) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// The reason for which rows of one version do not go on as those of another.
fn change(from: RowsVersion, to: RowsVersion) -> Option<ResyncReason> {
    match (from.table == to.table, from.revision == to.revision) {
        (true, true) => None,
        (true, false) => Some(ResyncReason::Rows),
        (false, _) => Some(ResyncReason::Module),
    }
}
