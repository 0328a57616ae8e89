//! The events of all streams in one order, for readers that follow them.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{EventFilter, Namespace, Position, RecordedEvent};
use tokio::sync::watch;

use super::{Error, Moment, ResumeError};

/// The log: all events that [`EventStore`](super::EventStore) appends, by position.
///
/// - A reader that resumes after the last position it was given MUST see every event once, even
///   when an append that took its position early commits late.
#[async_trait]
pub trait LogStore: Debug + Send + Sync {
    /// A page of the log of one namespace: the first events after `after` that pass the filter, at
    /// most `limit` of them and no more than take up [`PAGE_BYTES`](super::PAGE_BYTES), but one at
    /// least. The page MAY end earlier, where the store stopped looking.
    ///
    /// A malformed event MAY end the page before it; it MUST fail the page that would begin with
    /// it. A reader that has reported it resumes after the position that the error names.
    ///
    /// # Errors
    ///
    /// As [`EventStore::read_stream`](super::EventStore::read_stream).
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error>;

    /// A page of the log as [`LogStore::read_log`] gives it, of all that was stored before a
    /// moment, whether or not other readers are given it yet. Nothing resumes from it after the
    /// moment.
    ///
    /// The provided implementation is for stores that never withhold events.
    ///
    /// # Errors
    ///
    /// As [`LogStore::read_log`].
    async fn read_log_through(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        through: &Moment,
        limit: u32,
    ) -> Result<LogPage, Error> {
        let mut page = self.read_log(namespace, after, filter, limit).await?;
        if page.next >= through.settled {
            page.events
                .retain(|event| event.position <= through.settled);
            page.caught_up = true;
        }
        Ok(page)
    }

    /// The events of a namespace at some positions, by position; those that are there.
    ///
    /// # Errors
    ///
    /// As [`EventStore::read_stream`](super::EventStore::read_stream).
    async fn events_at(
        &self,
        namespace: &Namespace,
        positions: &[Position],
    ) -> Result<Vec<RecordedEvent>, Error>;

    /// Checks the position from which a reader wants to resume. Valid are [`Position::BEGINNING`]
    /// and the positions of all events, whatever their namespace: this log never handed out any
    /// other.
    ///
    /// A database that was restored to an earlier state counts as another one: a position of a lost
    /// event MUST be refused, even where the log has grown past it since.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Lost`], which says where the reader can continue, and [`ResumeError::Store`].
    async fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError>;

    /// The transaction that keeps readers from committed events right now; always none in stores
    /// where no transaction can.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn withholding(&self) -> Result<Option<Withholding>, Error> {
        Ok(None)
    }

    /// Changes when there may be something new in [`LogStore::read_log`], once for many appends. An
    /// event that is held back because another transaction is under way, or that another program
    /// has appended, MAY come without a change: a caller that waits MUST poll as well.
    fn wakeups(&self) -> watch::Receiver<()>;
}

/// A filter of the log. Both conditions hold together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// The condition on the events themselves.
    pub events: EventFilter,
    /// A pattern for the stream id by dot-separated token: `*` is one token, `>` at the end is the
    /// rest (at least one token). A token may be empty; inside a longer token, and anywhere but at
    /// the end, these characters stand for themselves.
    pub id_pattern: Option<String>,
}

impl From<EventFilter> for LogFilter {
    fn from(events: EventFilter) -> Self {
        Self {
            events,
            id_pattern: None,
        }
    }
}

impl LogFilter {
    /// Tells whether the filter selects an event.
    #[must_use]
    pub fn passes(&self, event: &RecordedEvent) -> bool {
        let RecordedEvent { stream, event, .. } = event;
        self.events
            .passes(stream.decider().as_str(), &event.event, &event.tags)
            && self.passes_id(stream.id())
    }

    /// Tells whether the pattern alone selects the streams with this id.
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
    /// The position to resume from. It is past every event that this page has looked at, whether or
    /// not the event passed the filter.
    pub next: Position,
    /// Tells whether nothing more was left to read when the page was made.
    pub caught_up: bool,
    /// Tells whether committed events of the namespace are held back, because a transaction under
    /// way may still commit events before them.
    pub is_withheld: bool,
}

/// An open transaction that keeps readers from events committed since it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withholding {
    /// The age of the transaction, if it can be seen.
    pub age: Option<Duration>,
    /// The owner of the transaction, in words for people.
    pub holder: String,
    /// The beginning of the statement that the owner runs or has run last, if it can be seen.
    pub query: Option<String>,
}
