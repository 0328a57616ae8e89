//! The meetings of old and new: modules of another contract than the host's, and hosts that are
//! older than the schema.

use gavel_tests::{Backend, COUNTER, CliOutput, Host, Store, component, on_every_store, revision};
use serde_json::json;

on_every_store! {
    a_decider_of_another_contract_says_so_and_is_deployed_again,
    a_host_ends_when_the_schema_asks_for_newer_ones,
}

const FORMER: &str = "gavel:decider@0.1.0";

async fn a_decider_of_another_contract_says_so_and_is_deployed_again(store: Store) {
    let mut host = Host::start(&store).await;
    let digest = host.client().deploy_example(COUNTER).await;
    host.client().deploy_example("account").await;
    let counter = host.client().stream(COUNTER, "c-1");
    counter.increment().await.accepted();
    host.kill();
    let age = format!("UPDATE modules SET contract = '{FORMER}' WHERE digest = '{digest}'");
    store.forge("modules", &age).await;

    host.restart().await;

    let client = host.client();
    client.get("/readyz").send().await.json(200);
    let told = "must be built with the present SDK and deployed again";
    let log = host.log();
    assert!(log.contains(told) && log.contains(&digest), "{log}");
    let account = client.stream("account", "acc-1");
    account
        .send("Open", json!({ "owner": "ann" }))
        .await
        .accepted();
    let counter = client.stream(COUNTER, "c-1");
    let problem = counter.increment().await.problem(409, "module-outdated");
    for (fact, expected) in [
        ("decider", COUNTER),
        ("module", &digest),
        ("contract", FORMER),
    ] {
        assert_eq!(problem[fact], expected, "{problem}");
    }
    assert_eq!(counter.history().await.len(), 1);
    let decider = client.get("/v1/deciders/counter").send().await.json(200);
    assert_eq!(decider["contract"], FORMER);
    assert_eq!(decider["active"]["digest"], json!(digest));
    let module = client.get(&format!("/v1/modules/{digest}")).send().await;
    assert_eq!(module.json(200)["contract"], FORMER);
    let again = client.activate(COUNTER, &digest).await;
    again.problem(409, "module-outdated");

    let rebuilt = client
        .deploy(COUNTER, revision(component(COUNTER), 2))
        .await;

    let next = counter.increment().await.accepted();
    assert_eq!((next.module, next.version), (rebuilt, 2));
}

async fn a_host_ends_when_the_schema_asks_for_newer_ones(store: Store) {
    let mut host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let counter = client.stream(COUNTER, "c-1");
    counter.increment().await.accepted();
    let raise = match store.backend() {
        Backend::Sqlite => "PRAGMA user_version = 1000000",
        Backend::Postgres => {
            "CREATE OR REPLACE FUNCTION gavel_schema_floor() RETURNS BIGINT LANGUAGE sql STABLE \
             AS $$ SELECT 1000000::BIGINT $$"
        }
    };
    store.execute(raise).await;

    let refused = counter.increment().await;

    refused.problem(503, "store-unavailable");
    assert_eq!(host.ended().await.code(), Some(5));
    let told = "newer schema, update me";
    assert!(host.log().contains(told), "{}", host.log());
    let folder = tempfile::tempdir().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--store", store.url()];
    let output = CliOutput::of(None, folder.path(), &serve).exits_with(5);
    let said = output.stderr();
    assert!(said.contains(told) && said.contains("1000000"), "{said}");
}
