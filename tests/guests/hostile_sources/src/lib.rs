//! A view of the events `Acted` of the decider `actor`, whose data is `{"key", "act"}`, each of
//! which may be left out: `key` is the key of the row, else the id of the stream. A row counts its
//! events. The sources of a row misbehave as the first word of its key says.

use std::hint::black_box;

use exports::gavel::module::sources::Guest as Sources;
use exports::gavel::module::view::{EvolveError, Guest, Row};
use gavel::module::log::{EventName, QueryItem, RecordedEvent};
use serde_json::{Value, json};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "queryable-view-module",
    generate_all,
});

struct Module;

export!(Module);

impl Guest for Module {
    fn describe() -> String {
        json!({
            "name": "hostile-sources",
            "kind": "view",
            "sdk": "none",
            "reads": [{ "decider": "actor", "event": "Acted", "schema_versions": [1] }],
            "row_schema": {
                "type": "object",
                "properties": { "count": { "type": "integer" } },
                "required": ["count"],
            },
            "indexes": [],
            "specs": [],
        })
        .to_string()
    }

    fn keys(events: Vec<RecordedEvent>) -> Vec<Vec<String>> {
        events.iter().map(|event| vec![key_of(event)]).collect()
    }

    fn fold(
        events: Vec<RecordedEvent>,
        rows: Vec<Row>,
    ) -> Vec<Result<Option<String>, EvolveError>> {
        rows.iter().map(|row| fold_row(&events, row)).collect()
    }
}

impl Sources for Module {
    fn sources(key: String) -> Vec<QueryItem> {
        match key.split('.').next().unwrap_or_default() {
            "Trap" => core::arch::wasm32::unreachable(),
            "Loop" => loop_for_ever(),
            "ManyItems" => (0..10_000_000).map(|n| stream(&format!("s-{n}"))).collect(),
            // They have room in the guest's memory.
            "ManyEmptyItems" => (0..400_000).map(|_| nothing()).collect(),
            // More than the host reads for a row.
            "ManyStreams" => (0..101).map(|n| stream(&format!("s-{n}"))).collect(),
            "NoEvents" => vec![QueryItem {
                stream_id: Some(key),
                ..nothing()
            }],
            "NoPlace" => vec![QueryItem {
                stream_id: None,
                ..stream(&key)
            }],
            // Fewer than `keys` has, and more.
            "Nothing" => Vec::new(),
            "Wide" => vec![stream(&key), stream("good")],
            // Honest: a row of two streams.
            "two" => vec![stream(&format!("{key}.a")), stream(&format!("{key}.b"))],
            _ => vec![stream(&key)],
        }
    }
}

fn stream(id: &str) -> QueryItem {
    QueryItem {
        events: vec![EventName {
            decider: "actor".to_owned(),
            event: "Acted".to_owned(),
        }],
        stream_id: Some(id.to_owned()),
        ..nothing()
    }
}

fn nothing() -> QueryItem {
    QueryItem {
        events: Vec::new(),
        stream_id: None,
        tags: Vec::new(),
    }
}

fn data(event: &RecordedEvent) -> Value {
    serde_json::from_str(&event.data).expect("the host sends JSON")
}

fn key_of(event: &RecordedEvent) -> String {
    let data = data(event);
    assert!(data["act"] != "TrapInKeys", "as it was told to");
    data["key"].as_str().unwrap_or(&event.stream_id).to_owned()
}

fn fold_row(page: &[RecordedEvent], row: &Row) -> Result<Option<String>, EvolveError> {
    let value = row.value.as_deref().map(serde_json::from_str::<Value>);
    let mut count = match value {
        Some(Ok(row)) => row["count"].as_u64().unwrap_or(0),
        _ => 0,
    };
    let mut is_there = row.value.is_some();
    for (index, event) in (0..).zip(&row.events) {
        let act = data(&page[*event as usize])["act"].clone();
        if act == "Refuse" {
            let message = "I never wanted this event".to_owned();
            return Err(EvolveError { index, message });
        }
        is_there = act != "End";
        count = if is_there { count + 1 } else { 0 };
    }
    Ok(is_there.then(|| json!({ "count": count }).to_string()))
}

fn loop_for_ever() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}
