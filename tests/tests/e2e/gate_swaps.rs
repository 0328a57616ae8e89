//! Swaps that were rehearsed, and the way back.

use std::time::Instant;

use futures::future::join_all;
use gavel_tests::{
    Backend, COUNTER, Client, Host, LIMIT, Store, component, eventually, on_every_store, revision,
};
use serde_json::{Value, json};

use crate::gate::{
    DECIDER, activate, assert_refused_at, decider, finding, passes, upload, upload_bytes,
    write_past,
};
use crate::swaps::{Load, Swap, assert_obeyed, send};

/// A decider that runs the same module as the counter.
const METER: &str = "meter";
const SWAPS: u8 = 4;
const SENDERS: usize = 2;
const COMMANDS_BETWEEN: usize = 100;

on_every_store! {
    the_way_back_is_open_until_an_event_is_written_that_it_cannot_read,
}

/// Checks that only `Charged` prevents the way back to this module, and how often it is written.
#[track_caller]
fn assert_way_back(rollback: &Value, to: &str, written: u64) {
    assert_eq!(
        (&rollback["to"], &rollback["safe"]),
        (&json!(to), &json!(written == 0)),
        "{rollback}"
    );
    let events = rollback["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{rollback}");
    let charged = &events[0];
    assert_eq!(
        (&charged["event"], &charged["schema_version"]),
        (&json!("Charged"), &json!(1))
    );
    assert_eq!(charged["written"], json!(written));
}

async fn the_way_back_is_open_until_an_event_is_written_that_it_cannot_read(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let first = write_past(&client).await;
    let accounts = ["c-00", "c-01"].map(|id| client.stream(DECIDER, id));
    let back = format!("/v1/deciders/{DECIDER}/rollback");

    let report = passes(&client, "other_events").await;
    assert_way_back(&report["rollback"], &first, 0);
    assert_way_back(&decider(&client).await["rollback"], &first, 0);
    client.post(&back, &json!({})).send().await.expect(201);
    let second = upload(&client, "candidate-other_events").await;
    activate(&client, &second, &[]).await.expect(201);

    for (account, written) in accounts.iter().zip(1..) {
        let withdraw = json!({ "amount": 1 });
        let answer = account.send("Withdraw", withdraw).await.accepted();
        assert_eq!(answer.events[1].event, "Charged");
        // What is written is counted in the log, which shows it when all that began to be written
        // before has ended.
        let rollback = eventually("the fee is counted", LIMIT, async || {
            let rollback = decider(&client).await["rollback"].clone();
            (rollback["events"][0]["written"] == json!(written)).then_some(rollback)
        });
        assert_way_back(&rollback.await, &first, written);
    }

    let problem = client
        .post(&back, &json!({}))
        .send()
        .await
        .problem(422, "gate-refused");
    assert_refused_at(&problem["report"], "describe");
    let schema = finding(&problem["report"], "schema");
    assert!(schema["summary"].as_str().unwrap().contains("Charged"));
    assert_eq!(decider(&client).await["active"]["digest"], json!(second));
}

/// Rehearses a module as the counter until that is over, and checks that it would pass.
async fn rehearse_counter(client: &Client, digest: &str) {
    let path = format!("/v1/deciders/{COUNTER}/rehearsals");
    let begun = client
        .post(&path, &json!({ "digest": digest }))
        .send()
        .await;
    let path = begun.header("location").unwrap().to_owned();
    begun.expect(202);
    let status = eventually("the rehearsal is over", LIMIT, async || {
        let rehearsal = client.get(&path).send().await.json(200);
        let status = rehearsal["status"].as_str().unwrap().to_owned();
        (status != "running").then_some(status)
    });
    assert_eq!(status.await, "passed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rehearsed_swaps_are_obeyed_on_both_hosts_and_fail_no_command() {
    let store = Store::new(Backend::Postgres).await;
    let (one, two) = (Host::start(&store).await, Host::start(&store).await);
    let clients = [one.client(), two.client()];
    let first = clients[0].deploy_example(COUNTER).await;
    clients[0].activate(METER, &first).await.expect(201);
    let load = Load::new();
    // Streams of its own for each host, so that no command has a rival.
    let sending = ["one", "two"].into_iter().zip(&clients);
    let senders: Vec<_> = sending
        .flat_map(|(name, client)| (0..SENDERS).map(move |sender| (name, client.clone(), sender)))
        .map(|(name, client, sender)| {
            let decider = [COUNTER, METER][sender % 2];
            tokio::spawn(send(client, decider, name, sender, load.clone()))
        })
        .collect();

    let start = Instant::now();
    let swap = |digest: &str, requested, acknowledged| Swap {
        requested,
        acknowledged,
        digest: digest.to_owned(),
    };
    let (mut of_counter, mut of_meter) = (
        vec![swap(&first, start, start)],
        vec![swap(&first, start, start)],
    );
    for number in 0..SWAPS {
        load.wait_for(COMMANDS_BETWEEN).await;
        // The one rehearses, and the other activates.
        let here = &clients[usize::from(number % 2)];
        let there = &clients[usize::from((number + 1) % 2)];
        let digest = upload_bytes(here, revision(component(COUNTER), number)).await;
        rehearse_counter(here, &digest).await;
        let requested = Instant::now();
        // One alone, or both together.
        let is_alone = number % 2 == 0;
        if is_alone {
            there.activate(COUNTER, &digest).await.expect(201);
        } else {
            let both = [METER, COUNTER];
            let both =
                both.map(|name| json!({ "kind": "decider", "name": name, "digest": digest }));
            let both = json!({ "activations": both });
            there
                .post("/v1/activations", &both)
                .send()
                .await
                .expect(201);
        }
        let acknowledged = Instant::now();
        of_counter.push(swap(&digest, requested, acknowledged));
        if !is_alone {
            of_meter.push(swap(&digest, requested, acknowledged));
        }
    }
    load.wait_for(COMMANDS_BETWEEN).await;
    load.stop();
    let decided = join_all(senders).await.into_iter().flat_map(Result::unwrap);
    let (by_counter, by_meter): (Vec<_>, Vec<_>) =
        decided.partition(|decided| decided.event.decider == COUNTER);

    for (swaps, decided) in [(of_counter, by_counter), (of_meter, by_meter)] {
        assert_obeyed(&swaps, &decided);
        let last = swaps.last().unwrap().acknowledged;
        assert!(decided.iter().any(|decided| decided.sent >= last));
    }
}
