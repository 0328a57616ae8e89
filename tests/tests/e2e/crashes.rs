//! `kill -9` in the middle of it.

use futures::future::join_all;
use gavel_tests::postgres::Session;
use gavel_tests::{Backend, COUNTER, Client, Host, Store, on_every_store};
use serde_json::json;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::load::{Load, Outcome, Sent, assert_agrees, retry};
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

/// Increments of one counter that are decided, and of which none can be stored before the session
/// lets go of its stream.
async fn decided(host: &Host, session: &mut Session) -> Vec<JoinHandle<Sent>> {
    let client = host.client();
    client.stream(COUNTER, "c-1").increment().await.accepted();
    session.rows("BEGIN");
    session.rows("SELECT pg_advisory_xact_lock(gavel_stream_key('default', 'counter', 'c-1'))");
    let increment = |_| {
        let (key, stream) = (Uuid::new_v4(), "c-1".to_owned());
        let command = client
            .stream(COUNTER, &stream)
            .command("Increment", json!({}));
        tokio::spawn(async move {
            let answer = command.key(&key.to_string()).try_send().await;
            let outcome = match answer {
                Ok(answer) if answer.status() == 200 => Outcome::Acknowledged(answer.accepted()),
                // On a machine that is busy the wait for the lock may end before the host does.
                Ok(answer) => match answer.code().as_deref() {
                    Some("outcome-unknown") => Outcome::Unknown,
                    Some("store-unavailable") => Outcome::Refused("store-unavailable".to_owned()),
                    _ => panic!("{}: {}", answer.status(), answer.text()),
                },
                Err(_) => Outcome::Unknown,
            };
            Sent {
                key,
                stream,
                outcome,
            }
        })
    };
    let sent = (0..8).map(increment).collect();
    // The first of them; what came later is decided on the state that it is about to make true.
    session.until_blocked(1);
    sent
}

/// Each of `sent` has one outcome in the end.
async fn assert_each_has_one_outcome(client: &Client, sent: Vec<JoinHandle<Sent>>) {
    let mut journal: Vec<_> = join_all(sent)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    retry(client, &mut journal).await;
    let history = client.stream(COUNTER, "c-1").history().await;
    assert_eq!(history.len(), 1 + journal.len());
    for sent in journal {
        let Outcome::Acknowledged(answer) = sent.outcome else {
            panic!("{} has no outcome", sent.key);
        };
        assert!(history.contains(&answer.events[0]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_and_not_stored_at_kill_nine_has_one_outcome() {
    let store = Store::new(Backend::Postgres).await;
    let mut host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let mut session = store.session();
    let sent = decided(&host, &mut session).await;

    host.kill();
    session.rows("ROLLBACK");
    host.restart().await;
    assert_each_has_one_outcome(&host.client(), sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_on_a_connection_that_is_cut_has_one_outcome() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let mut session = store.session();
    let sent = decided(&host, &mut session).await;

    session.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    session.rows("ROLLBACK");
    assert_each_has_one_outcome(&host.client(), sent).await;
}
