//! Cases about the graph: who writes, who sends and who reads.

use gavel_tests::{Client, Host, Store, component, on_every_store, revision};
use serde_json::{Value, json};

/// The decider in these cases.
const COUNTER: &str = "counter";

on_every_store! {
    the_graph_shows_who_writes_who_sends_and_who_reads,
    a_graph_is_read_by_pages_and_is_that_of_its_namespace,
}

/// Puts an active module there whose kind no host of this release runs, as a newer host leaves it.
/// A decider is active by then.
pub(crate) async fn leave_module(store: &Store, kind: &str, name: &str, manifest: &Value) {
    for statement in leaving(store, kind, name, manifest) {
        store.execute(&statement).await;
    }
}

/// The statements by which [`leave_module`] does it: the module, and its activation.
pub(crate) fn leaving(store: &Store, kind: &str, name: &str, manifest: &Value) -> [String; 2] {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let digest = format!("sha256:{hex:0<64}");
    let manifest = store.json_literal(manifest);
    [
        format!(
            "INSERT INTO modules (digest, kind, contract, name, size_bytes, manifest, imports, wasm, uploaded_at) \
             SELECT '{digest}', '{kind}', contract, '{name}', size_bytes, {manifest}, imports, wasm, uploaded_at \
             FROM modules LIMIT 1"
        ),
        format!(
            "INSERT INTO activations (namespace, kind, name, number, digest, activated_at, accepted, report) \
             SELECT 'default', '{kind}', '{name}', 1, '{digest}', activated_at, accepted, report \
             FROM activations LIMIT 1"
        ),
    ]
}

/// Reads of one event, as a manifest names them.
pub(crate) fn reads(decider: &str, event: &str, schema_versions: &[u32]) -> Value {
    json!({ "decider": decider, "event": event, "schema_versions": schema_versions })
}

async fn prepare(store: &Store, client: &Client) {
    client.deploy_example(COUNTER).await;
    let counted = reads(COUNTER, "Incremented", &[2, 1]);
    let view = json!({ "kind": "view", "name": "totals", "reads": [counted] });
    leave_module(store, "view", "totals", &view).await;
    let sends = json!([{ "decider": COUNTER, "command": "Increment" }]);
    let process = json!({ "kind": "process", "name": "again", "reads": [counted], "sends": sends });
    leave_module(store, "process", "again", &process).await;
    for (name, filter) in [
        ("all", json!({})),
        ("some", json!({ "deciders": [COUNTER], "tags": ["odd"] })),
    ] {
        let settings = json!({ "filter": filter });
        client.consumer(name).put(settings).await.json(201);
    }
}

async fn graph(client: &Client, query: &str) -> Value {
    let path = format!("/v1/graph{query}");
    client.get(&path).send().await.json(200)
}

async fn the_graph_shows_who_writes_who_sends_and_who_reads(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    prepare(&store, &client).await;

    let shown = graph(&client, "").await;

    let modules = shown["modules"].as_array().unwrap();
    let [counter, again, totals] = modules.as_slice() else {
        panic!("three modules are active: {shown}");
    };
    let decider = client.get("/v1/deciders/counter").send().await.json(200);
    for member in ["digest", "activation"] {
        assert_eq!(counter[member], decider["active"][member]);
    }
    assert_eq!(
        (&counter["kind"], &counter["name"], &counter["reads"]),
        (&json!("decider"), &json!(COUNTER), &json!([]))
    );
    let incremented = json!({ "event": "Incremented", "schema_versions": [1] });
    assert!(counter["writes"].as_array().unwrap().contains(&incremented));
    let counted = json!([reads(COUNTER, "Incremented", &[1, 2])]);
    for reader in [again, totals] {
        assert_eq!(
            (&reader["reads"], &reader["writes"]),
            (&counted, &json!([]))
        );
    }
    let sends = json!([{ "decider": COUNTER, "command": "Increment" }]);
    assert_eq!((&again["sends"], &totals["sends"]), (&sends, &json!([])));
    // An empty list is no condition, here as in the settings.
    let consumers = json!([
        { "name": "all", "filter": { "deciders": [], "events": [], "tags": [] } },
        { "name": "some", "filter": { "deciders": [COUNTER], "events": [], "tags": ["odd"] } },
    ]);
    assert_eq!(
        (&shown["consumers"], &shown["next"]),
        (&consumers, &Value::Null)
    );
}

async fn a_graph_is_read_by_pages_and_is_that_of_its_namespace(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    prepare(&store, &client).await;
    client.deploy("tally", component(COUNTER)).await;
    let path = "/v1/deciders/tally/deactivations";
    client.post(path, &json!({})).send().await.json(201);
    let elsewhere = client.in_namespace("other");
    elsewhere
        .deploy(COUNTER, revision(component(COUNTER), 2))
        .await;

    let whole = graph(&client, "").await;
    for limit in 1..=6 {
        let (mut modules, mut consumers) = (Vec::new(), Vec::new());
        let mut next = String::new();
        loop {
            let page = graph(&client, &format!("?limit={limit}&after={next}")).await;
            let of = |member: &str| page[member].as_array().unwrap().clone();
            assert!(of("modules").len() + of("consumers").len() <= limit);
            modules.extend(of("modules"));
            consumers.extend(of("consumers"));
            match page["next"].as_str() {
                Some(after) => next = after.to_owned(),
                None => break,
            }
        }
        assert_eq!(
            (&json!(modules), &json!(consumers)),
            (&whole["modules"], &whole["consumers"])
        );
    }
    assert!(!whole.to_string().contains("tally"), "it is deactivated");
    let other = graph(&elsewhere, "").await;
    assert_eq!(other["modules"].as_array().unwrap().len(), 1);
    assert_eq!(other["consumers"], json!([]));
    for after in ["counter", "saga/counter", "view/No", "consumer/"] {
        let path = format!("/v1/graph?after={after}");
        let refused = client.get(&path).send().await;
        refused.problem(400, "malformed-request");
    }
}
