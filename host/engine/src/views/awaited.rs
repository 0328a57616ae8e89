//! The waits of senders, who want rows to show what has followed from their commands.

use std::collections::BTreeSet;

use gavel_model::{RecordedEvent, RowKey, ViewId};
use tokio::time::{Instant, timeout_at};

use super::Views;
use super::read::AfterError;

/// The number of rows that are looked at together: each may be large.
const AT_ONCE: usize = 16;

/// The reason for which the rows of a view do not show events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// The view has not come to the events in time.
    Late,
    /// The view is paused.
    Paused,
    /// A row of theirs is parked, or one of the events is.
    Parked,
}

impl Views {
    /// Waits until people read rows of some views that show events, for as long as the settings
    /// say. Gives the views whose rows do not, each with the reason.
    pub async fn wait_for_events<'v>(
        &self,
        views: &'v [ViewId],
        events: &[&RecordedEvent],
    ) -> Vec<(&'v ViewId, Lateness)> {
        let end = Instant::now() + self.0.settings.wait;
        let mut late = Vec::new();
        for view in views {
            if let Some(lateness) = self.lateness(view, events, end).await {
                late.push((view, lateness));
            }
        }
        late
    }

    async fn lateness(
        &self,
        view: &ViewId,
        events: &[&RecordedEvent],
        end: Instant,
    ) -> Option<Lateness> {
        let newest = events.iter().map(|event| event.position).max()?;
        match self.wait_until(view, newest, end).await {
            Ok(()) => {}
            Err(AfterError::Behind {
                is_paused: true, ..
            }) => return Some(Lateness::Paused),
            Err(AfterError::Behind { .. } | AfterError::Read(_)) => return Some(Lateness::Late),
        }
        match timeout_at(end, self.are_parked(view, events)).await {
            Ok(Some(false)) => None,
            Ok(Some(true)) => Some(Lateness::Parked),
            Ok(None) | Err(_) => Some(Lateness::Late),
        }
    }

    /// Tells whether a row of the events is parked, or one of the events; none if that cannot be
    /// found out now.
    async fn are_parked(&self, view: &ViewId, events: &[&RecordedEvent]) -> Option<bool> {
        let table = self.active_table(view).await.ok()?;
        if table.parked_rows + table.parked_events == 0 {
            return Some(false);
        }
        let module = self.0.modules.view(table.digest).await.ok()?;
        let events = events.iter().map(|event| (*event).clone()).collect();
        let mut keys = BTreeSet::new();
        for of_event in self.keys_of(&module, events).await.ok()? {
            match of_event {
                Ok(of_event) => keys.extend(of_event),
                Err(_) => return Some(true),
            }
        }
        let keys: Vec<RowKey> = keys.into_iter().collect();
        for some in keys.chunks(AT_ONCE) {
            let rows = self.0.store.rows(table.id, some).await.ok()?;
            if rows.iter().any(|row| row.is_parked) {
                return Some(true);
            }
        }
        Some(false)
    }
}
