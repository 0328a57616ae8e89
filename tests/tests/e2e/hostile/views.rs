//! Views beside modules that never end, logs that were restored, and other hosts.

use std::fs;

use gavel_tests::{Backend, COUNTER, Host, LIMIT, Store, component, eventually};
use serde_json::json;

use crate::view_faults::{act, hostile};
use crate::views::{TALLY, count, tallied, totals};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_never_ends_holds_up_neither_commands_nor_other_views() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let client = host.client();
    count(&client, 3).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    let view = hostile(&client).await;
    for fault in ["LoopInKeys", "LoopInFold"] {
        act(&client, fault, json!({ "act": fault })).await;
    }
    let mut expected = totals(3);
    for total in 2..=20 {
        client.stream(COUNTER, "c-0").increment().await.accepted();
        expected.insert("c-0".to_owned(), total);
        assert_eq!(tallied(&tally).await, expected);
    }
    act(&client, "good", json!({})).await;
    let answer = eventually("the fault is parked", LIMIT, async || {
        let answer = view.row_now("good").await;
        (answer.status() == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.header("gavel-incomplete"), Some("1"));
    view.row_now("LoopInFold").await.problem(503, "row-parked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_follow_a_log_that_was_restored_without_them() {
    let store = Store::new(Backend::Sqlite).await;
    let mut host = Host::start(&store).await;
    count(&host.client(), 3).await;
    host.client().view(TALLY).deploy(component(TALLY)).await;
    stop(&mut host).await;
    let file = store.url().strip_prefix("sqlite://").unwrap();
    let copy = fs::read(file).unwrap();
    host.restart().await;
    let client = host.client();
    for _ in 0..4 {
        client.stream(COUNTER, "c-0").increment().await.accepted();
        client.stream(COUNTER, "lost").increment().await.accepted();
    }
    assert_eq!(tallied(&client.view(TALLY)).await["lost"], 4);
    stop(&mut host).await;
    fs::write(file, copy).unwrap();
    host.restart().await;
    let client = host.client();
    client.stream(COUNTER, "c-1").increment().await.accepted();
    let mut expected = totals(3);
    expected.insert("c-1".to_owned(), 3);
    let tally = client.view(TALLY);
    let shown = eventually("the rows are built anew", LIMIT, async || {
        let is_built = tally.row_now("c-1").await.status() == 200;
        if is_built {
            Some(tallied(&tally).await)
        } else {
            None
        }
    });
    assert_eq!(shown.await, expected);
}

async fn stop(host: &mut Host) {
    host.ask_to_end();
    assert!(host.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_fold_each_event_once_and_each_shows_what_the_other_has_stored() {
    let store = Store::new(Backend::Postgres).await;
    let (one, two) = (Host::start(&store).await, Host::start(&store).await);
    count(&one.client(), 3).await;
    one.client().view(TALLY).deploy(component(TALLY)).await;
    let mut expected = totals(3);
    for round in 0..20_u64 {
        let id = format!("c-{}", round % 3);
        let (writer, reader) = match round % 2 {
            0 => (&one, &two),
            _ => (&two, &one),
        };
        writer
            .client()
            .stream(COUNTER, &id)
            .increment()
            .await
            .accepted();
        *expected.get_mut(&id).unwrap() += 1;
        assert_eq!(tallied(&reader.client().view(TALLY)).await, expected);
    }
}
