//! A process that misbehaves as the events `Acted` of the decider `actor` say. Their data is
//! `{"act", "key", "number"}`, each of which may be left out: `act` is the name of what is done,
//! `Ok` when left out, `key` the key of the instance, else the id of the stream.

mod fold;
mod keys;
mod tasks;

use std::hint::black_box;

use exports::gavel::module::process::{EvolveError, Folded, Guest, Instance, Task};
use exports::gavel::module::sources;
use gavel::module::log::{EventName, QueryItem, RecordedEvent};
use serde_json::{Value, json};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "queryable-process-module",
});

struct Module;

impl Guest for Module {
    fn describe() -> String {
        manifest()
    }

    fn keys(events: Vec<RecordedEvent>) -> Vec<Vec<String>> {
        keys::keys(&events.iter().map(Act::of).collect::<Vec<_>>())
    }

    fn fold(instances: Vec<Instance>) -> Vec<Result<Folded, EvolveError>> {
        fold::fold(instances)
    }

    fn todo(_key: String, state: String) -> Vec<Task> {
        tasks::todo(&state)
    }
}

impl sources::Guest for Module {
    fn sources(key: String) -> Vec<QueryItem> {
        vec![QueryItem {
            events: vec![EventName {
                decider: "actor".to_owned(),
                event: "Acted".to_owned(),
            }],
            stream_id: (key != "nowhere").then_some(key),
            tags: Vec::new(),
        }]
    }
}

export!(Module);

/// The act that an event asks for.
struct Act {
    name: String,
    key: String,
    number: u64,
}

impl Act {
    fn of(event: &RecordedEvent) -> Self {
        let data: Value = serde_json::from_str(&event.data).expect("the host sends JSON");
        let text = |member: &str| data[member].as_str().map(str::to_owned);
        Self {
            name: text("act").unwrap_or_else(|| "Ok".to_owned()),
            key: text("key").unwrap_or_else(|| event.stream_id.clone()),
            number: data["number"].as_u64().unwrap_or(1),
        }
    }
}

fn loop_for_ever() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

/// The manifest, which is honest.
fn manifest() -> String {
    json!({
        "name": "hostile",
        "kind": "process",
        "sdk": "none",
        "reads": [{ "decider": "actor", "event": "Acted", "schema_versions": [1] }],
        "sends": [{ "decider": "actor", "command": "Act" }],
        "state_schema": {
            "type": "object",
            "properties": { "inputs": { "type": "array", "items": { "type": "string" } } },
            "required": ["inputs"],
        },
    })
    .to_string()
}
