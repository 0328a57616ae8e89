//! Describes the contents of a module.

use std::fmt::Write as _;

use anyhow::Context as _;
use gavel_model::ModuleKind;
use gavel_sandbox::CONTRACT;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::output::size;

/// A module as the API shows it, and as `gavel inspect` finds it in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Module {
    pub(super) digest: String,
    pub(super) kind: String,
    pub(super) contract: String,
    pub(super) name: String,
    pub(super) size_bytes: u64,
    pub(super) imports: Vec<String>,
    pub(super) sdk: Option<String>,
    // Of a kind that has none it has none.
    #[serde(default)]
    pub(super) commands: Vec<CommandType>,
    #[serde(default)]
    pub(super) events: Vec<EventType>,
    #[serde(default)]
    pub(super) state_schema: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) reads: Vec<FoldedEvent>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sends: Vec<SentCommand>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) row_schema: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) indexes: Vec<Vec<String>>,
    #[serde(default)]
    pub(super) specs: Vec<Spec>,
    /// The time of the upload; none for a module that is not uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uploaded_at: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CommandType {
    pub(super) name: String,
    pub(super) schema: Value,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventType {
    pub(super) name: String,
    pub(super) schema_version: u32,
    pub(super) schema: Value,
}

/// An event that a view or a process folds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FoldedEvent {
    pub(super) decider: String,
    pub(super) event: String,
    pub(super) schema_versions: Vec<u32>,
}

/// A command that a process sends.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SentCommand {
    pub(super) decider: String,
    pub(super) command: String,
}

/// A given/when/then specification, of which only the title is shown.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) title: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl Module {
    /// The collection of modules of this kind, in the paths of the HTTP API.
    pub(super) fn collection(&self) -> anyhow::Result<&'static str> {
        let kind = ModuleKind::from_name(&self.kind);
        let kind = kind.with_context(|| format!("this gavel knows no kind `{}`", self.kind))?;
        Ok(kind.plural())
    }

    /// The module on some lines; `is_refused` says which imports no host would link.
    pub(super) fn in_words(&self, is_refused: impl Fn(&str) -> bool) -> String {
        let mut words = format!(
            "{}  {}, {}\n{}\n",
            self.name,
            self.kind,
            size(self.size_bytes),
            self.digest
        );
        let is_outdated = self.contract != CONTRACT;
        let outdated =
            is_outdated.then_some(": build it with the present SDK, and deploy it again");
        let outdated = outdated.unwrap_or_default();
        let _ = writeln!(words, "built for {}{outdated}", self.contract);
        if let Some(sdk) = &self.sdk {
            let _ = writeln!(words, "made with {sdk}");
        }
        if let Some(uploaded_at) = &self.uploaded_at {
            let _ = writeln!(words, "uploaded {uploaded_at}");
        }
        let commands = self
            .commands
            .iter()
            .map(|command| format!("{} {}", command.name, fields(&command.schema)));
        section(&mut words, "commands", commands);
        let events = self.events.iter().map(|event| {
            let fields = fields(&event.schema);
            format!("{} v{} {fields}", event.name, event.schema_version)
        });
        section(&mut words, "events", events);
        if self.state_schema.is_object() {
            section(&mut words, "state", [fields(&self.state_schema)]);
        }
        let reads = self.reads.iter().map(|read| {
            let versions = read.schema_versions.iter();
            let versions: Vec<String> = versions.map(|version| format!("v{version}")).collect();
            format!("{}/{} {}", read.decider, read.event, versions.join(", "))
        });
        section(&mut words, "reads", reads);
        let sends = self.sends.iter();
        let sends = sends.map(|send| format!("{}/{}", send.decider, send.command));
        section(&mut words, "sends", sends);
        if self.row_schema.is_object() {
            section(&mut words, "rows", [fields(&self.row_schema)]);
        }
        let indexes = self.indexes.iter().map(|index| index.join(", "));
        section(&mut words, "indexes", indexes);
        let specs = self.specs.iter().map(|spec| spec.title.clone());
        section(&mut words, "specs", specs);
        let imports = self.imports.iter().map(|import| {
            if is_refused(import) {
                format!("{import}  REFUSED: hosts link only the imports of a pure std")
            } else {
                import.clone()
            }
        });
        section(&mut words, "imports", imports);
        words
    }
}

/// Adds lines under a title, unless there are none.
pub(super) fn section(words: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        let _ = writeln!(words, "\n{title}");
    }
    for line in lines {
        let _ = writeln!(words, "  {}", line.trim_end());
    }
}

/// The fields of an object schema, with `?` behind those that may be missing. Only `-o json` shows
/// a schema in full.
fn fields(schema: &Value) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return String::new();
    };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
    let fields = properties.keys().map(|name| {
        let mark = if is_required(name) { "" } else { "?" };
        format!("{name}{mark}")
    });
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_module_reads_as_what_it_can_do() {
        let mut module: Module = serde_json::from_value(json!({
            "digest": "sha256:aa", "kind": "decider", "contract": CONTRACT, "name": "account", "size_bytes": 185_344,
            "imports": ["wasi:io/error@0.2.0", "wasi:sockets/tcp@0.2.0"], "sdk": "gavel-guest-sdk 0.1.0",
            "commands": [
                {"name": "Open", "schema": {"type": "object", "properties": {"owner": {}, "note": {}}, "required": ["owner"]}},
                {"name": "Close", "schema": {"type": "null"}},
            ],
            "events": [{"name": "Opened", "schema_version": 2, "schema": {"properties": {"owner": {}}, "required": ["owner"]}}],
            "state_schema": {"properties": {"balance": {}}, "required": ["balance"]},
            "specs": [{"title": "an account opens once", "given": [], "when": {}, "then": {}}],
        }))
        .unwrap();
        assert_eq!(
            module.in_words(|import| import.contains("sockets")),
            "account  decider, 181.0 KiB\nsha256:aa\nbuilt for gavel:module@0.1.0\nmade with gavel-guest-sdk 0.1.0\n\n\
             commands\n  Open { note?, owner }\n  Close\n\n\
             events\n  Opened v2 { owner }\n\n\
             state\n  { balance }\n\n\
             specs\n  an account opens once\n\n\
             imports\n  wasi:io/error@0.2.0\n  wasi:sockets/tcp@0.2.0  REFUSED: hosts link only the imports of a pure std\n"
        );
        let process: Module = serde_json::from_value(json!({
            "digest": "sha256:bb", "kind": "process", "contract": CONTRACT, "name": "shipping", "size_bytes": 1,
            "imports": [], "sdk": null,
            "reads": [{"decider": "order", "event": "Placed", "schema_versions": [1, 2]}],
            "sends": [{"decider": "parcel", "command": "Send"}],
        }))
        .unwrap();
        let words = process.in_words(|_| false);
        let links = "reads\n  order/Placed v1, v2\n\nsends\n  parcel/Send\n";
        assert!(words.ends_with(links), "{words}");
        module.contract = "gavel:decider@0.1.0".to_owned();
        let words = module.in_words(|_| false);
        assert!(
            words.contains("built for gavel:decider@0.1.0: build it with the present SDK, and deploy it again\n"),
            "{words}"
        );
    }
}
