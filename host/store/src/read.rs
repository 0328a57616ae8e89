//! The pages that readers ask for, and the bounds of their sizes.

use gavel_model::{Event, EventId, RecordedEvent, Version};
use time::OffsetDateTime;

/// The direction in which a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The order from the oldest to the newest.
    Forward,
    /// The order from the newest to the oldest.
    Backward,
}

/// The largest size in bytes of the events of one page (of the log, of a stream or of a past), or
/// of one lease; a single event may be larger.
pub const PAGE_BYTES: usize = 512 * 1024;

/// A page of a list. One that has more is not empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items in the order of the list; no more than take up [`PAGE_BYTES`], but one at least.
    pub items: Vec<T>,
    /// Tells whether more items follow after the last one.
    pub has_more: bool,
}

/// The page of an empty list.
impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            has_more: false,
        }
    }
}

impl<T> Page<T> {
    /// Takes as many of the items as there is room for, each of which has a size in bytes.
    pub fn of(
        items: impl IntoIterator<Item = T>,
        limit: u32,
        size_bytes: impl Fn(&T) -> usize,
    ) -> Self {
        let mut room = Room::new(limit, PAGE_BYTES);
        let items = items.into_iter();
        let items = items.take_while(|item| room.take_bytes(size_bytes(item)));
        Self {
            items: items.collect(),
            has_more: room.is_full(),
        }
    }
}

/// The room that is left on a page, in events and in bytes.
#[derive(Debug)]
pub struct Room {
    events: u32,
    bytes: usize,
    first_rows: usize,
    taken_events: usize,
    taken_bytes: usize,
    is_full: bool,
}

impl Room {
    /// The number of events in the first read from a database, before their sizes are known.
    const FIRST_ROWS: usize = 16;
    /// The same for folding, which reads long streams and less of each event.
    const FIRST_ROWS_OF_HISTORY: usize = 64;
    /// The factor by which a read may be larger than the one before it: later events may take more
    /// bytes.
    const GROWTH: usize = 4;

    /// Makes room for a number of events, and for as many as take up a number of bytes.
    pub fn new(events: u32, bytes: usize) -> Self {
        Self {
            events,
            bytes,
            first_rows: Self::FIRST_ROWS,
            taken_events: 0,
            taken_bytes: 0,
            is_full: events == 0,
        }
    }

    /// Makes room for a page of a [`History`] or of [`Segments`](super::Segment).
    pub fn of_history(events: u32) -> Self {
        Self {
            first_rows: Self::FIRST_ROWS_OF_HISTORY,
            ..Self::new(events, PAGE_BYTES)
        }
    }

    /// Takes one more event if the page has room for it. The first event always has room. After an
    /// event found no room, no later one has.
    pub fn take(&mut self, event: &RecordedEvent) -> bool {
        self.take_bytes(event.size_bytes())
    }

    /// Takes an event of this size, as [`Room::take`] does.
    pub fn take_bytes(&mut self, bytes: usize) -> bool {
        let bytes = self.taken_bytes.saturating_add(bytes);
        self.is_full |= self.events == 0 || (self.taken_events > 0 && bytes > self.bytes);
        if !self.is_full {
            self.events -= 1;
            self.taken_events += 1;
            self.taken_bytes = bytes;
        }
        !self.is_full
    }

    /// Tells whether an event has found no room.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Tells whether as many events as were asked for are taken.
    pub fn is_used_up(&self) -> bool {
        self.events == 0
    }

    /// The number of events that a store should read at once if it cannot stop between two of them.
    pub fn rows(&self) -> u32 {
        if self.bytes == usize::MAX {
            return self.events;
        }
        let rows = match self.taken_bytes.checked_div(self.taken_events) {
            None => self.first_rows,
            Some(each) => {
                let fitting = (self.bytes.saturating_sub(self.taken_bytes)) / each.max(1);
                // One more shows that the page is full.
                (fitting + 1).min(self.taken_events * Self::GROWTH)
            }
        };
        u32::try_from(rows).map_or(self.events, |rows| rows.min(self.events))
    }
}

/// A part of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRange {
    /// The version after which events are read; exclusive.
    pub after: Version,
    /// The last version that is read; inclusive; none for no bound.
    pub through: Option<Version>,
    /// The largest number of events.
    pub limit: u32,
    /// The largest size of the events, in bytes and approximate; one event is read at least.
    pub bytes: usize,
    /// The end of the stream from which the limit counts.
    pub direction: Direction,
}

impl StreamRange {
    /// All events after a version, oldest first, as many as fit on a page.
    #[must_use]
    pub fn page_after(after: Version) -> Self {
        Self {
            after,
            through: None,
            limit: u32::MAX,
            bytes: PAGE_BYTES,
            direction: Direction::Forward,
        }
    }

    /// The event at a version, whatever its size.
    #[must_use]
    pub fn only(version: Version) -> Self {
        Self {
            after: version.previous(),
            through: Some(version),
            limit: 1,
            bytes: usize::MAX,
            direction: Direction::Forward,
        }
    }
}

/// A part of a stream as folding needs it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// The head of the stream after the last of the events; none without events.
    pub head: Option<StreamHead>,
    /// Tells whether more may follow than the page has room for.
    pub has_more: bool,
}

impl From<Vec<RecordedEvent>> for History {
    /// Keeps the parts of the events that folding needs. The events MUST be all there are, oldest
    /// first.
    fn from(recorded: Vec<RecordedEvent>) -> Self {
        let head = recorded.last().map(|newest| StreamHead {
            version: newest.version,
            last_event_id: Some(newest.event.event_id),
            is_final: newest.event.is_final,
        });
        let events = recorded.into_iter().map(|recorded| recorded.event.into());
        Self {
            events: events.collect(),
            head,
            has_more: false,
        }
    }
}

/// The newest end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamHead {
    /// The version of the newest event; 0 without events.
    pub version: Version,
    /// The id of the newest event.
    pub last_event_id: Option<EventId>,
    /// Tells whether the stream has ended.
    pub is_final: bool,
}

/// A stream in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// The id of the stream within its decider.
    pub id: String,
    /// The version of the newest event.
    pub version: Version,
    /// Tells whether the stream has ended.
    pub is_final: bool,
    /// The creation time of the newest event.
    pub updated_at: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use gavel_model::Position;

    use super::*;
    use crate::conformance::support;

    fn sized(bytes: usize) -> RecordedEvent {
        RecordedEvent {
            stream: support::stream("a"),
            version: Version::EMPTY,
            position: Position::BEGINNING,
            previous_id: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
            event: support::sized(bytes),
        }
    }

    #[test]
    fn a_page_has_room_for_one_event_of_any_size_and_for_more_that_fit() {
        let mut room = Room::new(2, 2_000);
        assert!(room.take(&sized(10_000)));
        assert!(!room.take(&sized(0)) && room.is_full());
        let mut room = Room::new(2, 2_000);
        assert!(room.take(&sized(0)) && room.take(&sized(0)) && !room.is_full());
        assert!(!room.take(&sized(0)));
    }

    #[test]
    fn no_more_is_read_at_once_than_is_likely_to_fit() {
        let mut room = Room::new(1_000, PAGE_BYTES);
        assert_eq!(room.rows(), 16);
        for _ in 0..16 {
            assert!(room.take(&sized(0)));
        }
        assert_eq!(room.rows(), 64);
        assert!(room.take(&sized(400_000)));
        assert_eq!(room.rows(), 5);
        assert_eq!(Room::new(7, PAGE_BYTES).rows(), 7);
        assert_eq!(Room::new(1_000, usize::MAX).rows(), 1_000);
    }
}
