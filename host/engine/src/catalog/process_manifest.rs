//! The manifest of a process: the parsed answer of `describe`.

use std::collections::BTreeSet;

use gavel_model::{DeciderName, ModuleKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CommandName;
use super::manifest::{check_name, malformed};
use super::reads::{FoldedEvent, KeyOrigin, check_kind, check_number, check_reads};

/// Most entries of `sends` (inclusive).
const SENDS: usize = 1_000;

/// The manifest of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessManifest {
    /// The name under which the module is activated unless another is given.
    pub name: String,
    /// Always `process`.
    pub kind: String,
    /// The SDK that made it, with its version.
    #[serde(default)]
    pub sdk: Option<String>,
    /// The events that its instances learn of; no other reaches it.
    pub reads: Vec<FoldedEvent>,
    /// The origin of the keys of an event; none where only the module knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyOrigin>,
    /// The commands that it may send; no other is sent.
    pub sends: Vec<CommandName>,
    /// Tells whether an instance learns which of its commands were accepted.
    #[serde(default)]
    pub accepted: bool,
    /// The JSON Schema (2020-12) of the states of its instances.
    #[serde(default)]
    pub state_schema: Value,
    /// Tells whether an instance is one event, of which no state is kept.
    #[serde(default)]
    pub stateless: bool,
}

impl ProcessManifest {
    /// Parses the manifest of a module that is stored, and checks that it makes sense.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, one sentence each.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        Self::checked(text, |_, _| {})
    }

    /// Parses the answer of a new module to `describe`. One that declares too much is refused.
    ///
    /// # Errors
    ///
    /// As [`ProcessManifest::parse`].
    pub fn parse_new(text: &str) -> Result<Self, Vec<String>> {
        Self::checked(text, |manifest, reasons| {
            check_number(&manifest.reads, reasons);
            let sends = manifest.sends.len();
            if sends > SENDS {
                reasons.push(format!(
                    "the manifest sends {sends} commands, of at most {SENDS}"
                ));
            }
        })
    }

    fn checked(text: &str, check_size: fn(&Self, &mut Vec<String>)) -> Result<Self, Vec<String>> {
        let manifest: Self = serde_json::from_str(text).map_err(malformed)?;
        let mut reasons = Vec::new();
        check_size(&manifest, &mut reasons);
        manifest.check(&mut reasons);
        if reasons.is_empty() {
            Ok(manifest)
        } else {
            Err(reasons)
        }
    }

    fn check(&self, reasons: &mut Vec<String>) {
        check_kind(ModuleKind::Process, &self.name, &self.kind, reasons);
        check_reads(&self.reads, self.key.as_ref(), reasons);
        let mut seen = BTreeSet::new();
        for send in &self.sends {
            let CommandName { decider, command } = send;
            if let Err(error) = DeciderName::new(decider) {
                reasons.push(format!("the decider `{decider}` is refused: {error}"));
            }
            check_name("command", command, reasons);
            if !seen.insert(send) {
                reasons.push(format!("`{decider}/{command}` is sent twice"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::{EventName, Links};

    fn billing(members: &Value) -> String {
        let mut manifest = json!({
            "name": "billing", "kind": "process",
            "reads": [{ "decider": "order", "event": "Placed", "schema_versions": [1] }],
            "sends": [{ "decider": "invoice", "command": "Issue" }],
        });
        for (name, member) in members.as_object().unwrap() {
            manifest[name] = member.clone();
        }
        manifest.to_string()
    }

    #[test]
    fn the_graph_takes_from_a_manifest_what_the_process_reads_and_sends() {
        let accepted = include_str!("../../../../tests/manifests/processes_accepted.json");
        let accepted: Vec<Value> = serde_json::from_str(accepted).unwrap();
        for manifest in accepted {
            let text = manifest.to_string();
            let links = Links::of(ModuleKind::Process, &text).unwrap();
            let read = ProcessManifest::parse_new(&text).unwrap();
            let reads = read.reads.into_iter().map(|read| {
                let FoldedEvent { decider, event, .. } = read;
                (EventName { decider, event }, read.schema_versions)
            });
            assert_eq!(links.reads, reads.collect());
            assert_eq!(links.sends, read.sends.into_iter().collect());
            assert!(links.writes.is_empty());
        }
    }

    #[test]
    fn a_manifest_that_makes_no_sense_is_refused_with_the_reason() {
        assert!(ProcessManifest::parse_new(&billing(&json!({}))).is_ok());
        let read = json!({ "decider": "order", "event": "Placed", "schema_versions": [1] });
        let send = json!({ "decider": "invoice", "command": "Issue" });
        let many: Vec<_> = (0..=SENDS)
            .map(|n| json!({ "decider": "invoice", "command": format!("c{n}") }))
            .collect();
        let many = json!({ "sends": many });
        for (members, reason) in [
            (json!({ "name": "1st" }), "name `1st`"),
            (json!({ "kind": "view" }), "kind is `view`"),
            (json!({ "reads": [] }), "reads no event"),
            (json!({ "reads": [read, read] }), "read twice"),
            (json!({ "key": { "tag": "" } }), "an empty tag"),
            (
                json!({ "sends": [send, send] }),
                "`invoice/Issue` is sent twice",
            ),
            (
                json!({ "sends": [{ "decider": "-", "command": "Issue" }] }),
                "decider `-`",
            ),
            (
                json!({ "sends": [{ "decider": "invoice", "command": "" }] }),
                "command name ``",
            ),
            (many.clone(), "sends 1001 commands"),
        ] {
            let reasons = ProcessManifest::parse_new(&billing(&members)).unwrap_err();
            let [only] = &reasons[..] else {
                panic!("{members}: {reasons:?}");
            };
            assert!(only.contains(reason), "{reasons:?}");
        }
        // What an older host has stored stays loadable.
        assert!(ProcessManifest::parse(&billing(&many)).is_ok());
    }
}
