//! The manifest, which is honest: it declares all commands, and all events but the undeclared one.

use serde_json::json;

use crate::acts::ACTS;

pub fn manifest() -> String {
    let commands: Vec<_> = ACTS
        .iter()
        .map(|(name, _)| json!({ "name": name, "schema": { "type": "object" } }))
        .collect();
    let events: Vec<_> = [
        "Happened",
        "Incremented",
        "Kept",
        "Poisoned",
        "Refused",
        "Slow",
    ]
    .iter()
    .map(|name| json!({ "name": name, "schema_version": 1, "schema": true }))
    .collect();
    let say = json!({ "command": "Say", "data": { "text": "hello" } });
    json!({
        "name": "hostile",
        "kind": "decider",
        "sdk": "none",
        "commands": commands,
        "events": events,
        "state_schema": { "type": "integer" },
        "rejections": [{ "code": "no" }],
        "specs": [{ "title": "what is said is heard", "given": [], "when": say, "then": { "events": [] } }],
    })
    .to_string()
}
