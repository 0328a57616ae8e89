//! `POST /v1/deciders/{decider}/{id}/commands`: accepted, rejected, conflicting, rehearsed.

use gavel_tests::{COUNTER, Host, Store, on_every_store};
use serde_json::json;

on_every_store! {
    a_command_stores_its_events_and_answers_with_them,
    a_rejection_is_told_and_stores_no_event,
    a_command_can_be_accepted_without_any_event,
    a_version_that_has_passed_conflicts_and_both_versions_are_told,
    a_stream_that_must_be_new_conflicts_when_it_is_not,
    an_expected_version_can_be_given_in_the_body,
    a_lost_race_can_be_left_to_the_sender,
    what_was_expected_is_compared_before_the_module_is_asked,
    a_dry_run_decides_and_stores_nothing,
    an_answer_can_hold_the_state,
    metadata_is_stored_beside_every_event,
    the_correlation_of_the_sender_is_kept,
    a_stream_that_has_ended_takes_no_command,
    any_text_can_be_the_id_of_a_stream,
}

async fn a_command_stores_its_events_and_answers_with_them(store: Store) {
    let host = Host::start(&store).await;
    let digest = host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    let first = counter.increment().await.accepted();
    let second = counter.increment().await.accepted();

    assert_eq!(
        (first.decider.as_str(), first.id.as_str(), first.version),
        (COUNTER, "c-1", 1)
    );
    assert_eq!((first.replayed, &first.module), (false, &digest));
    assert_eq!(first.events.len(), 1);
    let (one, two) = (&first.events[0], &second.events[0]);
    assert_eq!(
        (one.event.as_str(), one.schema_version, one.version),
        ("Incremented", 1, 1)
    );
    assert_eq!(
        (one.decider.as_str(), one.id.as_str(), one.is_final),
        (COUNTER, "c-1", false)
    );
    assert_eq!(
        (one.command_id, one.module()),
        (first.command_id, digest.as_str())
    );
    assert_eq!(
        (one.previous_id, two.previous_id),
        (None, Some(one.event_id))
    );
    assert_eq!(second.version, 2);

    let state = counter.state().send().await;
    assert_eq!(state.header("etag"), Some("\"2\""));
    let state = state.json(200);
    assert_eq!(state["state"], json!({ "value": 2 }));
    assert_eq!(state["version"], 2);
    assert_eq!(state["final"], false);
    assert_eq!(state["module"], json!(digest));
    assert_eq!(
        counter.history().await,
        [first.events, second.events].concat()
    );
}

async fn a_rejection_is_told_and_stores_no_event(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    let problem = counter
        .send("Decrement", json!({}))
        .await
        .problem(422, "command-rejected");

    assert_eq!(problem["rejection"]["code"], "at-zero");
    assert_eq!(problem["rejection"]["message"], "the counter is at zero");
    counter.assert_absent().await;
    counter.increment().await.accepted();
    counter.send("Decrement", json!({})).await.accepted();
    counter
        .send("Decrement", json!({}))
        .await
        .problem(422, "command-rejected");
    assert_eq!(counter.history().await.len(), 2);
}

async fn a_command_can_be_accepted_without_any_event(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    let nothing = counter.send("Reset", json!({})).await.accepted();
    assert_eq!((nothing.version, nothing.events.len()), (0, 0));
    counter.assert_absent().await;

    counter.increment().await.accepted();
    counter.send("Reset", json!({})).await.accepted();
    let nothing = counter.send("Reset", json!({})).await.accepted();
    assert_eq!((nothing.version, nothing.events.len()), (2, 0));
}

async fn a_version_that_has_passed_conflicts_and_both_versions_are_told(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    counter.increment().await.accepted();
    counter
        .command("Increment", json!({}))
        .if_version(1)
        .send()
        .await
        .accepted();

    let stale = counter
        .command("Increment", json!({}))
        .if_version(1)
        .send()
        .await;
    let ahead = counter
        .command("Increment", json!({}))
        .if_version(7)
        .send()
        .await;

    let problem = stale.problem(409, "version-conflict");
    assert_eq!(
        (&problem["expected_version"], &problem["current_version"]),
        (&json!(1), &json!(2))
    );
    let problem = ahead.problem(409, "version-conflict");
    assert_eq!(
        (&problem["expected_version"], &problem["current_version"]),
        (&json!(7), &json!(2))
    );
    assert_eq!(counter.history().await.len(), 2);
}

async fn a_stream_that_must_be_new_conflicts_when_it_is_not(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    counter
        .command("Increment", json!({}))
        .if_new()
        .send()
        .await
        .accepted();
    let again = counter
        .command("Increment", json!({}))
        .if_new()
        .send()
        .await;

    let problem = again.problem(409, "version-conflict");
    assert_eq!(
        (&problem["expected_version"], &problem["current_version"]),
        (&json!(0), &json!(1))
    );
}

async fn an_expected_version_can_be_given_in_the_body(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let expecting = |version: u64| {
        counter
            .command("Increment", json!({}))
            .with("expected_version", json!(version))
    };

    expecting(0).send().await.accepted();
    expecting(0).send().await.problem(409, "version-conflict");
    expecting(1).send().await.accepted();
    expecting(2)
        .if_version(1)
        .send()
        .await
        .problem(400, "malformed-request");
    assert_eq!(counter.history().await.len(), 2);
}

async fn a_lost_race_can_be_left_to_the_sender(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    // Nobody races here: all that can be seen is that the option is known, and that nothing else
    // is.
    counter
        .command("Increment", json!({}))
        .query("on_conflict", "fail")
        .send()
        .await
        .accepted();
    counter
        .command("Increment", json!({}))
        .query("on_conflict", "explode")
        .send()
        .await
        .problem(400, "malformed-request");
    assert_eq!(counter.history().await.len(), 1);
}

async fn what_was_expected_is_compared_before_the_module_is_asked(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    // Whoever decided on an old state learns that it is old, and not what a command for it would
    // have come to.
    counter
        .command("Decrement", json!({}))
        .if_version(3)
        .send()
        .await
        .problem(409, "version-conflict");
    counter
        .command("Decrement", json!({}))
        .if_new()
        .send()
        .await
        .problem(422, "command-rejected");
}

async fn a_dry_run_decides_and_stores_nothing(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    counter.increment().await.accepted();
    let rehearse = |command| {
        counter
            .command(command, json!({}))
            .query("dry_run", "true")
            .key("the-key")
    };

    let answer = rehearse("Increment")
        .query("return", "state")
        .send()
        .await
        .accepted();

    assert_eq!(
        (
            answer.version,
            answer.events.len(),
            answer.events[0].version
        ),
        (2, 1, 2)
    );
    assert_eq!(
        (answer.events[0].position.as_ref(), answer.state),
        (None, Some(json!({ "value": 2 })))
    );
    assert_eq!(counter.history().await.len(), 1);
    assert_eq!(
        counter.state().send().await.json(200)["state"],
        json!({ "value": 1 })
    );
    // Nor is the key used up: neither by what was accepted nor by what was rejected.
    counter.send("Decrement", json!({})).await.accepted();
    rehearse("Decrement")
        .send()
        .await
        .problem(422, "command-rejected");
    let stored = counter
        .command("Increment", json!({}))
        .key("the-key")
        .send()
        .await
        .accepted();
    assert_eq!((stored.replayed, stored.version), (false, 3));
}

async fn an_answer_can_hold_the_state(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    let plain = counter.increment().await.accepted();
    let with_state = counter
        .command("Increment", json!({}))
        .query("return", "state")
        .send()
        .await
        .accepted();

    assert_eq!(plain.state, None);
    assert_eq!(with_state.state, Some(json!({ "value": 2 })));
}

async fn metadata_is_stored_beside_every_event(store: Store) {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let host = Host::start(&store).await;
    let digest = host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    let command = counter
        .command("Increment", json!({}))
        .with("metadata", json!({ "shop": "Łódź", "empty": "" }));
    let answer = command.header("traceparent", TRACE).send().await.accepted();

    let metadata = &counter.history().await[0].metadata;
    assert_eq!(metadata, &answer.events[0].metadata);
    assert_eq!(metadata["shop"], "Łódź");
    assert_eq!(metadata["empty"], "");
    assert_eq!(metadata["traceparent"], TRACE);
    assert_eq!(metadata["module"], digest);
    assert_eq!(metadata["correlation_id"], answer.command_id.to_string());
}

async fn the_correlation_of_the_sender_is_kept(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    let sent = json!({ "correlation_id": "order-17", "causation_id": "event-4" });
    counter
        .command("Increment", json!({}))
        .with("metadata", sent)
        .send()
        .await
        .accepted();
    let forged = json!({ "module": "sha256:of-mine" });
    counter
        .command("Increment", json!({}))
        .with("metadata", forged)
        .send()
        .await
        .problem(400, "malformed-request");

    let history = counter.history().await;
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].metadata["correlation_id"], "order-17");
    assert_eq!(history[0].metadata["causation_id"], "event-4");
}

async fn a_stream_that_has_ended_takes_no_command(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let last = json!([{ "event": "Incremented", "data": {}, "final": true }]);
    counter.append(0, &last).send().await;

    counter.increment().await.problem(409, "stream-final");

    assert_eq!(counter.state().send().await.json(200)["final"], true);
    assert_eq!(counter.history().await.len(), 1);
    host.client()
        .stream(COUNTER, "c-2")
        .increment()
        .await
        .accepted();
}

async fn any_text_can_be_the_id_of_a_stream(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;

    let ids = [
        "a/b",
        "';DROP TABLE events;--",
        "../..",
        "日本",
        "a b",
        "%2F",
        "a?b#c",
        "\u{1f98a}",
        "*",
        ">",
    ];
    for id in ids {
        let counter = host.client().stream(COUNTER, id);
        assert_eq!(counter.increment().await.accepted().id, id);
        assert_eq!(counter.history().await[0].id, id);
        assert_eq!(counter.state().send().await.json(200)["id"], id);
    }
    host.client()
        .stream(COUNTER, "a\nb")
        .increment()
        .await
        .problem(400, "malformed-request");
    host.client()
        .stream(COUNTER, &"x".repeat(256))
        .increment()
        .await
        .problem(400, "malformed-request");
}
