//! Many at once on one stream.

use futures::future::join_all;
use gavel_tests::{COUNTER, Host, Store, assert_sound, on_every_store};
use serde_json::json;

const SENDERS: usize = 50;

on_every_store! {
    of_50_who_race_for_a_new_stream_one_wins,
    of_50_increments_at_once_none_is_lost,
    of_50_who_expect_the_same_version_one_wins,
    opposite_batches_at_once_all_succeed,
}

async fn of_50_who_race_for_a_new_stream_one_wins(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;

    for round in 0..5 {
        let counter = host.client().stream(COUNTER, &format!("c-{round}"));
        let sent = (0..SENDERS)
            .map(|_| tokio::spawn(counter.command("Increment", json!({})).if_new().send()));
        let answers: Vec<_> = join_all(sent)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();

        let (winners, losers): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status() == 200);
        assert_eq!((winners.len(), losers.len()), (1, SENDERS - 1));
        for loser in losers {
            let problem = loser.problem(409, "version-conflict");
            assert_eq!(
                (&problem["expected_version"], &problem["current_version"]),
                (&json!(0), &json!(1))
            );
        }
        assert_eq!(counter.history().await, winners[0].accepted().events);
    }
}

async fn of_50_increments_at_once_none_is_lost(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    let sent = (0..SENDERS).map(|_| tokio::spawn(counter.command("Increment", json!({})).send()));
    let answers = join_all(sent)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().accepted());

    let mut versions: Vec<_> = answers.map(|answer| answer.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=50).collect::<Vec<_>>());
    let history = counter.history().await;
    assert_eq!(history.len(), SENDERS);
    assert_sound(&history);
    assert_eq!(
        counter.state().send().await.json(200)["state"],
        json!({ "value": SENDERS })
    );
}

async fn of_50_who_expect_the_same_version_one_wins(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    counter.increment().await.accepted();

    let sent = (0..SENDERS)
        .map(|_| tokio::spawn(counter.command("Increment", json!({})).if_version(1).send()));
    let answers: Vec<_> = join_all(sent)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();

    assert_eq!(
        answers
            .iter()
            .filter(|answer| answer.status() == 200)
            .count(),
        1
    );
    for loser in answers.iter().filter(|answer| answer.status() != 200) {
        let problem = loser.problem(409, "version-conflict");
        assert_eq!(
            (&problem["expected_version"], &problem["current_version"]),
            (&json!(1), &json!(2))
        );
    }
    assert_eq!(counter.history().await.len(), 2);
}

async fn opposite_batches_at_once_all_succeed(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let increment = |id: &str| json!({ "decider": COUNTER, "id": id, "command": "Increment" });

    // Whoever locks streams in the order of the batch ends in a deadlock here.
    let sent = (0..40).map(|number| {
        let (one, two) = if number % 2 == 0 {
            ("a", "b")
        } else {
            ("b", "a")
        };
        let body = json!({ "atomic": true, "commands": [increment(one), increment(two)] });
        tokio::spawn(client.post("/v1/commands", &body).send())
    });
    for answer in join_all(sent).await {
        answer.unwrap().expect(200);
    }

    for id in ["a", "b"] {
        let history = client.stream(COUNTER, id).history().await;
        assert_eq!(history.len(), 40);
        assert_sound(&history);
    }
}
