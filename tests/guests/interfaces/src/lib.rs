//! Exports a decider, and each optional interface that one may have.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package gavel:interfaces;

        world all {
            export gavel:module/decider@0.1.0;
            export gavel:module/boundary@0.1.0;
            export gavel:module/tags@0.1.0;
            export gavel:module/upcast@0.1.0;
        }
    ",
    world: "gavel:interfaces/all",
    generate_all,
});

use exports::gavel::module::{boundary, decider, tags, upcast};
use gavel::module::log::{EventName, QueryItem, RecordedEvent};

const MANIFEST: &str = r#"{
    "name": "interfaces",
    "kind": "decider",
    "commands": [{ "name": "Begin" }],
    "events": [{ "name": "Begun" }]
}"#;

struct Module;

struct State;

impl decider::GuestState for State {
    fn initial() -> decider::State {
        decider::State::new(Self)
    }

    fn restore(_snapshot: String) -> Result<decider::State, String> {
        Ok(decider::State::new(Self))
    }

    fn snapshot(&self) -> String {
        "null".to_owned()
    }
}

impl decider::Guest for Module {
    type State = State;

    fn describe() -> String {
        MANIFEST.to_owned()
    }

    fn evolve(
        _state: decider::StateBorrow<'_>,
        _events: Vec<decider::Event>,
    ) -> Result<(), decider::EvolveError> {
        Ok(())
    }

    fn decide(
        _state: decider::StateBorrow<'_>,
        _command: decider::Command,
        _context: decider::Context,
    ) -> Result<Vec<decider::Event>, decider::Rejection> {
        Ok(Vec::new())
    }
}

impl boundary::Guest for Module {
    fn boundary(_command: boundary::Command) -> Vec<QueryItem> {
        vec![QueryItem {
            events: vec![EventName {
                decider: "interfaces".to_owned(),
                event: "Begun".to_owned(),
            }],
            stream_id: Some("one".to_owned()),
            tags: Vec::new(),
        }]
    }
}

impl tags::Guest for Module {
    fn tags(events: Vec<RecordedEvent>) -> Vec<Vec<String>> {
        events.into_iter().map(|event| event.tags).collect()
    }
}

impl upcast::Guest for Module {
    fn upcast(events: Vec<RecordedEvent>) -> Result<Vec<decider::Event>, decider::EvolveError> {
        Ok(events
            .into_iter()
            .map(|event| decider::Event {
                name: event.name,
                schema_version: event.schema_version,
                data: event.data,
                final_: false,
                tags: event.tags,
            })
            .collect())
    }
}

export!(Module);
