//! The whole past of a decider, stream by stream, through which the gate takes a candidate.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use gavel_model::{
    CommandId, CommandRecord, DeciderName, Event, EventId, Namespace, Position, RecordedEvent,
    Version,
};
use uuid::Uuid;

use super::Error;

/// The streams to read: all of one decider in one namespace, or a selection of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRange {
    /// The namespace.
    pub namespace: Namespace,
    /// The decider.
    pub decider: DeciderName,
    /// The selected streams, each from after a place in it; in order, and no stream twice. None for
    /// all streams, from their beginnings.
    pub streams: Option<Arc<[Place]>>,
    /// The upper bound in time: only what was stored before this moment is read; none for all.
    pub through: Option<Moment>,
    /// The lower bound in time for commands without events: only those stored after this moment are
    /// read; none for all. Events are not left out: folding needs the earlier ones, too.
    pub eventless_since: Option<Moment>,
}

impl PastRange {
    /// The version after which a stream is read.
    #[must_use]
    pub fn start_of(&self, id: &str) -> Version {
        Place::of(id, self.streams.as_deref().unwrap_or_default())
    }

    /// The places to continue from in the selected streams, after a place that has been read; none
    /// if all streams are read.
    pub fn starts_after<'s>(
        &'s self,
        after: &'s Place,
    ) -> Option<impl Iterator<Item = Place> + 's> {
        let streams = self.streams.as_deref()?;
        let passed = streams.partition_point(|start| start.id < after.id);
        let rest = streams.get(passed..).unwrap_or_default().iter();
        Some(rest.map(|start| start.max_of_stream(after).clone()))
    }

    /// The places to continue from, as [`PastRange::starts_after`] gives them, for commands.
    pub fn command_starts_after<'s>(
        &'s self,
        (after, command_id): &'s (Place, CommandId),
    ) -> Option<impl Iterator<Item = (Place, CommandId)> + 's> {
        let starts = self.starts_after(after)?;
        Some(starts.map(|start| match start == *after {
            true => (start, *command_id),
            false => (start, Uuid::nil()),
        }))
    }
}

/// A place in the past of a decider: after this version of this stream. Places are ordered by the
/// bytes of the id, then by version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The id of the stream within its decider. The default, which no stream has, comes before all.
    pub id: String,
    /// The version.
    pub version: Version,
}

impl Place {
    /// The version of a stream among places that are in order; 0 if the stream is not among them.
    #[must_use]
    pub fn of(id: &str, places: &[Self]) -> Version {
        let found = places.binary_search_by(|place| place.id.as_str().cmp(id));
        let place = found.ok().and_then(|index| places.get(index));
        place.map_or(Version::EMPTY, |place| place.version)
    }

    /// The later of two places in one stream; this place if they are in two.
    fn max_of_stream<'p>(&'p self, other: &'p Self) -> &'p Self {
        match self.id == other.id {
            true => self.max(other),
            false => self,
        }
    }
}

/// A run of successive events of one stream, as folding needs them.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The id of the stream within its decider.
    pub id: String,
    /// The version before the first of the events.
    pub after: Version,
    /// The events, oldest first; at least one.
    pub events: Vec<Event>,
    /// The command that each of them followed from, in the same order.
    pub command_ids: Vec<CommandId>,
}

/// A page of a past.
#[derive(Debug, Clone, PartialEq)]
pub struct PastPage {
    /// The segments, by stream and version.
    pub segments: Vec<Segment>,
    /// Tells whether more may follow than the page has room for.
    pub has_more: bool,
}

/// The number of events in one part of a decider's past.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// The number of events.
    pub events: u64,
    /// The end of the part, if more may follow.
    pub end: Option<Place>,
}

/// A moment in the life of a store: each event, and each row of the ledger, was stored before it or
/// after it.
///
/// The default comes before everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moment {
    /// The position up to which (inclusive) all events were stored before the moment; of later
    /// events, only few were.
    pub settled: Position,
    /// The rest of the moment, in a form that only the store that named it reads.
    pub mark: String,
}

/// Reads the past of deciders in the order of their streams.
///
/// ```text
/// stream a:  1 2 3      segments(after a/2, limit 3):  a: 3 | c: 1 2
/// stream c:  1 2 3 4
/// ```
///
/// Each call reads the state at one moment; what is appended between two calls MAY be left out,
/// unless the range names a [`Moment`] as its upper bound. Pages MUST cost the same wherever they
/// begin.
#[async_trait]
pub trait PastStore: Debug + Send + Sync {
    /// The first `limit` events after `after`, by stream and version; no more than take up
    /// [`PAGE_BYTES`](super::PAGE_BYTES), but one at least.
    ///
    /// # Errors
    ///
    /// As [`EventStore::history`](super::EventStore::history).
    async fn segments(
        &self,
        range: &PastRange,
        after: &Place,
        limit: u32,
    ) -> Result<PastPage, Error>;

    /// The first `limit` commands that have left no event, rejected ones among them, after `after`:
    /// by stream, the version that was decided at, and id. `after` is the place and the id of the
    /// last one that is known; the nil id comes before all others.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn eventless(
        &self,
        range: &PastRange,
        after: &(Place, CommandId),
        limit: u32,
    ) -> Result<Vec<CommandRecord>, Error>;

    /// The rows of the ledger with these ids. An id that the ledger does not hold, as that of an
    /// import, is left out.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn commands(
        &self,
        namespace: &Namespace,
        ids: &[CommandId],
    ) -> Result<HashMap<CommandId, CommandRecord>, Error>;

    /// One event by its id.
    ///
    /// # Errors
    ///
    /// As [`EventStore::read_stream`](super::EventStore::read_stream).
    async fn event(
        &self,
        namespace: &Namespace,
        event_id: EventId,
    ) -> Result<Option<RecordedEvent>, Error>;

    /// The present moment. Every write that was acknowledged before the call comes before it.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn moment(&self, namespace: &Namespace) -> Result<Moment, Error>;

    /// The streams of a decider in which something was stored after a moment, events or commands
    /// without events, by id. Each with the version that the stream had at the moment: all
    /// decisions before the moment were made at this version or an earlier one, and all decisions
    /// after the moment at this version or a later one. None if there are more than `limit`, or if
    /// the store no longer knows.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn moved_since(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        since: &Moment,
        limit: u32,
    ) -> Result<Option<Vec<Place>>, Error>;

    /// Counts events from the beginning, or from the end of an earlier count, so that the time to
    /// read them all can be estimated. The store looks at `limit` entries at most (at least 1),
    /// which are streams or events as it likes.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn count_events(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: &Place,
        limit: u32,
    ) -> Result<Counted, Error>;
}
