//! The rows that events of the log change, told without folding.

use std::collections::BTreeSet;
use std::sync::Arc;

use gavel_model::{Namespace, Position, RecordedEvent, RowKey};
use gavel_sandbox::RunError;
use gavel_store::{Error, LogFilter};

use super::Views;
use super::folding::{Keys, RowFolder};
use super::page::keys_of;
use crate::catalog::View;

/// The number of events that are read at a time.
const PAGE: u32 = 1_000;

/// The rows that a stretch of the log changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Touched {
    /// The keys of the rows.
    pub keys: BTreeSet<RowKey>,
    /// The end of the stretch.
    pub through: Position,
    /// Tells whether the log ended there.
    pub is_end: bool,
}

/// The reason for which the rows could not be told.
#[derive(Debug, thiserror::Error)]
pub enum TouchedError {
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] Error),
    /// The module could not be called now.
    #[error("the module could not be called")]
    NotRun(#[from] RunError),
}

impl Views {
    /// Tells which rows of a module the next events after a position change; an event whose keys
    /// cannot be told changes none.
    ///
    /// # Errors
    ///
    /// [`TouchedError`].
    pub async fn touched(
        &self,
        view: &Arc<View>,
        namespace: &Namespace,
        after: Position,
    ) -> Result<Touched, TouchedError> {
        let filter = LogFilter::from(view.filter());
        let page = self
            .0
            .log_store
            .read_log(namespace, after, &filter, PAGE)
            .await;
        let page = match page {
            Ok(page) => page,
            Err(Error::Malformed { position, .. }) => {
                return Ok(Touched {
                    keys: BTreeSet::new(),
                    through: position,
                    is_end: false,
                });
            }
            Err(error) => return Err(error.into()),
        };
        let (through, is_end) = (page.next, page.caught_up);
        let keys = self.keys_of(view, page.events).await?;
        let keys = keys.into_iter().flatten().flatten().collect();
        Ok(Touched {
            keys,
            through,
            is_end,
        })
    }

    /// The keys of some events, without those that the view does not read.
    pub(super) async fn keys_of(
        &self,
        view: &Arc<View>,
        events: Vec<RecordedEvent>,
    ) -> Result<Vec<Keys>, RunError> {
        let (of, limits) = (Arc::clone(view), self.0.settings.limits);
        let tell = move || {
            let read: Vec<_> = events.iter().filter(|event| of.reads(event)).collect();
            keys_of(&mut RowFolder::new(Arc::clone(&of), limits), &read, &of)
        };
        let runtime = self.0.modules.runtime();
        runtime.run_for_reader(view.module(), tell).await?
    }
}
