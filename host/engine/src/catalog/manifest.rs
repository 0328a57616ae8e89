//! The manifest of a decider: the parsed answer of `describe`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Formatter};

use gavel_model::{DeciderName, EventType, ModuleKind};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Most commands, and most schema versions of events, that a new module declares (inclusive): the
/// decider's OpenAPI document describes each of them.
const DECLARATIONS: usize = 1_000;
/// Longest name of a command or event, in bytes (inclusive).
const NAME_LIMIT_BYTES: usize = 128;

/// The manifest of a decider. It declares everything that the module may do: a command that is not
/// here never reaches the module, an event that is not here is never stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name under which the module is activated unless another is given.
    pub name: String,
    /// Always `decider`.
    pub kind: String,
    /// The SDK that made it, with its version.
    #[serde(default)]
    pub sdk: Option<String>,
    /// The commands that it decides.
    pub commands: Vec<CommandType>,
    /// The events that it may append, and all that it can fold.
    pub events: Vec<EventDeclaration>,
    /// The JSON Schema of its snapshots.
    #[serde(default)]
    pub state_schema: Value,
    /// The codes with which it may reject.
    #[serde(default)]
    pub rejections: Vec<RejectionType>,
    /// The given/when/then specifications of the module.
    #[serde(default)]
    pub specs: Vec<Spec>,
}

/// A command that a module decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandType {
    /// The name, in the imperative.
    pub name: String,
    /// The JSON Schema (2020-12) of its payload.
    #[serde(default)]
    pub schema: Value,
}

/// An event that a module folds, and may append.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventDeclaration {
    /// The name, in the past tense.
    pub name: String,
    /// The version of its schema; the first is 1.
    #[serde(default = "first_schema_version")]
    pub schema_version: u32,
    /// The JSON Schema (2020-12) of its payload.
    #[serde(default)]
    pub schema: Value,
}

/// A code with which a module may reject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectionType {
    /// The code.
    pub code: String,
}

/// A given/when/then specification. `wit/specs.md` says what it means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// One sentence; unique in its module.
    pub title: String,
    /// The history, from none upwards.
    #[serde(default)]
    pub given: Vec<SpecEvent>,
    /// The command.
    pub when: SpecCommand,
    /// The expected outcome of the command.
    pub then: SpecOutcome,
}

/// An event of a specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpecEvent {
    /// The event's name.
    pub event: String,
    /// The event's payload.
    #[serde(default = "empty_object")]
    pub data: Value,
    /// The version of its schema. When absent, of a given event the newest that the module
    /// declares; of an expected one, any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<u32>,
}

/// The command of a specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpecCommand {
    /// The command's name.
    pub command: String,
    /// The command's payload.
    #[serde(default = "empty_object")]
    pub data: Value,
    /// The context of the decision, besides state and command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<SpecContext>,
}

/// The part of a context that a specification may set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpecContext {
    /// The id of the command; the nil UUID when absent.
    pub command_id: Option<String>,
    /// The namespace of the stream; `default` when absent.
    pub namespace: Option<String>,
    /// The time, in milliseconds since 1970-01-01T00:00:00Z; 0 when absent.
    pub now_ms: u64,
    /// The random number; 0 when absent.
    pub seed: u64,
    /// The id of the stream; `spec` when absent.
    pub stream_id: Option<String>,
    /// The sender of the command.
    pub actor: Option<String>,
    /// The metadata that the sender attached.
    pub metadata: BTreeMap<String, String>,
}

/// The outcome that a specification expects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpecOutcome {
    /// Exactly these events, in order; an empty list is an accepted command without events.
    Events(Vec<SpecEvent>),
    /// A rejection.
    Rejected(ExpectedRejection),
    /// A state: the one after the command was accepted.
    State(Value),
}

/// The rejection that a specification expects: by its code, or in more detail.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ExpectedRejection {
    /// Any rejection with this code.
    Code(String),
    /// A rejection that is equal in what is named.
    Details(RejectionDetails),
}

/// The details of a rejection that a specification expects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectionDetails {
    /// The code.
    pub code: String,
    /// The sentence for people; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The facts; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// Deserializes by hand, since an untagged enum hides which members are not known.
impl<'de> Deserialize<'de> for ExpectedRejection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeOrDetails;

        impl<'de> Visitor<'de> for CodeOrDetails {
            type Value = ExpectedRejection;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.write_str("the code of a rejection, or an object with its `code`")
            }

            fn visit_str<E: serde::de::Error>(self, code: &str) -> Result<Self::Value, E> {
                Ok(ExpectedRejection::Code(code.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                RejectionDetails::deserialize(MapAccessDeserializer::new(members))
                    .map(ExpectedRejection::Details)
            }
        }

        deserializer.deserialize_any(CodeOrDetails)
    }
}

pub(super) fn first_schema_version() -> u32 {
    1
}

pub(super) fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

impl Manifest {
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
    /// refused: that would be a check that is not made. So are too many declarations. A manifest
    /// that an older host has stored stays loadable whatever it holds.
    ///
    /// # Errors
    ///
    /// As [`Manifest::parse`].
    pub fn parse_new(text: &str) -> Result<Self, Vec<String>> {
        let mut reasons = Vec::new();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let manifest: Self = serde_ignored::deserialize(&mut deserializer, |path| {
            // What is inside an option or a variant has a step of its own.
            let path = path.to_string().replace(".?", "");
            if path.starts_with("specs.") {
                reasons.push(format!("the manifest's `{path}` is unknown"));
            }
        })
        .map_err(malformed)?;
        deserializer.end().map_err(malformed)?;
        for (what, count) in [
            ("commands", manifest.commands.len()),
            ("events", manifest.events.len()),
        ] {
            if count > DECLARATIONS {
                reasons.push(format!(
                    "the manifest declares {count} {what}, of at most {DECLARATIONS}"
                ));
            }
        }
        let untitled = manifest
            .specs
            .iter()
            .filter(|spec| spec.title.trim().is_empty());
        reasons.extend(untitled.map(|_| "a spec has no title".to_owned()));
        manifest.checked(reasons)
    }

    fn checked(self, mut reasons: Vec<String>) -> Result<Self, Vec<String>> {
        reasons.extend(self.violations());
        if reasons.is_empty() {
            Ok(self)
        } else {
            Err(reasons)
        }
    }

    fn violations(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Err(error) = DeciderName::new(&self.name) {
            reasons.push(format!(
                "the manifest's name `{}` is refused: {error}",
                self.name
            ));
        }
        let decider = ModuleKind::Decider.as_str();
        if self.kind != decider {
            reasons.push(format!(
                "the manifest's kind is `{}`, and the component is a `{decider}`",
                self.kind
            ));
        }
        if self.commands.is_empty() {
            reasons.push("the manifest declares no command".to_owned());
        }
        let mut seen = BTreeSet::new();
        for command in &self.commands {
            check_name("command", &command.name, &mut reasons);
            if !seen.insert(&command.name) {
                reasons.push(format!("command `{}` is declared twice", command.name));
            }
        }
        let mut seen = BTreeSet::new();
        for event in &self.events {
            check_name("event", &event.name, &mut reasons);
            if event.schema_version == 0 {
                reasons.push(format!(
                    "event `{}` has schema version 0, the first is 1",
                    event.name
                ));
            }
            if !seen.insert((&event.name, event.schema_version)) {
                reasons.push(format!(
                    "event `{}` version {} is declared twice",
                    event.name, event.schema_version
                ));
            }
        }
        let mut seen = BTreeSet::new();
        for spec in &self.specs {
            if !seen.insert(&spec.title) {
                reasons.push(format!("two specs have the title `{}`", spec.title));
            }
        }
        reasons
    }

    /// Lists the entries of the registry that an activation makes.
    #[must_use]
    pub fn event_types(&self) -> Vec<EventType> {
        let description = |schema: &Value| {
            schema
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        self.events
            .iter()
            .map(|event| EventType {
                event: event.name.clone(),
                schema_version: event.schema_version,
                description: description(&event.schema),
            })
            .collect()
    }

    /// Gives the newest schema version that is declared for an event.
    #[must_use]
    pub fn newest_schema_version(&self, event: &str) -> Option<u32> {
        self.events
            .iter()
            .filter(|declared| declared.name == event)
            .map(|declared| declared.schema_version)
            .max()
    }
}

pub(super) fn malformed(error: serde_json::Error) -> Vec<String> {
    vec![format!("the manifest is malformed: {error}")]
}

pub(super) fn check_name(what: &str, name: &str, reasons: &mut Vec<String>) {
    if name.is_empty() || name.len() > NAME_LIMIT_BYTES || name.chars().any(char::is_control) {
        reasons.push(format!(
            "{what} name `{}` is refused: 1 to {NAME_LIMIT_BYTES} bytes without control characters",
            name.escape_debug()
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_spec(spec: &Value) -> String {
        json!({
            "name": "specimen",
            "kind": "decider",
            "commands": [{ "name": "End" }],
            "events": [{ "name": "Ended" }],
            "specs": [spec],
        })
        .to_string()
    }

    #[test]
    fn what_does_not_compile_as_a_specification_is_refused_at_upload() {
        let list = include_str!("../../../../tests/specs/refused.json");
        let refused: Vec<Value> = serde_json::from_str(list).unwrap();
        for spec in refused {
            assert!(Manifest::parse_new(&with_spec(&spec)).is_err(), "{spec}");
        }
    }

    #[test]
    fn a_new_module_declares_so_much_at_most_and_a_stored_one_keeps_it() {
        let manifest = |commands: usize, events: usize| {
            let commands: Vec<_> = (0..commands)
                .map(|n| json!({ "name": format!("c{n}") }))
                .collect();
            let events: Vec<_> = (1..=events)
                .map(|version| json!({ "name": "e", "schema_version": version }))
                .collect();
            json!({ "name": "a", "kind": "decider", "commands": commands, "events": events })
                .to_string()
        };
        assert!(Manifest::parse_new(&manifest(DECLARATIONS, DECLARATIONS)).is_ok());
        for (commands, events, reason) in [(1_001, 1, "1001 commands"), (1, 1_001, "1001 events")] {
            let text = manifest(commands, events);
            let reasons = Manifest::parse_new(&text).unwrap_err();
            assert!(reasons[0].contains(reason), "{reasons:?}");
            assert!(Manifest::parse(&text).is_ok());
        }
    }

    #[test]
    fn an_unknown_member_of_a_specification_is_named_and_a_stored_module_keeps_it() {
        let misspelt = json!({ "code": "no", "dta": {} });
        let text = with_spec(&json!({
            "title": "a",
            "when": { "command": "End" },
            "then": { "rejected": misspelt },
        }));
        assert_eq!(
            Manifest::parse_new(&text).unwrap_err(),
            ["the manifest's `specs.0.then.dta` is unknown"]
        );
        let stored = Manifest::parse(&text).unwrap();
        let SpecOutcome::Rejected(ExpectedRejection::Details(details)) = &stored.specs[0].then
        else {
            panic!("{stored:?}");
        };
        assert_eq!(details.code, "no");
    }
}
