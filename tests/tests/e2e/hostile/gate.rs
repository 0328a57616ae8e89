//! The state that the gate leaves behind: the answers after an activation are those of before. What
//! the gate accepts, it has been shown; and no namespace keeps it from the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gavel_tests::{Client, Host, LIMIT, Store, component, eventually, on_every_store, revision};
use serde_json::{Value, json};

use crate::gate::{
    BUSIEST, DECIDER, PAST_COMMANDS, PAST_STREAMS, activate, assert_counts, assert_refused_at,
    command, facts, finding, over, rehearse, send, upload, upload_bytes, write_past,
};

on_every_store! {
    a_stream_that_has_ended_stays_so_after_another_module_is_activated,
    what_a_rehearsal_was_never_shown_stands_in_the_way_all_the_same,
    what_was_stored_after_a_rehearsal_is_decided_again_once,
    what_the_active_module_decides_otherwise_than_is_recorded_is_no_change,
    shadows_of_a_namespace_leave_room_for_rehearsals_and_for_others,
    all_that_a_module_decides_goes_through_the_next_one_before_the_swap,
}

async fn a_stream_that_has_ended_stays_so_after_another_module_is_activated(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_COMMANDS_SNAPSHOT_EVENTS", "2")]).await;
    let client = host.client();
    client.deploy("account", component("account")).await;
    let ids = ["acc-1", "acc-2", "acc-3"];
    let open = json!({ "owner": "Ann" });
    for id in ids {
        let stream = client.stream("account", id);
        stream.send("Open", open.clone()).await.accepted();
        stream.send("Close", json!({})).await.accepted();
    }

    let another = revision(component("account"), 2);
    let digest = client.deploy("account", another).await;

    let kept = format!(
        "SELECT decider_id FROM snapshots WHERE module = '{digest}' AND version = 2 ORDER BY decider_id"
    );
    assert_eq!(store.texts(&kept).await, ids, "the gate keeps the states");
    let stream = client.stream("account", "acc-3");
    let state = stream.state().send().await.json(200);
    assert_eq!(state["final"], json!(true), "{state}");
    let dry_run = stream.command("Open", open).query("dry_run", "true");
    dry_run.send().await.problem(409, "stream-final");
}

/// Rehearses `candidate-<change>`, which passes. Gives its digest and the report.
async fn rehearse_change(client: &Client, change: &str) -> (String, Value) {
    let digest = upload(client, &format!("candidate-{change}")).await;
    let path = rehearse(client, &json!({ "digest": digest })).await;
    let rehearsal = over(client, &path).await;
    assert_eq!(rehearsal["status"], "passed", "{rehearsal}");
    (digest, rehearsal["report"].clone())
}

async fn what_a_rehearsal_was_never_shown_stands_in_the_way_all_the_same(store: Store) {
    let strict = [("GAVEL_GATE_MAX_CHANGED_DECISIONS", "0")];
    let host = Host::start_with(&store, &strict).await;
    let client = host.client();
    client.deploy_example(DECIDER).await;
    let (digest, report) = rehearse_change(&client, "now_rejects").await;
    assert_counts(facts(&report, "re-decide"), &[("commands", 0)]);

    let mut commands = Vec::new();
    for number in 0..20 {
        let id = &format!("c-{number:02}");
        commands.push(command(id, "Open", &json!({ "owner": "ann" })));
        commands.push(command(id, "Deposit", &json!({ "amount": 60 })));
        commands.push(command(id, "Withdraw", &json!({ "amount": 51 })));
    }
    send(&client, commands).await;

    let refused = activate(&client, &digest, &[]).await;
    let report = refused.problem(422, "gate-refused")["report"].clone();
    assert_refused_at(&report, "re-decide");
    let counts = [("commands", 60), ("same", 40), ("now_rejected", 20)];
    assert_counts(facts(&report, "re-decide"), &counts);
}

async fn what_was_stored_after_a_rehearsal_is_decided_again_once(store: Store) {
    // Of 54 commands the candidate rejects one that was accepted: 2 %.
    let lenient = [("GAVEL_GATE_MAX_CHANGED_DECISIONS", "0.03")];
    let host = Host::start_with(&store, &lenient).await;
    let client = host.client();
    write_past(&client).await;
    let (digest, report) = rehearse_change(&client, "now_rejects").await;
    let (counts, words) = (
        facts(&report, "re-decide").clone(),
        report["summary"].to_string(),
    );
    assert_counts(&counts, &[("commands", PAST_COMMANDS), ("now_rejected", 1)]);
    assert!(!words.contains("Since then"), "{words}");

    // Withdrawals that are rejected now, on a stream that was seen and a new one, and commands that
    // leave no event.
    let later = vec![
        command("c-00", "Deposit", &json!({ "amount": 100 })),
        command("c-00", "Withdraw", &json!({ "amount": 51 })),
        command("c-01", "Touch", &json!({})),
        command("c-02", "Open", &json!({ "owner": "ann" })),
        command("b-00", "Touch", &json!({})),
        command("b-01", "Open", &json!({ "owner": "bob" })),
        command("b-01", "Deposit", &json!({ "amount": 60 })),
        command("b-01", "Withdraw", &json!({ "amount": 51 })),
    ];
    let sent = later.len() as u64;
    send(&client, later).await;

    let refused = activate(&client, &digest, &[]).await;
    let report = refused.problem(422, "gate-refused")["report"].clone();
    assert_refused_at(&report, "re-decide");
    let decided = facts(&report, "re-decide");
    let counts = [
        ("commands", PAST_COMMANDS + sent),
        ("same", PAST_COMMANDS + sent - 3),
        ("now_rejected", 3),
        ("undecided", 0),
    ];
    assert_counts(decided, &counts);
    assert_counts(&decided["by_command"]["Withdraw"], &[("now_rejected", 3)]);
    let first = &decided["examples"][0];
    assert_eq!(
        (&first["id"], &first["version"]),
        (&json!("b-01"), &json!(2))
    );
    let examples = decided["examples"].as_array().unwrap();
    assert!(examples.iter().any(|example| example["id"] == BUSIEST));
    assert_eq!(finding(&report, "decisions")["blocks"], true);
    let caught_up = [("commands", sent), ("streams", 4), ("failed", 0)];
    assert_counts(&report["caught_up"], &caught_up);

    // What changes nothing is activated, and the report on record counts all of it.
    let same = upload_bytes(&client, revision(component(DECIDER), 2)).await;
    let path = rehearse(&client, &json!({ "digest": same })).await;
    over(&client, &path).await;
    let touch = client.stream(DECIDER, "c-03");
    touch.send("Touch", json!({})).await.accepted();
    let report = activate(&client, &same, &[]).await.json(201)["report"].clone();
    let counts = [("commands", PAST_COMMANDS + sent + 1), ("now_rejected", 0)];
    assert_counts(facts(&report, "re-decide"), &counts);
    assert_counts(facts(&report, "re-fold"), &[("streams", PAST_STREAMS + 1)]);
    let words = report["summary"].to_string();
    assert!(words.contains("Since then 1 command decided"), "{words}");
}

async fn what_the_active_module_decides_otherwise_than_is_recorded_is_no_change(store: Store) {
    let strict = [("GAVEL_GATE_MAX_CHANGED_DECISIONS", "0")];
    let host = Host::start_with(&store, &strict).await;
    let client = host.client();
    let first = upload(&client, "wallet_v1").await;
    activate(&client, &first, &[]).await.expect(201);
    let wallet = client.stream(DECIDER, "w-1");
    wallet
        .send("Open", json!({ "owner": "ann" }))
        .await
        .accepted();
    for amount in [5, 6] {
        let deposit = json!({ "amount": amount });
        wallet.send("Deposit", deposit).await.accepted();
    }

    // It writes deposits in another schema version, and limits them.
    let second = upload(&client, "wallet_v2").await;
    let refused = activate(&client, &second, &[]).await;
    let report = refused.problem(422, "gate-refused")["report"].clone();
    let counts = [("same", 1), ("as_active", 0), ("different_events", 2)];
    assert_counts(facts(&report, "re-decide"), &counts);
    activate(&client, &second, &["decisions"]).await.expect(201);
    let deposit = json!({ "amount": 800 });
    wallet.send("Deposit", deposit).await.accepted();

    let same = upload_bytes(&client, revision(component("wallet_v2"), 2)).await;
    let path = rehearse(&client, &json!({ "digest": same })).await;
    let rehearsal = over(&client, &path).await;
    assert_eq!(rehearsal["status"], "passed", "{rehearsal}");
    let report = &rehearsal["report"];
    let counts = [("same", 2), ("as_active", 2), ("different_events", 0)];
    assert_counts(facts(report, "re-decide"), &counts);
    assert_eq!(report["findings"], json!([]));
    let words = report["summary"].to_string();
    let told = "2 otherwise than recorded, as the active module (Deposit 2)";
    assert!(words.contains(told), "{words}");

    // Of what the next release decides otherwise, what it really changes is told, and shown first.
    let third = upload(&client, "wallet_v3").await;
    let path = rehearse(&client, &json!({ "digest": third })).await;
    let report = over(&client, &path).await["report"].clone();
    let decided = facts(&report, "re-decide");
    let counts = [
        ("as_active", 2),
        ("different_events", 0),
        ("now_rejected", 1),
    ];
    assert_counts(decided, &counts);
    assert_eq!(
        decided["examples"][0]["command"]["data"],
        json!({ "amount": 800 })
    );
}

async fn shadows_of_a_namespace_leave_room_for_rehearsals_and_for_others(store: Store) {
    let host = Host::start(&store).await;
    let (here, there) = (host.client(), host.client().in_namespace("there"));
    let digest = here.deploy_example(DECIDER).await;
    let shadow = json!({ "digest": digest, "mode": "shadow" });
    let mut shadows = Vec::new();
    for _ in 0..2 {
        shadows.push(rehearse(&here, &shadow).await);
    }

    let path = format!("/v1/deciders/{DECIDER}/rehearsals");
    let one_more = here.post(&path, &shadow).send().await;
    let problem = one_more.problem(503, "overloaded");
    assert_eq!(problem["limit"], 2);
    for client in [&here, &there] {
        let path = rehearse(client, &json!({ "digest": digest })).await;
        assert_eq!(over(client, &path).await["status"], "passed");
    }
    let elsewhere = rehearse(&there, &shadow).await;
    let under_way = "gavel_gate_under_way{work=\"shadow\"}";
    assert!(here.metric(under_way).await >= 3.0);

    there.delete(&elsewhere).send().await.expect(204);
    for path in &shadows {
        here.delete(path).send().await.expect(204);
    }
    let gone = "nothing is under way any more";
    eventually(gone, LIMIT, async || {
        (here.metric(under_way).await < 1.0).then_some(())
    })
    .await;
    let ended =
        "gavel_gate_rehearsals_total{kind=\"decider\",mode=\"shadow\",status=\"cancelled\"}";
    assert!(here.metric(ended).await >= 3.0);
}

/// Deposits 1 on one account after the other until it is stopped.
async fn deposit(client: Client, accounts: Vec<String>, stop: Arc<AtomicBool>) {
    for id in accounts.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let account = client.stream(DECIDER, id);
        let deposit = json!({ "amount": 1 });
        account.send("Deposit", deposit).await.accepted();
    }
}

async fn all_that_a_module_decides_goes_through_the_next_one_before_the_swap(store: Store) {
    // Some accounts become long enough for states to be kept of them.
    let settings = [("GAVEL_COMMANDS_SNAPSHOT_EVENTS", "20")];
    let host = Host::start_with(&store, &settings).await;
    let client = host.client();
    let mut digests = vec![client.deploy_example(DECIDER).await];
    let ids: Vec<String> = (0..12).map(|number| format!("c-{number:02}")).collect();
    let open = |id: &String| command(id, "Open", &json!({ "owner": "ann" }));
    send(&client, ids.iter().map(open).collect()).await;
    let stop = Arc::new(AtomicBool::new(false));
    // The one that has an account of its own makes it long.
    let depositing = [&ids[..1], &ids[1..6], &ids[6..]].map(|ids| {
        let (client, stop) = (client.clone(), stop.clone());
        tokio::spawn(deposit(client, ids.to_vec(), stop))
    });

    let mut reports = Vec::new();
    for number in 0..4 {
        let digest = upload_bytes(&client, revision(component(DECIDER), number)).await;
        if number % 2 == 1 {
            let path = rehearse(&client, &json!({ "digest": digest })).await;
            assert_eq!(over(&client, &path).await["status"], "passed");
        }
        let activated = activate(&client, &digest, &[]).await.json(201);
        reports.push(activated["report"].clone());
        digests.push(digest);
    }
    stop.store(true, Ordering::Relaxed);
    for depositing in depositing {
        depositing.await.unwrap();
    }

    // Each command has left one event.
    let mut decided = vec![0; digests.len()];
    for id in &ids {
        for event in client.stream(DECIDER, id).history().await {
            let module = digests.iter().position(|digest| digest == event.module());
            decided[module.unwrap()] += 1;
        }
    }
    let mut before = 0;
    for (report, by_its_predecessor) in reports.iter().zip(decided) {
        before += by_its_predecessor;
        let counts = [("commands", before), ("same", before), ("undecided", 0)];
        assert_counts(facts(report, "re-decide"), &counts);
        assert_counts(&report["caught_up"], &[("different", 0), ("failed", 0)]);
    }
}
