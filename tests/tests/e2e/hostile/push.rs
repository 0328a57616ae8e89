//! Push as a way to what only the host can reach: its own API, and what is beside it.

use gavel_tests::{COUNTER, Consumer, Host, LIMIT, Receiver, Store, eventually, on_every_store};
use reqwest::Method;
use serde_json::{Value, json};

on_every_store! {
    a_host_is_pushed_to_neither_itself_nor_where_it_may_not,
    a_consumer_whose_receiver_is_not_allowed_any_more_is_paused,
    a_consumer_that_is_changed_while_it_is_delivered_to_loses_no_lease,
}

fn pushed_to(url: &str) -> Value {
    json!({ "max_attempts": 1, "push": { "url": url } })
}

/// Waits until a host has paused a consumer, and returns the reason.
async fn paused(consumer: &Consumer) -> String {
    eventually("the host pauses the consumer", LIMIT, async || {
        let report = consumer.report().await;
        Some(report["paused_reason"].as_str()?.to_owned()).filter(|_| report["paused"] == true)
    })
    .await
}

async fn a_host_is_pushed_to_neither_itself_nor_where_it_may_not(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    client.stream(COUNTER, "c-1").increment().await.accepted();
    let own = host.address();
    let victim = client.consumer("victim");
    victim.put(json!({})).await.expect(201);
    let pause = "/v1/consumers/victim/pause";
    let port = own.rsplit(':').next().unwrap();
    for url in [
        format!("{own}{pause}"),
        format!("http://2130706433:{port}{pause}"),
        format!("http://127.9.9.9:{port}{pause}"),
        format!("http://0.0.0.0:{port}{pause}"),
        format!("http://[::1]:{port}{pause}"),
        format!("http://[::ffff:127.0.0.1]:{port}{pause}"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "https://[fd00::1]/".to_owned(),
    ] {
        let refused = client.consumer("hook").put(pushed_to(&url)).await;
        refused.problem(422, "receiver-not-allowed");
    }
    for url in ["http://user:pass@127.0.0.1/", "http://127.0.0.1/\u{0}"] {
        let refused = client.consumer("hook").put(pushed_to(url)).await;
        refused.problem(400, "malformed-request");
    }
    client.get("/v1/consumers/hook").send().await.expect(404);

    // Another host may listen where this one may push to.
    let pushed = client.request(Method::POST, pause);
    let pushed = pushed.header("Gavel-Delivery", "1").send().await;
    pushed.problem(403, "forbidden");

    // A name tells only when it is resolved where it leads to.
    let by_name = client.consumer("by-name");
    let url = format!("http://localhost:{port}{pause}");
    by_name.put(pushed_to(&url)).await.expect(201);
    let reason = paused(&by_name).await;
    assert!(
        reason.contains("push.allow") && reason.contains("localhost"),
        "{reason}"
    );
    assert_eq!(by_name.parked().await, Vec::<Value>::new());
    assert_eq!(by_name.report().await["lag_events"], 1);
    assert_eq!(victim.report().await["paused"], false);
    // To resume it changes nothing of that.
    by_name.post("/resume", &json!({})).await.expect(200);
    paused(&by_name).await;
}

async fn a_consumer_whose_receiver_is_not_allowed_any_more_is_paused(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let receiver = Receiver::start(|_| (200, Vec::new())).await;
    let client = host.client();
    let url = receiver.url("/");
    let urls = [
        ("by-name", url.replace("127.0.0.1", "localhost")),
        ("by-address", url),
    ];
    for (name, url) in &urls {
        client.consumer(name).put(pushed_to(url)).await.expect(201);
    }
    drop(host);

    let strict = [("GAVEL_PUSH_ALLOW", "public,*.example")];
    let host = Host::start_with(&store, &strict).await;
    let client = host.client();
    paused(&client.consumer("by-address")).await;
    assert!(
        host.log().contains("a consumer is paused"),
        "{}",
        host.log()
    );
    client.stream(COUNTER, "c-1").increment().await.accepted();
    paused(&client.consumer("by-name")).await;
    assert!(receiver.deliveries().is_empty());
    drop(host);

    let named = [("GAVEL_PUSH_ALLOW", "localhost")];
    let host = Host::start_with(&store, &named).await;
    let client = host.client();
    let by_address = client.consumer("by-address");
    let refused = by_address.put(pushed_to(&receiver.url("/"))).await;
    refused.problem(422, "receiver-not-allowed");
    for (name, _) in urls {
        let path = format!("/v1/consumers/{name}/resume");
        client.request(Method::POST, &path).send().await.expect(200);
    }
    eventually("what is allowed again is delivered", LIMIT, async || {
        (client.consumer("by-name").report().await["lag_events"] == 0).then_some(())
    })
    .await;
    paused(&by_address).await;
    assert_eq!(receiver.deliveries().len(), 1);
}

async fn a_consumer_that_is_changed_while_it_is_delivered_to_loses_no_lease(store: Store) {
    const ROUNDS: usize = 25;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let receiver = Receiver::start(|_| (200, Vec::new())).await;
    let consumer = client.consumer("changed");
    // A lease that is lost is held until long after the test.
    let settings = |backoff_ms: usize| {
        json!({
            "lock_timeout_ms": 3_600_000, "backoff_ms": backoff_ms, "push": { "url": receiver.url("/") },
        })
    };
    consumer.put(settings(0)).await.expect(201);
    for round in 1..=ROUNDS {
        consumer.put(settings(round)).await.expect(200);
        for part in 0..4 {
            let counter = client.stream(COUNTER, &format!("c-{round}-{part}"));
            counter.increment().await.accepted();
        }
    }
    eventually("all of it is delivered", LIMIT, async || {
        (consumer.report().await["lag_events"] == 0).then_some(())
    })
    .await;
    assert_eq!(receiver.deliveries().len(), 4 * ROUNDS);
}
