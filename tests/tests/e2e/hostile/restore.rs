//! An older copy of the store is put in its place, or its files vanish while a host works on them.

use std::fs;
use std::path::{Path, PathBuf};

use gavel_tests::{
    Answer, Backend, COUNTER, CliOutput, Client, Host, LIMIT, Receiver, Store, Stream, component,
    eventually, revision,
};
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

/// Keeps a copy of a database that no host works on.
async fn copy(store: &Store) {
    let copy = "CREATE DATABASE {name}_copy TEMPLATE {name}";
    store.administer(copy).await;
}

/// Puts the copy in the place of the database, below the hosts that work on it.
async fn put_back(store: &Store) {
    store.administer("DROP DATABASE {name} WITH (FORCE)").await;
    let rename = "ALTER DATABASE {name}_copy RENAME TO {name}";
    store.administer(rename).await;
}

/// The answer of a host to a command once the host has found the database again.
async fn answer_of(stream: &Stream, command: &str, data: Value) -> Answer {
    eventually("the host has its database again", LIMIT, async || {
        let answer = stream.send(command, data.clone()).await;
        (answer.status() != 503).then_some(answer)
    })
    .await
}

async fn activation_of(client: &Client) -> Value {
    let decider = client.get("/v1/deciders/counter").send().await.json(200);
    decider["active"]["activation"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_host_goes_back_to_the_modules_of_a_restored_database() {
    let store = Store::new(Backend::Postgres).await;
    let mut host = Host::start(&store).await;
    let (ended, replaced) = ("default", "replaced");
    for namespace in [ended, replaced] {
        let client = host.client().in_namespace(namespace);
        client.deploy_example(COUNTER).await;
    }
    stop(&mut host).await;
    copy(&store).await;
    host.restart().await;
    let of = |namespace| host.client().in_namespace(namespace);
    let (ended, replaced, begun) = (of(ended), of(replaced), of("begun"));
    let deactivation = ended.post("/v1/deciders/counter/deactivations", &json!({}));
    deactivation.send().await.expect(201);
    let newer = revision(component(COUNTER), 2);
    replaced.deploy(COUNTER, newer).await;
    begun.deploy_example(COUNTER).await;
    for client in [&replaced, &begun] {
        increment(client, "c-1", 1).await;
    }
    put_back(&store).await;

    for client in [&ended, &replaced] {
        let counter = client.stream(COUNTER, "c-1");
        let answer = answer_of(&counter, "Increment", json!({})).await;
        assert_eq!(answer.accepted().version, 1);
        assert_eq!(activation_of(client).await, 1);
    }
    let unheard = begun.stream(COUNTER, "c-1");
    let answer = answer_of(&unheard, "Increment", json!({})).await;
    answer.problem(404, "decider-not-found");
    begun.deploy_example(COUNTER).await;
    increment(&begun, "c-1", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_host_decides_on_the_streams_of_a_restored_database() {
    let store = Store::new(Backend::Postgres).await;
    let mut host = Host::start(&store).await;
    host.client().deploy_example("account").await;
    let account_of = |host: &Host, id| host.client().stream("account", id);
    let owner = json!({ "owner": "ann" });
    let account = account_of(&host, "a-1");
    account.send("Open", owner.clone()).await.accepted();
    stop(&mut host).await;
    copy(&store).await;
    host.restart().await;
    let other = Host::start(&store).await;
    let of = |amount| json!({ "amount": amount });
    let account = account_of(&host, "a-1");
    account.send("Deposit", of(100)).await.accepted();
    put_back(&store).await;

    // The version at which the first host knows the account is that of another event now.
    let answer = answer_of(&account_of(&other, "a-1"), "Deposit", of(1)).await;
    assert_eq!(answer.accepted().version, 2);
    let elsewhere = account_of(&host, "a-2");
    answer_of(&elsewhere, "Open", owner).await.accepted();
    let answer = account.send("Withdraw", of(50)).await;
    let problem = answer.problem(422, "command-rejected");
    assert_eq!(problem["rejection"]["data"]["balance"], 1, "{problem}");
    account.send("Withdraw", of(1)).await.accepted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_gets_what_is_appended_after_a_restore() {
    let store = Store::new(Backend::Postgres).await;
    let mut host = Host::start(&store).await;
    let receiver = Receiver::start(|_| (204, Vec::new())).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let push = json!({ "push": { "url": receiver.url("/") } });
    client.consumer("hook").put(push).await.expect(201);
    let taken = async |client: &Client, ids: &[&str]| {
        eventually("all is handed over", LIMIT, async || {
            let report = client.get("/v1/consumers/hook").send().await;
            let is_done = report.status() == 200 && report.json(200)["lag_events"] == 0;
            is_done.then_some(())
        })
        .await;
        let mut taken: Vec<_> = receiver.deliveries().iter().map(|of| of.id()).collect();
        taken.sort_unstable();
        assert_eq!(taken, ids);
    };
    increment(&client, "a-kept", 1).await;
    taken(&client, &["a-kept"]).await;
    stop(&mut host).await;
    copy(&store).await;
    host.restart().await;
    let client = host.client();
    increment(&client, "b-lost", 1).await;
    taken(&client, &["a-kept", "b-lost"]).await;
    put_back(&store).await;

    for id in ["a-kept", "b-lost", "c-new"] {
        let counter = client.stream(COUNTER, id);
        let answer = answer_of(&counter, "Increment", json!({})).await;
        answer.accepted();
    }
    let ids = ["a-kept", "a-kept", "b-lost", "b-lost", "c-new"];
    taken(&client, &ids).await;
    assert_eq!(client.consumer("hook").report().await["parked"], 0);
}
