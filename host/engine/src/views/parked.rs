//! Rows that are parked, and another try to fold what waits.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::{RecordedEvent, RowKey, ViewId};
use gavel_sandbox::RunError;
use gavel_store::Error;
use gavel_store::views::{CommitError, ParkedRow, TableId};
use tokio::time::sleep;

use super::Views;
use super::folding::{RowFolder, RowTask};
use super::page::Changes;
use super::read::ReadError;
use crate::catalog;

/// The number of tries while the table moves on meanwhile.
const TRIES: u32 = 50;
/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(5);
/// The most events that are folded at once.
const PAGE: u32 = 100;

/// The reason for which a parked row could not be tried again.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// The row is not parked.
    #[error("row {key} of view {view} is not parked")]
    NotParked {
        /// The view.
        view: ViewId,
        /// The row.
        key: RowKey,
    },
    /// The rows cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The module cannot be made ready.
    #[error("the view's module cannot be used")]
    Module(#[source] catalog::Error),
    /// The module could not be called now.
    #[error("the module could not be called")]
    NotRun(#[source] RunError),
    /// The table moved on each time before the row was folded.
    #[error("so much is folded that the row could not be tried meanwhile")]
    Contended,
}

impl From<Error> for RetryError {
    fn from(error: Error) -> Self {
        Self::Read(ReadError::Store(error))
    }
}

impl Views {
    /// Folds what waits behind a parked row. Gives its fault, if it has one again.
    ///
    /// # Errors
    ///
    /// [`RetryError`].
    pub async fn retry(
        &self,
        view: &ViewId,
        key: &RowKey,
    ) -> Result<Option<ParkedRow>, RetryError> {
        let _alone = self.0.retrying.lock().await;
        loop {
            if let ControlFlow::Break(again) = self.retry_some(view, key).await? {
                return Ok(again);
            }
        }
    }

    /// Folds the first of what waits, and keeps the row parked at the event after that. Breaks at
    /// the end of what waits, or at a fault.
    async fn retry_some(
        &self,
        view: &ViewId,
        key: &RowKey,
    ) -> Result<ControlFlow<Option<ParkedRow>>, RetryError> {
        for _ in 0..TRIES {
            let read = self.row(view, key).await?;
            let Some(parked) = read.parked else {
                let (view, key) = (view.clone(), key.clone());
                return Err(RetryError::NotParked { view, key });
            };
            let table = read.head.table;
            let module = self.0.modules.view(read.head.digest).await;
            let module = module.map_err(RetryError::Module)?;
            let mut events = self.waiting_events(view, table, &parked).await?;
            let rest = events.split_off(events.len().min(PAGE as usize));
            let events = Arc::new(events);
            let places = 0..u32::try_from(events.len()).unwrap_or(u32::MAX);
            let task = RowTask {
                key: key.clone(),
                value: read.value,
                events: places.collect(),
            };
            let limits = self.0.settings.limits;
            let (page, row, code) = (Arc::clone(&events), task.clone(), Arc::clone(&module));
            let (id, digest) = (view.clone(), read.head.digest);
            let outputs = Arc::clone(self.0.modules.outputs());
            let fold = move || {
                let mut folder = RowFolder::new(code, limits);
                let page: Vec<&RecordedEvent> = page.iter().collect();
                let folded = folder.fold(&page, &[row]);
                if let Some(output) = folder.take_output() {
                    outputs.add_of_view(&id, digest, output);
                }
                folded
            };
            let runtime = self.0.modules.runtime();
            let folded = runtime.run_for_reader(module.module(), fold).await;
            let folded = folded
                .and_then(|folded| folded)
                .map_err(RetryError::NotRun)?;
            let Some(folded) = folded.into_iter().next() else {
                return Err(RetryError::Contended);
            };
            let page: Vec<&RecordedEvent> = events.iter().collect();
            let at = read.head.position;
            let mut changes = Changes::new(&page, self.0.clock.now(), table, (at, at));
            changes.add(&task, folded);
            let mut change = changes.into_change();
            let again = change.parked.first().cloned();
            let next = rest.first().filter(|_| again.is_none());
            match next {
                Some(next) => change.parked.push(ParkedRow {
                    position: next.position,
                    event_id: next.event.event_id,
                    reason: "all before this event was folded by a retry".to_owned(),
                    ..parked
                }),
                None if again.is_none() => change.unparked.push(key.clone()),
                None => {}
            }
            match self.0.store.commit(change).await {
                Ok(()) if next.is_some() => return Ok(ControlFlow::Continue(())),
                Ok(()) => return Ok(ControlFlow::Break(again)),
                Err(CommitError::Moved | CommitError::Gone | CommitError::Held) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
            sleep(PAUSE).await;
        }
        Err(RetryError::Contended)
    }

    /// The event that a row is parked at, and the first of those that wait behind it: in all one
    /// more than are folded at once, if there are so many.
    async fn waiting_events(
        &self,
        view: &ViewId,
        table: TableId,
        parked: &ParkedRow,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let store = &self.0.store;
        let waiting = store.waiting(table, &parked.key, parked.position, PAGE);
        let mut positions = vec![parked.position];
        positions.extend(waiting.await?);
        self.0
            .log_store
            .events_at(view.namespace(), &positions)
            .await
    }
}
