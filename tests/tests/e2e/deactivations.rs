//! `POST /v1/deciders/{decider}/deactivations`: the end of a module's work, and how it begins
//! again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use gavel_tests::{Backend, COUNTER, Client, Host, LIMIT, Store, eventually, on_every_store};
use serde_json::{Value, json};

const PATH: &str = "/v1/deciders/counter";
const SENDERS: usize = 8;

on_every_store! {
    a_decider_that_was_deactivated_answers_no_command_and_stays_readable,
    what_is_under_way_is_decided_before_a_deactivation_or_not_at_all,
}

async fn a_decider_that_was_deactivated_answers_no_command_and_stays_readable(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let path = format!("{PATH}/deactivations");
    let nothing = client.post(&path, &json!({})).send().await;
    nothing.problem(404, "decider-not-found");
    let digest = client.deploy_example(COUNTER).await;
    let counter = client.stream(COUNTER, "c-1");
    let keyed = || counter.command("Increment", json!({})).key("once").send();
    let first = keyed().await.accepted();

    let answer = client
        .post(&path, &json!({ "message": "no more", "accept": [] }))
        .send()
        .await;

    let entry = answer.json(201);
    assert_eq!(answer.header("location"), Some(PATH));
    for (member, expected) in [
        ("kind", json!("decider")),
        ("decider", json!(COUNTER)),
        ("digest", Value::Null),
        ("replaces", json!(digest)),
        ("activation", json!(2)),
        ("message", json!("no more")),
        ("report", json!({})),
    ] {
        assert_eq!(entry[member], expected, "{member}");
    }
    for refused in [
        counter.increment().await,
        counter.send("Unheard", json!({})).await,
        counter
            .command("Increment", json!({}))
            .query("dry_run", "true")
            .send()
            .await,
        client.post(&path, &json!({})).send().await,
    ] {
        refused.problem(404, "decider-not-found");
    }
    let again = keyed().await.accepted();
    assert!(again.replayed);
    assert_eq!(again.events, first.events);
    assert_eq!(counter.history().await, first.events);
    let state = counter.state().query("module", &digest).send().await;
    assert_eq!(state.json(200)["version"], 1);
    let streams = client.get(&format!("{PATH}/streams")).send().await;
    assert_eq!(streams.json(200)["streams"][0]["id"], "c-1");

    let decider = client.get(PATH).send().await.json(200);
    assert_eq!(
        (&decider["active"], &decider["contract"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(decider["activations"].as_array().unwrap().len(), 2);
    let list = client.get("/v1/deciders").send().await.json(200);
    assert_eq!(
        list["deciders"],
        json!([{ "decider": COUNTER, "active": null }])
    );
    // Kinds that this host does not run have no such resource.
    let described = client.get("/openapi.json").send().await.json(200);
    let is_run = |kinds: &&str| {
        described["paths"]
            .to_string()
            .contains(&format!("/v1/{kinds}/"))
    };
    for unknown in ["views", "processes"].iter().filter(|kinds| !is_run(kinds)) {
        let path = format!("/v1/{unknown}/counter/deactivations");
        let answer = client.post(&path, &json!({})).send().await;
        answer.problem(404, "not-found");
    }

    let back = client.post(&format!("{PATH}/rollback"), &json!({})).send();
    let back = back.await.json(201);
    assert_eq!(
        (&back["digest"], &back["activation"]),
        (&json!(digest), &json!(3))
    );
    assert_eq!(back["replaces"], Value::Null);
    let next = counter.increment().await.accepted();
    assert_eq!((next.module, next.version), (digest, 2));
}

/// Sends until the host answers that there is no such decider. Gives how much was accepted, and
/// when the last of that was sent.
async fn send(
    client: Client,
    stream: String,
    accepted: Arc<AtomicUsize>,
) -> (usize, Option<Instant>) {
    let (counter, mut last, mut count) = (client.stream(COUNTER, &stream), None, 0);
    loop {
        let sent = Instant::now();
        let answer = counter.increment().await;
        if answer.status() != 200 {
            answer.problem(404, "decider-not-found");
            return (count, last);
        }
        (count, last) = (count + 1, Some(sent));
        accepted.fetch_add(1, Ordering::Relaxed);
    }
}

async fn what_is_under_way_is_decided_before_a_deactivation_or_not_at_all(store: Store) {
    let host = Host::start(&store).await;
    // On one database commands come in at another host, too.
    let beside = match store.backend() {
        Backend::Sqlite => None,
        Backend::Postgres => Some(Host::start(&store).await),
    };
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let mut counted = 0;
    for stream in 0..SENDERS / 2 {
        let stream = client.stream(COUNTER, &format!("c-{stream}"));
        stream.increment().await.accepted();
        counted += 1;
    }
    let accepted = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let there = beside.as_ref().filter(|_| sender % 2 == 1);
            let client = there.unwrap_or(&host).client();
            let stream = format!("c-{}", sender / 2);
            tokio::spawn(send(client, stream, Arc::clone(&accepted)))
        })
        .collect();
    let under_way = async || (accepted.load(Ordering::Relaxed) >= 50).then_some(());
    eventually("commands are decided", LIMIT, under_way).await;

    let path = format!("{PATH}/deactivations");
    client.post(&path, &json!({})).send().await.json(201);
    let acknowledged = Instant::now();
    let mut stored_by_then = 0;
    for stream in 0..SENDERS / 2 {
        let stream = client.stream(COUNTER, &format!("c-{stream}"));
        stored_by_then += stream.history().await.len();
    }

    for sender in senders {
        let (count, last) = sender.await.unwrap();
        assert!(last.is_none_or(|last| last <= acknowledged));
        counted += count;
    }
    assert_eq!(counted, stored_by_then);
}
