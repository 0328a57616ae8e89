//! The specification of a view.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::form::{Form, empty};

/// The last millisecond of the year 9999, since 1970-01-01T00:00:00Z.
const LAST_MS: u64 = 253_402_300_799_999;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewSpec {
    title: String,
    #[serde(default)]
    given: Vec<GivenEvent>,
    then: Rows,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    decider: Option<String>,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<String>,
    #[serde(default = "empty")]
    data: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "event_time")]
    created_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

/// All rows that there are afterwards, by their keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    rows: BTreeMap<String, Value>,
}

/// Reads a time that an event can have.
fn event_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let time = Option::<u64>::deserialize(deserializer)?;
    match time {
        Some(ms) if ms > LAST_MS => Err(D::Error::custom("`created_ms` is after the year 9999")),
        time => Ok(time),
    }
}

impl Form for ViewSpec {
    fn title(&self) -> &str {
        &self.title
    }
}
