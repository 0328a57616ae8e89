//! The manifest of each variant, with its specifications. All but one of them hold in every
//! variant.

use serde_json::{Value, json};

use crate::Change;

/// The largest amount of a command or an event, unless a variant says otherwise.
const MOST: i64 = 1_000_000_000;

pub fn manifest(change: Change) -> String {
    let text = |member: &str| object(member, json!({ "type": "string" }));
    let most_deposited = match change {
        Change::NarrowedField => 100,
        _ => MOST,
    };
    let mut events = vec![
        event("Opened", text("owner")),
        event("Deposited", amount(most_deposited)),
    ];
    if change != Change::RemovedEvent {
        events.push(event("Withdrawn", amount(MOST)));
    }
    if change == Change::OtherEvents {
        events.push(event(
            "Charged",
            object("fee", json!({ "type": "integer" })),
        ));
    }
    let mut rejections = vec!["not-open", "already-open", "insufficient-funds"];
    if change == Change::NowRejects {
        rejections.push("limit");
    }
    let rejections: Vec<_> = rejections
        .iter()
        .map(|code| json!({ "code": code }))
        .collect();

    json!({
        "name": "candidate",
        "kind": "decider",
        "sdk": "none",
        "commands": [
            { "name": "Open", "schema": text("owner") },
            { "name": "Deposit", "schema": amount(MOST) },
            { "name": "Withdraw", "schema": amount(MOST) },
            { "name": "Touch", "schema": { "type": "object" } },
        ],
        "events": events,
        "state_schema": {
            "type": "object",
            "properties": {
                "open": { "type": "boolean" },
                "balance": { "type": "integer" },
                "owner": { "type": ["string", "null"] },
            },
            "required": ["open", "balance", "owner"],
        },
        "rejections": rejections,
        "specs": specs(change),
    })
    .to_string()
}

fn specs(change: Change) -> Vec<Value> {
    let opened = json!({ "event": "Opened", "data": { "owner": "ann" } });
    let mut specs = vec![
        json!({
            "title": "an account is opened once",
            "given": [opened],
            "when": { "command": "Open", "data": { "owner": "bob" } },
            "then": { "rejected": "already-open" },
        }),
        json!({
            "title": "a deposit adds to the balance",
            "given": [opened, { "event": "Deposited", "data": { "amount": 3 } }],
            "when": { "command": "Deposit", "data": { "amount": 5 } },
            "then": { "state": { "open": true, "balance": 8, "owner": "ann" } },
        }),
        json!({
            "title": "what is far beyond the balance cannot be withdrawn",
            "given": [opened],
            "when": { "command": "Withdraw", "data": { "amount": 1_000 } },
            "then": { "rejected": "insufficient-funds" },
        }),
    ];
    if change == Change::FailingSpec {
        specs.push(json!({
            "title": "pigs fly",
            "given": [opened],
            "when": { "command": "Touch", "data": {} },
            "then": { "rejected": "not-open" },
        }));
    }
    specs
}

fn event(name: &str, schema: Value) -> Value {
    json!({ "name": name, "schema_version": 1, "schema": schema })
}

fn amount(most: i64) -> Value {
    object(
        "amount",
        json!({ "type": "integer", "minimum": 1, "maximum": most }),
    )
}

/// The schema of an object with one member.
fn object(member: &str, schema: Value) -> Value {
    json!({ "type": "object", "properties": { member: schema }, "required": [member] })
}
