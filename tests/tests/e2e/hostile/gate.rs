//! What the gate leaves behind: the answers after an activation are those of before.

use gavel_tests::{Backend, Host, Store, component, on_every_store, revision};
use serde_json::json;

on_every_store! {
    a_stream_that_has_ended_stays_so_after_another_module_is_activated,
}

async fn a_stream_that_has_ended_stays_so_after_another_module_is_activated(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_COMMANDS_SNAPSHOT_EVENTS", "2")]).await;
    let client = host.client();
    client.deploy("account", component("account")).await;
    let stream = client.stream("account", "acc-1");
    let open = json!({ "owner": "Ann" });
    stream.send("Open", open.clone()).await.accepted();
    stream.send("Close", json!({})).await.accepted();

    let another = revision(component("account"), 2);
    client.deploy("account", another).await;

    if store.backend() == Backend::Postgres {
        let kept = "SELECT count(*) FROM snapshots WHERE version = 2";
        assert_eq!(store.session().row(kept), "1", "the gate keeps the state");
    }
    let state = stream.state().send().await.json(200);
    assert_eq!(state["final"], json!(true), "{state}");
    let dry_run = stream.command("Open", open).query("dry_run", "true");
    dry_run.send().await.problem(409, "stream-final");
}
