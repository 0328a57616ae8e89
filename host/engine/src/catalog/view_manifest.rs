//! The manifest of a view: the parsed answer of `describe`.

use std::collections::{BTreeMap, BTreeSet};

use gavel_model::ModuleKind;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::manifest::{empty_object, malformed};
use super::reads::{FoldedEvent, KeyOrigin, check_kind, check_number, check_reads};

/// Most indexes (inclusive).
const INDEXES: usize = 16;
/// Most members of an index (inclusive).
const INDEX_MEMBERS: usize = 4;

/// The manifest of a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewManifest {
    /// The name under which the module is activated unless another is given.
    pub name: String,
    /// Always `view`.
    pub kind: String,
    /// The SDK that made it, with its version.
    #[serde(default)]
    pub sdk: Option<String>,
    /// The events that it folds; no other reaches it.
    pub reads: Vec<FoldedEvent>,
    /// The origin of the keys of an event; none where only the module knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyOrigin>,
    /// The JSON Schema (2020-12) of its rows.
    #[serde(default)]
    pub row_schema: Value,
    /// The indexes over its rows: names of members that become columns.
    #[serde(default)]
    pub indexes: Vec<Vec<String>>,
    /// The given/then specifications of the module.
    #[serde(default)]
    pub specs: Vec<ViewSpec>,
}

/// A given/then specification of a view. `wit/specs.md` says what it means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewSpec {
    /// One sentence; unique in its module.
    pub title: String,
    /// The events, in the order of the log.
    #[serde(default)]
    pub given: Vec<LoggedEvent>,
    /// The expected rows.
    pub then: ViewOutcome,
}

/// An event in the log of a specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// The decider of the stream; may be absent where the view reads an event of this name of one
    /// decider only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decider: Option<String>,
    /// The event's name.
    pub event: String,
    /// The id of the stream; `spec` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<String>,
    /// The event's payload.
    #[serde(default = "empty_object")]
    pub data: Value,
    /// The version of its schema; the newest that the view reads when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<u32>,
    /// The labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The time at which it was stored, in milliseconds since 1970-01-01T00:00:00Z; 0
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "event_time")]
    pub created_ms: Option<u64>,
    /// The metadata.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// Reads a time that an event can have: to the end of the year 9999.
fn event_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let time = Option::<u64>::deserialize(deserializer)?;
    let nanos = time.map(|ms| i128::from(ms) * 1_000_000);
    let moment = nanos.map(OffsetDateTime::from_unix_timestamp_nanos);
    match moment {
        Some(Err(_)) => Err(D::Error::custom("`created_ms` is after the year 9999")),
        Some(Ok(_)) | None => Ok(time),
    }
}

/// The outcome that a specification of a view expects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewOutcome {
    /// All rows that there are, by key.
    pub rows: BTreeMap<String, Value>,
}

impl ViewManifest {
    /// Parses the manifest of a module that is stored, and checks that it makes sense.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, one sentence each.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let manifest: Self = serde_json::from_str(text).map_err(malformed)?;
        manifest.checked(Vec::new())
    }

    /// Parses the answer of a new module to `describe`. A specification with an unknown member is
    /// refused: that would be a check that is not made.
    ///
    /// # Errors
    ///
    /// As [`ViewManifest::parse`].
    pub fn parse_new(text: &str) -> Result<Self, Vec<String>> {
        let mut reasons = Vec::new();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let manifest: Self = serde_ignored::deserialize(&mut deserializer, |path| {
            // What is inside an option has a step of its own.
            let path = path.to_string().replace(".?", "");
            if path.starts_with("specs.") {
                reasons.push(format!("the manifest's `{path}` is unknown"));
            }
        })
        .map_err(malformed)?;
        deserializer.end().map_err(malformed)?;
        check_number(&manifest.reads, &mut reasons);
        let mut specs = manifest.specs.iter();
        if specs.any(|spec| spec.title.trim().is_empty()) {
            reasons.push("a spec has no title".to_owned());
        }
        manifest.checked(reasons)
    }

    fn checked(self, mut reasons: Vec<String>) -> Result<Self, Vec<String>> {
        self.check(&mut reasons);
        if reasons.is_empty() {
            Ok(self)
        } else {
            Err(reasons)
        }
    }

    fn check(&self, reasons: &mut Vec<String>) {
        check_kind(ModuleKind::View, &self.name, &self.kind, reasons);
        check_reads(&self.reads, self.key.as_ref(), reasons);
        self.check_indexes(reasons);
        let mut seen = BTreeSet::new();
        for spec in &self.specs {
            if !seen.insert(&spec.title) {
                reasons.push(format!("two specs have the title `{}`", spec.title));
            }
        }
    }
}

impl ViewManifest {
    fn check_indexes(&self, reasons: &mut Vec<String>) {
        let indexes = self.indexes.len();
        if indexes > INDEXES {
            reasons.push(format!("there are {indexes} indexes, of at most {INDEXES}"));
        }
        let mut seen = BTreeSet::new();
        for index in &self.indexes {
            let named = index.join(", ");
            if index.is_empty() || index.len() > INDEX_MEMBERS {
                reasons.push(format!(
                    "an index has 1 to {INDEX_MEMBERS} members, and not ({named})"
                ));
            }
            let fields: BTreeSet<&String> = index.iter().collect();
            if fields.len() < index.len() {
                reasons.push(format!("the index ({named}) names a member twice"));
            }
            if !seen.insert(index) {
                reasons.push(format!("the index ({named}) is declared twice"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn orders(members: &Value) -> String {
        let mut manifest = json!({
            "name": "orders", "kind": "view",
            "reads": [{ "decider": "order", "event": "Placed", "schema_versions": [1] }],
        });
        for (name, member) in members.as_object().unwrap() {
            manifest[name] = member.clone();
        }
        manifest.to_string()
    }

    #[test]
    fn a_manifest_that_makes_no_sense_is_refused_with_the_reason() {
        assert!(ViewManifest::parse_new(&orders(&json!({}))).is_ok());
        let read = json!({ "decider": "order", "event": "Placed", "schema_versions": [1] });
        let none = json!({ "decider": "order", "event": "Placed", "schema_versions": [] });
        let zero = json!({ "decider": "order", "event": "Placed", "schema_versions": [0] });
        let nobody = json!({ "decider": "-", "event": "Placed", "schema_versions": [1] });
        for (members, reason) in [
            (json!({ "name": "Orders" }), "name `Orders`"),
            (json!({ "kind": "decider" }), "kind is `decider`"),
            (json!({ "reads": [] }), "reads no event"),
            (json!({ "reads": [read, read] }), "read twice"),
            (json!({ "indexes": [[]] }), "1 to 4 members"),
            (
                json!({ "indexes": [["a", "b", "c", "d", "e"]] }),
                "1 to 4 members",
            ),
            (json!({ "indexes": [["a", "a"]] }), "member twice"),
            (json!({ "indexes": [["a"], ["a"]] }), "declared twice"),
            (json!({ "indexes": vec![vec!["a"]; 17] }), "17 indexes"),
            (json!({ "reads": [none] }), "no schema version"),
            (json!({ "reads": [zero] }), "the first is 1"),
            (json!({ "reads": [nobody] }), "decider `-`"),
            (
                json!({ "specs": [{ "title": "a", "then": { "rows": {}, "row": 1 } }] }),
                "specs.0.then.row",
            ),
            (
                json!({ "specs": [{ "title": " ", "then": { "rows": {} } }] }),
                "no title",
            ),
        ] {
            let reasons = ViewManifest::parse_new(&orders(&members)).unwrap_err();
            assert!(
                reasons.iter().any(|text| text.contains(reason)),
                "{reasons:?}"
            );
        }
    }
}
