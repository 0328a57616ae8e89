//! The storage of consumers.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{
    Consumer, ConsumerId, ConsumerSettings, Lease, LeaseId, Namespace, Parked, Position, Start,
    StreamId,
};
use time::OffsetDateTime;

use super::{Error, Page};

/// Keeps, for each consumer, which events of which streams are done.
///
/// ```text
/// log:       a1 b1 a2 c1 b2 | a3 b3          | = the consumer's cursor
/// streams:   a: a1 leased    b: b2 waits      c: done, and therefore without a row
/// ```
///
/// Everything before the cursor has been *handed out* to the streams that it belongs to: a stream
/// has a row while events of it before the cursor are not done. `lease` moves the cursor on before
/// it looks for streams, so that an append does nothing for any consumer, and a consumer without
/// workers costs nothing.
///
/// - Events of one stream MUST be leased in order, and never under two leases that have not expired
///   at once.
/// - Every wanted event after the start MUST be leased until it is acknowledged or skipped, however
///   late it is committed.
/// - Of the streams that are free, the one whose next event is the oldest MUST come first.
/// - A failure or a delay of one stream MUST NOT delay another. No lock and no transaction outlives
///   a
///   call.
/// - A lease that was taken over, settled, parked, or whose consumer was reset, MUST be refused
///   with `LeaseLost`, and change nothing. An expired lease that no worker has taken over is still
///   valid.
#[async_trait]
pub trait ConsumerStore: Debug + Send + Sync {
    /// Creates a consumer that begins at `start`, or changes the settings of an existing one, whose
    /// place stays the same. True if the consumer is new.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be written.
    async fn put_consumer(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        start: Start,
    ) -> Result<bool, Error>;

    /// A consumer with its progress. To measure its lag, up to `look` events of the log after the
    /// cursor are looked at.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] and [`ConsumerError::Store`].
    async fn consumer(&self, id: &ConsumerId, look: u32) -> Result<Consumer, ConsumerError>;

    /// The settings of a consumer, and the position up to which (inclusive) the log is handed out.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] and [`ConsumerError::Store`].
    async fn consumer_cursor(
        &self,
        id: &ConsumerId,
    ) -> Result<(ConsumerSettings, Position), ConsumerError>;

    /// Moves the cursor of a consumer over unwanted events: if the cursor is at `from` or behind
    /// that, but before `to`, and the consumer still has the filter of `settings`, the cursor moves
    /// to `to`; otherwise nothing changes. The caller MUST know that the consumer wants none of the
    /// events after `from` up to `to` (inclusive).
    ///
    /// # Errors
    ///
    /// [`ConsumerError::Store`].
    async fn pass_over(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        from: Position,
        to: Position,
    ) -> Result<(), ConsumerError>;

    /// The first `limit` consumers of a namespace, or of all namespaces, after one of them, by
    /// namespace and name, each as [`ConsumerStore::consumer`] shows it. One that cannot be read is
    /// left out.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn list_consumers(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&ConsumerId>,
        limit: u32,
        look: u32,
    ) -> Result<Page<Consumer>, Error>;

    /// Tells whether the consumer exists or its namespace has fewer than `most` consumers.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn has_room(&self, id: &ConsumerId, most: u32) -> Result<bool, Error>;

    /// Forgets a consumer and all of its leases.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] and [`ConsumerError::Store`].
    async fn delete_consumer(&self, id: &ConsumerId) -> Result<(), ConsumerError>;

    /// Pauses or resumes leasing, and forgets the reason of an earlier pause. Leases that are out
    /// stay valid.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] and [`ConsumerError::Store`].
    async fn pause_consumer(&self, id: &ConsumerId, is_paused: bool) -> Result<(), ConsumerError>;

    /// Stops leasing if the consumer still has the receiver that `settings` name, and keeps the
    /// reason until the consumer is paused or resumed by a call. True if this call has stopped it;
    /// otherwise nothing changes.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::Store`].
    async fn pause_for(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        reason: &str,
    ) -> Result<bool, ConsumerError>;

    /// Moves the consumer back to `start`. All leases are lost, and no stream is parked any more.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] and [`ConsumerError::Store`].
    async fn reset_consumer(&self, id: &ConsumerId, start: Start) -> Result<(), ConsumerError>;

    /// Looks at a part of the log after the cursor if it needs more, and leases up to `max_streams`
    /// streams that are free, with up to `max_events` events in all, shared out evenly. Both are at
    /// least 1. A paused consumer leases nothing.
    ///
    /// A stream whose lease has expired at the last of its attempts is parked instead. So is one
    /// whose next event cannot be read.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] and [`ConsumerError::Store`]; then what was leased is free again
    /// when it expires.
    async fn lease(
        &self,
        id: &ConsumerId,
        max_streams: u32,
        max_events: u32,
    ) -> Result<Leased, ConsumerError>;

    /// Acknowledges the events of the lease through the position `through`. The lease ends, unless
    /// it is to be kept and has events left: then it holds for the lock timeout from now on, until
    /// the returned time.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotLeased`] when the lease has no unfinished event at `through`, else those
    /// of [`ConsumerStore::extend`].
    async fn ack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        through: Position,
        keep: bool,
    ) -> Result<Option<OffsetDateTime>, ConsumerError>;

    /// Reports that the first event of the lease could not be processed: the event is leased again
    /// after `delay`, or, without one, after [`ConsumerSettings::rest_after`] the attempt; after
    /// the last attempt the stream is parked.
    ///
    /// # Errors
    ///
    /// As [`ConsumerStore::extend`].
    async fn nack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Option<Duration>,
        reason: &str,
    ) -> Result<Nacked, ConsumerError>;

    /// Gives the lease back without a result: its first event is leased again after `delay`, and
    /// this attempt does not count.
    ///
    /// # Errors
    ///
    /// As [`ConsumerStore::extend`].
    async fn release(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Duration,
    ) -> Result<(), ConsumerError>;

    /// Extends the lease by the lock timeout from now on, until the returned time.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::LeaseLost`], [`ConsumerError::NotFound`] and [`ConsumerError::Store`].
    async fn extend(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
    ) -> Result<OffsetDateTime, ConsumerError>;

    /// The first `limit` parked streams that sort after `after`, by decider and id.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] and [`ConsumerError::Store`].
    async fn list_parked(
        &self,
        id: &ConsumerId,
        after: Option<&StreamId>,
        limit: u32,
    ) -> Result<Vec<Parked>, ConsumerError>;

    /// Delivers a parked stream again: its first event as if for the first time, or, to `Skip`, the
    /// one after it.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotParked`], [`ConsumerError::NotFound`] and [`ConsumerError::Store`].
    async fn unpark(
        &self,
        id: &ConsumerId,
        stream: &StreamId,
        how: Unpark,
    ) -> Result<(), ConsumerError>;

    /// Delivers all parked streams again, their first events as if for the first time, and returns
    /// their number.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] and [`ConsumerError::Store`].
    async fn retry_parked(&self, id: &ConsumerId) -> Result<u64, ConsumerError>;
}

/// The outcome of a call of `lease`.
#[derive(Debug, Clone, PartialEq)]
pub struct Leased {
    /// The leases; no two of one stream.
    pub leases: Vec<Lease>,
    /// Tells whether the whole log is handed out. If not, the next call may find more.
    pub caught_up: bool,
    /// The time until the next stream that is leased or rests may become free; none if no stream is
    /// leased or rests.
    pub next_in: Option<Duration>,
}

/// The fate of a stream whose events could not be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nacked {
    /// The stream may be leased again after this time.
    Delayed(Duration),
    /// The stream is parked, since that was its last attempt.
    Parked,
}

/// The event with which a parked stream continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpark {
    /// The event that failed.
    Retry,
    /// The event after the one that failed.
    Skip,
}

/// The reason for which a call on a consumer was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// No consumer has this name.
    #[error("no such consumer")]
    NotFound,
    /// The lease has been settled, or another worker has taken over. Nothing was changed.
    #[error("the lease is lost")]
    LeaseLost,
    /// The lease has no unfinished event at that position. Nothing was changed, and the lease
    /// holds.
    #[error("no event of the lease is at {through}")]
    NotLeased {
        /// The position that was to be acknowledged.
        through: Position,
    },
    /// The stream is not parked.
    #[error("the stream is not parked")]
    NotParked,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl ConsumerError {
    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotFound | Self::LeaseLost | Self::NotLeased { .. } | Self::NotParked => false,
            Self::Store(error) => error.is_retryable(),
        }
    }
}
