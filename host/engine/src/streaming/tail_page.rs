//! A stretch of the log, and what a subscription sees of it.

use std::sync::Arc;

use gavel_model::{Position, RecordedEvent};
use gavel_store::LogFilter;

/// All that is in the log of a namespace behind `after` up to `next`, of what passed the filter
/// that it was read with.
#[derive(Debug, Default)]
pub(super) struct TailPage {
    /// Exclusive.
    pub(super) after: Position,
    /// Inclusive.
    pub(super) next: Position,
    /// By ascending position.
    pub(super) events: Vec<RecordedEvent>,
    /// The stored event at `next`, if it cannot be read; then there are no others.
    pub(super) malformed: Option<Malformed>,
    /// Tells whether the log ended with this page when the page was read.
    pub(super) caught_up: bool,
    /// Tells whether an event after the page was committed and could not be read yet.
    pub(super) is_withheld: bool,
    /// The memory that the events take up, in bytes; about right.
    pub(super) bytes: usize,
}

/// A stored event that cannot be read. It is reported in its place; reading continues after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The stream, as the row names it.
    pub stream: String,
    /// The row's place in the log.
    pub position: Position,
    /// The reason for which the event cannot be read.
    pub reason: String,
    /// The row's payload as it is stored.
    pub raw: String,
}

/// Events that pass the filter of a subscription; at least one, by ascending position. Shared with
/// others, and cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    page: Arc<TailPage>,
    after: Position,
    filter: Arc<LogFilter>,
}

impl Events {
    /// Selects the events of the page after `after` (exclusive) that pass `filter`; none when there
    /// are none.
    pub(super) fn of(page: Arc<TailPage>, after: Position, filter: Arc<LogFilter>) -> Option<Self> {
        let events = Self {
            page,
            after,
            filter,
        };
        let is_empty = events.iter().next().is_none();
        (!is_empty).then_some(events)
    }

    /// Iterates over the events.
    pub fn iter(&self) -> impl Iterator<Item = &RecordedEvent> {
        self.iter_with_places().map(|(_, event)| event)
    }

    /// Iterates over the events, each with its place on the page, by which [`Events::at`] finds it.
    pub fn iter_with_places(&self) -> impl Iterator<Item = (usize, &RecordedEvent)> {
        let start = self
            .page
            .events
            .partition_point(|event| event.position <= self.after);
        let behind = self.page.events.iter().enumerate().skip(start);
        behind.filter(|(_, event)| self.filter.passes(event))
    }

    /// The event at a place of the page.
    ///
    /// # Panics
    ///
    /// When the page has no such place.
    #[must_use]
    pub fn at(&self, place: usize) -> &RecordedEvent {
        &self.page.events[place]
    }
}
