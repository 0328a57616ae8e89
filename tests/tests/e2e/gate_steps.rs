//! The steps of the gate: each has candidates that fail it and no step before it. The report says
//! at what, how often, and shows the first.

use gavel_tests::{COUNTER, Client, Host, Store, component, on_every_store, revision};
use serde_json::{Value, json};

use crate::gate::{
    BUSIEST, DECIDER, PAST_COMMANDS, PAST_EVENTS, PAST_STREAMS, activate, assert_counts,
    assert_passed, assert_refused_at, decider, facts, finding, is_refused, over, passes, rehearse,
    upload, upload_bytes, write_long_past, write_past,
};
use crate::load::{Load, Outcome};

on_every_store! {
    a_candidate_that_changes_nothing_passes_every_step,
    an_event_that_history_holds_has_to_be_declared,
    a_field_that_is_narrowed_is_named,
    a_candidate_keeps_what_its_specs_promise,
    a_promise_of_the_active_module_is_broken_only_by_name,
    a_history_that_cannot_be_folded_stands_in_the_way_whatever_is_accepted,
    states_that_differ_are_counted_and_shown,
    commands_that_are_rejected_now_are_counted_and_shown,
    commands_that_are_accepted_now_are_counted_and_shown,
    commands_with_other_events_now_are_counted_and_shown,
    more_changed_decisions_than_the_policy_allows_stand_in_the_way,
    what_is_hidden_from_the_state_is_found_out,
    a_candidate_that_needs_far_more_fuel_stands_in_its_own_way,
    one_bad_event_in_ten_thousand_streams_is_found,
    a_malicious_candidate_is_stopped_and_nobody_notices,
}

/// The state of an account of Ann's.
fn account(balance: i64) -> Value {
    json!({ "open": true, "balance": balance, "owner": "ann" })
}

async fn a_candidate_that_changes_nothing_passes_every_step(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let active = write_past(&client).await;
    let candidate = upload_bytes(&client, revision(component(DECIDER), 2)).await;

    let report = activate(&client, &candidate, &[]).await.json(201)["report"].clone();

    assert_passed(&report);
    assert_eq!(
        (&report["decider"], &report["candidate"], &report["active"]),
        (&json!(DECIDER), &json!(candidate), &json!(active))
    );
    assert_eq!(report["findings"], json!([]));
    let folded = [
        ("streams", PAST_STREAMS),
        ("events", PAST_EVENTS),
        ("equal", PAST_STREAMS),
        ("different", 0),
        ("failed", 0),
    ];
    assert_counts(facts(&report, "re-fold"), &folded);
    let decided = [
        ("commands", PAST_COMMANDS),
        ("same", PAST_COMMANDS),
        ("different_events", 0),
        ("now_rejected", 0),
        ("now_accepted", 0),
        ("different_rejection", 0),
        ("failed", 0),
    ];
    assert_counts(facts(&report, "re-decide"), &decided);
    assert_counts(facts(&report, "determinism"), &[("different", 0)]);
    let deposits = &facts(&report, "cost")["by_command"]["Deposit"];
    assert!(deposits["candidate_fuel"].as_f64().unwrap() > 0.0);
    let words: Vec<_> = report["summary"].as_array().unwrap().iter().collect();
    let counted = format!("{PAST_COMMANDS} commands");
    assert!(
        words
            .iter()
            .any(|sentence| sentence.as_str().unwrap().contains(&counted)),
        "{words:?}"
    );
    // The states that were carried over are the right ones.
    let stream = client.stream(DECIDER, BUSIEST);
    assert_eq!(stream.state().send().await.json(200)["state"], account(30));
    let touched = stream.send("Touch", json!({})).await.accepted();
    assert_eq!((touched.module, touched.version), (candidate, 5));
}

async fn an_event_that_history_holds_has_to_be_declared(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let report = is_refused(&client, "removed_event", "describe").await;

    let schema = finding(&report, "schema");
    assert_eq!(
        (&schema["step"], &schema["blocks"], &schema["accepted"]),
        (&json!("describe"), &json!(true), &json!(false))
    );
    assert!(schema["summary"].as_str().unwrap().contains("Withdrawn"));
}

async fn a_field_that_is_narrowed_is_named(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    let digest = upload(&client, "candidate-narrowed_field").await;

    let rehearsal = rehearse(&client, &json!({ "digest": digest })).await;
    let report = over(&client, &rehearsal).await["report"].clone();

    let schema = finding(&report, "schema");
    assert_eq!(schema["step"], "describe");
    let said = schema.to_string();
    assert!(
        said.contains("Deposited") && said.contains("amount"),
        "{said}"
    );
}

async fn a_candidate_keeps_what_its_specs_promise(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let report = is_refused(&client, "failing_spec", "specs").await;

    let spec = finding(&report, "specs:pigs fly");
    assert_eq!(spec["blocks"], true);
    assert!(
        spec["details"]["expected"].to_string().contains("not-open"),
        "{spec}"
    );
    assert_eq!(report["findings"].as_array().unwrap().len(), 1);
}

async fn a_promise_of_the_active_module_is_broken_only_by_name(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("account").await;
    let account = client.stream("account", "acc-1");
    let open = json!({ "owner": "ann" });
    account.send("Open", open).await.accepted();
    let withdraw = json!({ "amount": 100 });
    account
        .send("Withdraw", withdraw.clone())
        .await
        .problem(422, "command-rejected");
    let digest = upload(&client, "account-overdraft").await;
    let path = "/v1/deciders/account/activations";

    let request = json!({ "digest": digest });
    let refusal = client.post(path, &request).send().await;
    let report = refusal.problem(422, "gate-refused")["report"].clone();
    let broken = "specs:an amount over the balance cannot be withdrawn";
    assert_refused_at(&report, "specs");
    assert_eq!(finding(&report, broken)["blocks"], true);
    account
        .send("Withdraw", withdraw.clone())
        .await
        .problem(422, "command-rejected");

    let request = json!({ "digest": digest, "accept": [broken] });
    let report = client.post(path, &request).send().await.json(201)["report"].clone();
    assert_passed(&report);
    assert_eq!(finding(&report, broken)["accepted"], true);
    // Both refusals would be overdrafts now.
    assert_counts(facts(&report, "re-decide"), &[("now_accepted", 2)]);
    account.send("Withdraw", withdraw).await.accepted();
    let state = account.state().send().await.json(200)["state"].clone();
    assert_eq!(state, json!({ "open": true, "balance": -100 }));
}

async fn a_history_that_cannot_be_folded_stands_in_the_way_whatever_is_accepted(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    let unlucky = client.stream(DECIDER, "c-04");
    unlucky
        .send("Deposit", json!({ "amount": 13 }))
        .await
        .accepted();

    for change in [
        "refuses_event",
        "traps_on_event",
        "loops_on_event",
        "eats_memory_on_event",
    ] {
        let report = is_refused(&client, change, "re-fold").await;

        let folded = facts(&report, "re-fold");
        assert_counts(folded, &[("failed", 1)]);
        let example = &folded["examples"][0];
        assert_eq!(
            (&example["id"], &example["version"]),
            (&json!("c-04"), &json!(4)),
            "{change}"
        );
        let event = &example["event"];
        assert_eq!(
            (&event["event"], &event["data"]),
            (&json!("Deposited"), &json!({ "amount": 13 })),
            "{change}"
        );
        let fault = example["fault"].as_str().unwrap();
        assert!(!fault.is_empty(), "{change}");
        if change == "refuses_event" {
            assert!(fault.contains("bad luck"), "{fault}");
        }
        assert_eq!(finding(&report, "re-fold")["blocks"], true);

        let digest = report["candidate"].as_str().unwrap();
        activate(&client, digest, &["re-fold"])
            .await
            .problem(422, "gate-refused");
    }
    unlucky.send("Touch", json!({})).await.accepted();
}

async fn states_that_differ_are_counted_and_shown(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let report = passes(&client, "other_state").await;

    let folded = facts(&report, "re-fold");
    let counts = [
        ("streams", PAST_STREAMS),
        ("equal", PAST_STREAMS - 3),
        ("different", 3),
        ("failed", 0),
    ];
    assert_counts(folded, &counts);
    let example = &folded["examples"][0];
    assert_eq!(
        (&example["id"], &example["version"]),
        (&json!("c-02"), &json!(4))
    );
    assert_eq!(
        (&example["active"], &example["candidate"]),
        (&account(57), &account(58))
    );
    assert_eq!(finding(&report, "states")["blocks"], false);
    assert_counts(facts(&report, "re-decide"), &[("same", PAST_COMMANDS)]);
    // What the former module folded is of no use any more.
    let state = client.stream(DECIDER, "c-02").state().send().await;
    assert_eq!(state.json(200)["state"], account(58));
}

/// Checks the counts of the changed commands named `Withdraw`, and returns the first example.
fn changed<'a>(report: &'a Value, kind: &str, count: u64) -> &'a Value {
    let decided = facts(report, "re-decide");
    let same = ("same", PAST_COMMANDS - count);
    assert_counts(
        decided,
        &[
            ("commands", PAST_COMMANDS),
            same,
            (kind, count),
            ("failed", 0),
        ],
    );
    assert_counts(&decided["by_command"]["Withdraw"], &[(kind, count)]);
    &decided["examples"][0]
}

#[track_caller]
fn assert_withdrawal(example: &Value, id: &str, version: u64, amount: u64, balance: i64) {
    assert_eq!(
        (&example["id"], &example["version"]),
        (&json!(id), &json!(version))
    );
    assert_eq!(
        (&example["command"]["command"], &example["command"]["data"]),
        (&json!("Withdraw"), &json!({ "amount": amount }))
    );
    assert_eq!(example["state_before"], account(balance));
}

async fn commands_that_are_rejected_now_are_counted_and_shown(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let report = passes(&client, "now_rejects").await;

    let example = changed(&report, "now_rejected", 1);
    assert_withdrawal(example, BUSIEST, 4, 60, 90);
    assert!(example["recorded"].to_string().contains("Withdrawn"));
    assert!(example["candidate"].to_string().contains("limit"));
    assert_eq!(finding(&report, "decisions")["blocks"], false);
    let words = report["summary"].to_string();
    assert!(words.contains("1 now rejected"), "{words}");
}

async fn commands_that_are_accepted_now_are_counted_and_shown(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let report = passes(&client, "now_accepts").await;

    let example = changed(&report, "now_accepted", 1);
    assert_withdrawal(example, "c-03", 3, 55, 50);
    let recorded = example["recorded"].to_string();
    assert!(recorded.contains("insufficient-funds"), "{recorded}");
    assert!(example["candidate"].to_string().contains("Withdrawn"));
}

async fn commands_with_other_events_now_are_counted_and_shown(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let report = passes(&client, "other_events").await;

    let example = changed(&report, "different_events", PAST_STREAMS + 1);
    assert_withdrawal(example, "c-00", 2, 10, 60);
    assert!(!example["recorded"].to_string().contains("Charged"));
    assert!(example["candidate"].to_string().contains("Charged"));
}

async fn more_changed_decisions_than_the_policy_allows_stand_in_the_way(store: Store) {
    let strict = [("GAVEL_GATE_MAX_CHANGED_DECISIONS", "0")];
    let host = Host::start_with(&store, &strict).await;
    let client = host.client();
    write_past(&client).await;
    let same = upload_bytes(&client, revision(component(DECIDER), 2)).await;
    activate(&client, &same, &[]).await.expect(201);

    let report = is_refused(&client, "now_rejects", "re-decide").await;
    assert_eq!(finding(&report, "decisions")["blocks"], true);
    let rich = client.stream(DECIDER, BUSIEST);
    let deposit = json!({ "amount": 100 });
    rich.send("Deposit", deposit).await.accepted();
    let withdraw = json!({ "amount": 51 });
    rich.send("Withdraw", withdraw.clone()).await.accepted();

    let digest = report["candidate"].as_str().unwrap();
    let activation = activate(&client, digest, &["decisions"]).await.json(201);
    assert_eq!(activation["accepted"], json!(["decisions"]));
    assert_counts(
        facts(&activation["report"], "re-decide"),
        &[("now_rejected", 2)],
    );
    let problem = rich
        .send("Withdraw", withdraw)
        .await
        .problem(422, "command-rejected");
    assert_eq!(problem["rejection"]["code"], "limit");
}

async fn what_is_hidden_from_the_state_is_found_out(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    for change in ["hidden_state", "iteration_order"] {
        let report = is_refused(&client, change, "determinism").await;

        let decided = facts(&report, "determinism");
        assert!(
            decided["different"].as_u64().unwrap() > 0,
            "{change}: {decided}"
        );
        let example = &decided["examples"][0];
        assert!(
            example["id"].as_str().unwrap().starts_with("c-"),
            "{change}: {example}"
        );
        assert_eq!(finding(&report, "determinism")["blocks"], true);
    }
}

async fn a_candidate_that_needs_far_more_fuel_stands_in_its_own_way(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let report = is_refused(&client, "thirsty", "cost").await;

    let deposits = &facts(&report, "cost")["by_command"]["Deposit"];
    let fuel = |whose: &str| deposits[whose].as_f64().unwrap();
    assert!(
        fuel("candidate_fuel") > 2.0 * fuel("active_fuel"),
        "{deposits}"
    );
    assert_counts(facts(&report, "re-decide"), &[("same", PAST_COMMANDS)]);
    assert_eq!(finding(&report, "cost")["blocks"], true);
    let digest = report["candidate"].as_str().unwrap();
    let activation = activate(&client, digest, &["cost"]).await.json(201);
    assert_eq!(activation["accepted"], json!(["cost"]));
}

/// Rehearses `candidate-<change>` on the long past. Gives the report, which names the unlucky
/// stream and no other.
async fn is_refused_for(client: &Client, change: &str, unlucky: &str) -> Value {
    let before = decider(client).await;
    let digest = upload(client, &format!("candidate-{change}")).await;
    let rehearsal = rehearse(client, &json!({ "digest": digest })).await;
    let rehearsal = over(client, &rehearsal).await;
    assert_eq!(rehearsal["status"], "refused", "{change}: {rehearsal}");
    let report = rehearsal["report"].clone();
    assert_refused_at(&report, "re-fold");
    let folded = facts(&report, "re-fold");
    assert_counts(folded, &[("failed", 1)]);
    let examples = folded["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 1, "{change}: {folded}");
    assert_eq!(
        (&examples[0]["id"], &examples[0]["version"]),
        (&json!(unlucky), &json!(2)),
        "{change}"
    );
    assert_eq!(decider(client).await, before);
    report
}

async fn one_bad_event_in_ten_thousand_streams_is_found(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_long_past(&client, "m-4711").await;

    for change in ["refuses_event", "traps_on_event"] {
        let report = is_refused_for(&client, change, "m-4711").await;

        let counts = [
            ("streams", 10_000),
            ("events", 10_001),
            ("equal", 9_999),
            ("different", 0),
        ];
        assert_counts(facts(&report, "re-fold"), &counts);
    }
}

async fn a_malicious_candidate_is_stopped_and_nobody_notices(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    // The 9,999th.
    write_long_past(&client, "m-9998").await;
    let memory_bytes = host.memory_bytes();

    for change in ["loops_on_event", "eats_memory_on_event"] {
        let live = Load::start(&client, "live", 4, 8);
        live.acknowledges(20).await;
        is_refused_for(&client, change, "m-9998").await;
        live.acknowledges(20).await;
        for sent in live.finish().await {
            assert!(
                matches!(sent.outcome, Outcome::Acknowledged(_)),
                "{change}: {sent:?}"
            );
        }
    }
    let grown_bytes = host.memory_bytes().saturating_sub(memory_bytes);
    assert!(grown_bytes < 512 << 20, "{grown_bytes} bytes more");
}
