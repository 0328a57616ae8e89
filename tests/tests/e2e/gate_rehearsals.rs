//! `/v1/deciders/{decider}/rehearsals` and `/v1/rehearsals`: the gate without the activation, in
//! the background.

use gavel_tests::{Client, Host, LIMIT, Store, component, eventually, on_every_store, revision};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::gate::{
    DECIDER, PAST_EVENTS, activate, assert_counts, assert_passed, assert_refused_at, decider,
    facts, over, rehearse, upload, upload_bytes, write_past,
};

on_every_store! {
    a_rehearsal_says_what_an_activation_would_and_changes_nothing,
    a_finding_can_be_accepted_in_a_rehearsal,
    a_rehearsal_can_be_watched,
    a_rehearsal_can_be_cancelled,
    a_rehearsal_is_seen_in_its_namespace_only,
    a_rehearsal_of_what_is_not_there_is_not_begun,
    a_rehearsal_outlives_its_host,
    a_shadow_decides_what_comes_without_any_effect,
    a_shadow_sees_payloads_that_are_not_kept_and_keeps_none,
}

/// The settings with which a module that does not end holds its rehearsal for longer than any test
/// takes.
const PATIENT: [(&str, &str); 2] = [
    ("GAVEL_SANDBOX_FUEL", "1000000000000"),
    ("GAVEL_SANDBOX_DEADLINE_MS", "600000"),
];

/// A past whose first stream takes the deposit of 13.
async fn write_unlucky_past(client: &Client) {
    write_past(client).await;
    let deposit = json!({ "amount": 13 });
    let first = client.stream(DECIDER, "c-00");
    first.send("Deposit", deposit).await.accepted();
}

/// Waits until the rehearsal is at this step.
async fn reaches(client: &Client, path: &str, step: &str) -> Value {
    eventually("the rehearsal gets that far", LIMIT, async || {
        let rehearsal = client.get(path).send().await.json(200);
        assert_eq!(rehearsal["status"], "running", "{rehearsal}");
        (rehearsal["progress"]["step"] == step).then_some(rehearsal)
    })
    .await
}

async fn a_rehearsal_says_what_an_activation_would_and_changes_nothing(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    let before = decider(&client).await;
    let candidate = upload_bytes(&client, revision(component(DECIDER), 2)).await;
    let failing = upload(&client, "candidate-failing_spec").await;

    let passes = rehearse(&client, &json!({ "digest": candidate })).await;
    let passed = over(&client, &passes).await;
    let fails = rehearse(&client, &json!({ "digest": failing })).await;
    let refused = over(&client, &fails).await;

    assert_eq!(
        (&passed["decider"], &passed["mode"], &passed["status"]),
        (&json!(DECIDER), &json!("history"), &json!("passed"))
    );
    assert_eq!(
        (&passed["error"], &passed["digest"]),
        (&Value::Null, &json!(candidate))
    );
    assert!(passed["started_at"].is_string() && passed["ended_at"].is_string());
    assert_passed(&passed["report"]);
    assert_eq!(refused["status"], "refused");
    assert_refused_at(&refused["report"], "specs");
    assert_eq!(decider(&client).await, before);
    let path = format!("/v1/deciders/{DECIDER}/rehearsals");
    let list = client.get(&path).send().await.json(200);
    assert_eq!(list["rehearsals"], json!([refused, passed]));

    let activated = activate(&client, &candidate, &[]).await.json(201);
    let (said, was) = (&passed["report"], &activated["report"]);
    for step in ["re-fold", "re-decide"] {
        assert_eq!(facts(said, step), facts(was, step));
    }
}

async fn a_finding_can_be_accepted_in_a_rehearsal(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    let failing = upload(&client, "candidate-failing_spec").await;

    let request = json!({ "digest": failing, "accept": ["specs:pigs fly"] });
    let path = rehearse(&client, &request).await;

    assert_eq!(over(&client, &path).await["status"], "passed");
}

async fn a_rehearsal_can_be_watched(store: Store) {
    let host = Host::start_with(&store, &PATIENT).await;
    let client = host.client();
    write_unlucky_past(&client).await;
    let same = upload_bytes(&client, revision(component(DECIDER), 2)).await;
    let looping = upload(&client, "candidate-loops_on_event").await;

    let path = rehearse(&client, &json!({ "digest": looping })).await;
    let running = reaches(&client, &path, "re-fold").await;
    assert_eq!(
        (&running["report"], &running["ended_at"]),
        (&Value::Null, &Value::Null)
    );
    let total = running["progress"]["events_total"].as_u64().unwrap();
    assert!([0, PAST_EVENTS + 1].contains(&total), "{running}");
    client.delete(&path).send().await.expect(204);

    let path = rehearse(&client, &json!({ "digest": same })).await;
    let progress = &over(&client, &path).await["progress"];
    assert_eq!(progress["step"], "cost", "{progress}");
}

async fn a_rehearsal_can_be_cancelled(store: Store) {
    let host = Host::start_with(&store, &PATIENT).await;
    let client = host.client();
    write_unlucky_past(&client).await;
    let looping = upload(&client, "candidate-loops_on_event").await;
    let path = rehearse(&client, &json!({ "digest": looping })).await;
    reaches(&client, &path, "re-fold").await;

    client.delete(&path).send().await.expect(204);

    let cancelled = over(&client, &path).await;
    assert_eq!(cancelled["status"], "cancelled");
    assert!(cancelled["ended_at"].is_string());
    // Once more changes nothing, and what has ended makes room for the next ones.
    client.delete(&path).send().await.expect(204);
    assert_eq!(client.get(&path).send().await.json(200), cancelled);
    for number in 2..6 {
        let candidate = upload_bytes(&client, revision(component(DECIDER), number)).await;
        let path = rehearse(&client, &json!({ "digest": candidate })).await;
        assert_eq!(over(&client, &path).await["status"], "passed");
    }
}

async fn a_rehearsal_is_seen_in_its_namespace_only(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let digest = write_past(&client).await;
    let path = rehearse(&client, &json!({ "digest": digest })).await;
    over(&client, &path).await;
    let there = client.in_namespace("there");

    let unknown = format!("/v1/rehearsals/{}", Uuid::now_v7());
    for (client, path) in [
        (&client, unknown.as_str()),
        (&client, "/v1/rehearsals/none"),
        (&there, &path),
    ] {
        client
            .get(path)
            .send()
            .await
            .problem(404, "rehearsal-not-found");
        client
            .delete(path)
            .send()
            .await
            .problem(404, "rehearsal-not-found");
    }
    let list = format!("/v1/deciders/{DECIDER}/rehearsals");
    let list = there.get(&list).send().await.json(200);
    assert_eq!(list["rehearsals"], json!([]));
}

async fn a_rehearsal_of_what_is_not_there_is_not_begun(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    let path = format!("/v1/deciders/{DECIDER}/rehearsals");
    let digest = format!("sha256:{}", "0".repeat(64));

    client
        .post(&path, &json!({ "digest": digest }))
        .send()
        .await
        .problem(404, "module-not-found");
    client
        .post(&path, &json!({ "digest": digest, "mode": "aloud" }))
        .send()
        .await
        .problem(400, "malformed-request");

    let list = client.get(&path).send().await.json(200);
    assert_eq!(list["rehearsals"], json!([]));
}

async fn a_rehearsal_outlives_its_host(store: Store) {
    // Long enough to be killed in the midst of it, and to be waited for afterwards.
    let settings = [PATIENT[0], ("GAVEL_SANDBOX_DEADLINE_MS", "6000")];
    let mut host = Host::start_with(&store, &settings).await;
    let client = host.client();
    write_unlucky_past(&client).await;
    let looping = upload(&client, "candidate-loops_on_event").await;
    let path = rehearse(&client, &json!({ "digest": looping })).await;
    reaches(&client, &path, "re-fold").await;

    host.kill();
    host.restart().await;

    let client = host.client();
    let refused = over(&client, &path).await;
    assert_eq!(refused["status"], "refused", "{refused}");
    let folded = facts(&refused["report"], "re-fold");
    assert_eq!(folded["examples"][0]["id"], "c-00");
}

async fn a_shadow_decides_what_comes_without_any_effect(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let (active, path) = begin_shadow(&client).await;

    let (sent, report) = withdraw_until_seen(&client, &path, &active).await;

    let decided = facts(&report, "re-decide");
    assert_counts(decided, &[("failed", 0), ("now_accepted", 0)]);
    client.delete(&path).send().await.expect(204);
    let cancelled = over(&client, &path).await;
    assert_eq!(cancelled["status"], "cancelled");
    assert!(cancelled["report"].is_object(), "what was found is kept");
    assert_eq!(decider(&client).await["active"]["digest"], json!(active));
    let rich = client.stream(DECIDER, "c-10");
    assert_eq!(rich.history().await.len(), 3 + 1 + sent);
}

/// Makes `now_rejects` the shadow of a module with a past. Gives the active module, and the
/// shadow's path.
async fn begin_shadow(client: &Client) -> (String, String) {
    let active = write_past(client).await;
    let candidate = upload(client, "candidate-now_rejects").await;
    let request = json!({ "digest": candidate, "mode": "shadow" });
    (active, rehearse(client, &request).await)
}

/// Withdraws what the candidate `now_rejects` would not give, until the shadow at `path` has seen
/// it. Gives how often, and its report.
async fn withdraw_until_seen(client: &Client, path: &str, active: &str) -> (usize, Value) {
    let rich = client.stream(DECIDER, "c-10");
    let deposit = json!({ "amount": 1_000_000 });
    rich.send("Deposit", deposit).await.accepted();
    let mut sent = 0;
    let report = eventually("the shadow has decided", LIMIT, async || {
        let withdraw = json!({ "amount": 51 });
        let answer = rich.send("Withdraw", withdraw).await.accepted();
        assert_eq!((&*answer.module, answer.events.len()), (active, 1));
        sent += 1;
        let report = client.get(path).send().await.json(200)["report"].clone();
        // One of them may be of the past.
        let has_decided = report.is_object()
            && facts(&report, "re-decide")["now_rejected"]
                .as_u64()
                .is_some_and(|count| count >= 2);
        has_decided.then_some(report)
    })
    .await;
    (sent, report)
}

async fn a_shadow_sees_payloads_that_are_not_kept_and_keeps_none(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_GATE_LEDGER", "keys")]).await;
    let client = host.client();
    let (active, path) = begin_shadow(&client).await;

    let (_, report) = withdraw_until_seen(&client, &path, &active).await;

    let example = &facts(&report, "re-decide")["examples"][0];
    let kept = json!({ "command": "Withdraw", "data": null });
    assert_eq!(example["command"], kept, "{example}");
}
