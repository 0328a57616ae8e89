//! `/v1/verify` and `…/why`: recorded decisions, made again by the very modules that made them.

use gavel_tests::{Client, Host, Store, component, on_every_store, revision};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::gate::{
    BUSIEST, DECIDER, PAST_COMMANDS, PAST_EVENTS, PAST_STREAMS, activate, command, facts, send,
    upload, upload_bytes, write_past,
};

on_every_store! {
    what_was_not_altered_is_decided_as_it_was,
    an_event_that_was_altered_is_found,
    a_command_that_was_altered_is_found,
    an_outcome_that_was_altered_is_found,
    decisions_that_cannot_be_made_again_are_found,
    a_decision_that_fails_takes_no_other_with_it,
    an_event_tells_why_it_is_there,
    a_command_tells_why_it_was_rejected,
    a_decision_is_told_by_the_module_that_made_it,
    an_imported_event_follows_from_no_command,
    what_is_not_there_has_no_reason,
    what_is_recorded_by_its_keys_is_answered_again_and_not_decided_again,
}

/// Verifies what the query names. Gives the differences, and what was done.
async fn verify(client: &Client, query: &str) -> (Vec<Value>, Value) {
    let answer = client.get(&format!("/v1/verify{query}")).send().await;
    answer.expect(200);
    let media_type = answer.header("content-type").unwrap_or_default();
    assert!(media_type.starts_with("application/x-ndjson"));
    let text = answer.text();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let done = lines.pop().expect("a verification says that it is done")["done"].clone();
    assert!(done.is_object(), "{text}");
    let differences = lines
        .iter_mut()
        .filter_map(|line| line.get_mut("difference").map(Value::take));
    let differences: Vec<_> = differences.collect();
    assert_eq!(done["differences"], json!(differences.len()));
    for difference in &differences {
        assert_eq!(difference["decider"], DECIDER);
        let reason = difference["reason"].as_str().unwrap();
        assert!(!reason.is_empty());
    }
    (differences, done)
}

async fn assert_sound(client: &Client, query: &str, streams: u64, events: u64, commands: u64) {
    let (differences, done) = verify(client, query).await;
    assert_eq!(differences, Vec::<Value>::new());
    let expected = json!({
        "streams": streams, "events": events, "commands": commands, "keys_only": 0, "outdated": 0, "differences": 0,
    });
    assert_eq!(done, expected, "{query}");
}

/// The one difference, which is in this stream at this version.
async fn only_difference(client: &Client, id: &str, version: u64) -> Value {
    let (mut differences, _) = verify(client, &format!("?decider={DECIDER}")).await;
    assert_eq!(differences.len(), 1, "{differences:?}");
    let difference = differences.remove(0);
    assert_eq!(
        (&difference["id"], &difference["version"]),
        (&json!(id), &json!(version)),
        "{difference}"
    );
    assert!(difference["command_id"].is_string(), "{difference}");
    difference
}

async fn what_was_not_altered_is_decided_as_it_was(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    // Some of it is decided by another module, on streams that the first has begun.
    let second = upload(&client, "candidate-other_events").await;
    activate(&client, &second, &[]).await.expect(201);
    let withdraw = json!({ "amount": 1 });
    send(
        &client,
        vec![
            command("c-00", "Withdraw", &withdraw),
            command(BUSIEST, "Withdraw", &withdraw),
        ],
    )
    .await;

    let (events, commands) = (PAST_EVENTS + 4, PAST_COMMANDS + 2);
    for query in [String::new(), format!("?decider={DECIDER}")] {
        assert_sound(&client, &query, PAST_STREAMS, events, commands).await;
    }
    let one = format!("?decider={DECIDER}&id={BUSIEST}");
    assert_sound(&client, &one, 1, 5 + 2, 6 + 1).await;
    let there = client.in_namespace("there");
    assert_sound(&there, "", 0, 0, 0).await;
}

async fn an_event_that_was_altered_is_found(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let alter =
        r#"UPDATE events SET data = '{"amount":61}' WHERE decider_id = 'c-04' AND version = 2"#;
    store.forge("events", alter).await;

    let difference = only_difference(&client, "c-04", 1).await;
    assert!(difference["recorded"].to_string().contains("61"));
    assert!(difference["again"].to_string().contains("60"));
    let elsewhere = format!("?decider={DECIDER}&id={BUSIEST}");
    assert_sound(&client, &elsewhere, 1, 5, 6).await;
    // What is told of the event says it as well.
    let event = &client.stream(DECIDER, "c-04").history().await[1];
    let path = format!("/v1/events/{}/why", event.event_id);
    let why = client.get(&path).send().await.json(200);
    assert_eq!(why["equal"], false);
    assert!(!why["differences"].as_array().unwrap().is_empty());
}

async fn a_command_that_was_altered_is_found(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let alter = r#"UPDATE commands SET data = '{"amount":61}' WHERE decider_id = 'c-06' AND command = 'Deposit'"#;
    store.forge("commands", alter).await;

    let difference = only_difference(&client, "c-06", 1).await;
    assert!(difference["recorded"].to_string().contains("60"));
    assert!(difference["again"].to_string().contains("61"));
}

async fn an_outcome_that_was_altered_is_found(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    let accept = "UPDATE commands SET outcome = 'accepted', rejection_code = NULL, rejection_message = NULL \
                  WHERE decider_id = 'c-03' AND outcome = 'rejected'";
    store.forge("commands", accept).await;
    let difference = only_difference(&client, "c-03", 3).await;
    assert!(
        difference["again"]
            .to_string()
            .contains("insufficient-funds")
    );

    let reject = "UPDATE commands SET outcome = 'rejected', rejection_code = 'not-open', rejection_message = 'no', events = 0 \
                  WHERE decider_id = 'c-08' AND command = 'Withdraw'";
    store.forge("commands", reject).await;
    let (differences, _) = verify(&client, &format!("?decider={DECIDER}&id=c-08")).await;
    assert!(!differences.is_empty());
    assert!(
        differences
            .iter()
            .all(|difference| difference["version"] == 2),
        "{differences:?}"
    );
}

async fn decisions_that_cannot_be_made_again_are_found(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    // As the first module it has no past on which the gate could find it out.
    client
        .deploy(DECIDER, component("candidate-hidden_state"))
        .await;
    let accounts = ["a", "b", "c"].map(|id| client.stream(DECIDER, id));
    for account in &accounts {
        let open = json!({ "owner": "ann" });
        account.send("Open", open).await.accepted();
    }
    // What is hidden is also changed by decisions that leave no trace.
    for _ in 0..5 {
        for account in &accounts {
            let deposit = || account.command("Deposit", json!({ "amount": 5 }));
            deposit().query("dry_run", "true").send().await.accepted();
            deposit().send().await.accepted();
        }
    }

    let (differences, done) = verify(&client, &format!("?decider={DECIDER}")).await;

    assert!(!differences.is_empty(), "{done}");
    for difference in differences {
        assert_ne!(difference["recorded"], difference["again"]);
    }
}

async fn why(client: &Client, of: &str, id: impl std::fmt::Display) -> Value {
    let path = format!("/v1/{of}/{id}/why");
    client.get(&path).send().await.json(200)
}

async fn a_decision_that_fails_takes_no_other_with_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;

    // The module traps at it, and three decisions of the stream follow.
    let alter = format!(
        "UPDATE commands SET data = '{{}}' WHERE decider_id = '{BUSIEST}' AND command = 'Withdraw' AND version = 2"
    );
    store.forge("commands", &alter).await;

    let difference = only_difference(&client, BUSIEST, 2).await;
    let reason = difference["reason"].as_str().unwrap();
    assert!(reason.contains("decided again it fails"), "{reason}");
}

async fn an_event_tells_why_it_is_there(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let digest = write_past(&client).await;
    let withdrawn = client.stream(DECIDER, BUSIEST).history_json().await[4].clone();

    let told = why(&client, "events", withdrawn["event_id"].as_str().unwrap()).await;

    assert_eq!(told["event"], withdrawn);
    assert_eq!(told["events"], json!([withdrawn]));
    let command = &told["command"];
    assert_eq!(command["command_id"], withdrawn["command_id"]);
    assert_eq!(
        (&command["command"], &command["data"], &command["outcome"]),
        (
            &json!("Withdraw"),
            &json!({ "amount": 60 }),
            &json!("accepted")
        )
    );
    assert_eq!(
        (&command["version"], &command["module"]),
        (&json!(4), &json!(digest))
    );
    assert_eq!(
        told["state_before"],
        json!({ "open": true, "balance": 90, "owner": "ann" })
    );
    let again = &told["again"]["events"][0];
    assert_eq!(
        (&again["event"], &again["data"]),
        (&json!("Withdrawn"), &json!({ "amount": 60 }))
    );
    assert_eq!(
        (&told["equal"], &told["differences"]),
        (&json!(true), &json!([]))
    );
    let by_command = why(
        &client,
        "commands",
        withdrawn["command_id"].as_str().unwrap(),
    )
    .await;
    assert_eq!(
        (&by_command["event"], &by_command["command"]),
        (&Value::Null, &told["command"])
    );
    assert_eq!(by_command["events"], told["events"]);
}

async fn a_command_tells_why_it_was_rejected(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    let key = Uuid::now_v7();
    client
        .stream(DECIDER, "c-00")
        .command("Withdraw", json!({ "amount": 51 }))
        .key(&key.to_string())
        .send()
        .await
        .problem(422, "command-rejected");

    let told = why(&client, "commands", key).await;

    let command = &told["command"];
    assert_eq!(
        (&command["outcome"], &command["rejection"]["code"]),
        (&json!("rejected"), &json!("insufficient-funds"))
    );
    assert_eq!(told["events"], json!([]));
    assert_eq!(told["state_before"]["balance"], 50);
    assert_eq!(told["again"]["rejected"]["code"], "insufficient-funds");
    assert_eq!(told["equal"], true);
}

async fn a_decision_is_told_by_the_module_that_made_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let first = write_past(&client).await;
    let second = upload(&client, "candidate-other_events").await;
    activate(&client, &second, &[]).await.expect(201);
    let account = client.stream(DECIDER, "c-00");
    let withdraw = json!({ "amount": 1 });
    account.send("Withdraw", withdraw).await.accepted();
    let third = upload_bytes(&client, revision(component("candidate-other_events"), 2)).await;
    activate(&client, &third, &[]).await.expect(201);

    let history = account.history().await;
    let withdrawals = history.iter().filter(|event| event.event == "Withdrawn");
    for (event, (module, events)) in withdrawals.zip([(&first, 1), (&second, 2)]) {
        let told = why(&client, "events", event.event_id).await;
        assert_eq!(told["command"]["module"], json!(module));
        for decided in [&told["events"], &told["again"]["events"]] {
            assert_eq!(decided.as_array().unwrap().len(), events);
        }
        assert_eq!(told["equal"], true);
    }
}

async fn an_imported_event_follows_from_no_command(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    let id = Uuid::now_v7();
    let event = json!({ "event": "Opened", "event_id": id, "data": { "owner": "bob" } });
    let imported = client.stream(DECIDER, "imported");
    imported.append(0, &json!([event])).send().await.json(200);

    let told = why(&client, "events", id).await;

    assert_eq!(told["event"]["event_id"], json!(id));
    for member in ["command", "again", "equal"] {
        assert_eq!(told[member], Value::Null, "{member}");
    }
    let query = format!("?decider={DECIDER}");
    assert_sound(
        &client,
        &query,
        PAST_STREAMS + 1,
        PAST_EVENTS + 1,
        PAST_COMMANDS,
    )
    .await;
}

async fn what_is_not_there_has_no_reason(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    write_past(&client).await;
    let event = &client.stream(DECIDER, BUSIEST).history().await[0];
    let there = client.in_namespace("there");

    for id in [Uuid::now_v7().to_string(), "none".to_owned()] {
        for (of, code) in [
            ("events", "event-not-found"),
            ("commands", "command-not-found"),
        ] {
            let path = format!("/v1/{of}/{id}/why");
            client.get(&path).send().await.problem(404, code);
        }
    }
    let path = format!("/v1/events/{}/why", event.event_id);
    there
        .get(&path)
        .send()
        .await
        .problem(404, "event-not-found");
}

async fn what_is_recorded_by_its_keys_is_answered_again_and_not_decided_again(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_GATE_LEDGER", "keys")]).await;
    let client = host.client();
    write_past(&client).await;
    let keyed = |client: &Client, id: &str, amount: u64| {
        let account = client.stream(DECIDER, id);
        let command = account.command("Withdraw", json!({ "amount": amount }));
        command.key("once")
    };
    keyed(&client, "c-00", 51)
        .send()
        .await
        .problem(422, "command-rejected");
    let by_keys = PAST_COMMANDS + 1;
    drop(host);

    // From now on everything is kept; what was not kept stays as it is.
    let host = Host::start(&store).await;
    let client = host.client();
    let repeated = keyed(&client, "c-00", 51).send().await;
    assert_eq!(
        repeated.problem(422, "command-rejected")["replayed"],
        json!(true)
    );
    keyed(&client, "c-00", 52)
        .send()
        .await
        .problem(422, "idempotency-key-reused");
    let account = client.stream(DECIDER, BUSIEST);
    let withdraw = json!({ "amount": 1 });
    account.send("Withdraw", withdraw).await.accepted();

    let path = format!("?decider={DECIDER}");
    let (differences, done) = verify(&client, &path).await;
    assert_eq!(differences, Vec::<Value>::new());
    let counts = |value: &Value| (value["commands"].clone(), value["keys_only"].clone());
    assert_eq!(counts(&done), (json!(1), json!(by_keys)));
    let second = upload_bytes(&client, revision(component(DECIDER), 2)).await;
    let activated = activate(&client, &second, &[]).await.json(201);
    let redecided = facts(&activated["report"], "re-decide");
    assert_eq!(counts(redecided), (json!(1), json!(by_keys)));
    assert_eq!(redecided["same"], 1);

    let event = account.history_json().await[4]["event_id"].clone();
    let told = why(&client, "events", event.as_str().unwrap()).await;
    let command = &told["command"];
    assert_eq!(
        (&command["command"], &command["ledger"], &command["data"]),
        (&json!("Withdraw"), &json!("keys"), &Value::Null)
    );
    assert_eq!(told["state_before"]["balance"], 90);
    assert_eq!(
        (&told["again"], &told["equal"]),
        (&Value::Null, &Value::Null)
    );

    let miscount =
        "UPDATE commands SET events = 2 WHERE decider_id = 'c-06' AND command = 'Deposit'";
    store.forge("commands", miscount).await;
    let difference = only_difference(&client, "c-06", 1).await;
    assert_eq!(difference["again"], Value::Null);
}
