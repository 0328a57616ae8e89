//! `kill -9` in the middle of it.

use gavel_tests::{COUNTER, Client, Host, Store, on_every_store};
use serde_json::json;

use crate::load::{Load, Outcome, assert_agrees, retry};
use crate::log;

const KILLS: usize = 4;
const SENDERS: usize = 24;
const STREAMS: usize = 12;

on_every_store! {
    what_was_acknowledged_outlives_kill_nine_and_is_there_once,
    a_host_that_starts_again_knows_all_it_knew,
}

async fn what_was_acknowledged_outlives_kill_nine_and_is_there_once(store: Store) {
    let mut host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let mut journal = Vec::new();

    for kill in 0..KILLS {
        let load = Load::start(&host.client(), "c", SENDERS, STREAMS);
        load.acknowledges(100 + 57 * kill).await;
        host.kill();
        journal.extend(load.finish().await);
        host.restart().await;

        let client = host.client();
        assert_agrees(&client, &journal).await;
        let unknown = journal
            .iter()
            .filter(|sent| !matches!(sent.outcome, Outcome::Acknowledged(_)))
            .count();
        assert!(unknown > 0, "the host was killed while it was working");
        retry(&client, &mut journal).await;
        assert_agrees(&client, &journal).await;
    }
}

async fn a_host_that_starts_again_knows_all_it_knew(store: Store) {
    let mut host = Host::start(&store).await;
    let digest = host.client().deploy_example(COUNTER).await;
    let there = host.client().in_namespace("there");
    there.deploy_example(COUNTER).await;
    for client in [host.client(), there] {
        client.stream(COUNTER, "c-1").increment().await.accepted();
        client
            .stream(COUNTER, "c-1")
            .send("Reset", json!({}))
            .await
            .accepted();
    }
    let in_log = async |client: Client| log::read(&client, "", 10, 2).await.0;
    let logged = in_log(host.client()).await;
    let paths = [
        "/v1/modules".to_owned(),
        format!("/v1/modules/{digest}"),
        "/v1/deciders".to_owned(),
        "/v1/deciders/counter".to_owned(),
        "/v1/deciders/counter/streams".to_owned(),
        "/v1/deciders/counter/c-1".to_owned(),
        "/v1/deciders/counter/c-1?version=1".to_owned(),
        "/v1/deciders/counter/c-1/events".to_owned(),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(host.client().get(path).send().await.json(200));
    }

    for restart in 1..=3 {
        if restart == 2 {
            host.kill();
        } else {
            host.ask_to_end();
            assert!(host.ended().await.success());
        }
        host.restart().await;
        for (path, before) in paths.iter().zip(&before) {
            assert_eq!(
                &host.client().get(path).send().await.json(200),
                before,
                "{path} after start {restart}"
            );
        }
        assert_eq!(in_log(host.client()).await, logged);
    }
    let answer = host
        .client()
        .stream(COUNTER, "c-1")
        .increment()
        .await
        .accepted();
    assert_eq!((answer.version, answer.module), (3, digest));
}
