//! Clients that send an atomic batch again after all has changed: the same batch, a part of it, or
//! another one under its key.

use gavel_tests::{Answer, COUNTER, Client, Host, Store, on_every_store};
use serde_json::{Value, json};

on_every_store! {
    a_rejected_batch_has_one_outcome_and_nothing_of_it_is_stored_later,
    a_batch_that_decides_more_than_a_host_holds_is_refused_as_a_whole,
    of_a_batch_whose_answers_are_more_than_a_host_holds_the_rest_is_not_carried_out,
}

async fn a_rejected_batch_has_one_outcome_and_nothing_of_it_is_stored_later(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    // The third meets what the first two have made of its stream.
    let batch = [
        command("a", "Increment"),
        command("a", "Decrement"),
        command("a", "Decrement"),
        command("b", "Increment"),
    ];
    let first = send(&client, "k", &batch).await;
    let problem = first.problem(422, "command-rejected");
    assert_eq!(problem["command_index"], 2, "{problem}");
    assert_eq!(problem["replayed"], false, "{problem}");
    for id in ["a", "b"] {
        client.stream(COUNTER, id).assert_absent().await;
    }

    // Now it would be accepted.
    client.stream(COUNTER, "a").increment().await.accepted();
    let again = send(&client, "k", &batch).await;
    let repeated = again.problem(422, "command-rejected");
    assert_eq!(repeated["replayed"], true, "{repeated}");
    for member in ["command_index", "command_id", "version", "rejection"] {
        assert_eq!(repeated[member], problem[member], "{member}: {repeated}");
    }

    let mut longer = batch.to_vec();
    longer.push(command("b", "Increment"));
    let mut other = batch.to_vec();
    other[3] = command("c", "Increment");
    for reused in [&batch[..2], &batch[..1], &longer, &other] {
        let reused = send(&client, "k", reused).await;
        reused.problem(422, "idempotency-key-reused");
    }
    assert_eq!(client.stream(COUNTER, "a").history().await.len(), 1);
    client.stream(COUNTER, "b").assert_absent().await;

    let verified = client.get("/v1/verify?decider=counter").send().await;
    verified.expect(200);
    let done: Value = serde_json::from_str(verified.text().lines().last().unwrap()).unwrap();
    assert_eq!(done["done"]["differences"], 0, "{}", verified.text());
}

async fn a_batch_that_decides_more_than_a_host_holds_is_refused_as_a_whole(store: Store) {
    let settings = [("GAVEL_COMMANDS_BATCH_BYTES", "4096")];
    let host = Host::start_with(&store, &settings).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let batch = ["a", "b", "a", "b", "c", "d"].map(|id| command(id, "Increment"));
    let refused = send(&client, "k", &batch).await;
    let problem = refused.problem(413, "too-large");
    assert_eq!(problem["limit_bytes"], 4096, "{problem}");
    for id in ["a", "b", "c", "d"] {
        client.stream(COUNTER, id).assert_absent().await;
    }
    // It is no outcome: in parts, the same commands go under the same keys.
    send(&client, "k", &batch[..3]).await.expect(200);
    send(&client, "l", &batch[3..]).await.expect(200);
    assert_eq!(client.stream(COUNTER, "a").history().await.len(), 2);
}

async fn of_a_batch_whose_answers_are_more_than_a_host_holds_the_rest_is_not_carried_out(
    store: Store,
) {
    let settings = [("GAVEL_COMMANDS_BATCH_BYTES", "4096")];
    let host = Host::start_with(&store, &settings).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    // One stream, so that the commands come one after another.
    let batch = vec![command("a", "Increment"); 20];
    let body = json!({ "atomic": false, "commands": batch });
    let answer = client.post("/v1/commands", &body).send().await;
    let answer = answer.json(200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 20);
    let carried_out = results
        .iter()
        .take_while(|result| result["version"].is_u64());
    let carried_out = carried_out.count();
    assert!((1..20).contains(&carried_out), "{answer}");
    for refused in &results[carried_out..] {
        assert_eq!(refused["code"], "too-large", "{refused}");
        assert_eq!(refused["limit_bytes"], 4096, "{refused}");
    }
    let stored = client.stream(COUNTER, "a").history().await.len();
    assert_eq!(stored, carried_out, "{answer}");
}

fn command(id: &str, command: &str) -> Value {
    json!({ "decider": COUNTER, "id": id, "command": command, "data": {} })
}

async fn send(client: &Client, key: &str, commands: &[Value]) -> Answer {
    client
        .post(
            "/v1/commands",
            &json!({ "atomic": true, "commands": commands }),
        )
        .header("Idempotency-Key", key)
        .send()
        .await
}
