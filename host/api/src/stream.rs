//! Streams: their states, their events, lists of them, and the log of all.

use std::collections::BTreeMap;

use gavel_engine::command::StateAnswer;
use gavel_model::{Json, Position, Version};
use gavel_store as store;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Event, Limit, Text, document, metadata_schema, position, tags_schema, time, version};

/// A selection of a state of a stream. Default: the newest, folded by the active module.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StateQuery {
    /// The version of the stream to show the state at. Excludes `at`.
    #[serde(deserialize_with = "version")]
    #[param(value_type = Option<i64>, minimum = 0, nullable = false)]
    pub version: Option<Version>,
    /// The time to show the state at (RFC 3339): the state after the last event created at or
    /// before it.
    #[serde(deserialize_with = "time")]
    #[param(value_type = Option<String>, format = "date-time", nullable = false)]
    pub at: Option<OffsetDateTime>,
    /// The digest of the module to fold with.
    #[param(pattern = "^sha256:[0-9a-f]{64}$", nullable = false)]
    pub module: Option<String>,
}

/// The state of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamState<'a> {
    /// The decider that rules the stream.
    decider: &'a str,
    /// The stream.
    id: &'a str,
    /// The version that the state belongs to.
    version: u64,
    /// True if the stream ended with that version.
    #[serde(rename = "final")]
    is_final: bool,
    /// The state, as the module shows it.
    #[schema(value_type = serde_json::Value)]
    state: &'a RawValue,
    /// The digest of the module that folded it.
    module: String,
}

impl<'a> From<&'a StateAnswer> for StreamState<'a> {
    fn from(answer: &'a StateAnswer) -> Self {
        Self {
            decider: answer.stream.decider().as_str(),
            id: answer.stream.id(),
            version: answer.version.get(),
            is_final: answer.is_final,
            state: answer.state.as_raw(),
            module: answer.module.to_string(),
        }
    }
}

/// A selection of a stream's events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamEventsQuery {
    /// Only events of a higher version. Default: 0.
    #[serde(deserialize_with = "version")]
    #[param(value_type = Option<i64>, minimum = 0, nullable = false)]
    pub after_version: Option<Version>,
    /// The most events on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of the events of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamEvents<'a> {
    /// The events, by ascending version.
    pub events: Vec<Event<'a>>,
    /// The value of `after_version` for the next page; null if there is none.
    pub next_after_version: Option<u64>,
}

/// A selection of a decider's streams.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamListQuery {
    /// Only streams whose id sorts after this one, by its bytes.
    #[param(value_type = Option<String>, pattern = "^[^\\u0000]*$", nullable = false)]
    pub after: Option<Text>,
    /// The most streams on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of the streams of a decider.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamList<'a> {
    /// The streams, by id.
    pub streams: Vec<StreamSummary<'a>>,
    /// The value of `after` for the next page; null if there is none.
    pub next: Option<&'a str>,
}

/// A stream in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamSummary<'a> {
    /// The id of the stream.
    id: &'a str,
    /// The version of the newest event.
    version: u64,
    /// True if the stream has ended.
    #[serde(rename = "final")]
    is_final: bool,
    /// The time at which the newest event was created.
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl<'a> From<&'a store::StreamSummary> for StreamSummary<'a> {
    fn from(stream: &'a store::StreamSummary) -> Self {
        Self {
            id: &stream.id,
            version: stream.version.get(),
            is_final: stream.is_final,
            updated_at: stream.updated_at,
        }
    }
}

/// A selection of events of the log. All conditions hold together.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Only events after this position, which comes from an answer of the host. Default: from the
    /// beginning.
    #[serde(deserialize_with = "position")]
    #[param(value_type = Option<String>, nullable = false)]
    pub after: Option<Position>,
    /// The most events. Default: 100 on a page, no limit when following.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Option<Limit>,
    /// Continues after the end of the log with events as they are appended. Applies to
    /// `application/x-ndjson`, where the answer otherwise ends with a page; `text/event-stream`
    /// always follows.
    #[param(required = false)]
    pub follow: bool,
    /// Only events of this decider, or of one of these.
    #[param(required = false)]
    pub decider: Vec<String>,
    /// Only events of streams with this id, or with an id that this pattern matches by
    /// dot-separated token: `*` is any one token, `>` at the end any rest.
    #[param(nullable = false)]
    pub id: Option<String>,
    /// Only events of this name, or of one of these.
    #[param(required = false)]
    pub event: Vec<String>,
    /// Only events with this tag, or with all of these.
    #[param(required = false)]
    pub tag: Vec<String>,
}

/// A page of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogPage<'a> {
    /// The events, by ascending position.
    pub events: Vec<Event<'a>>,
    /// The value of `after` for the next page, now or later.
    pub next: String,
    /// True if there was nothing more when the page was made. If false while `next` has not moved,
    /// committed events are withheld until an older transaction ends: ask again later.
    pub caught_up: bool,
}

/// Events to append without a decider: all of them, or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Import)]
pub struct ImportBody {
    /// The version that the stream must be at; 0 means that the stream must be new. Required here
    /// or in a header.
    #[serde(default, deserialize_with = "version")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub expected_version: Option<Version>,
    /// The events, in order.
    #[schema(min_items = 1)]
    pub events: Vec<ImportItem>,
}

/// An event to append.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportEvent)]
pub struct ImportItem {
    /// The name of the event, as it is registered.
    #[schema(min_length = 1, pattern = "^[^\\u0000]+$")]
    pub event: String,
    /// The id of the event. Default: a new one.
    pub event_id: Option<Uuid>,
    /// The version of the payload's schema. Default: 1.
    #[serde(default = "first")]
    #[schema(minimum = 1, required = false)]
    pub schema_version: u32,
    /// The payload.
    #[serde(deserialize_with = "document")]
    #[schema(value_type = serde_json::Value)]
    pub data: Json,
    /// True if the stream ends with this event.
    #[serde(default, rename = "final")]
    pub is_final: bool,
    /// Labels by which the log can be queried, without duplicates.
    #[serde(default)]
    #[schema(schema_with = tags_schema, required = false)]
    pub tags: Vec<String>,
    /// Entries stored with the event.
    #[schema(schema_with = metadata_schema, required = false)]
    pub metadata: Option<BTreeMap<String, String>>,
}

fn first() -> u32 {
    1
}

/// The result of an import.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportAnswer<'a> {
    /// The command id that the events are stored with.
    pub command_id: Uuid,
    /// The decider that rules the stream.
    pub decider: &'a str,
    /// The stream.
    pub id: &'a str,
    /// The newest version of the stream.
    pub version: u64,
    /// The events, as they are stored.
    pub events: Vec<Event<'a>>,
}
