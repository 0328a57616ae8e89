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

on_every_store! {
    a_row_at_a_time_and_event_by_event_is_what_is_folded_by_hand,
    a_row_of_tagged_events_of_two_deciders_is_what_is_folded_by_hand,
    a_row_is_shown_as_another_module_folds_it,
    a_fresh_row_has_what_is_stored_while_nobody_moves_the_view,
    a_fresh_row_is_never_older_than_what_its_reader_has_written,
    a_row_that_waits_at_an_event_is_told_wherever_it_is_read,
    a_stored_event_that_cannot_be_read_is_passed_over_and_told,
    a_view_without_sources_says_so,
    a_long_history_is_read_up_to_the_limit,
    sources_that_misbehave_harm_nobody,
    sources_that_disagree_with_keys_are_refused,
}

const TALLY: &str = "tally";
/// The number of clients that write and read at the same time.
const CLIENTS: usize = 32;

/// Keeps every host from moving the rows of views on, for as long as it lives: on PostgreSQL an
/// append that stays open, behind which no reader of the log is given anything, and on SQLite a
/// foreign write to the file of the rows.
enum Standstill {
    Postgres { _open: Session },
    Sqlite { _writing: Connection },
}

impl Standstill {
    fn of(store: &Store) -> Self {
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

async fn fresh(view: &View, key: &str) -> Value {
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
async fn serve_guests(client: &Client) {
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

async fn a_fresh_row_has_what_is_stored_while_nobody_moves_the_view(store: Store) {
    let mut host = Host::start_with(&store, &[("GAVEL_VIEWS_WAIT_MS", "100")]).await;
    let client = host.client();
    for decider in [COUNTER, "restaurant", "order"] {
        client.deploy_example(decider).await;
    }
    let (tally, kitchen) = (client.view(TALLY), client.view("kitchen"));
    tally.deploy(component(TALLY)).await;
    kitchen.deploy(component("kitchen_view")).await;
    client.stream(COUNTER, "c-0").increment().await.accepted();
    tally.row_now("c-0").await.expect(200);

    let standstill = Standstill::of(&store);
    let mut position = String::new();
    for total in 2..=5 {
        let sent = client.stream(COUNTER, "c-0").increment().await.accepted();
        assert_eq!(fresh(&tally, "c-0").await["total"], total);
        position = sent.events[0].position.clone().unwrap();
    }
    client.stream(COUNTER, "new").increment().await.accepted();
    assert_eq!(fresh(&tally, "new").await["total"], 1);
    serve_guests(&client).await;
    let row = fresh(&kitchen, "r-1").await;
    assert_eq!(row["open"], json!(["o-1", "o-4"]), "{row}");
    // All others are as far as the view, and say so.
    assert_eq!(tally.row("c-0").await.json(200)["total"], 1);
    tally.row("new").await.problem(404, "row-not-found");
    let why = tally.get("/rows/c-0/why").send().await.json(200);
    assert_eq!(why["steps"].as_array().unwrap().len(), 1);
    let behind = tally.get("/rows/c-0").header("Gavel-After", &position);
    behind.send().await.problem(503, "view-behind");

    // A host that has just been started knows it as well. It needs the file of the rows to start.
    if store.backend() == Backend::Postgres {
        host.kill();
        host.restart().await;
    }
    let tally = host.client().view(TALLY);
    assert_eq!(fresh(&tally, "c-0").await["total"], 5);
    drop(standstill);
    assert_eq!(tally.all_now().await.len(), 2);
    assert_eq!(fresh(&tally, "c-0").await["total"], 5);
    assert_eq!(tally.row("c-0").await.json(200)["total"], 5);
}

async fn a_fresh_row_is_never_older_than_what_its_reader_has_written(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    for is_still in [false, true] {
        let _standstill = is_still.then(|| Standstill::of(&store));
        let clients = (0..CLIENTS).map(|number| {
            let (client, tally) = (client.clone(), tally.clone());
            tokio::spawn(async move {
                // Each counter has several writers, and nothing else than increments.
                let id = format!("w-{}", number % CLIENTS.div_ceil(4));
                for _ in 0..4 {
                    let sent = client.stream(COUNTER, &id).increment().await.accepted();
                    let total = fresh(&tally, &id).await["total"].as_u64().unwrap();
                    assert!(total >= sent.version, "{total} < {}", sent.version);
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }
    let all: u64 = tally
        .all_now()
        .await
        .iter()
        .map(|(_, row)| row["total"].as_u64().unwrap())
        .sum();
    assert_eq!(all, 2 * 4 * CLIENTS as u64);
}

/// A decider whose events any writer appends as it likes, and a view of them.
async fn acting(client: &Client, view: &str, module: &str) -> View {
    let manifest = json!({
        "name": "actor", "kind": "decider", "commands": [{ "name": "Act" }], "events": [{ "name": "Acted" }],
    });
    client.deploy("actor", with_manifest(&manifest)).await;
    let view = client.view(view);
    view.deploy(component(module)).await;
    view
}

/// Appends an event to a stream that has so many already.
async fn act(client: &Client, id: &str, version: u64, data: Value) {
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

async fn a_view_without_sources_says_so(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = acting(&client, "hostile", "hostile_view").await;
    let other = client
        .view("hostile-sources")
        .upload(component("hostile_sources"))
        .await;
    act(&client, "one", 0, json!({})).await;
    let digest = view
        .row_now("one")
        .await
        .header("gavel-module")
        .unwrap()
        .to_owned();
    for path in [
        "/rows/one/why",
        "/rows/one?_at=2026-01-01T00:00:00Z",
        "/rows/one?_fresh=true",
        &format!("/rows/one?_module={digest}"),
    ] {
        let problem = view.get(path).send().await.problem(422, "sources-missing");
        assert_eq!(problem["module"], json!(digest), "{path}");
    }
    let request = view.get("/rows/one").query("_module", other);
    assert_eq!(request.send().await.json(200), json!({ "count": 1 }));
    let path = "/rows/one?_fresh=true";
    client
        .view("nothing")
        .get(path)
        .send()
        .await
        .problem(404, "view-not-found");
}

async fn a_long_history_is_read_up_to_the_limit(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_VIEWS_HISTORY_EVENTS", "10")]).await;
    let client = host.client();
    let view = acting(&client, "hostile-sources", "hostile_sources").await;
    for version in 0..12 {
        act(&client, "one", version, json!({})).await;
    }
    view.row_now("one").await.expect(200);
    let history = client.stream("actor", "one").history().await;
    let at = async |time: &str| view.get("/rows/one").query("_at", time).send().await;
    let early = at(&history[4].created_at).await.json(200);
    assert!(early["count"].as_u64() >= Some(5), "{early}");
    let late = at("9999-01-01T00:00:00Z").await;
    assert_eq!(late.problem(422, "history-too-long")["limit"], 10);
    let mut after = String::new();
    for count in [4, 8, 10] {
        let page = view
            .get("/rows/one/why")
            .query("limit", 4)
            .query("after", &after);
        let page = page.send().await.json(200);
        let last = page["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(last["row"]["count"], count);
        page["next"].as_str().unwrap().clone_into(&mut after);
    }
    let page = view
        .get("/rows/one/why")
        .query("after", &after)
        .send()
        .await;
    page.problem(422, "history-too-long");
    // What the view still has to fold becomes less, and it is worth trying again.
    assert_eq!(fresh(&view, "one").await["count"], 12);
    let _standstill = Standstill::of(&store);
    for version in 12..23 {
        act(&client, "one", version, json!({})).await;
    }
    let request = view.get("/rows/one").query("_fresh", true);
    request.send().await.problem(503, "view-behind");
}

async fn sources_that_misbehave_harm_nobody(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = acting(&client, "hostile-sources", "hostile_sources").await;
    let keys = [
        "good",
        "two.x",
        "Nothing",
        "Wide",
        "Trap",
        "Loop",
        "ManyItems",
        "ManyEmptyItems",
        "ManyStreams",
        "NoEvents",
        "NoPlace",
    ];
    for key in keys {
        for part in ["a", "b"] {
            act(&client, &format!("{key}.{part}"), 0, json!({ "key": key })).await;
        }
        act(&client, key, 0, json!({})).await;
    }
    for key in keys {
        assert_eq!(
            view.row_now(key).await.json(200),
            json!({ "count": 3 }),
            "{key}"
        );
    }
    for (key, status, codes) in [
        ("Trap", 500, &["module-trapped"][..]),
        ("Loop", 504, &["module-out-of-fuel", "module-deadline"]),
        ("ManyItems", 504, &["module-out-of-memory"]),
        ("ManyEmptyItems", 500, &["module-broke-contract"]),
        ("ManyStreams", 500, &["module-broke-contract"]),
        ("NoEvents", 500, &["module-broke-contract"]),
        ("NoPlace", 500, &["module-broke-contract"]),
    ] {
        for path in ["/why", "?_fresh=true", "?_at=9999-01-01T00:00:00Z"] {
            let answer = view.get(&format!("/rows/{key}{path}")).send().await;
            assert_eq!(answer.status(), status, "{key}{path}: {}", answer.text());
            let code = answer.code().unwrap();
            assert!(codes.contains(&code.as_str()), "{key}{path}: {code}");
        }
        assert_eq!(view.row(key).await.json(200), json!({ "count": 3 }));
    }
    // What `keys` does not say is not the row's, and what `sources` does not say is not found.
    for (key, count) in [("two.x", 2), ("Wide", 1), ("good", 1)] {
        let why = view.get(&format!("/rows/{key}/why")).send().await.json(200);
        assert_eq!(why["steps"].as_array().unwrap().len(), count, "{why}");
        assert_eq!(fresh(&view, key).await, json!({ "count": 3 }));
    }
    view.get("/rows/Nothing/why")
        .send()
        .await
        .problem(404, "row-not-found");
}

async fn sources_that_disagree_with_keys_are_refused(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let manifest = json!({
        "name": "actor", "kind": "decider", "commands": [{ "name": "Act" }], "events": [{ "name": "Acted" }],
    });
    client.deploy("actor", with_manifest(&manifest)).await;
    let view = client.view("hostile-sources");
    let digest = view.upload(component("hostile_sources")).await;
    let disagreements = async || {
        let report = view.rehearse(&digest).await["report"].clone();
        let steps = report["steps"].as_array().unwrap().iter();
        let step = steps
            .clone()
            .find(|step| step["step"] == "determinism")
            .unwrap();
        let facts = &step["facts"];
        assert_eq!(facts["different"], 0, "{facts}");
        assert_eq!(report["passed"], facts["misnamed"] == 0, "{report}");
        (
            facts["misnamed"].as_u64().unwrap(),
            facts["example"].to_string(),
        )
    };
    act(&client, "good", 0, json!({})).await;
    assert_eq!(disagreements().await.0, 0);
    act(&client, "Nothing", 0, json!({})).await;
    let (count, example) = disagreements().await;
    assert_eq!(count, 1);
    assert!(example.contains("has the key Nothing"), "{example}");
    act(&client, "Wide", 0, json!({})).await;
    let (count, example) = disagreements().await;
    assert_eq!(count, 2);
    assert!(
        example.contains("among the sources of row Wide"),
        "{example}"
    );
    for key in ["ManyItems", "Loop"] {
        act(&client, key, 0, json!({})).await;
        let (_, example) = disagreements().await;
        assert!(
            example.contains(&format!("row {key} has no sources")),
            "{example}"
        );
    }
    let refused = view.activate(&digest, &[]).await;
    let findings = refused["report"]["findings"].to_string();
    assert!(
        findings.contains("`sources` and `keys` disagree"),
        "{refused}"
    );
    let activated = view.activate(&digest, &["determinism"]).await;
    assert!(activated["activation"].is_number(), "{activated}");
}

/// Rows in another database than the log: the row is read first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_row_is_folded_from_another_database_than_the_log() {
    let (store, rows) = (
        Store::new(Backend::Postgres).await,
        Store::new(Backend::Postgres).await,
    );
    let host = Host::start_with(&store, &[("GAVEL_VIEWS_STORE", rows.url())]).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    let _standstill = Standstill::of(&store);
    for total in 1..=3 {
        client.stream(COUNTER, "c-0").increment().await.accepted();
        assert_eq!(fresh(&tally, "c-0").await["total"], total);
    }
}
