//! Cases about views that cannot fold: rows and events that are parked, and modules that are
//! refused at upload.

use gavel_tests::{Backend, Client, Host, Store, View, component, on_every_store, with_manifest};
use serde_json::{Value, json};

on_every_store! {
    a_row_that_faults_waits_alone_and_can_be_tried_again,
    what_waits_is_folded_piece_by_piece_once_the_row_can_be_kept,
    an_event_whose_rows_cannot_be_told_is_parked_and_every_answer_says_so,
}

/// A decider whose events any writer appends as it likes, and the view that misbehaves as they say.
pub(crate) async fn hostile(client: &Client) -> View {
    let manifest = json!({
        "name": "actor", "kind": "decider", "commands": [{ "name": "Act" }], "events": [{ "name": "Acted" }],
    });
    client.deploy("actor", with_manifest(&manifest)).await;
    let view = client.view("hostile");
    view.deploy(component("hostile_view")).await;
    view
}

pub(crate) async fn act(client: &Client, id: &str, data: Value) {
    let stream = client.stream("actor", id);
    let known = stream.events().query("limit", 1_000).send().await;
    let version = match known.status() {
        404 => 0,
        _ => known.json(200)["events"].as_array().unwrap().len(),
    };
    let events = json!([{ "event": "Acted", "data": data }]);
    stream
        .append(version as u64, &events)
        .send()
        .await
        .expect(200);
}

async fn a_row_that_faults_waits_alone_and_can_be_tried_again(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = hostile(&client).await;
    act(&client, "good", json!({})).await;
    for fault in [
        "TrapInFold",
        "EvolveError",
        "HugeRow",
        "BreaksSchema",
        "NoJson",
        "HugeInteger",
        "LongText",
    ] {
        act(&client, fault, json!({ "note": "before" })).await;
        act(&client, fault, json!({ "act": fault })).await;
        act(&client, fault, json!({})).await;
    }
    act(&client, "good", json!({})).await;

    assert_eq!(view.row_now("good").await.json(200)["count"], 2);
    let shown = view.shown().await;
    let parked = shown["parked_rows"].as_array().unwrap();
    let keys: Vec<_> = parked
        .iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "BreaksSchema",
            "EvolveError",
            "HugeInteger",
            "HugeRow",
            "LongText",
            "NoJson",
            "TrapInFold"
        ]
    );
    for row in parked {
        let key = row["key"].as_str().unwrap();
        let answer = view.row(key).await;
        let value = answer.json(200);
        assert_eq!(
            (&value["count"], &value["note"]),
            (&json!(1), &json!("before")),
            "{key}"
        );
        assert_eq!(
            answer.header("gavel-parked"),
            row["position"].as_str(),
            "{key}"
        );
        let waiting = view.row_now(key).await;
        waiting.problem(503, "row-parked");
        let path = format!("/v1/views/hostile/rows/{key}/retry");
        let retried = client.post(&path, &json!({})).send().await.json(200);
        assert_eq!(retried["parked"]["event_id"], row["event_id"], "{retried}");
    }
    let path = "/v1/views/hostile/rows/good/retry";
    let answer = client.post(path, &json!({})).send().await;
    answer.problem(404, "row-not-found");
    act(&client, "good", json!({ "act": "End" })).await;
    view.row_now("good").await.problem(404, "row-not-found");
}

async fn what_waits_is_folded_piece_by_piece_once_the_row_can_be_kept(store: Store) {
    let mut host = Host::start(&store).await;
    let client = host.client();
    let view = hostile(&client).await;
    act(&client, "one", json!({})).await;
    act(&client, "one", json!({ "act": "HugeRow" })).await;
    view.row_now("one").await.problem(503, "row-parked");
    let notes = (0..250).map(|number| json!({ "note": number.to_string() }));
    let events: Vec<_> = notes
        .map(|data| json!({ "event": "Acted", "data": data }))
        .collect();
    let stream = client.stream("actor", "one");
    stream.append(2, &json!(events)).send().await.expect(200);
    view.row_now("one").await.problem(503, "row-parked");

    host.configure("[views]\nrow_bytes = 1048576\n");
    host.kill();
    host.restart().await;
    let client = host.client();
    let path = "/v1/views/hostile/rows/one/retry";
    let retried = client.post(path, &json!({})).send().await.json(200);
    assert_eq!(retried["parked"], Value::Null, "{retried}");
    let row = client.view("hostile").row_now("one").await.json(200);
    assert_eq!((&row["count"], &row["note"]), (&json!(252), &json!("249")));
}

async fn an_event_whose_rows_cannot_be_told_is_parked_and_every_answer_says_so(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = hostile(&client).await;
    act(&client, "good", json!({})).await;
    assert_eq!(view.row_now("good").await.header("gavel-incomplete"), None);
    for fault in ["TrapInKeys", "EmptyKey", "ControlKey"] {
        act(&client, "bad", json!({ "act": fault })).await;
    }
    act(
        &client,
        "bad",
        json!({ "act": "ManyKeys", "number": 1_001 }),
    )
    .await;
    act(
        &client,
        "bad",
        json!({ "act": "ManyKeys", "number": 10_000_000 }),
    )
    .await;
    act(&client, "good", json!({})).await;

    let answer = view.row_now("good").await;
    assert_eq!(answer.json(200)["count"], 2);
    assert_eq!(answer.header("gavel-incomplete"), Some("1"));
    let shown = view.shown().await;
    assert_eq!(shown["rows"]["parked"], json!({ "rows": 0, "events": 5 }));
    let reasons = shown["parked_events"].to_string();
    for reason in ["views.keys_per_event", "a key is 1 to 255 bytes"] {
        assert!(reasons.contains(reason), "{reasons}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_whose_columns_or_reads_make_no_sense_is_refused_at_upload() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let client = host.client();
    for (name, reason) in [
        ("view_bad_clashing_columns", "is no column"),
        ("view_bad_many_columns", "201 columns"),
        ("view_bad_index_on_nothing", "no member of the rows' schema"),
        ("view_bad_index_on_list", "is no column"),
        ("view_bad_many_indexes", "17 indexes"),
        ("view_bad_name", "a view's name"),
        ("view_bad_reads_nothing", "reads no event"),
    ] {
        let refused = client.upload(component(name)).await;
        let problem = refused.problem(422, "invalid-module");
        assert!(
            problem["reasons"].to_string().contains(reason),
            "{name}: {problem}"
        );
    }
    client.upload(component("view_plain")).await.expect(201);
}
