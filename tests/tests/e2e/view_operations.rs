//! Cases about the operation of views: metrics, the reason for which rows do not move, the output
//! of modules, and the descriptions of views.

use gavel_tests::{CliOutput, Client, Host, Store, component, on_every_store, with_manifest};
use serde_json::json;

on_every_store! {
    the_output_of_a_view_can_be_read,
}

/// Appends an event of the decider `actor`, whose events any writer appends as it likes.
async fn act(client: &Client, id: &str, version: u64, act: &str) {
    let events = json!([{ "event": "Acted", "data": { "act": act } }]);
    let stream = client.stream("actor", id);
    stream.append(version, &events).send().await.expect(200);
}

async fn deploy_hostile(client: &Client) -> String {
    let manifest = json!({
        "name": "actor", "kind": "decider", "commands": [{ "name": "Act" }], "events": [{ "name": "Acted" }],
    });
    client.deploy("actor", with_manifest(&manifest)).await;
    client
        .view("hostile")
        .deploy(component("hostile_view"))
        .await
}

async fn the_output_of_a_view_can_be_read(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let digest = deploy_hostile(&client).await;
    act(&client, "a", 0, "Print").await;
    client.view("hostile").row_now("a").await.expect(200);

    let folder = tempfile::tempdir().unwrap();
    let gavel = |arguments: &[&str]| CliOutput::of(Some(&host), folder.path(), arguments);
    let shown = gavel(&["logs", "hostile"]).exits_with(0).stdout();
    assert!(shown.trim_end().ends_with("  a speaks"), "{shown}");
    let line = gavel(&["logs", "hostile", "--tail", "1", "-o", "json"]).json();
    assert_eq!(
        (&line["view"], &line["module"], &line["text"]),
        (&json!("hostile"), &json!(digest), &json!("a speaks\n"))
    );
    let log = host.log();
    let mut lines = log.lines().filter(|line| line.contains("gavel::module"));
    assert!(
        lines.any(|line| line.contains("a speaks") && line.contains("hostile")),
        "{log}"
    );
    let unknown = gavel(&["logs", "nothing"]).exits_with(1).stderr();
    assert!(unknown.contains("nothing"), "{unknown}");
    let unknown = client.view("nothing").get("/logs").send().await;
    unknown.problem(404, "view-not-found");
}
