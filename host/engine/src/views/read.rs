//! Reads of rows, and the waits for what a reader has written.

use std::time::Duration;

use gavel_model::{ModuleDigest, Position, RowKey, ViewId};
use gavel_store::Error;
use gavel_store::views::{RowPage, RowQuery, RowRead, TableHead, ViewTable};
use tokio::time::{Instant, sleep, timeout_at};

use super::Views;
use super::query::{self, Filter, Misquery};

/// The first pause between two looks at a table that another host moves; it grows up to
/// [`LAST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// The longest pause between two such looks.
const LAST_LOOK: Duration = Duration::from_millis(200);

/// The reason for which rows were not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No module is active under the name.
    #[error("there is no view {view}")]
    NotFound {
        /// The view.
        view: ViewId,
    },
    /// The rows are being built anew, or for the first time.
    #[error("the rows of view {view} are being built")]
    Building {
        /// The view.
        view: ViewId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The reason for which a question for rows was not answered.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The rows cannot be read at all.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The question is one that no index answers, or no question for this view.
    #[error(transparent)]
    Query(#[from] Misquery),
    /// The place after which rows are wanted is none of this order.
    #[error("the place is not one of this order")]
    Place,
}

/// The reason for which rows do not show an event.
#[derive(Debug, thiserror::Error)]
pub enum AfterError {
    /// The rows cannot be read at all.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The table is not there yet.
    #[error("view {view} is at {position}, and not at {wanted} yet")]
    Behind {
        /// The view.
        view: ViewId,
        /// The position that it has reached.
        position: Position,
        /// The position that was wanted.
        wanted: Position,
        /// Tells whether the view is paused.
        is_paused: bool,
    },
}

impl Views {
    /// Reads a row.
    ///
    /// # Errors
    ///
    /// [`ReadError`]. A row that is not there is none.
    pub async fn row(&self, view: &ViewId, key: &RowKey) -> Result<RowRead, ReadError> {
        let read = self.0.store.read(view, key).await?;
        let read = read.ok_or_else(|| Self::not_found(view))?;
        Self::require_whole(view, &read.head)?;
        Ok(read)
    }

    /// Reads a page of the rows that fulfil some conditions, in an order: of a member or of the
    /// key, and whether the greatest comes first.
    ///
    /// # Errors
    ///
    /// [`FindError`].
    pub async fn find(
        &self,
        view: &ViewId,
        filters: &[Filter],
        order: Option<(&str, bool)>,
        after: Option<(Option<&str>, RowKey)>,
        limit: u32,
    ) -> Result<RowPage, FindError> {
        let shape = self.active_table(view).await?.shape;
        let mut query = query::plan(&shape, filters, order)?;
        query.limit = limit;
        if let Some((value, key)) = after {
            let place = query::place(&shape, &query, value, key);
            query.after = Some(place.ok_or(FindError::Place)?);
        }
        Ok(self.rows(view, &query).await?)
    }

    /// Reads a page of rows.
    async fn rows(&self, view: &ViewId, query: &RowQuery) -> Result<RowPage, ReadError> {
        let page = self.0.store.query(view, query).await?;
        let page = page.ok_or_else(|| Self::not_found(view))?;
        Self::require_whole(view, &page.head)?;
        Ok(page)
    }

    pub(super) fn not_found(view: &ViewId) -> ReadError {
        ReadError::NotFound { view: view.clone() }
    }

    fn require_whole(view: &ViewId, head: &TableHead) -> Result<(), ReadError> {
        if head.is_finished {
            Ok(())
        } else {
            Err(ReadError::Building { view: view.clone() })
        }
    }

    /// Waits until the table that people read has come to a position, for as long as the settings
    /// say. A view that is paused is not waited for.
    ///
    /// # Errors
    ///
    /// [`AfterError`].
    pub async fn wait_for(&self, view: &ViewId, wanted: Position) -> Result<(), AfterError> {
        let end = Instant::now() + self.0.settings.wait;
        self.wait_until(view, wanted, end).await
    }

    /// Waits as [`Views::wait_for`] does, until a time.
    pub(super) async fn wait_until(
        &self,
        view: &ViewId,
        wanted: Position,
        end: Instant,
    ) -> Result<(), AfterError> {
        let mut table = self.active_table(view).await?;
        let mut pause = FIRST_LOOK;
        loop {
            let mut position = self.position_of(&table);
            let progress = self.0.progresses.of(table.id);
            if let Some(mut progress) = progress.filter(|_| !table.is_paused) {
                let is_there = progress.wait_for(|progress| progress.position >= wanted);
                match timeout_at(end, is_there).await.map(|seen| seen.is_ok()) {
                    Ok(true) => return Ok(()),
                    // The runner has ended: somebody else moves the table.
                    Ok(false) => {}
                    Err(_elapsed) => position = self.active_table(view).await?.position,
                }
            }
            if position >= wanted {
                return Ok(());
            }
            let is_paused = table.is_paused;
            if is_paused || Instant::now() + pause > end {
                return Err(AfterError::Behind {
                    view: view.clone(),
                    position,
                    wanted,
                    is_paused,
                });
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LAST_LOOK);
            let tables = self.0.tables_lately().await.map_err(ReadError::from)?;
            table = Self::active_of(view, &tables)?.clone();
        }
    }

    /// The table that people read.
    pub(super) async fn active_table(&self, view: &ViewId) -> Result<ViewTable, ReadError> {
        let tables = self.0.store.tables().await?;
        Self::active_of(view, &tables).cloned()
    }

    fn active_of<'t>(view: &ViewId, tables: &'t [ViewTable]) -> Result<&'t ViewTable, ReadError> {
        let mut tables = tables.iter();
        let active = tables.find(|table| table.view == *view && table.active.is_some());
        active.ok_or_else(|| Self::not_found(view))
    }

    /// The module whose rows people read.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn active_module(&self, view: &ViewId) -> Result<ModuleDigest, ReadError> {
        Ok(self.active_table(view).await?.digest)
    }
}
