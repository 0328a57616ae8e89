//! `POST /v1/commands`: several commands, together or each for itself.

use gavel_tests::{Accepted, Answer, COUNTER, Client, Host, Store, on_every_store};
use serde_json::{Value, json};
use uuid::Uuid;

on_every_store! {
    an_atomic_batch_is_stored_as_a_whole,
    each_command_of_an_atomic_batch_sees_the_events_before_it,
    an_atomic_batch_that_fails_anywhere_stores_nothing,
    an_atomic_batch_repeated_with_its_ids_gives_the_first_outcome,
    in_a_batch_that_is_not_atomic_each_command_has_its_own_outcome,
    one_conflict_leaves_the_other_63_alone,
}

async fn send(client: &Client, atomic: bool, commands: &[Value]) -> Answer {
    client
        .post(
            "/v1/commands",
            &json!({ "atomic": atomic, "commands": commands }),
        )
        .send()
        .await
}

fn command(id: &str, command: &str) -> Value {
    json!({ "decider": COUNTER, "id": id, "command": command, "data": {} })
}

#[track_caller]
fn results(answer: &Answer) -> Vec<Accepted> {
    serde_json::from_value(answer.json(200)["results"].clone()).unwrap()
}

async fn an_atomic_batch_is_stored_as_a_whole(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;

    let answer = send(
        &client,
        true,
        &[command("b", "Increment"), command("a", "Increment")],
    )
    .await;

    let results = results(&answer);
    assert_eq!(
        results
            .iter()
            .map(|result| result.id.as_str())
            .collect::<Vec<_>>(),
        ["b", "a"]
    );
    for result in results {
        assert_eq!(result.version, 1);
        assert_eq!(
            client.stream(COUNTER, &result.id).history().await,
            result.events
        );
    }
}

async fn each_command_of_an_atomic_batch_sees_the_events_before_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;

    // Alone, the decrement would be rejected; in this order it is not.
    let commands = [
        command("a", "Increment"),
        command("b", "Increment"),
        command("a", "Decrement"),
        command("a", "Reset"),
    ];
    let results = results(&send(&client, true, &commands).await);

    assert_eq!(
        results
            .iter()
            .map(|result| result.version)
            .collect::<Vec<_>>(),
        [1, 1, 2, 2]
    );
    assert_eq!(results[3].events, []);
    assert_eq!(client.stream(COUNTER, "a").history().await.len(), 2);
}

async fn an_atomic_batch_that_fails_anywhere_stores_nothing(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    client.stream(COUNTER, "moved").increment().await.accepted();

    let good = command("good", "Increment");
    let mut stale = command("moved", "Increment");
    stale["expected_version"] = json!(0);
    let refused = [
        (command("rejected", "Decrement"), 422, "command-rejected"),
        (stale, 409, "version-conflict"),
        (command("good", "Inkrement"), 404, "command-unknown"),
        (
            json!({ "decider": "nobody", "id": "1", "command": "Increment" }),
            404,
            "decider-not-found",
        ),
    ];
    for (bad, status, code) in refused {
        let commands = [good.clone(), good.clone(), bad, good.clone()];
        let problem = send(&client, true, &commands).await.problem(status, code);
        assert_eq!(problem["command_index"], 2, "{problem}");
        client.stream(COUNTER, "good").assert_absent().await;
    }
    assert_eq!(client.stream(COUNTER, "moved").history().await.len(), 1);
    results(&send(&client, true, &[good.clone(), good]).await);
}

async fn an_atomic_batch_repeated_with_its_ids_gives_the_first_outcome(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let mut commands = [
        command("a", "Increment"),
        command("b", "Reset"),
        command("a", "Decrement"),
    ];
    for command in &mut commands {
        command["command_id"] = json!(Uuid::now_v7());
    }

    let first = results(&send(&client, true, &commands).await);
    let again = results(&send(&client, true, &commands).await);

    assert!(
        first.iter().all(|result| !result.replayed) && again.iter().all(|result| result.replayed)
    );
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(
            (&first.events, first.version, first.command_id),
            (&again.events, again.version, again.command_id)
        );
    }
    assert_eq!(client.stream(COUNTER, "a").history().await.len(), 2);
    send(&client, true, &commands[..1]).await.expect(200);
    commands[0]["id"] = json!("c");
    send(&client, true, &commands)
        .await
        .problem(422, "idempotency-key-reused");
    client.stream(COUNTER, "c").assert_absent().await;
}

async fn in_a_batch_that_is_not_atomic_each_command_has_its_own_outcome(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;

    let commands = [
        command("a", "Increment"),
        command("b", "Decrement"),
        command("a", "Inkrement"),
        command("a", "Increment"),
    ];
    let answer = send(&client, false, &commands).await.json(200);

    let results = &answer["results"];
    assert_eq!(
        (&results[0]["version"], &results[3]["version"]),
        (&json!(1), &json!(2)),
        "{answer}"
    );
    assert_eq!(
        (&results[1]["code"], &results[1]["status"]),
        (&json!("command-rejected"), &json!(422))
    );
    assert_eq!(
        (&results[2]["code"], &results[2]["status"]),
        (&json!("command-unknown"), &json!(404))
    );
    assert_eq!(client.stream(COUNTER, "a").history().await.len(), 2);
}

async fn one_conflict_leaves_the_other_63_alone(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;

    for round in 0..10_u64 {
        let mut commands: Vec<_> = (0..64)
            .map(|stream| command(&format!("c-{stream}"), "Increment"))
            .collect();
        commands[17]["expected_version"] = json!(4711);
        let answer = send(&client, false, &commands).await.json(200);

        for (index, result) in answer["results"].as_array().unwrap().iter().enumerate() {
            if index == 17 {
                assert_eq!(
                    (&result["code"], &result["expected_version"]),
                    (&json!("version-conflict"), &json!(4711))
                );
            } else {
                assert_eq!(result["version"], round + 1, "{result}");
            }
        }
    }
    client.stream(COUNTER, "c-17").assert_absent().await;
}
