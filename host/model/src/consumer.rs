//! Consumers: named readers that share their work.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{EventFilter, NameError, Namespace, Position, RecordedEvent, StreamId, Version};

/// The longest name of a consumer, in bytes (inclusive).
const CONSUMER_NAME_LIMIT: usize = 128;

/// Identifies one lease; its holder may settle what was leased. A new one for each lease, so that a
/// late holder cannot be taken for its successor.
pub type LeaseId = Uuid;

/// Names one consumer of the whole installation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId {
    namespace: Namespace,
    name: String,
}

impl ConsumerId {
    /// # Errors
    ///
    /// [`NameError::Consumer`] when `name` does not follow `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`.
    pub fn new(namespace: Namespace, name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let starts_well = name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if starts_well && name.len() <= CONSUMER_NAME_LIMIT && name.bytes().all(allowed) {
            Ok(Self { namespace, name })
        } else {
            Err(NameError::Consumer)
        }
    }

    /// The namespace whose events the consumer reads.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The name within the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The settings of a consumer. A change of them moves no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerSettings {
    /// The events that are wanted.
    pub filter: EventFilter,
    /// The length of a lease that is not extended; in whole milliseconds, at least 1.
    pub lock_timeout: Duration,
    /// The number of deliveries of an event before its stream is parked; at least 1.
    pub max_attempts: u32,
    /// The rest of a stream after its first failure, doubled after each further one; in whole
    /// milliseconds.
    pub backoff: Duration,
    /// The receiver that the host delivers to by itself; none for consumers that ask.
    pub push: Option<Push>,
}

impl ConsumerSettings {
    /// The longest rest after a failure.
    pub const LONGEST_BACKOFF: Duration = Duration::from_secs(3_600);

    /// The URL that the host delivers to by itself.
    #[must_use]
    pub fn push_url(&self) -> Option<&str> {
        self.push.as_ref().map(|push| push.url.as_str())
    }

    /// The rest of a stream after the failure of its `attempt`, which counts from 1.
    #[must_use]
    pub fn rest_after(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.backoff
            .saturating_mul(1 << doublings)
            .min(Self::LONGEST_BACKOFF.max(self.backoff))
    }
}

/// The receiver of a push consumer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// An `http` or `https` URL.
    pub url: String,
    /// The key that signs deliveries.
    pub secret: Option<String>,
}

/// Leaves out the secret, which belongs into no log.
impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// The place in the log where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The consumer begins with the first event.
    Beginning,
    /// The consumer begins with the first event that is committed after this.
    Now,
    /// The consumer begins with the first event after a position.
    After(Position),
    /// The consumer begins with the first event created at this time or later; earlier ones are
    /// left out, wherever they are in the log.
    Since(OffsetDateTime),
}

/// A consumer, and how far it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Consumer {
    /// The name of the consumer.
    pub id: ConsumerId,
    /// The consumer's settings.
    pub settings: ConsumerSettings,
    /// Tells whether leasing is stopped until the consumer is resumed.
    pub is_paused: bool,
    /// The reason for which a host paused the consumer; none if a person paused it, or if it is not
    /// paused.
    pub paused_reason: Option<String>,
    /// The time at which the consumer was created.
    pub created_at: OffsetDateTime,
    /// The number of wanted events that are not done, with those in flight or parked. Of the
    /// streams that nothing was leased of yet, only as many events as were looked for are counted.
    pub lag_events: u64,
    /// The age of the oldest of those events; zero when no event is left.
    pub lag: Duration,
    /// The number of leased streams.
    pub in_flight: u64,
    /// The number of parked streams.
    pub parked: u64,
}

impl Consumer {
    /// The approximate memory of a consumer besides its texts, in bytes.
    const OVERHEAD_BYTES: usize = 500;

    /// The approximate memory of the consumer, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let push = self.settings.push.as_ref();
        let url = push.map_or(0, |push| push.url.len());
        let reason = self.paused_reason.as_ref().map_or(0, String::len);
        Self::OVERHEAD_BYTES + self.settings.filter.size_bytes() + url + reason
    }
}

/// The next events of one stream, handed to one worker until `expires_at`.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The id by which the lease is settled.
    pub id: LeaseId,
    /// The stream.
    pub stream: StreamId,
    /// The number of deliveries of the first event, this one included.
    pub attempt: u32,
    /// The time at which another worker may be given the same events.
    pub expires_at: OffsetDateTime,
    /// The events, in the order of the stream; at least one.
    pub events: Vec<RecordedEvent>,
}

/// A stream that is not delivered any more until a person has looked at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The stream.
    pub stream: StreamId,
    /// The version of the first event that is not done.
    pub version: Version,
    /// The position of the event in the log.
    pub position: Position,
    /// The number of deliveries of the event.
    pub attempts: u32,
    /// The reason for the last failure, cut to [`Parked::REASON_CHARACTERS`].
    pub reason: String,
    /// The time at which the stream was parked.
    pub parked_at: OffsetDateTime,
}

impl Parked {
    /// The largest number of characters that are kept of the reason for a failure.
    pub const REASON_CHARACTERS: usize = 1_000;

    /// Cuts the reason for a failure to the part that is kept.
    #[must_use]
    pub fn cut_reason(reason: &str) -> &str {
        let end = reason.char_indices().nth(Self::REASON_CHARACTERS);
        end.map_or(reason, |(end, _)| &reason[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_consumers_are_plain() {
        let id = |name: &str| ConsumerId::new(Namespace::default(), name);
        for name in ["a", "0", "mail.sender_2-b", &"x".repeat(128)] {
            assert_eq!(id(name).unwrap().name(), name);
        }
        for name in ["", ".a", "-a", "_a", "a b", "a/b", "ä", &"x".repeat(129)] {
            assert_eq!(id(name), Err(NameError::Consumer), "{name}");
        }
    }

    #[test]
    fn a_stream_rests_twice_as_long_after_each_failure_up_to_an_hour() {
        let settings = ConsumerSettings {
            filter: EventFilter::default(),
            lock_timeout: Duration::from_secs(30),
            max_attempts: 5,
            backoff: Duration::from_secs(1),
            push: None,
        };
        let rests: Vec<_> = [1, 2, 3, 12, 13, u32::MAX]
            .map(|attempt| settings.rest_after(attempt).as_secs())
            .into();
        assert_eq!(rests, [1, 2, 4, 2_048, 3_600, 3_600]);
    }
}
