//! `Idempotency-Key`: whatever became of a command, its key gives it again.

use futures::future::join_all;
use gavel_tests::{COUNTER, Host, Store, on_every_store};
use serde_json::json;
use uuid::Uuid;

on_every_store! {
    a_repeated_key_gives_the_first_events,
    a_repeated_key_gives_the_first_nothing,
    a_repeated_key_gives_the_first_rejection,
    a_key_that_is_a_uuid_is_the_command_id,
    a_key_is_for_one_command_only,
    a_key_counts_within_its_namespace,
    a_key_that_was_refused_can_be_used_again,
    ten_at_once_with_one_key_have_one_outcome,
    outcomes_outlive_a_restart,
    keys_are_visible_characters_and_not_too_many,
}

async fn a_repeated_key_gives_the_first_events(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let keyed = || counter.command("Increment", json!({})).key("first");

    let first = keyed().send().await.accepted();
    counter.increment().await.accepted();
    let again = keyed().send().await.accepted();

    assert!(!first.replayed && again.replayed);
    assert_eq!(again.events, first.events);
    assert_eq!(
        (again.command_id, again.version, &again.module),
        (first.command_id, first.version, &first.module)
    );
    assert_eq!(counter.history().await.len(), 2);
    // What was expected then is not compared with what has come since.
    let expecting = keyed().if_new().send().await;
    assert_eq!(expecting.accepted().events, first.events);
}

async fn a_repeated_key_gives_the_first_nothing(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let keyed = || counter.command("Reset", json!({})).key("nothing");

    let first = keyed().send().await.accepted();
    counter.increment().await.accepted();
    // By now a reset would have something to do.
    let again = keyed().send().await.accepted();

    assert_eq!((first.replayed, first.events.len()), (false, 0));
    assert_eq!(
        (again.replayed, again.events.len(), again.version),
        (true, 0, first.version)
    );
    assert_eq!(again.command_id, first.command_id);
    assert_eq!(counter.history().await.len(), 1);
}

async fn a_repeated_key_gives_the_first_rejection(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let keyed = || counter.command("Decrement", json!({})).key("too-soon");

    let first = keyed().send().await.problem(422, "command-rejected");
    counter.increment().await.accepted();
    // By now a decrement would be accepted.
    let again = keyed().send().await.problem(422, "command-rejected");

    assert_eq!(first["replayed"], false);
    assert_eq!(again["replayed"], true);
    assert_eq!(again["rejection"], first["rejection"]);
    assert_eq!(counter.history().await.len(), 1);
}

async fn a_key_that_is_a_uuid_is_the_command_id(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let id = Uuid::now_v7();

    let answer = counter
        .command("Increment", json!({}))
        .key(&id.to_string())
        .send()
        .await
        .accepted();

    assert_eq!(answer.command_id, id);
    assert_eq!(counter.history().await[0].command_id, id);
}

async fn a_key_is_for_one_command_only(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    counter
        .command("Increment", json!({}))
        .key("taken")
        .send()
        .await
        .accepted();

    let elsewhere = host.client().stream(COUNTER, "c-2");
    elsewhere
        .command("Increment", json!({}))
        .key("taken")
        .send()
        .await
        .problem(422, "idempotency-key-reused");
    counter
        .command("Reset", json!({}))
        .key("taken")
        .send()
        .await
        .problem(422, "idempotency-key-reused");
    let other_body = counter
        .command("Increment", json!({}))
        .with("metadata", json!({ "a": "b" }))
        .key("taken");
    other_body
        .send()
        .await
        .problem(422, "idempotency-key-reused");

    elsewhere.assert_absent().await;
    assert_eq!(counter.history().await.len(), 1);
}

async fn a_key_counts_within_its_namespace(store: Store) {
    let host = Host::start(&store).await;
    let (here, there) = (host.client(), host.client().in_namespace("there"));
    here.deploy_example(COUNTER).await;
    there.deploy_example(COUNTER).await;

    for client in [here, there] {
        let counter = client.stream(COUNTER, "c-1");
        let answer = counter
            .command("Increment", json!({}))
            .key("shared")
            .send()
            .await
            .accepted();
        assert!(!answer.replayed);
    }
}

async fn a_key_that_was_refused_can_be_used_again(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    // These are not outcomes of a decision: nothing was decided.
    let keyed = |command| counter.command(command, json!({})).key("once-more");
    keyed("Increment")
        .if_version(4)
        .send()
        .await
        .problem(409, "version-conflict");
    keyed("Inkrement")
        .send()
        .await
        .problem(404, "command-unknown");

    let answer = keyed("Increment").send().await.accepted();
    assert_eq!((answer.replayed, answer.version), (false, 1));
}

async fn ten_at_once_with_one_key_have_one_outcome(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    for round in 0..20_u64 {
        let key = format!("round-{round}");
        let sent = (0..10).map(|_| counter.command("Increment", json!({})).key(&key).send());
        let answers: Vec<_> = join_all(sent)
            .await
            .iter()
            .map(|answer| answer.accepted())
            .collect();

        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(
            answers
                .iter()
                .all(|answer| answer.events == answers[0].events && answer.version == round + 1)
        );
    }
    assert_eq!(counter.history().await.len(), 20);
}

async fn outcomes_outlive_a_restart(store: Store) {
    let mut host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    counter
        .command("Decrement", json!({}))
        .key("rejected")
        .send()
        .await
        .problem(422, "command-rejected");
    counter
        .command("Reset", json!({}))
        .key("empty")
        .send()
        .await
        .accepted();
    let accepted = counter
        .command("Increment", json!({}))
        .key("accepted")
        .send()
        .await
        .accepted();

    host.kill();
    host.restart().await;

    let counter = host.client().stream(COUNTER, "c-1");
    let rejected = counter
        .command("Decrement", json!({}))
        .key("rejected")
        .send()
        .await;
    assert_eq!(rejected.problem(422, "command-rejected")["replayed"], true);
    let empty = counter
        .command("Reset", json!({}))
        .key("empty")
        .send()
        .await
        .accepted();
    assert_eq!((empty.replayed, empty.events.len()), (true, 0));
    let again = counter
        .command("Increment", json!({}))
        .key("accepted")
        .send()
        .await
        .accepted();
    assert_eq!((again.replayed, again.events), (true, accepted.events));
    assert_eq!(counter.history().await.len(), 1);
}

async fn keys_are_visible_characters_and_not_too_many(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    let longest = "k".repeat(255);
    counter
        .command("Increment", json!({}))
        .key(&longest)
        .send()
        .await
        .accepted();
    for refused in ["", "a b", &"k".repeat(256)] {
        counter
            .command("Increment", json!({}))
            .key(refused)
            .send()
            .await
            .problem(400, "malformed-request");
    }
    assert_eq!(counter.history().await.len(), 1);
}
