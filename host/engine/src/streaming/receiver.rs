//! The interface of receivers, which take the events of a consumer wherever they go.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{Lease, Position};
use time::OffsetDateTime;
use tokio::time::Instant;

/// Takes the events of one consumer.
///
/// A worker hands the events over, and does the rest whatever the receiver is: it leases,
/// acknowledges, counts attempts, lets streams rest, and pauses the consumer. A receiver reports
/// the outcome of each delivery, and knows nothing of leases and attempts.
#[async_trait]
pub(super) trait Receiver: Debug + Send + Sync {
    /// Takes the events of a lease, or the first of them. An outcome that comes later than `within`
    /// is of no use: by then the events may have been handed over again.
    async fn take(&self, lease: Lease, within: Duration) -> DeliveryOutcome;

    /// Tells why nothing may ever be handed over, as far as that is known without any event.
    fn forbids(&self) -> Option<String>;

    /// Tells until when nothing is to be handed over, whatever the stream.
    fn rests_until(&self) -> Option<Instant>;

    /// Tells why nothing is taken at present.
    fn outage(&self) -> Option<Outage>;
}

/// The outcome of handing over events.
#[derive(Debug)]
pub(super) enum DeliveryOutcome {
    /// The events through this position (inclusive) are done.
    Taken(Position),
    /// The first one was refused: that was an attempt of its stream.
    Refused {
        /// The reason, for those who look after the consumer.
        reason: String,
        /// The time for which the stream is to rest; none takes that of the consumer's settings.
        rest: Option<Duration>,
    },
    /// Nothing was learnt about the events. They come again after this time, as if for the first
    /// time.
    Later(Duration),
    /// The same, and nothing may ever be handed over: the consumer is to be paused.
    Forbidden {
        /// The reason, for those who look after the consumer.
        reason: String,
        /// The time for which the stream is to rest, should the consumer be resumed.
        rest: Duration,
    },
}

/// A receiver takes nothing at present, whatever the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The last answer of the receiver, or the reason for which it could not be reached.
    pub last_error: String,
    /// The number of failures in a row.
    pub attempt: u32,
    /// The time of the next attempt.
    pub retry_at: OffsetDateTime,
}
