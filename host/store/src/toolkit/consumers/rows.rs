//! The rows that the rules of consumers work on, and the interface through which a store finds and
//! keeps them.

use std::ops::ControlFlow;
use std::time::Duration;

use gavel_model::{
    ConsumerId, ConsumerSettings, DeciderName, LeaseId, NameError, Parked, Position, RecordedEvent,
    StreamId, Version,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::Error;

/// The stored form of a consumer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// The consumer's settings.
    pub settings: ConsumerSettings,
    /// Tells whether leasing is stopped.
    pub is_paused: bool,
    /// The reason for which a host paused the consumer.
    pub paused_reason: Option<String>,
    /// The time at which the consumer was created.
    pub created_at: OffsetDateTime,
    /// The end of the part of the log that is handed out, inclusive.
    pub cursor: Position,
    /// Events created earlier are not wanted.
    pub since: Option<OffsetDateTime>,
}

impl Registered {
    pub(super) fn wants(&self, entry: &LogEntry) -> bool {
        self.since
            .is_none_or(|since| since <= entry.place.created_at)
            && self
                .settings
                .filter
                .passes_names(&entry.decider, &entry.event)
            && entry
                .tags
                .as_ref()
                .is_none_or(|tags| self.settings.filter.passes_tags(tags))
    }
}

/// The place of an event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EventCoordinates {
    /// The version of the event in its stream.
    pub version: Version,
    /// The position in the log.
    pub position: Position,
    /// The time at which the event was stored.
    pub created_at: OffsetDateTime,
}

/// An event without its payload.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// The decider of the event's stream.
    pub decider: String,
    /// The id of the event's stream.
    pub id: String,
    /// The name of the event's type.
    pub event: String,
    /// The labels; none if they cannot be read: then the event counts as wanted, and is reported
    /// once it is read as a whole.
    pub tags: Option<Vec<String>>,
    /// The place in stream and log.
    pub place: EventCoordinates,
}

/// The events of one stream that are handed out and not done: at least one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backlog {
    /// The oldest event that is not done.
    pub next: EventCoordinates,
    /// The newest that is handed out.
    pub last: Version,
    /// The number of wanted events from `next` to `last`.
    pub pending: u64,
    /// The number of times that `next` has been leased.
    pub attempt: u32,
    /// The time from which the stream may be leased: the end of a lease, or of a rest.
    pub available_at: OffsetDateTime,
    /// The beginning of that lease or rest.
    pub available_since: OffsetDateTime,
    /// The current lease, if any.
    pub lease: Option<Holder>,
    /// The time since which the stream is parked, if it is.
    pub parked_at: Option<OffsetDateTime>,
    /// The reason for the last failure.
    pub reason: String,
}

/// A lease, and the last event it is for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The token that the worker was given.
    pub id: LeaseId,
    /// The last event that was leased (inclusive).
    pub through: Version,
}

impl Backlog {
    pub(super) fn of(place: EventCoordinates, now: OffsetDateTime) -> Self {
        Self {
            next: place,
            last: place.version,
            pending: 1,
            attempt: 0,
            available_at: now,
            available_since: now,
            lease: None,
            parked_at: None,
            reason: String::new(),
        }
    }

    /// Tells whether the last attempt allowed has been leased and not been settled.
    pub(super) fn is_spent(&self, settings: &ConsumerSettings) -> bool {
        self.lease.is_some() && self.attempt >= settings.max_attempts
    }

    pub(super) fn park(&mut self, now: OffsetDateTime, reason: &str) {
        self.lease = None;
        self.parked_at = Some(now);
        self.note(reason);
    }

    /// Keeps the reason for a failure.
    pub(super) fn note(&mut self, reason: &str) {
        Parked::cut_reason(reason).clone_into(&mut self.reason);
    }

    /// Delivers the next event again as if for the first time.
    pub fn retry(&mut self, now: OffsetDateTime) {
        self.parked_at = None;
        self.attempt = 0;
        self.rest(now, Duration::ZERO);
    }

    /// Ends the lease, and lets the stream rest for `length`.
    pub(super) fn rest(&mut self, now: OffsetDateTime, length: Duration) {
        self.lease = None;
        self.last(now, length);
    }

    /// Lets the lease or rest last for `length` from now on.
    pub(super) fn last(&mut self, now: OffsetDateTime, length: Duration) {
        (self.available_since, self.available_at) = (now, now + length);
    }

    /// Tells whether the lease or rest is over. It also counts as over when the clock was set back
    /// by more than its length: otherwise it would last for as long as the clock was wrong.
    pub fn is_available(&self, now: OffsetDateTime) -> bool {
        self.available_at <= now
            || self.available_since - now > self.available_at - self.available_since
    }
}

/// The progress of a consumer through the events that it was handed out.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConsumerProgress {
    /// The events that are not done.
    pub pending: u64,
    /// The time of the oldest of them.
    pub oldest: Option<OffsetDateTime>,
    /// The streams that are leased.
    pub in_flight: u64,
    /// The streams that are parked.
    pub parked: u64,
}

/// A callback that takes one row after the other, until it breaks off.
pub type Visit<'v, T> = &'v mut dyn FnMut(T) -> ControlFlow<()>;

/// Rows of consumers and events, within one transaction. Each method fails if the rows cannot be
/// read or kept, and with that alone.
#[allow(
    clippy::missing_errors_doc,
    reason = "the sentence above is all there is to say"
)]
pub trait Rows {
    /// Finds a consumer.
    fn find(&self, id: &ConsumerId) -> Result<Option<Registered>, Error>;
    /// Replaces what there is.
    fn keep(&mut self, id: &ConsumerId, consumer: &Registered) -> Result<(), Error>;
    /// Removes a consumer with all its backlogs, whatever is in them. Tells whether it existed.
    fn remove(&mut self, id: &ConsumerId) -> Result<bool, Error>;

    /// Finds the backlog of a stream.
    fn backlog(&self, id: &ConsumerId, stream: &StreamId) -> Result<Option<Backlog>, Error>;
    /// Finds the backlog that is leased under this token, be it expired.
    fn leased(&self, id: &ConsumerId, lease: LeaseId)
    -> Result<Option<(StreamId, Backlog)>, Error>;
    /// Replaces what there is.
    fn keep_backlog(
        &mut self,
        id: &ConsumerId,
        stream: &StreamId,
        backlog: &Backlog,
    ) -> Result<(), Error>;
    /// Removes the backlog of a stream, if there is one.
    fn remove_backlog(&mut self, id: &ConsumerId, stream: &StreamId) -> Result<(), Error>;
    /// Removes the backlogs of all streams.
    fn remove_backlogs(&mut self, id: &ConsumerId) -> Result<(), Error>;
    /// Lets all that are parked be leased at `now`, as if for the first time, and counts them.
    fn retry_parked(&mut self, id: &ConsumerId, now: OffsetDateTime) -> Result<u64, Error>;
    /// The streams that are not parked and available at `now`; the one whose next event is the
    /// oldest comes first.
    fn free(
        &self,
        id: &ConsumerId,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<(StreamId, Backlog)>, Error>;
    /// The earliest time at which a stream that is not parked is available.
    fn next_available(&self, id: &ConsumerId) -> Result<Option<OffsetDateTime>, Error>;
    /// Counts what is in the backlogs at `now`.
    fn progress(&self, id: &ConsumerId, now: OffsetDateTime) -> Result<ConsumerProgress, Error>;

    /// The log of the consumer's namespace.
    fn each_after(
        &self,
        id: &ConsumerId,
        after: Position,
        visit: Visit<'_, LogEntry>,
    ) -> Result<(), Error>;
    /// The end of the log; the beginning if the log is empty.
    fn end(&self, id: &ConsumerId) -> Result<Position, Error>;
    /// The last place before all events of the log that are created at `time` or later; its end if
    /// there are none.
    fn before(&self, id: &ConsumerId, time: OffsetDateTime) -> Result<Position, Error>;
    /// Visits the entries of the stream, from and through these versions.
    fn each_entry(
        &self,
        stream: &StreamId,
        from: Version,
        through: Version,
        visit: Visit<'_, LogEntry>,
    ) -> Result<(), Error>;
    /// Visits the entries of the stream, from and through these versions.
    fn each_event(
        &self,
        stream: &StreamId,
        from: Version,
        through: Version,
        visit: Visit<'_, Result<RecordedEvent, Error>>,
    ) -> Result<(), Error>;
}

/// The public form of a parked backlog.
pub fn parked(stream: StreamId, backlog: Backlog) -> Option<Parked> {
    Some(Parked {
        stream,
        version: backlog.next.version,
        position: backlog.next.position,
        attempts: backlog.attempt,
        // It may have been written before there was a bound, or by plain SQL.
        reason: Parked::cut_reason(&backlog.reason).to_owned(),
        parked_at: backlog.parked_at?,
    })
}

/// The stream of a consumer's backlog.
///
/// # Errors
///
/// [`Error::Corrupt`] when a name is none.
pub fn named(id: &ConsumerId, decider: &str, stream: &str) -> Result<StreamId, Error> {
    let corrupt = |reason: NameError| Error::Corrupt {
        what: "stream of a consumer",
        reason: reason.to_string(),
    };
    let decider = DeciderName::new(decider).map_err(corrupt)?;
    StreamId::new(id.namespace().clone(), decider, stream).map_err(corrupt)
}

/// Turns a row that cannot be read into none, and reports it: one bad row does not fail the others.
///
/// # Errors
///
/// The error that was read, unless it is of one row.
pub fn readable<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error @ (Error::Corrupt { .. } | Error::Malformed { .. })) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a row is left out"
            );
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// The reason to park a stream with for an event that cannot be read. The reason may contain a
/// whole payload, so the store that keeps it MUST cut it.
pub fn unreadable(error: &Error) -> String {
    match error {
        Error::Malformed { raw, .. } => format!("{error}; it is stored as: {raw}"),
        other => other.to_string(),
    }
}
