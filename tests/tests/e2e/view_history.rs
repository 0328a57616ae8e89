//! Cases about one row of a view by its sources: as it was, as another module folds it, right now,
//! and event by event.

use std::time::Duration;

use gavel_tests::postgres::Session;
use gavel_tests::{
    Backend, COUNTER, Client, Event, Host, Store, View, component, on_every_store, with_manifest,
};
use rusqlite::Connection;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::views::TALLY;

on_every_store! {
    a_row_at_a_time_and_event_by_event_is_what_is_folded_by_hand,
    a_row_of_tagged_events_of_two_deciders_is_what_is_folded_by_hand,
    a_row_is_shown_as_another_module_folds_it,
    a_row_that_waits_at_an_event_is_told_wherever_it_is_read,
    a_stored_event_that_cannot_be_read_is_passed_over_and_told,
}

/// Keeps every host from moving the rows of views on, for as long as it lives: on PostgreSQL an
/// append that stays open, behind which no reader of the log is given anything, and on SQLite a
/// foreign write to the file of the rows.
pub(crate) enum Standstill {
    Postgres { _open: Session },
    Sqlite { _writing: Connection },
}

impl Standstill {
    pub(crate) fn of(store: &Store) -> Self {
        match store.backend() {
            Backend::Postgres => {
                let mut session = store.session();
                session.rows("BEGIN");
                // Of an event that no view here reads.
                session.rows("INSERT INTO deciders (decider, event, event_version) VALUES ('foreign', 'Began', 1)");
                session.rows("SELECT append_event('Began', gen_random_uuid(), 'foreign', 'f-1', '{}', gen_random_uuid(), NULL)");
                Self::Postgres { _open: session }
            }
            Backend::Sqlite => {
                let writing = Connection::open(store.rows_path()).unwrap();
                writing.busy_timeout(Duration::from_secs(30)).unwrap();
                writing.execute_batch("BEGIN IMMEDIATE").unwrap();
                Self::Sqlite { _writing: writing }
            }
        }
    }
}

/// All steps of a row, in pages of so many.
async fn steps(view: &View, key: &str, limit: usize) -> Vec<(Event, Value)> {
    let mut steps = Vec::new();
    let mut after = String::new();
    let end = view.end_of_log().await;
    loop {
        let page = view.get(&format!("/rows/{key}/why"));
        let page = page.query("limit", limit).query("after", &after);
        let page = page.header("Gavel-After", &end).send().await.json(200);
        assert_eq!((&page["key"], &page["parked"]), (&json!(key), &Value::Null));
        let listed = page["steps"].as_array().unwrap();
        assert!(listed.len() <= limit, "{page}");
        let read = |step: &Value| {
            let event = serde_json::from_value(step["event"].clone()).unwrap();
            (event, step["row"].clone())
        };
        steps.extend(listed.iter().map(read));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return steps,
        }
    }
}

fn time_of(event: &Event) -> OffsetDateTime {
    OffsetDateTime::parse(&event.created_at, &Rfc3339).unwrap()
}

/// Compares what is told of a row with what it is after each of its events, by hand.
async fn assert_history(view: &View, key: &str, expected: &[(Event, Value)]) {
    for limit in [1, 2, 100] {
        assert_eq!(steps(view, key, limit).await, expected, "by {limit}");
    }
    for (event, _) in expected {
        // Of those that share a moment the newest counts.
        let then = expected
            .iter()
            .rfind(|(other, _)| time_of(other) <= time_of(event));
        let answer = view.get(&format!("/rows/{key}"));
        let answer = answer.query("_at", &event.created_at).send().await;
        assert_eq!(answer.json(200), then.unwrap().1, "at {}", event.created_at);
        assert!(answer.header("gavel-position").is_some());
        assert!(answer.header("etag").is_some());
    }
    let before = view
        .get(&format!("/rows/{key}"))
        .query("_at", "2001-01-01T00:00:00Z");
    before.send().await.problem(404, "row-not-found");
    let (_, last) = expected.last().unwrap();
    let now = view
        .get(&format!("/rows/{key}"))
        .query("_at", "9999-01-01T00:00:00Z");
    assert_eq!(now.send().await.json(200), *last);
    assert_eq!(fresh(view, key).await, *last);
    assert_eq!(view.row(key).await.json(200), *last);
}

pub(crate) async fn fresh(view: &View, key: &str) -> Value {
    let request = view.get(&format!("/rows/{key}")).query("_fresh", true);
    let answer = request.send().await;
    assert_eq!(answer.header("gavel-fresh"), Some("true"));
    assert_eq!(answer.header("gavel-position"), None);
    answer.json(200)
}

async fn a_row_at_a_time_and_event_by_event_is_what_is_folded_by_hand(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let counter = client.stream(COUNTER, "c-0");
    for command in [
        "Increment",
        "Increment",
        "Decrement",
        "Increment",
        "Reset",
        "Increment",
    ] {
        counter.send(command, json!({})).await.accepted();
        client.stream(COUNTER, "c-1").increment().await.accepted();
    }
    let tally = client.view(TALLY);
    let digest = tally.deploy(component(TALLY)).await;
    // Some events before there was a view, and some after.
    counter.increment().await.accepted();

    let (mut total, mut resets) = (0, 0);
    let mut expected = Vec::new();
    for event in counter.history().await {
        match event.event.as_str() {
            "Incremented" => total += 1,
            "Decremented" => total -= 1,
            "WasReset" => (total, resets) = (0, resets + 1),
            other => panic!("{other}"),
        }
        expected.push((event, json!({ "total": total, "resets": resets })));
    }
    assert_history(&tally, "c-0", &expected).await;
    let answer = tally.get("/rows/c-0/why").send().await;
    assert_eq!(answer.header("gavel-module"), Some(digest.as_str()));
    assert!(answer.header("gavel-position").is_some());
    tally
        .get("/rows/c-9/why")
        .send()
        .await
        .problem(404, "row-not-found");

    for (query, code, status) in [
        ("_at=yesterday", "malformed-request", 400),
        ("_fresh=perhaps", "malformed-request", 400),
        (
            "_fresh=true&_at=2026-01-01T00:00:00Z",
            "malformed-request",
            400,
        ),
        ("_module=x", "malformed-request", 400),
        ("_moment=x", "malformed-request", 400),
        (
            &format!("_module=sha256:{}", "0".repeat(64)),
            "module-not-found",
            404,
        ),
    ] {
        let refused = tally.get(&format!("/rows/c-0?{query}")).send().await;
        refused.problem(status, code);
    }
    for query in [
        "limit=0",
        "limit=1001",
        "after=soon",
        "_at=2026-01-01T00:00:00Z",
    ] {
        let refused = tally.get(&format!("/rows/c-0/why?{query}")).send().await;
        refused.problem(400, "malformed-request");
    }
}

/// Opens a restaurant, has orders placed there, and has the kitchen begin some of them.
pub(crate) async fn serve_guests(client: &Client) {
    let menu = json!({ "menu_id": "m", "items": [], "cuisine": "Italian" });
    let order = |number: u32, restaurant: &str| {
        let (client, restaurant) = (client.clone(), restaurant.to_owned());
        async move {
            let id = format!("o-{number}");
            let data =
                json!({ "identifier": id, "restaurant_identifier": restaurant, "line_items": [] });
            client
                .stream("order", &id)
                .send("CreateOrder", data)
                .await
                .accepted();
        }
    };
    for restaurant in ["r-1", "r-2"] {
        let stream = client.stream("restaurant", restaurant);
        let create = json!({ "identifier": restaurant, "name": "Da Ponte", "menu": menu });
        stream.send("CreateRestaurant", create).await.accepted();
    }
    for number in 1..=4 {
        // The kitchen is early with the second.
        if number == 2 {
            order(number, "r-1").await;
        }
        let place = json!({ "identifier": "r-1", "order_identifier": format!("o-{number}"), "line_items": [] });
        let stream = client.stream("restaurant", "r-1");
        stream.send("PlaceOrder", place).await.accepted();
    }
    order(3, "r-1").await;
    order(5, "r-2").await;
}

async fn a_row_of_tagged_events_of_two_deciders_is_what_is_folded_by_hand(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    for decider in ["restaurant", "order"] {
        client.deploy_example(decider).await;
    }
    let kitchen = client.view("kitchen");
    kitchen.deploy(component("kitchen_view")).await;
    serve_guests(&client).await;

    let log = client
        .get("/v1/events")
        .query("limit", 1_000)
        .query("tag", "restaurant_id:r-1");
    let log = log.send().await.json(200);
    let log: Vec<Event> = serde_json::from_value(log["events"].clone()).unwrap();
    assert_eq!(log.len(), 7);
    let (mut open, mut early) = (Vec::new(), Vec::<String>::new());
    let mut last_order_at = Value::Null;
    let expected: Vec<(Event, Value)> = log
        .into_iter()
        .map(|event| {
            let order = match event.decider.as_str() {
                "order" => event.data["identifier"].clone(),
                _ => event.data["order_identifier"].clone(),
            };
            if let Some(order) = order.as_str().map(str::to_owned) {
                let (from, to) = match event.decider.as_str() {
                    "order" => (&mut open, &mut early),
                    _ => (&mut early, &mut open),
                };
                match from.iter().position(|known| *known == order) {
                    Some(place) => drop(from.remove(place)),
                    None => to.push(order),
                }
                if event.decider == "restaurant" {
                    last_order_at = json!(event.created_at);
                }
            }
            let row = json!({
                "name": "Da Ponte", "open_orders": open.len(), "last_order_at": last_order_at,
                "open": open, "early": early,
            });
            (event, row)
        })
        .collect();
    // The times of rows have three digits after the point, those of events as many as they need.
    let shown: Vec<(Event, Value)> = steps(&kitchen, "r-1", 100).await;
    let without_time = |steps: &[(Event, Value)]| {
        let row = |row: &Value| {
            let mut row = row.clone();
            row["last_order_at"] = json!(row["last_order_at"].is_string());
            row
        };
        let steps = steps
            .iter()
            .map(|(event, value)| (event.clone(), row(value)));
        steps.collect::<Vec<_>>()
    };
    assert_eq!(without_time(&shown), without_time(&expected));
    assert_history(&kitchen, "r-1", &shown).await;
}

async fn a_row_is_shown_as_another_module_folds_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let tally = client.view(TALLY);
    let active = tally.deploy(component(TALLY)).await;
    let other = tally.upload(component("tally-changed")).await;
    for id in ["c-1", "c-7", "c-7", "c-7"] {
        client.stream(COUNTER, id).increment().await.accepted();
    }
    let end = tally.end_of_log().await;

    // It counts those twice whose id ends with 7.
    for (key, module, total) in [
        ("c-1", &active, 1),
        ("c-1", &other, 1),
        ("c-7", &active, 3),
        ("c-7", &other, 6),
    ] {
        let request = tally.get(&format!("/rows/{key}")).query("_module", module);
        let answer = request.header("Gavel-After", &end).send().await;
        assert_eq!(answer.json(200)["total"], total, "{key}");
        assert_eq!(answer.header("gavel-module"), Some(module.as_str()));
        let stored = tally.row(key).await;
        assert_eq!(
            answer.header("gavel-position"),
            stored.header("gavel-position")
        );
    }
    let second = client.stream(COUNTER, "c-7").history().await[1].clone();
    let request = tally.get("/rows/c-7").query("_module", &other);
    let then = request
        .query("_at", &second.created_at)
        .send()
        .await
        .json(200);
    assert!(then["total"] == 4 || then["total"] == 6, "{then}");
    let counter = client.get("/v1/deciders/counter").send().await.json(200);
    let decider = counter["active"]["digest"].as_str().unwrap().to_owned();
    let refused = tally
        .get("/rows/c-7")
        .query("_module", decider)
        .send()
        .await;
    refused.problem(422, "invalid-module");
}

/// A decider whose events any writer appends as it likes, and a view of them.
pub(crate) async fn acting(client: &Client, view: &str, module: &str) -> View {
    let manifest = json!({
        "name": "actor", "kind": "decider", "commands": [{ "name": "Act" }], "events": [{ "name": "Acted" }],
    });
    client.deploy("actor", with_manifest(&manifest)).await;
    let view = client.view(view);
    view.deploy(component(module)).await;
    view
}

/// Appends an event to a stream that has so many already.
pub(crate) async fn act(client: &Client, id: &str, version: u64, data: Value) {
    let events = json!([{ "event": "Acted", "data": data }]);
    let appended = client.stream("actor", id).append(version, &events);
    appended.send().await.expect(200);
}

async fn a_row_that_waits_at_an_event_is_told_wherever_it_is_read(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = acting(&client, "hostile-sources", "hostile_sources").await;
    for id in ["one", "ended"] {
        act(&client, id, 0, json!({})).await;
    }
    act(&client, "one", 1, json!({})).await;
    act(&client, "ended", 1, json!({ "act": "End" })).await;
    act(&client, "one", 2, json!({ "act": "Refuse" })).await;
    act(&client, "one", 3, json!({})).await;
    view.row_now("one").await.problem(503, "row-parked");

    let history = client.stream("actor", "one").history().await;
    let why = view.get("/rows/one/why").send().await.json(200);
    let rows: Vec<_> = why["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["row"]["count"])
        .collect();
    // The list ends with the event that cannot be folded.
    assert_eq!(rows, [&json!(1), &json!(2), &json!(2)]);
    assert_eq!(why["parked"]["event_id"], json!(history[2].event_id));
    assert_eq!(why["next"], Value::Null);
    let now = view
        .get("/rows/one")
        .query("_at", "9999-01-01T00:00:00Z")
        .send()
        .await;
    assert_eq!(now.json(200)["count"], 2);
    assert_eq!(now.header("gavel-parked"), history[2].position.as_deref());
    let request = view.get("/rows/one").query("_fresh", true);
    let problem = request.send().await.problem(503, "row-parked");
    assert_eq!(problem["parked"]["event_id"], json!(history[2].event_id));
    let why = view.get("/rows/ended/why").send().await.json(200);
    assert_eq!(
        (&why["steps"][0]["row"], &why["steps"][1]["row"]),
        (&json!({ "count": 1 }), &Value::Null)
    );
    view.get("/rows/ended")
        .query("_fresh", true)
        .send()
        .await
        .problem(404, "row-not-found");

    // The table does not know of these yet.
    let _standstill = Standstill::of(&store);
    act(&client, "refused", 0, json!({})).await;
    act(&client, "refused", 1, json!({ "act": "Refuse" })).await;
    act(&client, "untold", 0, json!({ "act": "TrapInKeys" })).await;
    act(&client, "untold", 1, json!({})).await;
    let request = view.get("/rows/refused").query("_fresh", true);
    request.send().await.problem(503, "row-parked");
    let request = view.get("/rows/untold").query("_fresh", true);
    let answer = request.send().await;
    assert_eq!(answer.json(200)["count"], 1);
    assert_eq!(answer.header("gavel-incomplete"), Some("1"));
}

async fn a_stored_event_that_cannot_be_read_is_passed_over_and_told(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = acting(&client, "hostile-sources", "hostile_sources").await;
    for version in 0..3 {
        for part in ["two.x.a", "two.x.b"] {
            act(&client, part, version, json!({ "key": "two.x" })).await;
        }
    }
    assert_eq!(view.row_now("two.x").await.json(200)["count"], 6);
    // As rows that were written before writers were bounded.
    let forged = match store.backend() {
        Backend::Sqlite => {
            "UPDATE events SET created_at = 300000000000000 WHERE decider_id = 'two.x.b' AND version = 2"
        }
        Backend::Postgres => {
            "ALTER TABLE events DROP CONSTRAINT events_created_at_check; \
             UPDATE events SET created_at = '-infinity' WHERE decider_id = 'two.x.b' AND version = 2"
        }
    };
    store.forge("events", forged).await;
    for path in ["/rows/two.x?_at=9999-01-01T00:00:00Z", "/rows/two.x/why"] {
        let answer = view.get(path).send().await;
        let shown = answer.json(200);
        let last = shown["steps"]
            .as_array()
            .map_or(&shown, |steps| &steps.last().unwrap()["row"]);
        assert_eq!(last["count"], 5, "{shown}");
        assert_eq!(answer.header("gavel-incomplete"), Some("1"));
    }
}
