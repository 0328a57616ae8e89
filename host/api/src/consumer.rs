//! Consumers, and what is leased to their workers.

use std::borrow::Cow;
use std::time::Duration;

use gavel_engine::streaming::Outage;
use gavel_model as model;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use url::Url;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Event, Limit, tags_schema};

/// How a consumer is to be served. What is left out has its default, also in a consumer that is there already.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerBody {
    /// Which events are wanted; all unless told.
    #[serde(default)]
    pub filter: ConsumerFilter,
    /// Where a new consumer begins; has no meaning for one that is there already. Default: `beginning`.
    #[serde(default)]
    pub start: Start,
    /// How long a lease holds unless it is extended, in milliseconds.
    #[serde(default = "lock_timeout_ms")]
    #[schema(default = 30_000, minimum = 1, maximum = 86_400_000)]
    pub lock_timeout_ms: u64,
    /// How often an event is delivered before its stream is parked.
    #[serde(default = "max_attempts")]
    #[schema(default = 5, minimum = 1, maximum = 1_000_000)]
    pub max_attempts: u32,
    /// How long a stream rests after its first failure, in milliseconds; twice as long after each further one, an hour at most.
    #[serde(default = "backoff_ms")]
    #[schema(default = 1_000, minimum = 0, maximum = 3_600_000)]
    pub backoff_ms: u64,
    /// Where the host delivers by itself; nowhere unless told.
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

/// Which events a consumer wants; all conditions hold together, and an empty list is none.
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

/// Where in the log a consumer begins.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With the first event.
    #[default]
    Beginning,
    /// With the first event that is committed from now on.
    Now,
    /// With the first event after this position.
    Position(String),
    /// With the first event created at this time or later (RFC 3339).
    Time(#[serde(with = "time::serde::rfc3339")] OffsetDateTime),
}

/// Where the host delivers to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushBody {
    /// An `http` or `https` URL.
    #[schema(format = "uri", max_length = 2_048)]
    pub url: String,
    /// What deliveries are signed with; not signed unless told.
    #[schema(min_length = 1, max_length = 1_024, nullable = false)]
    pub secret: Option<String>,
}

/// A consumer, and how far it has come.
#[derive(Debug, Serialize, ToSchema)]
pub struct Consumer<'a> {
    /// Its name.
    name: &'a str,
    /// Which events are wanted.
    filter: ConsumerFilter,
    /// How long a lease holds unless it is extended, in milliseconds.
    lock_timeout_ms: u64,
    /// How often an event is delivered before its stream is parked.
    max_attempts: u32,
    /// How long a stream rests after its first failure, in milliseconds.
    backoff_ms: u64,
    /// Where the host delivers by itself; null for consumers that ask.
    push: Option<Push<'a>>,
    /// Whether nothing is leased until it is resumed.
    paused: bool,
    /// Why the host has paused it; null if it is not paused, or somebody else has paused it.
    paused_reason: Option<&'a str>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// How many wanted events are not done, those in flight or parked among them; of those that nothing was leased of yet, as many as were looked at.
    lag_events: u64,
    /// How old the oldest of them is, in seconds.
    lag_seconds: f64,
    /// How many streams are leased.
    in_flight: u64,
    /// How many streams are parked.
    parked: u64,
    /// Why the receiver takes nothing at present, as the host that is asked has found; null while it does.
    last_error: Option<String>,
    /// How often in a row it has failed; null while it has not.
    attempt: Option<u32>,
    /// When it is tried again; null while it does not fail.
    #[serde(with = "time::serde::rfc3339::option")]
    retry_at: Option<OffsetDateTime>,
}

/// Where the host delivers to. The secret is not shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Push<'a> {
    /// The URL, without user and password if somebody has stored them.
    url: Cow<'a, str>,
    /// Whether deliveries are signed.
    signed: bool,
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A URL without user and password. Those that are taken have none; of one that plain SQL has written nothing is known.
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

/// Whether a URL names a user, or a password.
pub fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

impl<'a> Consumer<'a> {
    /// A consumer, and what this host knows of its receiver.
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
            filter: ConsumerFilter {
                deciders: settings.filter.deciders.clone(),
                events: settings.filter.events.clone(),
                tags: settings.filter.tags.clone(),
            },
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

/// Which consumers are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConsumerListQuery {
    /// Only consumers whose name sorts after this one.
    #[param(nullable = false)]
    pub after: Option<String>,
    /// At most so many. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of consumers, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsumerList<'a> {
    /// The consumers.
    pub consumers: Vec<Consumer<'a>>,
    /// What to pass as `after` for the next page; null when there is none.
    pub next: Option<&'a str>,
}

/// What a worker takes on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseBody {
    /// At most so many streams.
    #[schema(default = 16, minimum = 1, maximum = 1_000)]
    pub max_streams: u32,
    /// At most so many events in all, shared out evenly among the streams.
    #[schema(default = 100, minimum = 1, maximum = 1_000)]
    pub max_events: u32,
    /// How long to wait when there is nothing, in milliseconds.
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
    /// Settles it: opaque, another for each lease.
    lease: Uuid,
    /// The decider that rules the stream.
    decider: &'a str,
    /// The stream.
    id: &'a str,
    /// How often the first of the events has been delivered, this time included.
    #[schema(minimum = 1)]
    attempt: u32,
    /// When another worker may be given the same events.
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

/// The body of a delivery: namespace and name of the consumer, and the lease as a worker is given it.
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

/// What is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AckBody {
    /// The lease.
    pub lease: String,
    /// The position of the last event of the lease that is done.
    pub through: String,
    /// Whether to go on with the rest of the lease. It then holds for the lock timeout from now on.
    #[serde(default)]
    pub keep: bool,
}

/// What has failed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NackBody {
    /// The lease.
    pub lease: String,
    /// How long the stream rests, in milliseconds. Unless told, the backoff of the consumer.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400_000, nullable = false)]
    pub delay_ms: Option<u64>,
    /// Why, for those who look at what is parked.
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

/// Until when the lease holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseEnd {
    /// When another worker may be given the events; null when the lease has ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

/// What becomes of a stream that has failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct NackAnswer {
    /// Whether that was its last attempt.
    parked: bool,
    /// After how many milliseconds it is delivered again; null when it is parked.
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

/// Where to begin anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    /// The place.
    pub start: Start,
}

/// Which parked streams are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ParkedQuery {
    /// Only those that come after this one: the `next` of the page before.
    #[param(nullable = false)]
    pub after: Option<String>,
    /// At most so many. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of parked streams.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedList<'a> {
    /// By decider and id.
    pub parked: Vec<Parked<'a>>,
    /// What to pass as `after` for the next page; null when there is none.
    pub next: Option<String>,
}

/// What was retried.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetriedParked {
    /// How many streams were parked, and are delivered again.
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
    /// Its place in the log.
    position: String,
    /// How often it was delivered.
    attempts: u32,
    /// What was said of the last failure.
    reason: &'a str,
    /// When it was parked.
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
