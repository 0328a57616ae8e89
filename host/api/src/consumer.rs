//! Consumers, and the leases of their workers.

use std::borrow::Cow;
use std::time::Duration;

use gavel_engine::streaming::Outage;
use gavel_model::{self as model, EventFilter};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use url::Url;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Event, Limit, tags_schema};

/// The settings of a consumer. Members left out get their defaults, even if the consumer exists
/// already.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerBody {
    /// The events that the consumer gets. Default: all.
    #[serde(default)]
    pub filter: ConsumerFilter,
    /// The place in the log where a new consumer begins; ignored for an existing consumer. Default:
    /// `beginning`.
    #[serde(default)]
    pub start: Start,
    /// The duration of a lease unless it is extended, in milliseconds.
    #[serde(default = "lock_timeout_ms")]
    #[schema(default = 30_000, minimum = 1, maximum = 86_400_000)]
    pub lock_timeout_ms: u64,
    /// The number of times that an event is delivered before its stream is parked.
    #[serde(default = "max_attempts")]
    #[schema(default = 5, minimum = 1, maximum = 1_000_000)]
    pub max_attempts: u32,
    /// The delay after a stream's first failure, in milliseconds. Each further failure doubles the
    /// delay, up to one hour.
    #[serde(default = "backoff_ms")]
    #[schema(default = 1_000, minimum = 0, maximum = 3_600_000)]
    pub backoff_ms: u64,
    /// The receiver that the host pushes events to. Default: none; workers ask for leases.
    #[serde(default)]
    #[schema(nullable = true)]
    pub push: Option<PushBody>,
}

fn lock_timeout_ms() -> u64 {
    30_000
}

fn max_attempts() -> u32 {
    5
}

fn backoff_ms() -> u64 {
    1_000
}

/// A filter of events. All conditions hold together; an empty list is no condition.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerFilter {
    /// Events of these deciders.
    #[schema(max_items = 100)]
    pub deciders: Vec<String>,
    /// Events of these names.
    #[schema(max_items = 100)]
    pub events: Vec<String>,
    /// Events that have all of these tags.
    #[schema(schema_with = tags_schema, required = false)]
    pub tags: Vec<String>,
}

impl From<&EventFilter> for ConsumerFilter {
    fn from(filter: &EventFilter) -> Self {
        Self {
            deciders: filter.deciders.clone(),
            events: filter.events.clone(),
            tags: filter.tags.clone(),
        }
    }
}

/// The place in the log where a consumer begins.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// The first event of the log.
    #[default]
    Beginning,
    /// The first event that is committed from now on.
    Now,
    /// The first event after this position.
    Position(String),
    /// The first event created at this time or later (RFC 3339).
    Time(#[serde(with = "time::serde::rfc3339")] OffsetDateTime),
}

/// The receiver that the host pushes events to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushBody {
    /// An `http` or `https` URL.
    #[schema(format = "uri", max_length = 2_048)]
    pub url: String,
    /// The secret that deliveries are signed with. Default: none, and deliveries are not signed.
    #[schema(min_length = 1, max_length = 1_024, nullable = false)]
    pub secret: Option<String>,
}

/// A consumer, and its progress.
#[derive(Debug, Serialize, ToSchema)]
pub struct Consumer<'a> {
    /// The name of the consumer.
    name: &'a str,
    /// The events that the consumer gets.
    filter: ConsumerFilter,
    /// The duration of a lease unless it is extended, in milliseconds.
    lock_timeout_ms: u64,
    /// The number of times that an event is delivered before its stream is parked.
    max_attempts: u32,
    /// The delay after a stream's first failure, in milliseconds.
    backoff_ms: u64,
    /// The receiver that the host pushes events to; null if workers ask for leases.
    push: Option<Push<'a>>,
    /// True while the consumer is paused: nothing is leased until it is resumed.
    paused: bool,
    /// The reason why the host paused the consumer; null if it is not paused, or was paused
    /// by a request.
    paused_reason: Option<&'a str>,
    /// The time at which the consumer was created.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// The number of events of the filter that are not done, including those in flight or parked.
    /// Events after the last leased one count only as far as the host has looked ahead.
    lag_events: u64,
    /// The age of the oldest event that is not done, in seconds.
    lag_seconds: f64,
    /// The number of leased streams.
    in_flight: u64,
    /// The number of parked streams.
    parked: u64,
    /// The reason why the receiver takes nothing at present, as seen by the host that
    /// answers; null while the receiver works.
    last_error: Option<String>,
    /// The number of failures of the receiver in a row; null while the receiver works.
    attempt: Option<u32>,
    /// The time of the next attempt; null while the receiver works.
    #[serde(with = "time::serde::rfc3339::option")]
    retry_at: Option<OffsetDateTime>,
}

/// A receiver that the host pushes events to. The secret is not shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Push<'a> {
    /// The URL, without a user and a password if any are stored.
    url: Cow<'a, str>,
    /// True if deliveries are signed.
    signed: bool,
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Removes user and password from a URL. The API accepts no URL that has any, but plain SQL may
/// have written one. A text that is not a URL becomes empty.
fn without_user(url: &str) -> Cow<'_, str> {
    match Url::parse(url) {
        Ok(parsed) if !has_user(&parsed) => Cow::Borrowed(url),
        Ok(mut parsed) => {
            let hidden = parsed
                .set_username("")
                .and_then(|()| parsed.set_password(None));
            Cow::Owned(hidden.map_or_else(|()| String::new(), |()| parsed.into()))
        }
        Err(_) => Cow::Borrowed(""),
    }
}

/// Tells whether a URL holds a user or a password.
pub fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

impl<'a> Consumer<'a> {
    /// Combines a consumer with the outage of its receiver, if this host knows of one.
    pub fn new(consumer: &'a model::Consumer, outage: Option<Outage>) -> Self {
        let (last_error, attempt, retry_at) = match outage {
            Some(outage) => (
                Some(outage.last_error),
                Some(outage.attempt),
                Some(outage.retry_at),
            ),
            None => (None, None, None),
        };
        let settings = &consumer.settings;
        Self {
            name: consumer.id.name(),
            filter: (&settings.filter).into(),
            lock_timeout_ms: milliseconds(settings.lock_timeout),
            max_attempts: settings.max_attempts,
            backoff_ms: milliseconds(settings.backoff),
            push: settings.push.as_ref().map(|push| Push {
                url: without_user(&push.url),
                signed: push.secret.is_some(),
            }),
            paused: consumer.is_paused,
            paused_reason: consumer.paused_reason.as_deref(),
            created_at: consumer.created_at,
            lag_events: consumer.lag_events,
            lag_seconds: consumer.lag.as_secs_f64(),
            in_flight: consumer.in_flight,
            parked: consumer.parked,
            last_error,
            attempt,
            retry_at,
        }
    }
}

/// A selection of consumers.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConsumerListQuery {
    /// Only consumers whose name sorts after this one.
    #[param(nullable = false)]
    pub after: Option<String>,
    /// The most consumers on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of consumers, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsumerList<'a> {
    /// The consumers.
    pub consumers: Vec<Consumer<'a>>,
    /// The value of `after` for the next page; null if there is none.
    pub next: Option<&'a str>,
}

/// The bounds of a request for leases.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseBody {
    /// The most streams to lease.
    #[schema(default = 16, minimum = 1, maximum = 1_000)]
    pub max_streams: u32,
    /// The most events to lease in all, shared out evenly among the streams.
    #[schema(default = 100, minimum = 1, maximum = 1_000)]
    pub max_events: u32,
    /// The time to wait while there is nothing to lease, in milliseconds.
    #[schema(default = 0, minimum = 0, maximum = 60_000)]
    pub wait_ms: u64,
}

impl Default for LeaseBody {
    fn default() -> Self {
        Self {
            max_streams: 16,
            max_events: 100,
            wait_ms: 0,
        }
    }
}

/// The next events of one stream, for one worker.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lease<'a> {
    /// The token that settles or extends the lease: opaque, and different for each lease.
    lease: Uuid,
    /// The decider that rules the stream.
    decider: &'a str,
    /// The stream.
    id: &'a str,
    /// The number of deliveries of the first event, including this one.
    #[schema(minimum = 1)]
    attempt: u32,
    /// The time from which another worker may lease the same events.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    /// The events, in the order of the stream.
    events: Vec<Event<'a>>,
}

impl<'a> From<&'a model::Lease> for Lease<'a> {
    fn from(lease: &'a model::Lease) -> Self {
        Self {
            lease: lease.id,
            decider: lease.stream.decider().as_str(),
            id: lease.stream.id(),
            attempt: lease.attempt,
            expires_at: lease.expires_at,
            events: Event::all(&lease.events),
        }
    }
}

/// The events of a lease, as they are pushed.
#[derive(Debug, Serialize)]
struct Delivery<'a> {
    namespace: &'a str,
    consumer: &'a str,
    #[serde(flatten)]
    lease: Lease<'a>,
}

/// Serializes the body of a delivery: the consumer's namespace and name, and the lease in the form
/// that a worker gets.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "events are JSON")]
pub fn delivery(id: &model::ConsumerId, lease: &model::Lease) -> Vec<u8> {
    let delivery = Delivery {
        namespace: id.namespace().as_str(),
        consumer: id.name(),
        lease: lease.into(),
    };
    serde_json::to_vec(&delivery).expect("events are JSON")
}

/// Leases of different streams, the one with the oldest event first.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseList<'a> {
    /// The leases; none when there is nothing to do.
    pub leases: Vec<Lease<'a>>,
}

/// An acknowledgement: all events up to a position are done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AckBody {
    /// The lease.
    pub lease: String,
    /// The position of the last event of the lease that is done.
    pub through: String,
    /// Keeps the rest of the lease. It then holds for the lock timeout from now on.
    #[serde(default)]
    pub keep: bool,
}

/// A report that the work on a lease failed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NackBody {
    /// The lease.
    pub lease: String,
    /// The delay until the next delivery, in milliseconds. Default: the consumer's backoff.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400_000, nullable = false)]
    pub delay_ms: Option<u64>,
    /// The reason, shown with the parked stream.
    #[serde(default)]
    #[schema(max_length = 1_000)]
    pub reason: String,
}

/// A lease.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendBody {
    /// The lease.
    pub lease: String,
}

/// The end of a lease.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseEnd {
    /// The time from which another worker may lease the events; null if the lease has ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

/// The consequence of a failure for its stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct NackAnswer {
    /// True if that was the last attempt, and the stream is now parked.
    parked: bool,
    /// The delay until the next delivery, in milliseconds; null if the stream is parked.
    retry_in_ms: Option<u64>,
}

impl From<gavel_store::Nacked> for NackAnswer {
    fn from(nacked: gavel_store::Nacked) -> Self {
        let retry_in_ms = match nacked {
            gavel_store::Nacked::Delayed(rest) => Some(milliseconds(rest)),
            gavel_store::Nacked::Parked => None,
        };
        Self {
            parked: retry_in_ms.is_none(),
            retry_in_ms,
        }
    }
}

/// The place to which a consumer is reset.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    /// The place.
    pub start: Start,
}

/// A selection of parked streams.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ParkedQuery {
    /// Only streams after this one: the `next` of the page before.
    #[param(nullable = false)]
    pub after: Option<String>,
    /// The most streams on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of parked streams.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedList<'a> {
    /// The parked streams, by decider and id.
    pub parked: Vec<Parked<'a>>,
    /// The value of `after` for the next page; null if there is none.
    pub next: Option<String>,
}

/// The result of a retry.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetriedParked {
    /// The number of streams that were parked and are delivered again.
    pub retried: u64,
}

/// A stream that is not delivered until it is retried or skipped.
#[derive(Debug, Serialize, ToSchema)]
pub struct Parked<'a> {
    /// The decider that rules the stream.
    decider: &'a str,
    /// The stream.
    id: &'a str,
    /// The version of the first event that is not done.
    version: u64,
    /// The position of that event in the log.
    position: String,
    /// The number of deliveries of that event.
    attempts: u32,
    /// The reason for the last failure.
    reason: &'a str,
    /// The time at which the stream was parked.
    #[serde(with = "time::serde::rfc3339")]
    parked_at: OffsetDateTime,
}

impl<'a> From<&'a model::Parked> for Parked<'a> {
    fn from(parked: &'a model::Parked) -> Self {
        Self {
            decider: parked.stream.decider().as_str(),
            id: parked.stream.id(),
            version: parked.version.get(),
            position: parked.position.to_string(),
            attempts: parked.attempts,
            reason: &parked.reason,
            parked_at: parked.parked_at,
        }
    }
}
