//! Events, the same wherever they are shown.

use std::collections::BTreeMap;

use gavel_engine::streaming;
use gavel_model::{Position, RecordedEvent};
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// A fact in a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event<'a> {
    /// Identifies the event.
    event_id: Uuid,
    /// The event before it in the stream; null for the first.
    previous_id: Option<Uuid>,
    /// Its name, in the past tense.
    event: &'a str,
    /// The version of its schema; the first is 1.
    #[schema(minimum = 1)]
    schema_version: u32,
    /// The decider that rules the stream.
    decider: &'a str,
    /// The stream.
    id: &'a str,
    /// Its place in the stream; the first is 1.
    #[schema(minimum = 1)]
    version: u64,
    /// Its place in the log of all streams; null in a dry run, where it has none.
    position: Option<String>,
    /// What happened.
    #[schema(value_type = serde_json::Value)]
    data: &'a RawValue,
    /// Whether the stream ends with it.
    #[serde(rename = "final")]
    is_final: bool,
    /// Labels by which the log can be queried.
    tags: &'a [String],
    /// The command it follows from.
    command_id: Uuid,
    /// What the sender attached, and what the host did: `correlation_id`, `causation_id`, `traceparent`, `actor`, `module`.
    metadata: &'a BTreeMap<String, String>,
    /// When the store took it.
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
            position: (*position != Position::BEGINNING).then(|| position.to_string()),
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
    /// Where to go on.
    pub position: String,
}

/// A stored event that cannot be read.
#[derive(Debug, Serialize)]
pub struct MalformedEvent<'a> {
    /// Its place in the log of all streams.
    position: String,
    /// The stream, as it is stored.
    stream: &'a str,
    /// What is wrong with it.
    reason: &'a str,
    /// Its payload, as it is stored.
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
