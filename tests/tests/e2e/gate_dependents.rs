//! The gate's look at those who read what a candidate writes.

use gavel_tests::{Backend, COUNTER, Host, Store, component, on_every_store, revision};
use serde_json::{Value, json};

use crate::gate::{
    DECIDER, activate, assert_passed, assert_refused_at, decider, facts, finding, over, rehearse,
    upload, upload_bytes, write_past,
};
use crate::graph::{leave_module, leaving, reads};

on_every_store! {
    what_a_view_cannot_fold_is_not_written_unless_a_person_accepts_it,
    a_consumer_of_an_event_that_is_no_longer_declared_is_named,
}

/// A view that cannot fold the deposits of the candidate.
fn accounts() -> Value {
    let read = [
        reads(DECIDER, "Opened", &[1]),
        reads(DECIDER, "Deposited", &[2]),
    ];
    json!({ "kind": "view", "name": "accounts", "reads": read })
}

async fn what_a_view_cannot_fold_is_not_written_unless_a_person_accepts_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    let candidate = upload_bytes(&client, revision(component(DECIDER), 2)).await;
    let rehearsal = rehearse(&client, &json!({ "digest": candidate })).await;
    assert_passed(&over(&client, &rehearsal).await["report"]);
    // It becomes active after the rehearsal, which has not seen it.
    leave_module(&store, "view", "accounts", &accounts()).await;
    let before = decider(&client).await;

    let refused = activate(&client, &candidate, &[]).await;

    let report = refused.problem(422, "gate-refused")["report"].clone();
    assert_refused_at(&report, "dependents");
    let of_view = finding(&report, "dependents:view/accounts");
    assert_eq!(of_view["blocks"], true);
    let details = json!({
        "kind": "view", "name": "accounts", "relation": "cannot_fold", "events_total": 1,
        "events": [{ "event": "Deposited", "schema_version": 1 }],
    });
    assert_eq!(of_view["details"], details);
    assert_eq!(
        facts(&report, "dependents"),
        &json!({ "modules": 1, "consumers": 0 })
    );
    assert_eq!(decider(&client).await, before, "a refusal changes nothing");
    let accept = ["dependents:view/accounts"];
    let activation = activate(&client, &candidate, &accept).await.json(201);
    assert_eq!(activation["accepted"], json!(accept));
}

async fn a_consumer_of_an_event_that_is_no_longer_declared_is_named(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(DECIDER).await;
    for (name, filter) in [
        ("withdrawals", json!({ "events": ["Withdrawn"] })),
        (
            "deposits",
            json!({ "deciders": [DECIDER], "events": ["Deposited"] }),
        ),
        ("everything", json!({})),
    ] {
        let settings = json!({ "filter": filter });
        client.consumer(name).put(settings).await.json(201);
    }
    let candidate = upload(&client, "candidate-removed_event").await;

    let rehearsal = rehearse(&client, &json!({ "digest": candidate })).await;
    let report = over(&client, &rehearsal).await["report"].clone();

    let named = finding(&report, "dependents:consumer/withdrawals");
    assert_eq!(named["blocks"], false);
    assert_eq!(
        named["details"]["events"],
        json!([{ "event": "Withdrawn" }])
    );
    let findings = report["findings"].as_array().unwrap().iter();
    assert_eq!(
        findings
            .filter(|finding| finding["step"] == "dependents")
            .count(),
        1
    );
    assert_eq!(
        facts(&report, "dependents"),
        &json!({ "modules": 0, "consumers": 3 })
    );
}

/// The view becomes active between the last look at the graph and the swap: the activation waits
/// for its transaction, and looks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_becomes_active_at_the_last_moment_is_seen() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let candidate = upload(&client, DECIDER).await;
    let mut other = store.session();
    other.rows("BEGIN");
    other.rows("SELECT pg_advisory_xact_lock(gavel_swaps_key('default'))");
    for statement in leaving(&store, "view", "accounts", &accounts()) {
        other.rows(&statement);
    }

    let (sender, digest) = (client.clone(), candidate.clone());
    let activation = tokio::spawn(async move { activate(&sender, &digest, &[]).await });
    store.session().until_blocked(1);
    other.rows("COMMIT");

    let refused = activation.await.unwrap();
    let report = &refused.problem(422, "gate-refused")["report"];
    assert_eq!(finding(report, "dependents:view/accounts")["blocks"], true);
    let nobody = client.get(&format!("/v1/deciders/{DECIDER}")).send().await;
    nobody.problem(404, "decider-not-found");
}
