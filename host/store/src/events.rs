//! The events of streams, and the ledger.

use std::fmt::Debug;

use async_trait::async_trait;
use gavel_model::{
    CommandId, CommandRecord, DeciderName, Namespace, Position, RecordedEvent, StreamId, Version,
};
use time::OffsetDateTime;

use super::{
    Append, AppendError, Appended, Claim, Direction, Error, History, Moment, Outdated, PAGE_BYTES,
    Page, StreamHead, StreamRange, StreamSummary,
};

/// The events of all streams, and the ledger of the commands they follow from.
///
/// ```text
/// stream a:  1 2 3 4          versions: per stream, from 1, without gaps
/// stream b:      1 2          head(b) = 2
/// log:       · · ·   · · ·    positions: over all streams, ascending, with gaps
/// ```
///
/// - Versions of a stream MUST be 1, 2, 3 … in the order in which the appends were acknowledged.
/// - `previous_id` of an event MUST be the id of the event before it in its stream, and none for
///   the first.
/// - `created_at` MUST NOT decrease within a stream.
/// - Positions MUST ascend within a stream. Across streams they MAY differ from the order of
///   acknowledgement.
///
/// A backend below [`Composed`](super::Composed) keeps neither activations nor a registry: it is
/// given no fence, takes events of all types, and has names to keep that no client can give, which
/// [`DeciderName::from_stored`] and [`Namespace::from_stored`] read back.
///
/// Methods that can be built from the others have a provided implementation, for stores that have
/// no faster way.
#[async_trait]
pub trait EventStore: Debug + Send + Sync {
    /// Appends all parts in one transaction, or none of them.
    ///
    /// The answer has one [`Appended`] per part, in order. A later part on the same stream sees the
    /// events of those before it. Implementations MUST lock the streams in one order for all
    /// appends whatever the order of the parts, or without waiting, so that two appends never
    /// deadlock, and MUST check in this order: the fence, the ledger (a known command id wins over
    /// a conflict: the caller then answers with the recorded outcome), `is_final`, the expected
    /// version, the expected previous id, the registry, the event ids. Fence and ledger of all
    /// parts come before the rest of any; of other faults in several parts any one MAY be reported.
    /// Parts without events are checked like all others: nothing is decided on a stream that has
    /// moved or ended.
    ///
    /// Calls MAY share a transaction with others that arrive at the same time; the outcome of each
    /// is its own. A store whose queue is full MUST refuse at once, with
    /// [`AppendError::Overloaded`]. If the future is dropped after it was first polled, the append
    /// may or may not take place: look up the command id, or read the stream.
    ///
    /// # Errors
    ///
    /// Each variant of [`AppendError`] but `OutcomeUnknown` means that nothing was written.
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError>;

    /// Finishes what is under way, and closes the database, which then needs nothing of this
    /// process. For the end of a host: a later call fails, or opens the database again.
    async fn close(&self) {}

    /// Keeps the writers of all hosts away from a stream, once earlier ones have finished, so that
    /// no other append overtakes the next decision on it. For streams on which other hosts have
    /// been faster; the append is checked as always.
    ///
    /// None where the store has one host only, or where too many streams are claimed already: then
    /// append without a claim.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the stream does not become free in time.
    async fn claim(&self, _stream: &StreamId) -> Result<Option<Box<dyn Claim>>, Error> {
        Ok(None)
    }

    /// The newest version of a stream and what belongs to it, in one step whatever the stream's
    /// length; a stream without events is at 0.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error>;

    /// The events of one stream within `range`, in its direction.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] when a stored event cannot be read; none is left out.
    /// [`Error::Unavailable`] as ever.
    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error>;

    /// The first `limit` events of one stream after `after` (exclusive), up to `through`
    /// (inclusive) if there is a bound, as folding needs them; no more than take up [`PAGE_BYTES`],
    /// but one at least. It is what folds long streams: a store SHOULD read nothing that is not in
    /// a [`History`].
    ///
    /// # Errors
    ///
    /// As [`EventStore::read_stream`], and the same error, when something that folding needs cannot
    /// be read. What it does not need, as metadata, MAY be overlooked.
    async fn history(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<History, Error> {
        let range = StreamRange {
            after,
            through,
            limit,
            bytes: PAGE_BYTES,
            direction: Direction::Forward,
        };
        let history = History::from(self.read_stream(stream, range).await?);
        let end = history.head.map_or(after, |head| head.version);
        let newest = self.head(stream).await?.version;
        let last = through.map_or(newest, |through| through.min(newest));
        Ok(History {
            has_more: end < last,
            ..history
        })
    }

    /// The version that the stream had at a time: that of its last event created at or before `at`,
    /// else 0.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn version_at(&self, stream: &StreamId, at: OffsetDateTime) -> Result<Version, Error> {
        let mut range = StreamRange {
            after: Version::EMPTY,
            through: None,
            limit: 1_000,
            bytes: PAGE_BYTES,
            direction: Direction::Backward,
        };
        loop {
            let page = self.read_stream(stream, range).await?;
            let Some(oldest) = page.last() else {
                return Ok(Version::EMPTY);
            };
            if let Some(found) = page.iter().find(|event| event.created_at <= at) {
                return Ok(found.version);
            }
            range.through = Some(oldest.version.previous());
        }
    }

    /// The first `limit` events after `after` of distinct streams of one namespace, in the order of
    /// the log: those that were stored before the moment, whether or not readers of the log are
    /// given them yet. They take up no more than [`PAGE_BYTES`], but one is read at least. A page
    /// costs the same wherever it begins.
    ///
    /// # Errors
    ///
    /// As [`EventStore::read_stream`], where the page would begin with an event that cannot be
    /// read. It may end before one; a reader that has reported it resumes after it.
    async fn read_streams(
        &self,
        streams: &[StreamId],
        after: Position,
        through: &Moment,
        limit: u32,
    ) -> Result<Page<RecordedEvent>, Error> {
        let mut events = Vec::new();
        // The place through which all that is wanted of all streams has been read.
        let mut complete: Option<Position> = None;
        let mut malformed: Option<(Position, Error)> = None;
        for stream in streams {
            let newest = self.head(stream).await?.version;
            let range = StreamRange {
                after: version_through(self, stream, after, newest).await?,
                through: Some(newest),
                limit: limit.saturating_add(1),
                bytes: PAGE_BYTES / streams.len(),
                direction: Direction::Forward,
            };
            if range.after == newest {
                continue;
            }
            let (mut read, unreadable) = read_readable(self, stream, range).await?;
            if let Some(last) = read.last()
                && last.version < newest
            {
                complete = Some(complete.map_or(last.position, |end| end.min(last.position)));
            }
            let unreadable = unreadable.filter(|(position, _)| *position <= through.settled);
            malformed = malformed
                .into_iter()
                .chain(unreadable)
                .min_by_key(|(position, _)| *position);
            read.retain(|event| event.position <= through.settled);
            events.append(&mut read);
        }
        events.sort_unstable_by_key(|event| event.position);
        let complete = complete.filter(|end| *end < through.settled);
        if let Some(complete) = complete {
            events.retain(|event| event.position <= complete);
        }
        let is_cut_off = malformed.is_some();
        if let Some((position, error)) = malformed {
            events.retain(|event| event.position < position);
            if events.is_empty() {
                return Err(error);
            }
        }
        let page = Page::of(events, limit, RecordedEvent::size_bytes);
        Ok(Page {
            has_more: page.has_more || complete.is_some() || is_cut_off,
            ..page
        })
    }

    /// The first `limit` streams of a decider whose id sorts after `after`, by id in the order of
    /// its bytes.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error>;

    /// The ledger's row of a command, with `null` as the payload if that was not stored. A command
    /// that was acknowledged before the call MUST be found.
    ///
    /// Calls MAY share a round trip with others that are made at the same time.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error>;

    /// Checks that the store answers; one cheap round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it does not.
    async fn ping(&self) -> Result<(), Error>;

    /// Waits until the schema's floor is above what this program knows, whereupon the program has
    /// to end. Appends are refused by then, at the latest. Never returns where no other process can
    /// change the schema.
    async fn outdated(&self) -> Outdated {
        std::future::pending().await
    }
}

/// The first events of a part of a stream. If already the first of them cannot be read, its place,
/// and the error.
async fn read_readable<S: EventStore + ?Sized>(
    store: &S,
    stream: &StreamId,
    mut range: StreamRange,
) -> Result<(Vec<RecordedEvent>, Option<(Position, Error)>), Error> {
    loop {
        match store.read_stream(stream, range).await {
            Ok(events) => return Ok((events, None)),
            Err(Error::Malformed { .. }) if range.limit > 1 => range.limit /= 2,
            Err(error) => match error {
                Error::Malformed { position, .. } => {
                    return Ok((Vec::new(), Some((position, error))));
                }
                error => return Err(error),
            },
        }
    }
}

/// The version of the last event of a stream at or before a position. It is looked for from the
/// newest end on, which most readers are near.
async fn version_through<S: EventStore + ?Sized>(
    store: &S,
    stream: &StreamId,
    position: Position,
    newest: Version,
) -> Result<Version, Error> {
    let mut known = Version::EMPTY;
    if position == Position::BEGINNING {
        return Ok(known);
    }
    let (mut later, mut step) = (newest.next(), Some(1));
    while known.next() < later {
        let back = match step {
            Some(step) => step.min(known.events_to(later) - 1),
            None => known.events_to(later) / 2,
        };
        let middle = known.plus(known.events_to(later) - back);
        let found = match store.read_stream(stream, StreamRange::only(middle)).await {
            Ok(events) => events.first().map(|event| event.position),
            Err(Error::Malformed { position, .. }) => Some(position),
            Err(error) => return Err(error),
        };
        if found.is_some_and(|found| found <= position) {
            (known, step) = (middle, None);
        } else {
            (later, step) = (middle, step.map(|step| step * 2));
        }
    }
    Ok(known)
}
