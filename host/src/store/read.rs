//! What readers ask for, and what they get.

use time::OffsetDateTime;

use crate::core::{Event, EventId, Position, RecordedEvent, Version, is_wanted};

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

/// Which events of the log are wanted. All conditions hold together; an empty list is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// Any of these deciders.
    pub deciders: Vec<String>,
    /// Any of these event names.
    pub events: Vec<String>,
    /// A pattern for the stream id by dot-separated token: `*` is one token, `>` at the end is the rest (at least one token). A token
    /// may be empty; inside a longer token, and anywhere but at the end, these characters stand for themselves.
    pub id_pattern: Option<String>,
}

impl LogFilter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn passes(&self, event: &RecordedEvent) -> bool {
        self.passes_names(event.stream.decider().as_str(), &event.event.event)
            && self.passes_id(event.stream.id())
    }

    /// Whether events of this decider and name are wanted, by the names alone.
    #[must_use]
    pub fn passes_names(&self, decider: &str, event: &str) -> bool {
        is_wanted(&self.deciders, decider) && is_wanted(&self.events, event)
    }

    /// Whether events of streams with this id are wanted, by the pattern alone.
    #[must_use]
    pub fn passes_id(&self, id: &str) -> bool {
        self.id_pattern
            .as_ref()
            .is_none_or(|pattern| matches_pattern(pattern, id))
    }
}

fn matches_pattern(pattern: &str, id: &str) -> bool {
    let mut tokens = id.split('.');
    let mut wanted = pattern.split('.').peekable();
    while let Some(want) = wanted.next() {
        let token = tokens.next();
        if want == ">" && wanted.peek().is_none() {
            return token.is_some();
        }
        if token.is_none_or(|token| want != "*" && want != token) {
            return false;
        }
    }
    tokens.next().is_none()
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
