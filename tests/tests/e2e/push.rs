//! Push: the host delivers to those who cannot ask.

use gavel_tests::{COUNTER, Consumer, Host, LIMIT, Receiver, Store, eventually, on_every_store};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

on_every_store! {
    events_are_pushed_whole_signed_and_in_order,
    a_receiver_that_fails_for_one_stream_gets_the_others,
    a_receiver_that_asks_for_a_rest_is_left_alone,
    nothing_but_success_is_taken_for_one,
    what_was_not_acknowledged_is_pushed_again_after_a_crash,
}

async fn increment(host: &Host, ids: &[&str]) {
    for id in ids {
        host.client()
            .stream(COUNTER, id)
            .increment()
            .await
            .accepted();
    }
}

async fn lag(consumer: &Consumer) -> u64 {
    consumer.report().await["lag_events"].as_u64().unwrap()
}

/// Waits until the one stream is parked, and returns the reason.
async fn parked_reason(consumer: &Consumer) -> String {
    eventually("a stream is parked", LIMIT, async || {
        let parked = consumer.parked().await;
        Some(parked.first()?["reason"].as_str()?.to_owned())
    })
    .await
}

/// Waits until a receiver that takes nothing has failed, and returns the reason.
async fn outage(consumer: &Consumer) -> String {
    eventually("the receiver fails", LIMIT, async || {
        Some(consumer.report().await["last_error"].as_str()?.to_owned())
    })
    .await
}

async fn events_are_pushed_whole_signed_and_in_order(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host, &["c-1", "c-2", "c-1"]).await;
    let receiver = Receiver::start(|_| (204, Vec::new())).await;
    let consumer = host.client().consumer("hook");
    let push = json!({ "url": receiver.url("/events"), "secret": "sesame" });
    consumer.put(json!({ "push": push })).await.expect(201);
    // While it is being pushed to.
    increment(&host, &["c-1", "c-3"]).await;
    eventually("everything is done", LIMIT, async || {
        (lag(&consumer).await == 0).then_some(())
    })
    .await;

    let deliveries = receiver.deliveries();
    for id in ["c-1", "c-2", "c-3"] {
        let of_stream = deliveries.iter().filter(|delivery| delivery.id() == id);
        let events: Vec<Value> = of_stream
            .flat_map(|delivery| delivery.json()["events"].as_array().unwrap().clone())
            .collect();
        assert_eq!(
            events,
            host.client().stream(COUNTER, id).history_json().await,
            "{id}"
        );
    }
    for delivery in deliveries {
        let body = delivery.json();
        assert_eq!(
            json!([
                body["namespace"],
                body["consumer"],
                body["decider"],
                body["attempt"]
            ]),
            json!(["default", "hook", COUNTER, 1])
        );
        assert_eq!(
            (
                delivery.path.as_str(),
                delivery.headers["content-type"].as_str()
            ),
            ("/events", "application/json")
        );
        let signature = &delivery.headers["gavel-signature"];
        let (time, digest) = signature
            .strip_prefix("t=")
            .unwrap()
            .split_once(",v1=")
            .unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"sesame").unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(&delivery.body);
        assert_eq!(digest, hex::encode(mac.finalize().into_bytes()));
    }
}

async fn a_receiver_that_fails_for_one_stream_gets_the_others(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host, &["bad", "good", "bad", "good"]).await;
    let receiver = Receiver::start(|delivery| match delivery.id().as_str() {
        "bad" => (422, Vec::new()),
        _ => (200, Vec::new()),
    })
    .await;
    let consumer = host.client().consumer("hook");
    let settings =
        json!({ "max_attempts": 3, "backoff_ms": 1, "push": { "url": receiver.url("/") } });
    consumer.put(settings).await.expect(201);

    let reason = parked_reason(&consumer).await;
    assert_eq!(reason, "the receiver answered 422 Unprocessable Entity");
    eventually("only what is parked is left", LIMIT, async || {
        (lag(&consumer).await == 2).then_some(())
    })
    .await;
    let deliveries = receiver.deliveries();
    let attempts: Vec<_> = deliveries
        .iter()
        .filter(|delivery| delivery.id() == "bad")
        .map(|delivery| delivery.json()["attempt"].as_u64().unwrap())
        .collect();
    assert_eq!(attempts, [1, 2, 3]);
    let metrics = host
        .client()
        .get("/metrics")
        .send()
        .await
        .expect(200)
        .text();
    let failed =
        r#"gavel_push_deliveries_total{namespace="default",consumer="hook",outcome="failed"} 3"#;
    assert!(metrics.contains(failed), "{metrics}");
    eventually("the metrics show what is parked", LIMIT, async || {
        let metrics = host
            .client()
            .get("/metrics")
            .send()
            .await
            .expect(200)
            .text();
        let parked = r#"gavel_consumer_parked{namespace="default",consumer="hook"} 1"#;
        metrics.contains(parked).then_some(())
    })
    .await;
}

async fn a_receiver_that_asks_for_a_rest_is_left_alone(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host, &["tired"]).await;
    let receiver = Receiver::start(|delivery| match delivery.id().as_str() {
        "tired" => (409, vec![("retry-after", "600".to_owned())]),
        _ => (200, Vec::new()),
    })
    .await;
    let consumer = host.client().consumer("hook");
    let settings =
        json!({ "max_attempts": 100, "backoff_ms": 0, "push": { "url": receiver.url("/") } });
    consumer.put(settings).await.expect(201);
    for round in 0..5 {
        increment(&host, &[&format!("c-{round}")]).await;
        eventually("the others are served", LIMIT, async || {
            let is_there = |delivery: &gavel_tests::Delivery| delivery.id() == format!("c-{round}");
            receiver.deliveries().iter().any(is_there).then_some(())
        })
        .await;
    }
    let rested = receiver.deliveries();
    assert_eq!(
        rested
            .iter()
            .filter(|delivery| delivery.id() == "tired")
            .count(),
        1
    );
}

async fn nothing_but_success_is_taken_for_one(store: Store) {
    let slow = [("GAVEL_PUSH_DEADLINE_MS", "500")];
    let host = Host::start_with(&store, &slow).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host, &["c-1"]).await;
    let elsewhere = Receiver::start(|_| (200, Vec::new())).await;
    let target = elsewhere.url("/secret");
    let redirecting = Receiver::start(move |_| (307, vec![("location", target.clone())])).await;
    let garbage = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let garbage_url = format!("http://{}/", garbage.local_addr().unwrap());
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}/", silent.local_addr().unwrap());
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down_url = format!("http://{}/", down.local_addr().unwrap());
    drop(down);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = garbage.accept().await {
            let _ = socket.write_all(b"\x00\xffnonsense\r\n\r\n").await;
        }
    });

    for (name, url) in [
        ("redirected", redirecting.url("/")),
        ("garbage", garbage_url),
        ("silent", silent_url),
        ("down", down_url),
    ] {
        let consumer = host.client().consumer(name);
        let settings = json!({ "max_attempts": 2, "backoff_ms": 0, "push": { "url": url } });
        consumer.put(settings).await.expect(201);
        if name == "redirected" {
            let reason = parked_reason(&consumer).await;
            assert!(
                reason.contains("307") && reason.contains("redirects"),
                "{reason}"
            );
        } else {
            outage(&consumer).await;
            assert_eq!(consumer.parked().await, Vec::<Value>::new(), "{name}");
        }
        assert_eq!(lag(&consumer).await, 1, "{name}: nothing is lost");
    }
    assert!(
        elsewhere.deliveries().is_empty(),
        "redirects are not followed"
    );
}

async fn what_was_not_acknowledged_is_pushed_again_after_a_crash(store: Store) {
    let mut host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    increment(&host, &["c-1"]).await;
    // It takes deliveries, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let consumer = host.client().consumer("hook");
    let settings = |url: &str| json!({ "lock_timeout_ms": 2_000, "max_attempts": 1_000_000, "push": { "url": url } });
    consumer.put(settings(&url)).await.expect(201);
    let _held = silent.accept().await.unwrap();
    host.kill();

    let receiver = Receiver::start(|_| (200, Vec::new())).await;
    let host = Host::start(&store).await;
    let consumer = host.client().consumer("hook");
    consumer.put(settings(&receiver.url("/"))).await.expect(200);
    eventually("it is pushed again", LIMIT, async || {
        (lag(&consumer).await == 0).then_some(())
    })
    .await;
    let last = receiver.deliveries().pop().unwrap();
    assert!(last.json()["attempt"].as_u64().unwrap() > 1, "{last:?}");
}
