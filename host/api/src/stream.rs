//! Streams: their states, their events, lists of them, and the log of all.

use std::collections::BTreeMap;

use gavel_engine::command::StateAnswer;
use gavel_model::{Position, Version};
use gavel_store as store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Event, Limit, Text, exact, metadata_schema, position, tags_schema, time, version};

/// Which state of a stream is wanted; the newest by the active module unless told.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StateQuery {
    /// After the event of this version. Excludes `at`.
    #[serde(deserialize_with = "version")]
    #[param(value_type = Option<i64>, minimum = 0, nullable = false)]
    pub version: Option<Version>,
    /// After the last event created at or before this time (RFC 3339).
    #[serde(deserialize_with = "time")]
    #[param(value_type = Option<String>, format = "date-time", nullable = false)]
    pub at: Option<OffsetDateTime>,
    /// Folded by the module with this digest.
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
    /// Whether the stream ended with that version.
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

/// Which events of a stream are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamEventsQuery {
    /// Only events of a higher version. Default: 0.
    #[serde(deserialize_with = "version")]
    #[param(value_type = Option<i64>, minimum = 0, nullable = false)]
    pub after_version: Option<Version>,
    /// At most so many. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of the events of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamEvents<'a> {
    /// By ascending version.
    pub events: Vec<Event<'a>>,
    /// What to pass as `after_version` for the next page; null when there is none.
    pub next_after_version: Option<u64>,
}

/// Which streams of a decider are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamListQuery {
    /// Only streams whose id sorts after this one, by its bytes.
    #[param(value_type = Option<String>, pattern = "^[^\\u0000]*$", nullable = false)]
    pub after: Option<Text>,
    /// At most so many. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of the streams of a decider.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamList<'a> {
    /// By id.
    pub streams: Vec<StreamSummary<'a>>,
    /// What to pass as `after` for the next page; null when there is none.
    pub next: Option<&'a str>,
}

/// A stream in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamSummary<'a> {
    /// Its id.
    id: &'a str,
    /// The version of its newest event.
    version: u64,
    /// Whether it has ended.
    #[serde(rename = "final")]
    is_final: bool,
    /// When its newest event was created.
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

/// Which events of the log are wanted. All conditions hold together.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Only events behind this position, which an answer of the host has named. Default: from the beginning.
    #[serde(deserialize_with = "position")]
    #[param(value_type = Option<String>, nullable = false)]
    pub after: Option<Position>,
    /// At most so many. Default: 100 on a page, no limit when following.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Option<Limit>,
    /// Goes on behind the end of the log with what is appended later. With `application/x-ndjson`, where the answer ends with a page
    /// otherwise, and with `text/event-stream`, which follows anyway.
    #[param(required = false)]
    pub follow: bool,
    /// Only events of this decider, or of one of these.
    #[param(required = false)]
    pub decider: Vec<String>,
    /// Only events of streams whose id is this or matches it, by dot-separated token: `*` is any one token, `>` at the end any rest.
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
    /// By ascending position.
    pub events: Vec<Event<'a>>,
    /// What to pass as `after` to go on, now or later.
    pub next: String,
    /// Whether there was nothing more when the page was made. When not, and `next` is where the page began, something is committed and withheld
    /// until an older transaction ends: ask again in a while.
    pub caught_up: bool,
}

/// Events to append without a decider: all of them, or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Import)]
pub struct ImportBody {
    /// The version that the stream must be at; 0 means that it must be new. Needed here or in a header.
    #[serde(default, deserialize_with = "version")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub expected_version: Option<Version>,
    /// In order.
    #[schema(min_items = 1)]
    pub events: Vec<ImportItem>,
}

/// An event to append.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportEvent)]
pub struct ImportItem {
    /// Its name, as it is registered.
    #[schema(min_length = 1, pattern = "^[^\\u0000]+$")]
    pub event: String,
    /// Its id; one is chosen unless it is given.
    pub event_id: Option<Uuid>,
    /// The version of its schema. Default: 1.
    #[serde(default = "first")]
    #[schema(minimum = 1, required = false)]
    pub schema_version: u32,
    /// What happened.
    #[serde(deserialize_with = "exact")]
    pub data: Value,
    /// Whether the stream ends with it.
    #[serde(default, rename = "final")]
    pub is_final: bool,
    /// Labels by which the log can be queried, without duplicates.
    #[serde(default)]
    #[schema(schema_with = tags_schema, required = false)]
    pub tags: Vec<String>,
    /// Stored beside it.
    #[schema(schema_with = metadata_schema, required = false)]
    pub metadata: Option<BTreeMap<String, String>>,
}

fn first() -> u32 {
    1
}

/// What was appended.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportAnswer<'a> {
    /// What the events have as their command.
    pub command_id: Uuid,
    /// The decider that rules the stream.
    pub decider: &'a str,
    /// The stream.
    pub id: &'a str,
    /// The newest version of the stream.
    pub version: u64,
    /// As they are stored.
    pub events: Vec<Event<'a>>,
}
