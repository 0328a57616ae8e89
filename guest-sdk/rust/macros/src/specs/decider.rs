//! The specification of a decider.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::form::{Form, empty};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeciderSpec {
    title: String,
    #[serde(default)]
    given: Vec<DecidedEvent>,
    when: Command,
    then: Outcome,
}

impl Form for DeciderSpec {
    fn title(&self) -> &str {
        &self.title
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecidedEvent {
    event: String,
    #[serde(default = "empty")]
    data: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    command: String,
    #[serde(default = "empty")]
    data: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
}

/// The parts of the context that a specification may set: all but the version, which follows from
/// the given events.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    now_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Events(Vec<DecidedEvent>),
    Rejected(Rejected),
    State(Value),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Rejected {
    Code(String),
    Details(Rejection),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejection {
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

/// Reads the members by hand, since an untagged enum does not say which member is unknown.
impl<'de> Deserialize<'de> for Rejected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeOrDetails;

        impl<'de> Visitor<'de> for CodeOrDetails {
            type Value = Rejected;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.write_str("the code of a rejection, or an object with its `code`")
            }

            fn visit_str<E: Error>(self, code: &str) -> Result<Rejected, E> {
                Ok(Rejected::Code(code.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Rejected, A::Error> {
                Rejection::deserialize(MapAccessDeserializer::new(members)).map(Rejected::Details)
            }
        }

        deserializer.deserialize_any(CodeOrDetails)
    }
}
