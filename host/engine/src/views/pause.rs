//! Views that do not follow the log for a while.

use std::time::Duration;

use gavel_model::ViewId;
use gavel_store::views::TableId;
use tokio::time::timeout;

use super::Views;
use super::read::ReadError;

/// The longest time that a pause waits for the end of what is under way.
const END: Duration = Duration::from_secs(5);

impl Views {
    /// Pauses a view, on all hosts and also when they start again. The rows that people read stay
    /// as they are; candidates are built, and former modules follow the log.
    ///
    /// This host folds no event that comes later; others take note within seconds.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn pause(&self, view: &ViewId) -> Result<(), ReadError> {
        self.set_paused(view, true).await?;
        let table = self.active_table(view).await?.id;
        // It does not end where somebody lets it go on at the same time.
        let _ = timeout(END, self.runner_ended(table)).await;
        Ok(())
    }

    /// Lets a view go on that was paused.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn resume(&self, view: &ViewId) -> Result<(), ReadError> {
        self.set_paused(view, false).await
    }

    async fn set_paused(&self, view: &ViewId, is_paused: bool) -> Result<(), ReadError> {
        let is_there = self.0.store.pause(view, is_paused).await?;
        self.0.tell_changes();
        is_there.then_some(()).ok_or_else(|| Self::not_found(view))
    }

    async fn runner_ended(&self, table: TableId) {
        if let Some(mut progress) = self.0.progresses.of(table) {
            while progress.changed().await.is_ok() {}
        }
    }
}
