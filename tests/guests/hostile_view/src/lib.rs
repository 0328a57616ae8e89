//! A view that misbehaves as the events `Acted` of the decider `actor` say. Their data is
//! `{"act", "key", "note", "number"}`, each of which may be left out: `act` is the name of what is
//! done, `Ok` when left out, `key` the key of the row, else the id of the stream.

mod fold;
mod keys;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use view_base::{EvolveError, Guest, RecordedEvent, Row};

struct Module;

/// The events that this instance has seen, which nothing may depend on.
static SEEN: AtomicU64 = AtomicU64::new(0);

impl Guest for Module {
    fn describe() -> String {
        manifest()
    }

    fn keys(events: Vec<RecordedEvent>) -> Vec<Vec<String>> {
        keys::keys(&events.iter().map(Act::of).collect::<Vec<_>>())
    }

    fn fold(
        events: Vec<RecordedEvent>,
        rows: Vec<Row>,
    ) -> Vec<Result<Option<String>, EvolveError>> {
        fold::fold(&events.iter().map(Act::of).collect::<Vec<_>>(), &rows)
    }
}

view_base::export!(Module with_types_in view_base);

/// The act that an event asks for.
struct Act {
    name: String,
    key: String,
    note: Option<String>,
    number: usize,
    created_ms: u64,
}

impl Act {
    fn of(event: &RecordedEvent) -> Self {
        SEEN.fetch_add(1, Ordering::Relaxed);
        let data: Value = serde_json::from_str(&event.data).expect("the host sends JSON");
        let text = |member: &str| data[member].as_str().map(str::to_owned);
        Self {
            name: text("act").unwrap_or_else(|| "Ok".to_owned()),
            key: text("key").unwrap_or_else(|| event.stream_id.clone()),
            note: text("note"),
            number: data["number"].as_u64().unwrap_or(1) as usize,
            created_ms: event.created_ms,
        }
    }
}

fn seen() -> u64 {
    SEEN.load(Ordering::Relaxed)
}

fn loop_for_ever() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

fn eat_memory() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// The manifest, which is honest: it has a column of each type, and one field that is none.
fn manifest() -> String {
    json!({
        "name": "hostile",
        "kind": "view",
        "sdk": "none",
        "reads": [{ "decider": "actor", "event": "Acted", "schema_versions": [1] }],
        "row_schema": {
            "type": "object",
            "properties": {
                "count": { "type": "integer" },
                "note": { "type": ["string", "null"] },
                "number": { "type": "number" },
                "flag": { "type": "boolean" },
                "at": { "type": "string", "format": "date-time" },
                "id": { "type": "string", "format": "uuid" },
                "acts": { "type": "array", "items": { "type": "string" } },
            },
            "required": ["count", "note", "number", "flag", "at", "id", "acts"],
        },
        "indexes": [["note"], ["flag", "count"], ["at"]],
        "specs": [{
            "title": "what is noted is kept",
            "given": [{ "event": "Acted", "data": { "note": "a" } }],
            "then": { "rows": { "spec": {
                "count": 1,
                "note": "a",
                "number": 0.5,
                "flag": false,
                "at": "1970-01-01T00:00:00.000Z",
                "id": "00000000-0000-0000-0000-000000000001",
                "acts": ["Ok"],
            } } },
        }],
    })
    .to_string()
}
