//! What takes the events of a consumer, wherever they go.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{Lease, Position};
use time::OffsetDateTime;
use tokio::time::Instant;

/// Takes the events of one consumer.
///
/// A worker hands them over, and does the rest whatever the receiver is: it leases, acknowledges,
/// counts attempts, lets streams rest, and pauses the consumer. A receiver says what became of
/// events, and knows nothing of leases and attempts.
#[async_trait]
pub(super) trait Receiver: Debug + Send + Sync {
    /// Takes the events of a lease, or the first of them. An outcome that comes later than `within`
    /// helps nobody: by then they may have been handed over again.
    async fn take(&self, lease: Lease, within: Duration) -> Outcome;

    /// Tells why nothing may ever be handed over, as far as that is known without any event.
    fn forbids(&self) -> Option<String>;

    /// Tells until when nothing is to be handed over, whatever the stream.
    fn rests_until(&self) -> Option<Instant>;

    /// Tells why nothing is taken at present.
    fn outage(&self) -> Option<Outage>;
}

/// What became of events.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Those through this position are done.
    Taken(Position),
    /// The first one was refused: that was an attempt of its stream.
    Refused {
        /// For those who look after the consumer.
        reason: String,
        /// How long the stream is to rest; as the consumer's settings say if none.
        rest: Option<Duration>,
    },
    /// Nothing was learnt of them. They come again after this, as if for the first time.
    Later(Duration),
    /// The same, and nothing may ever be handed over: the consumer is to be paused.
    Forbidden {
        /// For those who look after the consumer.
        reason: String,
        /// How long the stream is to rest, should the consumer go on.
        rest: Duration,
    },
}

/// A receiver takes nothing at present, whatever the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// What it said last, or why it could not be reached.
    pub last_error: String,
    /// How often it has failed in a row.
    pub attempt: u32,
    /// When it is tried again.
    pub retry_at: OffsetDateTime,
}
