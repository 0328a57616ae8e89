//! What readers ask for, and what they get.

use time::OffsetDateTime;

use crate::core::{Event, EventId, RecordedEvent, Version};

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

/// A part of a stream as folding needs it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// What the stream was after the last of them; none without events.
    pub head: Option<StreamHead>,
}

impl From<Vec<RecordedEvent>> for History {
    /// What folding needs of whole events, oldest first.
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
