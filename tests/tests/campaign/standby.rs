//! A commit that waits for a standby which is not reachable: stored already, and shown to no
//! reader.

use std::time::Duration;

use gavel_tests::{Answer, Client, Cluster, Host, Store, component, eventually};
use rand::Rng as _;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::rounds;

/// The longest time for which a host may wait for a commit and look for its outcome before it
/// answers that the outcome is unknown.
const DOUBT: Duration = Duration::from_secs(300);

/// Checks that a command answered with `rejected` is never stored, and that a host claims no
/// outcome that it does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_in_doubt_has_one_outcome_when_the_standby_returns() {
    let cluster = Cluster::start().await;
    let store = Store::on(&cluster.url()).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy(HOSTILE, component(HOSTILE)).await;

    for (seed, mut random) in rounds() {
        let key = format!("batch-{seed}");
        let streams: Vec<String> = (0..random.random_range(2..6))
            .map(|index| format!("{seed}-{index}"))
            .collect();
        // Decided again, the commands are too late: before the host gives up on the commit, or
        // while it looks for what became of it.
        let patience = Duration::from_secs(random.random_range(1..30));
        let until = (OffsetDateTime::now_utc() + patience).unix_timestamp_nanos() / 1_000_000;
        let commands: Vec<Value> = streams
            .iter()
            .map(|id| json!({ "decider": HOSTILE, "id": id, "command": "Until", "data": { "ms": until } }))
            .collect();

        cluster.set("synchronous_standby_names", "away").await;
        // Past the moment at which the host gives up the commit, and sometimes past its answer.
        let outage = Duration::from_secs(random.random_range(37..120));
        let mut sending = Box::pin(send(&client, &key, &commands));
        let answered = tokio::time::timeout(outage, &mut sending).await.ok();
        if let Some(early) = &answered {
            assert!(
                [422, 503].contains(&early.status()),
                "nothing is acknowledged that no standby has: {}",
                early.text()
            );
        }
        cluster.set("synchronous_standby_names", "").await;
        let first = match answered {
            Some(answer) => answer,
            None => sending.await,
        };
        let settled = eventually("the outcome is known", DOUBT, async || {
            let answer = send(&client, &key, &commands).await;
            [200, 422].contains(&answer.status()).then_some(answer)
        })
        .await;
        if first.status() == 422 {
            assert_eq!(settled.status(), 422, "{}", settled.text());
        }
        for id in &streams {
            let stream = client.stream(HOSTILE, id);
            if settled.status() == 200 {
                assert_eq!(stream.history().await.len(), 1, "{}", settled.text());
            } else {
                stream.assert_absent().await;
            }
        }
        let again = send(&client, &key, &commands).await;
        assert_eq!(again.status(), settled.status(), "{}", again.text());
        eprintln!("first {}, then {}", first.status(), settled.status());
    }
}

/// The decider whose `Until` is rejected after a time.
const HOSTILE: &str = "hostile";

async fn send(client: &Client, key: &str, commands: &[Value]) -> Answer {
    let batch = json!({ "atomic": true, "commands": commands });
    client
        .post("/v1/commands", &batch)
        .header("Idempotency-Key", key)
        .within(DOUBT)
        .send()
        .await
}
