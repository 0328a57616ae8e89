//! Consumers, from paths and bodies.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use gavel_api::{ConsumerBody, ConsumerFilter, LeaseBody, PushBody, Start, TIME_RULE, has_user};
use gavel_model::{
    self as model, ConsumerId, ConsumerSettings, EventFilter, Parked, Position, StreamId,
    check_tags,
};
use url::Url;

use super::names::path;
use super::{NamespaceHeader, decider_name, stream_id};
use crate::error::{Location, Problem, malformed};
use crate::state::AppState;

/// The longest lease, and longest rest that a worker may ask for, in milliseconds: a day.
const LONGEST_LEASE_MS: u64 = 86_400_000;
/// The most attempts before a stream is parked.
const MOST_ATTEMPTS: u32 = 1_000_000;
/// The most names in each list of a filter.
const FILTER_NAMES: usize = 100;
/// The longest URL that is pushed to, in bytes.
const PUSH_URL_BYTES: usize = 2_048;
/// The longest secret, in bytes.
const PUSH_SECRET_BYTES: usize = 1_024;
/// The most streams, and most events, in the leases of one request.
const LEASE_LIMIT: u32 = 1_000;
/// The longest time that a request waits for events, in milliseconds.
const LONGEST_WAIT_MS: u64 = 60_000;

/// `{name}` of the path, in its namespace.
#[derive(Debug)]
pub(crate) struct ConsumerPath(pub(crate) ConsumerId);

impl FromRequestParts<AppState> for ConsumerPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let NamespaceHeader(namespace) = NamespaceHeader::from_request_parts(parts, state).await?;
        let name = path::<String>(parts, state).await?;
        let id = ConsumerId::new(namespace, name);
        id.map(Self)
            .map_err(|error| malformed(Location::parameter("name"), error.to_string()))
    }
}

/// `{name}`, `{decider}` and `{id}` of the path, in their namespace.
#[derive(Debug)]
pub(crate) struct ParkedPath(pub(crate) ConsumerId, pub(crate) StreamId);

impl FromRequestParts<AppState> for ParkedPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let NamespaceHeader(namespace) = NamespaceHeader::from_request_parts(parts, state).await?;
        let (name, decider, id) = path::<(String, String, String)>(parts, state).await?;
        let consumer = ConsumerId::new(namespace.clone(), name)
            .map_err(|error| malformed(Location::parameter("name"), error.to_string()))?;
        let decider = decider_name(&decider, || Location::parameter("decider"))?;
        let stream = stream_id(namespace, decider, &id, || Location::parameter("id"))?;
        Ok(Self(consumer, stream))
    }
}

/// Checks how a consumer is to be served.
pub(crate) fn consumer_settings(body: ConsumerBody) -> Result<ConsumerSettings, Problem> {
    let ConsumerFilter {
        deciders,
        events,
        tags,
    } = body.filter;
    for (index, name) in deciders.iter().enumerate() {
        decider_name(name, || {
            Location::pointer(format!("/filter/deciders/{index}"))
        })?;
    }
    for (index, name) in events.iter().enumerate() {
        if name.is_empty() || name.contains('\0') {
            let place = Location::pointer(format!("/filter/events/{index}"));
            return Err(malformed(
                place,
                "it is empty or holds the character U+0000",
            ));
        }
    }
    for (list, names) in [("deciders", &deciders), ("events", &events)] {
        if names.len() > FILTER_NAMES {
            let place = Location::pointer(format!("/filter/{list}"));
            return Err(malformed(
                place,
                format!("it has more than {FILTER_NAMES} names"),
            ));
        }
    }
    check_tags(&tags).map_err(|error| {
        let place = Location::pointer(format!("/filter/tags/{}", error.index()));
        malformed(place, error.to_string())
    })?;
    within(
        "/lock_timeout_ms",
        body.lock_timeout_ms,
        1,
        LONGEST_LEASE_MS,
    )?;
    within("/max_attempts", body.max_attempts, 1, MOST_ATTEMPTS)?;
    let longest = ConsumerSettings::LONGEST_BACKOFF.as_millis();
    within("/backoff_ms", u128::from(body.backoff_ms), 0, longest)?;
    Ok(ConsumerSettings {
        filter: EventFilter {
            deciders,
            events,
            tags,
        },
        lock_timeout: Duration::from_millis(body.lock_timeout_ms),
        max_attempts: body.max_attempts,
        backoff: Duration::from_millis(body.backoff_ms),
        push: body.push.map(push).transpose()?,
    })
}

fn push(body: PushBody) -> Result<model::Push, Problem> {
    let place = || Location::pointer("/push/url");
    if body.url.len() > PUSH_URL_BYTES {
        let limit = format!("it has more than {PUSH_URL_BYTES} bytes");
        return Err(malformed(place(), limit));
    }
    if body.url.chars().any(char::is_control) {
        return Err(malformed(place(), "it holds control characters"));
    }
    let url = Url::parse(&body.url).map_err(|error| malformed(place(), error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(malformed(place(), "give an `http` or `https` URL"));
    }
    if has_user(&url) {
        let rule = "leave user and password out; deliveries are signed with `secret`";
        return Err(malformed(place(), rule));
    }
    let is_secret =
        |secret: &String| (1..=PUSH_SECRET_BYTES).contains(&secret.len()) && !secret.contains('\0');
    if body
        .secret
        .as_ref()
        .is_some_and(|secret| !is_secret(secret))
    {
        let rule = format!("give 1 to {PUSH_SECRET_BYTES} bytes of text without U+0000");
        return Err(malformed(Location::pointer("/push/secret"), rule));
    }
    Ok(model::Push {
        url: url.into(),
        secret: body.secret,
    })
}

/// Checks where a consumer is to begin.
pub(crate) fn start(start: Start, pointer: &str) -> Result<model::Start, Problem> {
    Ok(match start {
        Start::Beginning => model::Start::Beginning,
        Start::Now => model::Start::Now,
        Start::Time(time) => {
            let refused = || malformed(Location::pointer(format!("{pointer}/time")), TIME_RULE);
            model::Start::Since(model::in_utc(time).ok_or_else(refused)?)
        }
        Start::Position(text) => {
            model::Start::After(position(&text, &format!("{pointer}/position"))?)
        }
    })
}

/// Checks a position of a body.
pub(crate) fn position(text: &str, pointer: &str) -> Result<Position, Problem> {
    text.parse().map_err(|error: model::PositionError| {
        malformed(Location::pointer(pointer.to_owned()), error.to_string())
    })
}

/// Checks what a worker takes on.
pub(crate) fn lease_limits(body: &LeaseBody) -> Result<(), Problem> {
    within("/max_streams", body.max_streams, 1, LEASE_LIMIT)?;
    within("/max_events", body.max_events, 1, LEASE_LIMIT)?;
    within("/wait_ms", body.wait_ms, 0, LONGEST_WAIT_MS)
}

/// Checks what a worker says of a failure.
pub(crate) fn failure(delay_ms: Option<u64>, reason: &str) -> Result<Option<Duration>, Problem> {
    if let Some(delay_ms) = delay_ms {
        within("/delay_ms", delay_ms, 0, LONGEST_LEASE_MS)?;
    }
    if Parked::cut_reason(reason) != reason || reason.contains('\0') {
        let most = Parked::REASON_CHARACTERS;
        let rule = format!("give up to {most} characters without U+0000");
        return Err(malformed(Location::pointer("/reason"), rule));
    }
    Ok(delay_ms.map(Duration::from_millis))
}

fn within<T: PartialOrd + std::fmt::Display>(
    pointer: &str,
    given: T,
    least: T,
    most: T,
) -> Result<(), Problem> {
    if given >= least && given <= most {
        return Ok(());
    }
    let rule = format!("give a number from {least} to {most}");
    Err(malformed(Location::pointer(pointer.to_owned()), rule))
}
