//! Answers without an end: the log as it grows, as server-sent events or as lines of JSON.
//!
//! The connection pulls: the next page is read when the socket has taken the one before, so that a
//! slow reader holds one page. A reader who takes nothing at all is dropped by the server's write
//! deadline, and resumes from the last position received.

use std::convert::Infallible;
use std::fmt::Display;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _, stream};
use gavel_api::{CaughtUp, Event, MalformedEvent};
use gavel_engine::streaming::{Delivery, Malformed, Subscription};
use gavel_model::{Position, RecordedEvent};
use metrics::{counter, gauge};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::auth::Endless;
use crate::error::{Code, Problem};
use crate::metrics::{SUBSCRIPTION_EVENTS, SUBSCRIPTIONS};
use crate::state::AppState;

/// The name of the server-sent event which says that the end of the log was reached.
const CAUGHT_UP: &str = "caught-up";
/// The name of the server-sent event that stands for a stored one which cannot be read.
const MALFORMED: &str = "malformed";
/// Names that a decider's event must not have on the wire: our own, and those by which a browser's
/// `EventSource` reports on its connection.
const TAKEN_NAMES: [&str; 4] = [CAUGHT_UP, MALFORMED, "open", "error"];

/// The form of events on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `text/event-stream`.
    ServerSentEvents,
    /// `application/x-ndjson`.
    Lines,
}

/// A permit for one of the subscriptions that the host has room for.
#[derive(Debug)]
pub(crate) struct SubscriptionPermit {
    format: Format,
    _permit: OwnedSemaphorePermit,
}

/// The rest of a subscription for one reader.
struct EventFeed {
    subscription: Subscription,
    place: SubscriptionPermit,
    /// The number of events that are still wanted; none for all.
    left: Option<usize>,
    keep_alive: Duration,
    drain: CancellationToken,
}

impl Format {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::ServerSentEvents => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::ServerSentEvents => "sse",
            Self::Lines => "ndjson",
        }
    }
}

impl SubscriptionPermit {
    /// A place, if there is one left.
    pub(crate) fn take(places: &Arc<Semaphore>, format: Format) -> Result<Self, Problem> {
        let permit = places.clone().try_acquire_owned().map_err(|_| {
            Problem::new(
                Code::Overloaded,
                "The host has as many subscriptions as it takes. Try again.",
            )
        })?;
        gauge!(SUBSCRIPTIONS, "format" => format.label()).increment(1);
        Ok(Self {
            format,
            _permit: permit,
        })
    }
}

impl Drop for SubscriptionPermit {
    fn drop(&mut self) {
        gauge!(SUBSCRIPTIONS, "format" => self.format.label()).decrement(1);
    }
}

/// An answer that ends with the host, the client, or the event that is the last of `limit`.
pub(crate) fn answer(
    state: &AppState,
    place: SubscriptionPermit,
    subscription: Subscription,
    limit: Option<usize>,
) -> Response {
    let format = place.format;
    let feed = EventFeed {
        subscription,
        place,
        left: limit,
        keep_alive: state.settings.keep_alive,
        drain: state.drain.clone(),
    };
    streamed(format, stream::unfold(feed, EventFeed::next))
}

/// An answer whose chunks are sent as they are made.
pub(crate) fn streamed(
    format: Format,
    chunks: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    const NOT_BUFFERED: (HeaderName, HeaderValue) = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        NOT_BUFFERED,
    ];
    let body = Body::from_stream(chunks.map(Ok::<_, Infallible>));
    (Extension(Endless), headers, body).into_response()
}

impl EventFeed {
    /// The next chunk, as soon as there is one; none at the end.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            if self.left == Some(0) {
                return None;
            }
            let delivery = tokio::select! {
                biased;
                () = self.drain.cancelled() => return None,
                delivery = timeout(self.keep_alive, self.subscription.next()) => delivery,
            };
            let mut chunk = Vec::new();
            match delivery {
                Ok(Delivery::Events(events)) => {
                    let wanted = events.iter().take(self.left.unwrap_or(usize::MAX));
                    let mut sent = 0;
                    for event in wanted {
                        self.place.format.write_event(&mut chunk, event);
                        sent += 1;
                    }
                    self.left = self.left.map(|left| left.saturating_sub(sent));
                    counter!(SUBSCRIPTION_EVENTS, "format" => self.place.format.label())
                        .increment(sent as u64);
                }
                Ok(Delivery::Malformed(malformed)) => {
                    self.place.format.write_malformed(&mut chunk, &malformed);
                }
                Ok(Delivery::CaughtUp) => {
                    let position = self.subscription.position();
                    self.place.format.write_caught_up(&mut chunk, position);
                }
                Err(_) => {
                    let position = self.subscription.position();
                    self.place.format.write_keep_alive(&mut chunk, position);
                }
            }
            if !chunk.is_empty() {
                return Some((chunk.into(), self));
            }
        }
    }
}

impl Format {
    fn write_event(self, chunk: &mut Vec<u8>, recorded: &RecordedEvent) {
        let event = Event::from(recorded);
        match self {
            Self::ServerSentEvents => {
                let name = Some(recorded.event.event.as_str());
                let name = name.filter(|name| !TAKEN_NAMES.contains(name));
                write_head(chunk, recorded.position, name);
                write_line(chunk, &event);
                chunk.push(b'\n');
            }
            Self::Lines => write_line(chunk, &event),
        }
    }

    fn write_malformed(self, chunk: &mut Vec<u8>, malformed: &Malformed) {
        #[derive(Serialize)]
        struct Line<'a> {
            malformed: MalformedEvent<'a>,
        }
        let event = MalformedEvent::from(malformed);
        match self {
            Self::ServerSentEvents => {
                write_head(chunk, malformed.position, Some(MALFORMED));
                write_line(chunk, &event);
                chunk.push(b'\n');
            }
            Self::Lines => write_line(chunk, &Line { malformed: event }),
        }
    }

    /// Only server-sent events announce the end of the log; lines are events only.
    fn write_caught_up(self, chunk: &mut Vec<u8>, position: Position) {
        if self == Self::ServerSentEvents {
            write_head(chunk, position, Some(CAUGHT_UP));
            let position = position.to_string();
            write_line(chunk, &CaughtUp { position });
            chunk.push(b'\n');
        }
    }

    /// A comment, or an empty line. An id without data is not an event: it only moves the position
    /// that a client resumes from, past events that the filter left out.
    pub(crate) fn write_keep_alive(self, chunk: &mut Vec<u8>, id: impl Display) {
        match self {
            Self::ServerSentEvents => write(chunk, format_args!(":\nid: {id}\n\n")),
            Self::Lines => chunk.push(b'\n'),
        }
    }
}

/// The fields before the data of a server-sent event, and the name of the field with the data. An
/// event without a name is a `message`.
pub(crate) fn write_head(chunk: &mut Vec<u8>, id: impl Display, name: Option<&str>) {
    write(chunk, format_args!("id: {id}\n"));
    if let Some(name) = name {
        chunk.extend_from_slice(b"event: ");
        // What has been registered with plain SQL may hold line breaks, which would begin another
        // field.
        let characters = name.bytes().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => byte,
        });
        chunk.extend(characters);
        chunk.push(b'\n');
    }
    chunk.extend_from_slice(b"data: ");
}

/// Writes a document on one line. Stored JSON goes out as the text it is, and may hold line breaks
/// as white space.
pub(crate) fn write_line(chunk: &mut Vec<u8>, document: &impl Serialize) {
    let start = chunk.len();
    serde_json::to_writer(&mut *chunk, document)
        .expect("our documents are JSON, and memory takes all of it");
    for byte in &mut chunk[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    chunk.push(b'\n');
}

fn write(chunk: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    chunk
        .write_fmt(text)
        .expect("memory takes what is written to it");
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use gavel_model::{DeciderName, Json, Metadata, Namespace, NewEvent, StreamId, Version};
    use http_body_util::BodyExt as _;
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;
    use crate::settings::ApiSettings;
    use crate::testing::Api;

    const SSE: (&str, &str) = ("accept", "text/event-stream");
    const NDJSON: (&str, &str) = ("accept", "application/x-ndjson");
    const FOLLOW: &str = "GET /v1/events?follow=true";

    fn event(name: &str, data: &str) -> RecordedEvent {
        let decider = DeciderName::new("counter").unwrap();
        RecordedEvent {
            stream: StreamId::new(Namespace::default(), decider, "c-1").unwrap(),
            version: Version::new(1).unwrap(),
            position: Position::new(0, 0, 1),
            previous_id: None,
            created_at: datetime!(2026-02-03 04:05:06 UTC),
            event: NewEvent {
                event_id: Uuid::nil(),
                event: name.to_owned(),
                schema_version: 1,
                data: Json::from_stored(data.to_owned()).unwrap(),
                is_final: false,
                tags: Vec::new(),
                metadata: Metadata::default(),
                command_id: Uuid::nil(),
            },
        }
    }

    fn written(format: Format, event: &RecordedEvent) -> String {
        let mut chunk = Vec::new();
        format.write_event(&mut chunk, event);
        String::from_utf8(chunk).unwrap()
    }

    /// The next piece of a body, unless it has ended.
    async fn piece(answer: &mut Response) -> Option<String> {
        let frame = answer.body_mut().frame().await?.unwrap();
        let bytes = frame.into_data().unwrap();
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn whatever_an_event_holds_its_fields_take_one_line_each() {
        let event = event("Was\nid: 7\r\ndata: {}", "{\n\"text\":\r\n\"a\\nb\"}");
        let sse = written(Format::ServerSentEvents, &event);
        let lines: Vec<_> = sse.split(['\n', '\r']).collect();
        assert_eq!(lines[..2], ["id: 0011", "event: Was id: 7  data: {}"]);
        let data = lines[2].strip_prefix("data: ").unwrap();
        assert_eq!(lines[3..], ["", ""]);
        let line = written(Format::Lines, &event);
        assert_eq!(line, format!("{data}\n"));
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["data"]["text"], "a\nb");
    }

    #[test]
    fn an_event_whose_name_is_taken_comes_without_one() {
        let sse = |name| written(Format::ServerSentEvents, &event(name, "{}"));
        for name in ["caught-up", "malformed", "open", "error"] {
            let sse = sse(name);
            assert!(sse.starts_with("id: 0011\ndata: {"), "{sse}");
            assert!(sse.contains(&format!("\"event\":\"{name}\"")), "{sse}");
        }
        assert!(sse("Error").contains("\nevent: Error\n"));
    }

    #[test]
    fn an_event_that_cannot_be_read_is_told_in_both_formats() {
        let malformed = Malformed {
            stream: "counter/c-1".to_owned(),
            position: Position::new(0, 0, 1),
            reason: "no".to_owned(),
            raw: "{\n".to_owned(),
        };
        let sent = r#"{"position":"0011","stream":"counter/c-1","reason":"no","raw":"{\n"}"#;
        let mut chunk = Vec::new();
        Format::ServerSentEvents.write_malformed(&mut chunk, &malformed);
        Format::Lines.write_malformed(&mut chunk, &malformed);
        assert_eq!(
            String::from_utf8(chunk).unwrap(),
            format!("id: 0011\nevent: malformed\ndata: {sent}\n\n{{\"malformed\":{sent}}}\n")
        );
    }

    #[tokio::test]
    async fn a_subscription_says_where_it_is_and_that_it_is_still_there() {
        let api = Api::new(ApiSettings {
            keep_alive: Duration::from_millis(1),
            ..ApiSettings::default()
        });
        let mut sse = api.open("GET /v1/events", &[SSE], ()).await;
        assert_eq!(sse.headers()[CONTENT_TYPE], "text/event-stream");
        assert_eq!(sse.headers()[CACHE_CONTROL], "no-store");
        let caught_up = "id: 000\nevent: caught-up\ndata: {\"position\":\"000\"}\n\n";
        assert_eq!(piece(&mut sse).await.unwrap(), caught_up);
        assert_eq!(piece(&mut sse).await.unwrap(), ":\nid: 000\n\n");
        assert_eq!(piece(&mut sse).await.unwrap(), ":\nid: 000\n\n");
        let mut lines = api.open(FOLLOW, &[NDJSON], ()).await;
        assert_eq!(lines.headers()[CONTENT_TYPE], "application/x-ndjson");
        assert_eq!(piece(&mut lines).await.unwrap(), "\n");
    }

    #[tokio::test]
    async fn a_subscription_ends_when_the_host_drains() {
        let api = Api::default();
        let mut sse = api.open("GET /v1/events", &[SSE], ()).await;
        let mut lines = api.open(FOLLOW, &[NDJSON], ()).await;
        assert!(piece(&mut sse).await.is_some());
        api.drain.cancel();
        assert_eq!(piece(&mut sse).await, None);
        assert_eq!(piece(&mut lines).await, None);
    }

    #[tokio::test]
    async fn subscriptions_have_places_of_their_own() {
        let api = Api::new(ApiSettings {
            max_requests_in_flight: 1,
            max_subscriptions: 2,
            ..ApiSettings::default()
        });
        let first = api.open("GET /v1/events", &[SSE], ()).await;
        let _second = api.open(FOLLOW, &[NDJSON], ()).await;
        let third = api.send("GET /v1/events", &[SSE], ()).await;
        assert_eq!(third.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(third.body["code"], "overloaded");
        assert_eq!(third.header("retry-after"), "1");
        assert_eq!(api.get("/v1/events").await.status, StatusCode::OK);
        drop(first);
        let fourth = api.open("GET /v1/events", &[SSE], ()).await;
        assert_eq!(fourth.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_document_that_must_end_does_not_follow() {
        let api = Api::default();
        for accept in [
            "application/json",
            "*/*",
            "application/json, text/event-stream",
        ] {
            let answer = api.send(FOLLOW, &[("accept", accept)], ()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{accept}");
            assert_eq!(answer.body["errors"][0]["parameter"], "follow");
        }
        let page = api.send("GET /v1/events?follow=false", &[NDJSON], ()).await;
        assert_eq!(
            page.header("link"),
            "</v1/events?follow=false&after=000>; rel=\"next\""
        );
    }

    #[tokio::test]
    async fn what_is_no_position_is_refused_before_anything_is_followed() {
        let api = Api::default();
        let headers = [SSE, ("last-event-id", "7x")];
        let answer = api.send("GET /v1/events?after=000", &headers, ()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.body["code"], "malformed-request");
        assert_eq!(answer.body["errors"][0]["header"], "Last-Event-ID");
    }
}
