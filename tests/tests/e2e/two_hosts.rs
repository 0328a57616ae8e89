//! Two hosts on one PostgreSQL: neither knows of the other, and nothing goes wrong.

use std::collections::HashSet;

use futures::future::join_all;
use gavel_tests::{
    Answer, Backend, COUNTER, Client, CommandRequest, Host, LIMIT, Store, assert_sound, component,
    eventually, revision,
};
use serde_json::json;
use uuid::Uuid;

use crate::load::{Load, Outcome, assert_agrees, retry};

async fn start() -> (Store, Host, Host) {
    let store = Store::new(Backend::Postgres).await;
    let (one, two) = (Host::start(&store).await, Host::start(&store).await);
    one.client().deploy_example(COUNTER).await;
    (store, one, two)
}

/// Lets both send the same at once, `each` times, and gives all answers.
async fn race(
    hosts: [&Host; 2],
    each: usize,
    command: impl Fn(Client) -> CommandRequest,
) -> Vec<Answer> {
    let sent = (0..each)
        .flat_map(|_| hosts)
        .map(|host| command(host.client()).send());
    join_all(sent).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn races_between_hosts_never_store_one_version_twice() {
    let (_store, one, two) = start().await;

    // So few streams that almost every append has a rival.
    let loads = [
        Load::start(&one.client(), "c", 8, 2),
        Load::start(&two.client(), "c", 8, 2),
    ];
    // Each of them while the other does.
    for load in &loads {
        load.acknowledges(150).await;
    }
    let mut journal = Vec::new();
    for load in loads {
        journal.extend(load.finish().await);
    }

    // A command without an expected version may lose so often that its sender is told.
    for sent in &journal {
        if let Outcome::Refused(code) = &sent.outcome {
            assert_eq!(code, "version-conflict");
        }
    }
    assert_agrees(&one.client(), &journal).await;
    retry(&two.client(), &mut journal).await;
    assert_agrees(&one.client(), &journal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_stream_is_begun_once() {
    let (_store, one, two) = start().await;
    for round in 0..25 {
        let id = format!("c-{round}");
        let begin = |client: Client| {
            client
                .stream(COUNTER, &id)
                .command("Increment", json!({}))
                .if_new()
        };
        let answers = race([&one, &two], 4, begin).await;

        assert_eq!(
            answers
                .iter()
                .filter(|answer| answer.status() == 200)
                .count(),
            1
        );
        for loser in answers.iter().filter(|answer| answer.status() != 200) {
            loser.problem(409, "version-conflict");
        }
        assert_eq!(two.client().stream(COUNTER, &id).history().await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_sent_to_both_has_one_outcome() {
    let (_store, one, two) = start().await;
    let counter = one.client().stream(COUNTER, "c-1");
    for round in 1..=25_u64 {
        let key = Uuid::new_v4().to_string();
        let keyed = |client: Client| {
            client
                .stream(COUNTER, "c-1")
                .command("Increment", json!({}))
                .key(&key)
        };
        let answers = race([&one, &two], 5, keyed).await;

        let answers: Vec<_> = answers.iter().map(Answer::accepted).collect();
        let events: HashSet<_> = answers
            .iter()
            .map(|answer| answer.events[0].event_id)
            .collect();
        assert_eq!(events.len(), 1);
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(answers.iter().all(|answer| answer.version == round));
    }
    assert_sound(&counter.history().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_sent_to_both_has_one_outcome_whatever_was_expected() {
    let (_store, one, two) = start().await;
    for round in 0..25 {
        let (id, key) = (format!("c-{round}"), Uuid::new_v4().to_string());
        let keyed = |client: Client| {
            let command = client.stream(COUNTER, &id).command("Increment", json!({}));
            command.if_new().key(&key)
        };
        // Whoever comes second finds the stream moved, but by this very command.
        let answers = race([&one, &two], 3, keyed).await;
        assert!(answers.iter().all(|answer| answer.accepted().version == 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_on_one_is_obeyed_by_the_other_from_its_acknowledgement_on() {
    let (_store, one, two) = start().await;
    let clients = [one.client(), two.client()];
    // Both are busy all the time, and so know what is active, until it is not any more.
    let loads = clients
        .each_ref()
        .map(|client| Load::start(client, "busy", 4, 16));

    for number in 0..10 {
        let (here, there) = (&clients[number % 2], &clients[(number + 1) % 2]);
        let digest = here
            .deploy(
                COUNTER,
                revision(component(COUNTER), u8::try_from(number).unwrap()),
            )
            .await;
        // At once, with nothing in between that could bring the news.
        for client in [there, here] {
            let answer = client
                .stream(COUNTER, &format!("c-{number}"))
                .increment()
                .await
                .accepted();
            assert_eq!(
                (&answer.module, answer.events[0].module()),
                (&digest, digest.as_str())
            );
            let state = client
                .stream(COUNTER, &format!("c-{number}"))
                .state()
                .send()
                .await
                .json(200);
            assert_eq!(state["module"], json!(digest));
        }
    }

    let mut journal = Vec::new();
    for load in loads {
        journal.extend(load.finish().await);
    }
    assert!(
        journal
            .iter()
            .all(|sent| matches!(sent.outcome, Outcome::Acknowledged(_))),
        "no command fails for a swap"
    );
    assert_agrees(&one.client(), &journal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_is_obeyed_where_it_ends_in_no_event_too() {
    let (_store, one, two) = start().await;
    let counter = two.client().stream(COUNTER, "c-1");
    counter
        .send("Decrement", json!({}))
        .await
        .problem(422, "command-rejected");

    for number in 0..5 {
        let digest = one
            .client()
            .deploy(COUNTER, revision(component(COUNTER), number))
            .await;
        let rejected = counter
            .send("Decrement", json!({}))
            .await
            .problem(422, "command-rejected");
        assert_eq!(rejected["module"], json!(digest));
        let nothing = counter.send("Reset", json!({})).await.accepted();
        assert_eq!(nothing.module, digest);
        let rehearsed = counter
            .command("Increment", json!({}))
            .query("dry_run", "true")
            .send()
            .await
            .accepted();
        assert_eq!(rehearsed.module, digest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_frozen_decides_on_no_old_state() {
    let (_store, one, two) = start().await;
    let counter = one.client().stream(COUNTER, "c-1");
    counter.increment().await.accepted();
    let load = Load::start(&one.client(), "busy", 8, 4);
    load.acknowledges(50).await;

    one.freeze();
    let meanwhile = Load::start(&two.client(), "busy", 8, 4);
    meanwhile.acknowledges(100).await;
    two.client()
        .stream(COUNTER, "c-1")
        .send("Reset", json!({}))
        .await
        .accepted();
    one.thaw();

    load.acknowledges(50).await;
    // What the frozen host knew last is that there is something to take away.
    counter
        .send("Decrement", json!({}))
        .await
        .problem(422, "command-rejected");
    let mut journal = load.finish().await;
    journal.extend(meanwhile.finish().await);
    assert_agrees(&two.client(), &journal).await;
    retry(&two.client(), &mut journal).await;
    assert_agrees(&one.client(), &journal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_goes_on_when_the_other_is_killed() {
    let (_store, mut one, two) = start().await;
    let load = Load::start(&one.client(), "c", 8, 4);
    load.acknowledges(50).await;
    one.kill();
    let mut journal = load.finish().await;

    let counter = two.client().stream(COUNTER, "c-0");
    let goes_on = async || (counter.increment().await.status() == 200).then_some(());
    eventually("the other host goes on", LIMIT, goes_on).await;

    let own = counter.history().await.len();
    retry(&two.client(), &mut journal).await;
    assert!(counter.history().await.len() >= own);
    for stream in 0..4 {
        let history = two
            .client()
            .stream(COUNTER, &format!("c-{stream}"))
            .history()
            .await;
        assert_sound(&history);
        let ids: HashSet<_> = history.iter().map(|event| event.command_id).collect();
        assert_eq!(ids.len(), history.len());
        assert!(
            journal
                .iter()
                .filter(|sent| sent.stream == format!("c-{stream}"))
                .all(|sent| ids.contains(&sent.key))
        );
    }
}
