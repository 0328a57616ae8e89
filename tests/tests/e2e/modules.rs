//! `/v1/modules`: immutable, addressed by content.

use gavel_tests::{COUNTER, Host, Store, component, on_every_store, revision};
use serde_json::json;

on_every_store! {
    a_module_is_stored_once_under_its_digest,
    a_module_describes_itself,
    modules_are_listed_by_name_and_kind,
    a_process_is_described_and_cannot_be_activated,
    only_a_module_that_was_never_active_can_be_deleted,
}

async fn a_module_is_stored_once_under_its_digest(store: Store) {
    let host = Host::start(&store).await;
    let wasm = component(COUNTER);

    let created = host.client().upload(wasm.clone()).await;
    let module = created.json(201);
    let again = host.client().upload(wasm.clone()).await;

    let digest = module["digest"].as_str().unwrap();
    let location = format!("/v1/modules/{digest}");
    assert_eq!(created.header("location"), Some(location.as_str()));
    assert_eq!(again.json(200), module);
    assert_eq!(host.client().get(&location).send().await.json(200), module);
    let bytes = host.client().get(&format!("{location}/wasm")).send().await;
    assert_eq!(
        bytes.expect(200).header("content-type"),
        Some("application/wasm")
    );
    assert!(
        bytes.bytes() == wasm,
        "the bytes are those that were uploaded"
    );
}

async fn a_module_describes_itself(store: Store) {
    let host = Host::start(&store).await;
    let wasm = component("account");

    let module = host.client().upload(wasm.clone()).await.json(201);

    assert_eq!(
        (&module["name"], &module["kind"]),
        (&json!("account"), &json!("decider"))
    );
    assert_eq!(module["size_bytes"], wasm.len());
    assert!(
        module["imports"]
            .as_array()
            .unwrap()
            .iter()
            .all(|import| import.as_str().unwrap().starts_with("wasi:"))
    );
    let names = |list: &str| -> Vec<_> {
        module[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("commands"), ["Open", "Deposit", "Withdraw", "Close"]);
    assert_eq!(
        names("events"),
        ["Opened", "Deposited", "Withdrawn", "Closed"]
    );
    assert!(
        module["events"]
            .as_array()
            .unwrap()
            .iter()
            .all(|event| event["schema_version"] == 1)
    );
    assert!(module["commands"][1]["schema"].is_object() && module["state_schema"].is_object());
    let spec = &module["specs"][0];
    assert!(
        ["title", "given", "when", "then"]
            .iter()
            .all(|member| spec.get(member).is_some()),
        "{spec}"
    );
    assert!(module["uploaded_at"].is_string() && module["sdk"].is_string());
}

async fn modules_are_listed_by_name_and_kind(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.upload(component(COUNTER)).await.json(201);
    client.upload(component("account")).await.json(201);

    let names = async |query: &str| -> Vec<String> {
        let list = client
            .get(&format!("/v1/modules?{query}"))
            .send()
            .await
            .json(200);
        list["modules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|module| module["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("").await, ["account", "counter"]);
    assert_eq!(names("name=counter&kind=decider").await, ["counter"]);
    assert_eq!(names("kind=view").await, [""; 0]);
    let unknown = client.get("/v1/modules?kind=saga").send().await;
    unknown.problem(400, "malformed-request");
}

async fn a_process_is_described_and_cannot_be_activated(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let module = client.upload(component("hostile_process")).await.json(201);
    assert_eq!(module["kind"], "process");
    let reads = json!([{ "decider": "actor", "event": "Acted", "schema_versions": [1] }]);
    let sends = json!([{ "decider": "actor", "command": "Act" }]);
    assert_eq!((&module["reads"], &module["sends"]), (&reads, &sends));
    let list = client
        .get("/v1/modules?kind=process")
        .send()
        .await
        .json(200);
    assert_eq!(list["modules"], json!([module]));

    let digest = &module["digest"];
    let path = "/v1/processes/hostile/activations";
    let alone = client.post(path, &json!({ "digest": digest })).send().await;
    alone.problem(404, "not-found");
    let wanted = json!([{ "kind": "process", "name": "hostile", "digest": digest }]);
    let body = json!({ "activations": wanted });
    let together = client.post("/v1/activations", &body).send().await;
    let problem = together.problem(422, "invalid-module");
    let reason = "this host does not run modules of the kind `process`";
    assert_eq!(problem["reasons"], json!([reason]));
}

async fn only_a_module_that_was_never_active_can_be_deleted(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let first = client.deploy_example(COUNTER).await;
    let second = client
        .deploy(COUNTER, revision(component(COUNTER), 2))
        .await;
    let never = client
        .upload(revision(component(COUNTER), 3))
        .await
        .json(201)["digest"]
        .as_str()
        .unwrap()
        .to_owned();

    for used in [first, second] {
        client
            .delete(&format!("/v1/modules/{used}"))
            .send()
            .await
            .problem(409, "module-in-use");
    }
    client
        .delete(&format!("/v1/modules/{never}"))
        .send()
        .await
        .expect(204);
    client
        .delete(&format!("/v1/modules/{never}"))
        .send()
        .await
        .problem(404, "module-not-found");
    client
        .get(&format!("/v1/modules/{never}/wasm"))
        .send()
        .await
        .problem(404, "module-not-found");
    client
        .activate(COUNTER, &never)
        .await
        .problem(404, "module-not-found");
    client
        .get("/v1/modules/sha256:short")
        .send()
        .await
        .problem(400, "malformed-request");
}
