//! Workers of a consumer as they are in the field: they crash, fail and are late.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use gavel_tests::{COUNTER, Client, Consumer, Host, LIMIT, Store, eventually, on_every_store};
use rand::Rng as _;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::consumers::versions;

on_every_store! {
    workers_that_crash_fail_and_dawdle_do_everything_in_order,
}

/// The record of what workers have seen and done, which checks each step against what they must
/// never see.
#[derive(Debug, Default)]
struct Ledger {
    /// The versions that were acknowledged, by stream.
    done: BTreeMap<String, Vec<u64>>,
    /// The newest version that a worker has begun to acknowledge, by stream.
    begun: HashMap<String, u64>,
    /// The expiry of the lease that no worker has settled, by stream.
    held: HashMap<String, OffsetDateTime>,
}

async fn workers_that_crash_fail_and_dawdle_do_everything_in_order(store: Store) {
    const WORKERS: usize = 8;
    const STREAMS: usize = 2_000;
    const LOCK_MS: i64 = 2_000;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let consumer = client.consumer("all");
    let settings =
        json!({ "lock_timeout_ms": LOCK_MS, "max_attempts": 1_000_000, "backoff_ms": 0 });
    consumer.put(settings).await.expect(201);
    let ledger = Arc::new(Mutex::new(Ledger::default()));

    let writer = tokio::spawn(async move {
        for _ in 0..2 {
            for chunk in (0..STREAMS).collect::<Vec<_>>().chunks(100) {
                increment_all(&client, chunk).await;
            }
        }
    });
    let workers = (0..WORKERS).map(|_| {
        tokio::spawn(work(
            consumer.clone(),
            Arc::clone(&ledger),
            2 * STREAMS,
            LOCK_MS,
        ))
    });
    for worker in join_all(workers.collect::<Vec<_>>()).await {
        worker.unwrap();
    }
    writer.await.unwrap();

    let done = std::mem::take(&mut ledger.lock().unwrap().done);
    assert_eq!(done.len(), STREAMS);
    for (stream, versions) in &done {
        let mut versions = versions.clone();
        versions.sort_unstable();
        assert_eq!(versions, [1, 2], "{stream}: each event is done once");
    }
    eventually("everything is done", LIMIT, async || {
        (consumer.report().await["lag_events"] == 0).then_some(())
    })
    .await;
}

async fn increment_all(client: &Client, streams: &[usize]) {
    let commands = streams.iter().map(|index| {
        json!({ "decider": COUNTER, "id": format!("c-{index}"), "command": "Increment", "data": {} })
    });
    let body = json!({ "atomic": false, "commands": commands.collect::<Vec<_>>() });
    client.post("/v1/commands", &body).send().await.expect(200);
}

async fn work(consumer: Consumer, ledger: Arc<Mutex<Ledger>>, events: usize, lock_ms: i64) {
    let mut dawdled: Vec<Value> = Vec::new();
    let is_done = || {
        let ledger = ledger.lock().unwrap();
        ledger.done.values().map(Vec::len).sum::<usize>() >= events
    };
    while !is_done() {
        let leases = consumer
            .leases(json!({ "max_streams": 16, "max_events": 64, "wait_ms": 100 }))
            .await;
        let mut settling = std::mem::take(&mut dawdled);
        for lease in leases {
            note_lease(&ledger, &lease, lock_ms);
            match rand::rng().random_range(0..20) {
                0 => {} // the worker has crashed
                1 => dawdled.push(lease),
                _ => settling.push(lease),
            }
        }
        for lease in settling {
            // From here on the next one may have it.
            ledger.lock().unwrap().held.remove(&name(&lease));
            if rand::rng().random_range(0..20) == 0 {
                let nacked = consumer
                    .post("/nack", &json!({ "lease": lease["lease"] }))
                    .await;
                assert!(matches!(nacked.status(), 200 | 409), "{}", nacked.text());
                continue;
            }
            {
                let mut ledger = ledger.lock().unwrap();
                let last = versions(&lease).last().copied().unwrap_or_default();
                let begun = ledger.begun.entry(name(&lease)).or_default();
                *begun = last.max(*begun);
            }
            let acknowledged = consumer.ack(&lease).await;
            match acknowledged.status() {
                200 => {
                    let mut ledger = ledger.lock().unwrap();
                    ledger
                        .done
                        .entry(name(&lease))
                        .or_default()
                        .extend(versions(&lease));
                }
                _ => drop(acknowledged.problem(409, "lease-lost")),
            }
        }
    }
}

fn name(lease: &Value) -> String {
    lease["id"].as_str().unwrap().to_owned()
}

/// Notes a lease. Both times are of the store's clock.
fn note_lease(ledger: &Mutex<Ledger>, lease: &Value, lock_ms: i64) {
    let expires_at =
        OffsetDateTime::parse(lease["expires_at"].as_str().unwrap(), &Rfc3339).unwrap();
    let begun_at = expires_at - Duration::milliseconds(lock_ms);
    let mut ledger = ledger.lock().unwrap();
    let before = ledger.held.insert(name(lease), expires_at);
    // As fine as the times are told.
    let is_over = before.is_none_or(|before| before <= begun_at + Duration::milliseconds(1));
    assert!(
        is_over,
        "{}: leased while another lease of it holds",
        name(lease)
    );
    let first = versions(lease)[0];
    let begun = ledger.begun.get(&name(lease)).copied().unwrap_or_default();
    assert!(
        first <= begun + 1,
        "{}: {first} comes before what precedes it is done",
        name(lease)
    );
}
