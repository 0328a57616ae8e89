//! An older copy of the store is put in its place, or its files vanish while a host works on them.

use std::fs;
use std::path::{Path, PathBuf};

use gavel_tests::{Answer, Backend, COUNTER, CliOutput, Client, Host, Store};
use serde_json::{Value, json};

fn file_of(store: &Store) -> PathBuf {
    let path = store.url().strip_prefix("sqlite://");
    path.expect("the store is a file").into()
}

async fn stop(host: &mut Host) {
    host.ask_to_end();
    assert!(host.ended().await.success());
}

async fn increment(client: &Client, id: &str, times: usize) {
    for _ in 0..times {
        client.stream(COUNTER, id).increment().await.accepted();
    }
}

/// The ids of the streams of all events behind `after`, and the last position.
async fn read(client: &Client, after: &str) -> (Vec<String>, String) {
    let request = client.get("/v1/events").query("limit", 1_000);
    let page = request.query("after", after).send().await.json(200);
    assert_eq!(page["caught_up"], true, "{page}");
    let events = page["events"].as_array().unwrap().iter();
    let ids = events.map(|event| event["id"].as_str().unwrap().to_owned());
    (ids.collect(), page["next"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_ahead_of_a_restored_log_is_told_however_long_that_has_become() {
    let store = Store::new(Backend::Sqlite).await;
    let mut host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host.client(), "kept", 5).await;
    let (_, kept) = read(&host.client(), "").await;
    stop(&mut host).await;
    let copy = fs::read(file_of(&store)).unwrap();
    host.restart().await;
    increment(&host.client(), "lost", 10).await;
    let (_, ahead) = read(&host.client(), &kept).await;
    stop(&mut host).await;
    fs::write(file_of(&store), copy).unwrap();
    host.restart().await;
    let client = host.client();

    let mut appended = 0;
    // To none, to fewer than are lost, and to more.
    for more in [0, 3, 10] {
        increment(&client, "new", more).await;
        appended += more;
        for answer in resume_in_every_way(&client, &ahead).await {
            let problem = answer.problem(410, "position-lost");
            assert_eq!(problem["position"], ahead.as_str(), "{problem}");
            assert_eq!(problem["end"], kept.as_str(), "{problem}");
        }
        let (ids, _) = read(&client, &kept).await;
        assert_eq!(ids, vec!["new"; appended]);
    }
    client
        .get(&client.consumer("ahead").path(""))
        .send()
        .await
        .expect(404);
    let followed = tokio::task::spawn_blocking(move || {
        let arguments = ["events", "--follow", "--after", &ahead];
        CliOutput::of(Some(&host), &std::env::temp_dir(), &arguments)
    });
    let told = followed.await.unwrap().exits_with(1).stderr();
    assert!(
        told.contains("The log does not hold the position"),
        "{told}"
    );
    assert!(told.contains(&format!("end: {kept}")), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_files_are_removed_or_replaced_acknowledges_nothing() {
    for (suffixes, harm) in [
        (vec!["", "-wal", "-shm"], remove as fn(&Path)),
        (vec!["-wal"], remove),
        (vec![""], replace),
    ] {
        let store = Store::new(Backend::Sqlite).await;
        let host = Host::start(&store).await;
        let client = host.client();
        client.deploy_example(COUNTER).await;
        increment(&client, "a", 2).await;
        for suffix in suffixes {
            let mut file = file_of(&store).into_os_string();
            file.push(suffix);
            harm(Path::new(&file));
        }
        for id in ["a", "b"] {
            let answer = client.stream(COUNTER, id).increment().await;
            answer.problem(503, "store-unavailable");
        }
        for path in ["/readyz", "/v1/events"] {
            let answer = client.get(path).send().await;
            answer.problem(503, "store-unavailable");
        }
    }
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn replace(path: &Path) {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    fs::rename(copy, path).unwrap();
}

async fn resume_in_every_way(client: &Client, after: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for accept in [
        "application/json",
        "application/x-ndjson",
        "text/event-stream",
    ] {
        let page = client.get("/v1/events").header("Accept", accept);
        answers.push(page.query("after", after).send().await);
    }
    let followed = client
        .get("/v1/events?follow=true")
        .header("Accept", "application/x-ndjson");
    answers.push(followed.header("Last-Event-ID", after).send().await);
    let start: Value = json!({ "start": { "position": after } });
    answers.push(client.consumer("ahead").put(start.clone()).await);
    client.consumer("there").put(json!({})).await;
    answers.push(client.consumer("there").post("/reset", &start).await);
    answers
}
