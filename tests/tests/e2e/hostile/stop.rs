//! Receivers that are down, slow of wit or small, and what a host leaves behind when it stops.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gavel_tests::{
    Backend, COUNTER, Consumer, Host, LIMIT, Receiver, Store, eventually, on_every_store,
};
use serde_json::{Value, json};

on_every_store! {
    an_outage_of_a_receiver_parks_nothing,
    all_that_is_parked_is_retried_at_once,
    a_batch_that_is_too_large_for_its_receiver_comes_in_halves,
    a_host_that_has_stopped_leaves_one_file,
}

async fn increment(host: &Host, ids: &[&str]) {
    for id in ids {
        let stream = host.client().stream(COUNTER, id);
        stream.increment().await.accepted();
    }
}

async fn all_is_done(consumer: &Consumer) {
    eventually("everything is done", LIMIT, async || {
        (consumer.report().await["lag_events"] == 0).then_some(())
    })
    .await;
}

/// Answers with a status while it is asked to, and accepts everything afterwards.
async fn failing_with(status: u16) -> (Receiver, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&fails);
    let receiver = Receiver::start(move |_| match shared.load(Ordering::Relaxed) {
        true => (status, Vec::new()),
        false => (200, Vec::new()),
    });
    (receiver.await, fails)
}

async fn an_outage_of_a_receiver_parks_nothing(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host, &["a", "b", "c"]).await;
    let (receiver, fails) = failing_with(503).await;
    let consumer = host.client().consumer("hook");
    let settings = json!({ "max_attempts": 1, "push": { "url": receiver.url("/") } });
    consumer.put(settings).await.expect(201);

    let report = eventually("the outage shows", LIMIT, async || {
        let report = consumer.report().await;
        (report["attempt"].as_u64()? > 1).then_some(report)
    })
    .await;
    assert_eq!(
        report["last_error"],
        "the receiver answered 503 Service Unavailable"
    );
    assert!(report["retry_at"].is_string(), "{report}");
    assert_eq!(
        (&report["parked"], &report["lag_events"]),
        (&json!(0), &json!(3))
    );

    fails.store(false, Ordering::Relaxed);
    all_is_done(&consumer).await;
    let report = consumer.report().await;
    for member in ["last_error", "attempt", "retry_at"] {
        assert_eq!(report[member], Value::Null, "{report}");
    }
    let deliveries = receiver.deliveries();
    let is_first = |delivery: &gavel_tests::Delivery| delivery.json()["attempt"] == 1;
    assert!(
        deliveries.iter().all(is_first),
        "no stream has lost an attempt"
    );
}

async fn all_that_is_parked_is_retried_at_once(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host, &["a", "b", "c"]).await;
    let (receiver, fails) = failing_with(422).await;
    let consumer = host.client().consumer("hook");
    let with_user = receiver.url("/").replace("http://", "http://me:sesame@");
    let refused = consumer.put(json!({ "push": { "url": with_user } })).await;
    let problem = refused.problem(400, "malformed-request");
    assert_eq!(problem["errors"][0]["pointer"], "/push/url", "{problem}");

    let unknown = consumer.post("/parked/retry", &json!({})).await;
    unknown.problem(404, "consumer-not-found");
    let settings = json!({ "max_attempts": 1, "push": { "url": receiver.url("/") } });
    consumer.put(settings).await.expect(201);
    let parked = eventually("all are parked", LIMIT, async || {
        let parked = consumer.parked().await;
        (parked.len() == 3).then_some(parked)
    })
    .await;
    // What the receiver says to the host is not for everyone who may look at consumers.
    assert_eq!(
        parked[0]["reason"],
        "the receiver answered 422 Unprocessable Entity"
    );

    fails.store(false, Ordering::Relaxed);
    for retried in [3, 0] {
        let answer = consumer.post("/parked/retry", &json!({})).await.json(200);
        assert_eq!(answer, json!({ "retried": retried }));
    }
    all_is_done(&consumer).await;
}

async fn a_batch_that_is_too_large_for_its_receiver_comes_in_halves(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host, &["a"; 5]).await;
    let receiver = Receiver::start(|delivery| match delivery.json()["events"].as_array() {
        Some(events) if events.len() > 2 => (413, Vec::new()),
        _ => (200, Vec::new()),
    })
    .await;
    let consumer = host.client().consumer("hook");
    let settings = json!({ "max_attempts": 1, "push": { "url": receiver.url("/") } });
    consumer.put(settings).await.expect(201);
    all_is_done(&consumer).await;
    let deliveries = receiver.deliveries();
    let sizes = deliveries.iter().map(|delivery| {
        let body = delivery.json();
        body["events"].as_array().map_or(0, Vec::len)
    });
    assert_eq!(sizes.take(2).collect::<Vec<_>>(), [5, 2]);
    assert_eq!(consumer.report().await["parked"], 0);
}

async fn a_host_that_has_stopped_leaves_one_file(store: Store) {
    let mut host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host, &["a", "b"]).await;
    host.ask_to_end();
    assert!(host.ended().await.success());
    if store.backend() == Backend::Sqlite {
        let path = Path::new(store.url().strip_prefix("sqlite://").unwrap());
        let beside = ["-wal", "-shm"].map(|suffix| format!("{}{suffix}", path.display()));
        let left: Vec<_> = beside
            .iter()
            .filter(|file| Path::new(file).exists())
            .collect();
        assert!(path.exists() && left.is_empty(), "{left:?}");
    }
    host.restart().await;
    let state = host.client().get("/v1/deciders/counter/a").send().await;
    state.expect(200);
}
