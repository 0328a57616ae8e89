//! Events, in the one form in which all endpoints show them.

use std::collections::BTreeMap;

use gavel_engine::streaming;
use gavel_model::{Position, RecordedEvent};
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::optional_text;

/// A fact in a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event<'a> {
    /// Identifies the event.
    event_id: Uuid,
    /// The event before it in the stream; null for the first.
    previous_id: Option<Uuid>,
    /// The name of the event, in the past tense.
    event: &'a str,
    /// The version of the payload's schema; the first is 1.
    #[schema(minimum = 1)]
    schema_version: u32,
    /// The decider that rules the stream.
    decider: &'a str,
    /// The stream.
    id: &'a str,
    /// The version of the event in its stream; the first is 1.
    #[schema(minimum = 1)]
    version: u64,
    /// The position of the event in the log of all streams; null in a dry run, which stores
    /// nothing.
    #[serde(serialize_with = "optional_text")]
    #[schema(value_type = Option<String>)]
    position: Option<Position>,
    /// The payload.
    #[schema(value_type = serde_json::Value)]
    data: &'a RawValue,
    /// True if the stream ends with this event.
    #[serde(rename = "final")]
    is_final: bool,
    /// Labels by which the log can be queried.
    tags: &'a [String],
    /// The command that the event follows from.
    command_id: Uuid,
    /// The metadata of the sender and of the host: `correlation_id`, `causation_id`, `traceparent`,
    /// `actor`, `module`.
    metadata: &'a BTreeMap<String, String>,
    /// The time at which the event was stored.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

impl<'a> Event<'a> {
    /// The events, in their order.
    pub fn all(events: &'a [RecordedEvent]) -> Vec<Self> {
        events.iter().map(Self::from).collect()
    }
}

impl<'a> From<&'a RecordedEvent> for Event<'a> {
    fn from(recorded: &'a RecordedEvent) -> Self {
        let RecordedEvent {
            stream,
            version,
            position,
            previous_id,
            created_at,
            event,
        } = recorded;
        Self {
            event_id: event.event_id,
            previous_id: *previous_id,
            event: &event.event,
            schema_version: event.schema_version,
            decider: stream.decider().as_str(),
            id: stream.id(),
            version: version.get(),
            position: Some(*position).filter(|position| *position != Position::BEGINNING),
            data: event.data.as_raw(),
            is_final: event.is_final,
            tags: &event.tags,
            command_id: event.command_id,
            metadata: event.metadata.entries(),
            created_at: *created_at,
        }
    }
}

/// The end of the log, for now.
#[derive(Debug, Serialize)]
pub struct CaughtUp {
    /// The position to resume after.
    pub position: String,
}

/// A stored event that cannot be read.
#[derive(Debug, Serialize)]
pub struct MalformedEvent<'a> {
    /// The position of the event in the log of all streams.
    position: String,
    /// The stream, as it is stored.
    stream: &'a str,
    /// The reason why the event cannot be read.
    reason: &'a str,
    /// The payload, as it is stored.
    raw: &'a str,
}

impl<'a> From<&'a streaming::Malformed> for MalformedEvent<'a> {
    fn from(malformed: &'a streaming::Malformed) -> Self {
        Self {
            position: malformed.position.to_string(),
            stream: &malformed.stream,
            reason: &malformed.reason,
            raw: &malformed.raw,
        }
    }
}
