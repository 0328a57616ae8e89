//! Hosts of this release on stores that former ones have left.

use gavel_tests::{COUNTER, Host, Store, leave_counter_of_former_contract, on_every_store};
use serde_json::{Value, json};

/// The last migration of the first schema, in both databases.
const FIRST_SCHEMA: u32 = 9;

on_every_store! {
    a_decider_of_a_former_contract_says_which_module_is_to_be_deployed_again,
}

async fn a_decider_of_a_former_contract_says_which_module_is_to_be_deployed_again(store: Store) {
    let digest = leave_counter_of_former_contract(&store, FIRST_SCHEMA).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.get("/readyz").send().await.expect(200);
    let log = host.log();
    let told = |line: &str| line.contains(&digest) && line.contains("deploy");
    assert!(log.lines().any(told), "{log}");

    // What was recorded is read as ever.
    let stream = client.stream(COUNTER, "c-1");
    let history = stream.history_json().await;
    let [shown_event] = &history[..] else {
        panic!("{history:?}");
    };
    let shown = client.get("/v1/deciders/counter").send().await.json(200);
    assert_eq!(shown["active"]["digest"], *digest);
    assert_eq!(shown["contract"], "gavel:decider@0.1.0");

    // What needs the module says what there is to do, which no retry will change.
    let command = stream.increment().await.problem(409, "module-outdated");
    assert_eq!(command["decider"], COUNTER);
    assert_eq!(command["module"], *digest);
    let state = stream.state().send().await;
    state.problem(409, "module-outdated");
    let batch = json!({ "atomic": true, "commands": [
        { "decider": COUNTER, "id": "c-1", "command": "Increment", "data": {} },
    ]});
    let batch = client.post("/v1/commands", &batch).send().await;
    batch.problem(409, "module-outdated");

    let command = shown_event["command_id"].as_str().unwrap();
    let why = client.get(&format!("/v1/commands/{command}/why"));
    why.send().await.problem(409, "module-outdated");

    // The same decider, built again, goes on with what there is; there is no way back.
    client.deploy_example(COUNTER).await;
    assert_eq!(stream.increment().await.accepted().version, 2);
    let state = stream.state().send().await.json(200);
    assert_eq!(state["state"], json!({ "value": 2 }));
    let verified = client.get("/v1/verify").send().await.text();
    let done = json!({ "done": {
        "streams": 1, "events": 2, "commands": 1, "keys_only": 0, "outdated": 1, "differences": 0,
    }});
    let last: Value = serde_json::from_str(verified.lines().last().unwrap()).unwrap();
    assert_eq!(last, done);
    let back = client.post("/v1/deciders/counter/rollback", &json!({}));
    back.send().await.problem(409, "module-outdated");
}
