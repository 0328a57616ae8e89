//! The answers of a host about commands and events, as clients read them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// The answer to an accepted command.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields of the HTTP API, under their names there"
)]
pub struct Accepted {
    pub command_id: Uuid,
    pub decider: String,
    pub id: String,
    pub version: u64,
    pub replayed: bool,
    pub module: String,
    pub events: Vec<Event>,
    pub state: Option<Value>,
}

/// An event, which looks the same wherever it is read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields of the HTTP API, under their names there"
)]
pub struct Event {
    pub event_id: Uuid,
    // Said outright, since otherwise an absent member would do.
    #[serde(deserialize_with = "Option::deserialize")]
    pub previous_id: Option<Uuid>,
    pub event: String,
    pub schema_version: u32,
    pub decider: String,
    pub id: String,
    pub version: u64,
    // Null in a dry run, which has no place in the log.
    #[serde(deserialize_with = "Option::deserialize")]
    pub position: Option<String>,
    pub data: Value,
    #[serde(rename = "final")]
    pub is_final: bool,
    pub tags: Vec<String>,
    pub command_id: Uuid,
    pub metadata: BTreeMap<String, String>,
    pub created_at: String,
}

impl Event {
    /// The digest of the module that decided.
    ///
    /// # Panics
    ///
    /// When the event names none.
    #[must_use]
    pub fn module(&self) -> &str {
        self.metadata
            .get("module")
            .expect("a decided event names its module")
    }
}
