//! The tag index: the events of some kinds, found by their tags.

use std::collections::BTreeSet;

use async_trait::async_trait;
use gavel_model::{Namespace, Position, RecordedEvent};

use super::{Error, LogStore, PAGE_BYTES, Room};

/// The number of places that are looked at for each condition of a page, so that a tag which many
/// events have keeps no reader for long.
const LOOK: u32 = 1_000;

/// A kind of events: a decider, and the name of an event of its streams.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKind {
    /// The decider's name.
    pub decider: String,
    /// The event's name.
    pub event: String,
}

impl EventKind {
    /// The kind of an event.
    #[must_use]
    pub fn of(event: &RecordedEvent) -> Self {
        Self {
            decider: event.stream.decider().as_str().to_owned(),
            event: event.event.event.clone(),
        }
    }
}

/// A condition on events: an event matches if it is of one of `kinds` and has all of `tags`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCondition {
    /// The kinds of events; at least one.
    pub kinds: BTreeSet<EventKind>,
    /// The tags; at least one. Events are looked for by the first, which is best one that few have.
    pub tags: Vec<String>,
}

impl TagCondition {
    fn matches(&self, event: &RecordedEvent) -> bool {
        self.tags.iter().all(|tag| event.event.tags.contains(tag))
            && self.kinds.contains(&EventKind::of(event))
    }
}

/// The events of a page that were found by tags.
#[derive(Debug, Clone, PartialEq)]
pub struct TaggedPage {
    /// The events, by ascending position.
    pub events: Vec<RecordedEvent>,
    /// The position to go on from.
    pub next: Position,
    /// Tells whether more events may match.
    pub has_more: bool,
}

/// The state of the index after a piece of history was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryIndex {
    /// All events of all guarded kinds of the namespace are indexed.
    Complete,
    /// Events of the history are left that are not indexed yet.
    Incomplete,
    /// Nothing can be indexed before transactions have ended that may not know of a guard.
    Waiting,
}

/// Finds events by their tags.
///
/// A kind of events that somebody wants to find so is *guarded* first, once and for all: whatever
/// is appended from then on, by any writer, MUST be indexed in the transaction that appends it.
/// Then [`TagIndex::index_history`] adds what was there before, step by step; only then is the kind
/// read from. Appends of other kinds MUST NOT cost more than without the index.
#[async_trait]
pub trait TagIndex: LogStore {
    /// Guards kinds of events of a namespace. Those that are guarded already stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn guard_tags(
        &self,
        namespace: &Namespace,
        kinds: &BTreeSet<EventKind>,
    ) -> Result<(), Error>;

    /// Indexes up to `limit` events more that were appended before their kinds were guarded. What
    /// is done is kept when the process ends; any number of hosts may do it at the same time.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn index_history(&self, namespace: &Namespace, limit: u32)
    -> Result<HistoryIndex, Error>;

    /// The places of the first `limit` events after `after` and up to `through` (inclusive) that
    /// are of one of the kinds and may have a tag; none if a kind is not guarded, or not completely
    /// indexed yet. An event that has the tag MUST be among them.
    ///
    /// What comes before `through` must be settled: see
    /// [`Moment::settled`](super::Moment::settled).
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn places_of_tag(
        &self,
        namespace: &Namespace,
        kinds: &BTreeSet<EventKind>,
        tag: &str,
        after: Position,
        through: Position,
        limit: u32,
    ) -> Result<Option<Vec<Position>>, Error>;

    /// The first events after `after` and up to `through` (inclusive) that match one of the
    /// conditions, in the order of the log: at most `limit`, and no more than take up
    /// [`PAGE_BYTES`], but one at least. The page may end earlier. None if the index cannot tell: a
    /// kind is not guarded or not completely indexed yet, or a condition has no tag.
    ///
    /// What comes before `through` must be settled, as the log itself may show less than it has
    /// shown before: see [`Moment::settled`](super::Moment::settled).
    ///
    /// # Errors
    ///
    /// As [`LogStore::events_at`].
    async fn tagged(
        &self,
        namespace: &Namespace,
        conditions: &[TagCondition],
        after: Position,
        through: Position,
        limit: u32,
    ) -> Result<Option<TaggedPage>, Error> {
        let mut places = BTreeSet::new();
        // Behind this there may be places that were not looked at.
        let mut end: Option<Position> = None;
        for TagCondition { kinds, tags } in conditions {
            let Some(tag) = tags.first() else {
                return Ok(None);
            };
            let found = self.places_of_tag(namespace, kinds, tag, after, through, LOOK);
            let Some(found) = found.await? else {
                return Ok(None);
            };
            if found.len() >= LOOK as usize {
                end = end.into_iter().chain(found.last().copied()).min();
            }
            places.extend(found);
        }
        let mut page = TaggedPage {
            events: Vec::new(),
            next: after,
            has_more: true,
        };
        let is_looked_at = |place: &Position| end.is_none_or(|end| *place <= end);
        let places: Vec<Position> = places.into_iter().filter(is_looked_at).collect();
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut rest = &places[..];
        while !rest.is_empty() {
            if room.is_used_up() {
                return Ok(Some(page));
            }
            let (some, later) = rest.split_at(rest.len().min(room.rows() as usize));
            for event in self.events_at(namespace, some).await? {
                if !conditions.iter().any(|condition| condition.matches(&event)) {
                    continue;
                }
                if !room.take(&event) {
                    return Ok(Some(page));
                }
                page.next = event.position;
                page.events.push(event);
            }
            page.next = some.last().copied().unwrap_or(page.next);
            rest = later;
        }
        page.has_more = end.is_some();
        Ok(Some(page))
    }
}
