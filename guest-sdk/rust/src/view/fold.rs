//! The view's exports as plain functions over text, which `export` binds to the component, and
//! tests run natively.

use super::rules::{Row, View, ViewModule};
use crate::log::{self, EventText, FoldError, Recorded};

/// A row as it is stored, and the events that are to be folded into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// The row as JSON; none if there is no such row.
    pub value: Option<String>,
    /// The events in order, as indexes into the page; the first is 0.
    pub events: Vec<u32>,
}

/// The keys of each event, each once.
///
/// # Panics
///
/// When the author's `keys` needs an event that cannot be read.
#[must_use]
pub fn keys<V: ViewModule>(events: Vec<Recorded<EventText>>) -> Vec<Vec<String>> {
    log::keys(V::KEY, V::keys, events)
}

/// Folds a page of events: for each row its new value, none when there is no such row any more.
pub fn fold<V: View>(
    events: Vec<Recorded<EventText>>,
    rows: &[StoredRow],
) -> Vec<Result<Option<String>, FoldError>> {
    // Each is read once, however many rows it changes.
    let events: Vec<_> = events.into_iter().map(log::read::<V::Event>).collect();
    rows.iter().map(|row| fold_row::<V>(&events, row)).collect()
}

fn fold_row<V: View>(
    page: &[Result<Recorded<V::Event>, String>],
    row: &StoredRow,
) -> Result<Option<String>, FoldError> {
    let fault = |index, message| FoldError { index, message };
    let value = row.value.as_deref().map(gavel_json::read).transpose();
    let mut state: Option<V> =
        value.map_err(|error| fault(0, format!("the stored row cannot be read: {error}")))?;
    let mut index = 0;
    for (place, number) in (0..).zip(&row.events) {
        index = place;
        let event = usize::try_from(*number)
            .ok()
            .and_then(|number| page.get(number))
            .ok_or_else(|| fault(index, format!("the page has no event {number}")))?;
        let event = event
            .as_ref()
            .map_err(|error| fault(index, error.clone()))?;
        let mut row = state.unwrap_or_default();
        state = match row.evolve(event) {
            Row::Keep => Some(row),
            Row::End => None,
        };
    }
    let text = state.as_ref().map(gavel_json::write_sorted).transpose();
    text.map_err(|error| fault(index, format!("the row cannot be written as JSON: {error}")))
}
