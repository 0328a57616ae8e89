//! What readers ask for, and what they get.

use time::OffsetDateTime;

use crate::core::{EventId, Position, RecordedEvent, Version};

/// In which direction a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the oldest to the newest.
    Forward,
    /// From the newest to the oldest.
    Backward,
}

/// A part of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRange {
    /// Only events of a higher version; exclusive.
    pub after: Version,
    /// Only events up to this version; inclusive; none for no bound.
    pub through: Option<Version>,
    /// At most so many events.
    pub limit: u32,
    /// From which end the limit counts.
    pub direction: Direction,
}

/// The newest end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamHead {
    /// The version of the newest event; 0 without events.
    pub version: Version,
    /// The id of the newest event.
    pub last_event_id: Option<EventId>,
    /// Whether the stream has ended.
    pub is_final: bool,
}

/// A stream in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// The id within its decider.
    pub id: String,
    /// The version of the newest event.
    pub version: Version,
    /// Whether the stream has ended.
    pub is_final: bool,
    /// When the newest event was created.
    pub updated_at: OffsetDateTime,
}

/// Which events of the log are wanted. All conditions hold together; an empty list is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// Any of these deciders.
    pub deciders: Vec<String>,
    /// Any of these event names.
    pub events: Vec<String>,
    /// A pattern for the stream id by dot-separated token: `*` is one token, `>` at the end is the rest (at least one token).
    pub id_pattern: Option<String>,
}

/// A page of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// The events, by ascending position.
    pub events: Vec<RecordedEvent>,
    /// Where to resume. It is past everything that this page has looked at, whether or not it passed the filter.
    pub next: Position,
    /// Whether there was nothing more to read when the page was made.
    pub caught_up: bool,
}
