//! A server whose folder is put back to an earlier state, as from a backup, with the same name for
//! itself as before.

use gavel_tests::{Answer, COUNTER, Client, Cluster, Host, LIMIT, Store, eventually};
use rand::Rng as _;
use serde_json::Value;

use crate::rounds;

/// Checks that a reader ahead of a restored log is refused, however long the log has become since,
/// and whether or not the host was stopped for the restore.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_ahead_of_a_restored_server_is_told() {
    let mut cluster = Cluster::start().await;
    let store = Store::on(&cluster.url()).await;
    let mut host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;

    for (seed, mut random) in rounds() {
        let [kept, lost, new] = ["kept", "lost", "new"].map(|name| format!("{name}-{seed}"));
        let before = random.random_range(1..6);
        increment(&host.client(), &kept, before).await;
        cluster.stop();
        cluster.back_up();
        cluster.go_on().await;
        increment(&host.client(), &kept, random.random_range(1..6)).await;
        increment(&host.client(), &lost, random.random_range(1..20)).await;
        let ahead = end(&host.client()).await;

        let is_stopped: bool = random.random();
        if is_stopped {
            host.ask_to_end();
            assert!(host.ended().await.success());
        }
        cluster.stop();
        cluster.restore();
        cluster.go_on().await;
        if is_stopped {
            host.restart().await;
        }
        let client = host.client();
        let more = random.random_range(0..30);
        increment(&client, &new, more).await;
        increment(&client, &kept, 1).await;
        eprintln!("stopped: {is_stopped}, {more} new events");

        let behind = eventually("the log is read", LIMIT, async || {
            let answer = read(&client, &ahead).await;
            (answer.status() != 503).then_some(answer)
        });
        let problem = behind.await.problem(410, "position-lost");
        let common = problem["end"].as_str().unwrap();
        let page = read(&client, common).await.json(200);
        let mut ids = vec![new; more];
        ids.push(kept.clone());
        assert_eq!(ids_of(&page), ids, "{page}");
        client.stream(COUNTER, &lost).assert_absent().await;
        let history = client.stream(COUNTER, &kept).history().await;
        assert_eq!(history.len(), before + 1);
    }
}

/// Increments a counter, each time until it is certain.
async fn increment(client: &Client, id: &str, times: usize) {
    let stream = client.stream(COUNTER, id);
    for _ in 0..times {
        let key = uuid::Uuid::new_v4().to_string();
        eventually("the command is accepted", LIMIT, async || {
            let command = stream.command("Increment", serde_json::json!({}));
            (command.key(&key).send().await.status() == 200).then_some(())
        })
        .await;
    }
}

async fn read(client: &Client, after: &str) -> Answer {
    let page = client.get("/v1/events").query("limit", 1_000);
    page.query("after", after).send().await
}

fn ids_of(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["id"].as_str().unwrap()).collect()
}

/// The last position of the log.
async fn end(client: &Client) -> String {
    eventually("the end of the log is read", LIMIT, async || {
        let page = read(client, "").await.json(200);
        let is_end = page["caught_up"] == true;
        is_end.then(|| page["next"].as_str().unwrap().to_owned())
    })
    .await
}
