//! Consumers: streams are leased to workers, one worker each, until everything is done.

use gavel_tests::{
    Answer, Backend, COUNTER, Consumer, Host, LIMIT, Receiver, Store, eventually, on_every_store,
};
use serde_json::{Value, json};

on_every_store! {
    a_consumer_reads_from_its_start_to_the_end,
    a_worker_waits_for_what_comes,
    a_worker_that_is_late_is_told_so_and_changes_nothing,
    a_stream_that_fails_is_parked_and_nobody_waits_for_it,
    settings_change_and_the_checkpoint_stays,
    consumers_are_reset_paused_and_deleted,
    consumers_of_a_namespace_see_nothing_of_another,
    what_is_wrong_with_a_request_is_said_and_nothing_is_lost,
    leases_outlive_a_host_that_is_killed,
    tags_choose_what_is_leased_and_pushed,
}

/// Counters that have been incremented, and a log that shows it.
async fn counters(host: &Host, ids: &[&str], each: usize) {
    host.client().deploy_example(COUNTER).await;
    for id in ids {
        for _ in 0..each {
            host.client()
                .stream(COUNTER, id)
                .increment()
                .await
                .accepted();
        }
    }
    crate::log::read(&host.client(), "", 100, ids.len() * each).await;
}

pub(super) fn versions(lease: &Value) -> Vec<u64> {
    let events = lease["events"].as_array().unwrap().iter();
    events
        .map(|event| event["version"].as_u64().unwrap())
        .collect()
}

/// Waits until there are `count` leases at the same time, and returns them.
async fn leases(consumer: &Consumer, count: usize) -> Vec<Value> {
    let mut leases = Vec::new();
    while leases.len() < count {
        let more = consumer.leases(json!({ "wait_ms": 30_000 })).await;
        assert!(!more.is_empty(), "{count} streams are free");
        leases.extend(more);
    }
    leases.sort_by_key(|lease| lease["id"].as_str().map(str::to_owned));
    leases
}

async fn a_consumer_reads_from_its_start_to_the_end(store: Store) {
    let host = Host::start(&store).await;
    counters(&host, &["c-1", "c-2"], 3).await;
    let consumer = host.client().consumer("mail");
    let created = consumer.put(json!({ "start": "beginning" })).await;
    let shown = created.json(201);
    assert_eq!(created.header("location"), Some("/v1/consumers/mail"));
    assert_eq!(
        shown["filter"],
        json!({ "deciders": [], "events": [], "tags": [] })
    );
    assert_eq!(
        json!([
            shown["lock_timeout_ms"],
            shown["max_attempts"],
            shown["backoff_ms"],
            shown["push"]
        ]),
        json!([30_000, 5, 1_000, null])
    );

    let leases = leases(&consumer, 2).await;
    for (lease, id) in leases.iter().zip(["c-1", "c-2"]) {
        assert_eq!(
            json!([lease["decider"], lease["id"], lease["attempt"]]),
            json!([COUNTER, id, 1])
        );
        let history = host.client().stream(COUNTER, id).history_json().await;
        assert_eq!(
            lease["events"],
            Value::from(history),
            "the event is the same everywhere"
        );
    }
    let busy = consumer.report().await;
    assert_eq!(
        json!([busy["lag_events"], busy["in_flight"], busy["parked"]]),
        json!([6, 2, 0])
    );
    for lease in &leases {
        let acknowledged = consumer.ack(lease).await.json(200);
        assert_eq!(acknowledged["expires_at"], Value::Null);
    }
    let idle = consumer.report().await;
    assert_eq!(
        json!([idle["lag_events"], idle["lag_seconds"], idle["in_flight"]]),
        json!([0, 0.0, 0])
    );
    let listed = host.client().get("/v1/consumers").send().await.json(200);
    assert_eq!(listed["consumers"][0]["name"], "mail");
    assert_eq!(consumer.leases(json!({})).await, Vec::<Value>::new());
}

async fn a_worker_waits_for_what_comes(store: Store) {
    let host = Host::start(&store).await;
    counters(&host, &[], 0).await;
    let consumer = host.client().consumer("all");
    consumer.put(json!({ "start": "now" })).await.expect(201);
    let waiting = tokio::spawn({
        let consumer = consumer.clone();
        async move { consumer.lease_one().await }
    });
    host.client()
        .stream(COUNTER, "c-1")
        .increment()
        .await
        .accepted();
    let lease = waiting.await.unwrap();
    assert_eq!(
        (lease["id"].as_str(), versions(&lease)),
        (Some("c-1"), vec![1])
    );
}

async fn a_worker_that_is_late_is_told_so_and_changes_nothing(store: Store) {
    let host = Host::start(&store).await;
    counters(&host, &["c-1"], 3).await;
    let consumer = host.client().consumer("all");
    consumer
        .put(json!({ "lock_timeout_ms": 1, "max_attempts": 100 }))
        .await
        .expect(201);
    let late = consumer.lease_one().await;
    let taken = consumer.lease_one().await;
    assert_eq!(
        (&taken["events"], taken["attempt"].as_u64()),
        (&late["events"], Some(2))
    );
    consumer
        .put(json!({ "max_attempts": 100 }))
        .await
        .expect(200);
    let held = consumer
        .post("/extend", &json!({ "lease": taken["lease"] }))
        .await;
    assert!(held.json(200)["expires_at"].is_string());

    let token = json!({ "lease": late["lease"] });
    consumer.ack(&late).await.problem(409, "lease-lost");
    consumer
        .post("/nack", &token)
        .await
        .problem(409, "lease-lost");
    consumer
        .post("/extend", &token)
        .await
        .problem(409, "lease-lost");
    assert_eq!(consumer.report().await["lag_events"], 3);

    let first = &taken["events"][0]["position"];
    let piece = json!({ "lease": taken["lease"], "through": first, "keep": true });
    let kept = consumer.post("/ack", &piece).await.json(200);
    assert!(kept["expires_at"].is_string());
    consumer.ack(&taken).await.expect(200);
    consumer.ack(&taken).await.problem(409, "lease-lost");
    assert_eq!(consumer.report().await["lag_events"], 0);
}

async fn a_stream_that_fails_is_parked_and_nobody_waits_for_it(store: Store) {
    let host = Host::start(&store).await;
    counters(&host, &["bad", "good"], 2).await;
    let consumer = host.client().consumer("all");
    consumer
        .put(json!({ "max_attempts": 2, "backoff_ms": 1 }))
        .await
        .expect(201);
    let both = leases(&consumer, 2).await;
    let nack = |lease: &Value| json!({ "lease": lease["lease"], "reason": "disk full" });
    let nacked = consumer.post("/nack", &nack(&both[0])).await.json(200);
    assert_eq!(nacked, json!({ "parked": false, "retry_in_ms": 1 }));
    consumer.ack(&both[1]).await.expect(200);
    let again = consumer.lease_one().await;
    assert_eq!(json!([again["id"], again["attempt"]]), json!(["bad", 2]));
    let nacked = consumer.post("/nack", &nack(&again)).await.json(200);
    assert_eq!(nacked, json!({ "parked": true, "retry_in_ms": null }));

    let [parked] = &consumer.parked().await[..] else {
        panic!("one stream is parked")
    };
    assert_eq!(
        json!([
            parked["id"],
            parked["version"],
            parked["attempts"],
            parked["reason"]
        ]),
        json!(["bad", 1, 2, "disk full"])
    );
    assert_eq!(parked["position"], again["events"][0]["position"]);
    let report = consumer.report().await;
    assert_eq!(
        json!([report["parked"], report["lag_events"]]),
        json!([1, 2])
    );

    let nothing = json!(null);
    consumer
        .post("/parked/counter/good/retry", &nothing)
        .await
        .problem(404, "stream-not-found");
    consumer
        .post("/parked/counter/bad/skip", &nothing)
        .await
        .expect(204);
    let rest = consumer.lease_one().await;
    assert_eq!(versions(&rest), [2], "the event after the one that failed");
    for _ in 0..2 {
        let held = consumer.post("/nack", &nack(&rest)).await;
        if held.status() == 200 && held.json(200)["parked"] == json!(false) {
            let last = consumer.lease_one().await;
            consumer.post("/nack", &nack(&last)).await.expect(200);
        }
    }
    consumer
        .post("/parked/counter/bad/retry", &nothing)
        .await
        .expect(204);
    let retried = consumer.lease_one().await;
    assert_eq!(retried["attempt"], 1);
    consumer.ack(&retried).await.expect(200);
    assert_eq!(consumer.report().await["lag_events"], 0);
}

async fn settings_change_and_the_checkpoint_stays(store: Store) {
    let host = Host::start(&store).await;
    counters(&host, &["c-1", "c-2"], 1).await;
    let consumer = host.client().consumer("all");
    let push = json!({ "url": "http://127.0.0.1:9/hook", "secret": "sesame" });
    consumer.put(json!({})).await.expect(201);
    let leases = leases(&consumer, 2).await;
    consumer.ack(&leases[0]).await.expect(200);
    let changed = json!({
        "filter": { "deciders": ["counter"], "events": ["Incremented"], "tags": [] },
        "start": { "position": leases[1]["events"][0]["position"] },
        "lock_timeout_ms": 5_000, "max_attempts": 7, "backoff_ms": 0,
    });
    let shown = consumer.put(changed.clone()).await.json(200);
    for member in ["filter", "lock_timeout_ms", "max_attempts", "backoff_ms"] {
        assert_eq!(shown[member], changed[member], "{member}");
    }
    assert_eq!(
        shown["lag_events"], 1,
        "what was not done is still to be done"
    );
    let pushed = host.client().consumer("pushed");
    let body = json!({ "filter": { "deciders": ["nobody"] }, "push": push });
    let answer = pushed.put(body).await;
    assert_eq!(
        answer.json(201)["push"],
        json!({ "url": push["url"], "signed": true })
    );
    assert!(!answer.text().contains("sesame"), "a secret is never shown");
    consumer.ack(&leases[1]).await.expect(200);
    assert_eq!(consumer.report().await["lag_events"], 0);
}

async fn consumers_are_reset_paused_and_deleted(store: Store) {
    let host = Host::start(&store).await;
    counters(&host, &["c-1"], 3).await;
    let consumer = host.client().consumer("all");
    consumer.put(json!({})).await.expect(201);
    let lease = consumer.lease_one().await;
    let nothing = json!(null);
    assert_eq!(
        consumer.post("/pause", &nothing).await.json(200)["paused"],
        true
    );
    assert_eq!(consumer.leases(json!({})).await, Vec::<Value>::new());
    consumer.ack(&lease).await.expect(200);
    let second = &lease["events"][1];
    let waiting = tokio::spawn({
        let consumer = consumer.clone();
        async move { consumer.lease_one().await }
    });
    let resets = [
        (json!({ "time": second["created_at"] }), None),
        (json!("beginning"), Some(vec![1, 2, 3])),
        (json!({ "position": second["position"] }), Some(vec![3])),
    ];
    for (start, _) in &resets {
        let reset = consumer
            .post("/reset", &json!({ "start": start }))
            .await
            .json(200);
        assert!(
            reset["lag_events"].as_u64().unwrap() > 0,
            "{start}: {reset}"
        );
    }
    assert_eq!(
        consumer.post("/resume", &nothing).await.json(200)["paused"],
        false
    );
    assert_eq!(versions(&waiting.await.unwrap()), [3]);
    for (start, expected) in resets {
        consumer
            .post("/reset", &json!({ "start": start }))
            .await
            .expect(200);
        let again = versions(&consumer.lease_one().await);
        // Several may have been created within the millisecond.
        assert!(
            again.ends_with(&[2, 3]) || expected == Some(again),
            "{start}"
        );
    }
    consumer.delete().await.expect(204);
    consumer.delete().await.problem(404, "consumer-not-found");
}

async fn consumers_of_a_namespace_see_nothing_of_another(store: Store) {
    let host = Host::start(&store).await;
    counters(&host, &["c-1"], 1).await;
    for namespace in ["a", "a-b"] {
        let client = host.client().in_namespace(namespace);
        client.deploy_example(COUNTER).await;
        client
            .stream(COUNTER, namespace)
            .increment()
            .await
            .accepted();
    }
    for (namespace, id) in [("default", "c-1"), ("a", "a"), ("a-b", "a-b")] {
        let consumer = host.client().in_namespace(namespace).consumer("same");
        consumer.put(json!({})).await.expect(201);
        let lease = consumer.lease_one().await;
        assert_eq!(lease["id"], id);
        let other = host.client().in_namespace("elsewhere").consumer("same");
        other.ack(&lease).await.problem(404, "consumer-not-found");
        consumer.ack(&lease).await.expect(200);
        assert_eq!(consumer.report().await["lag_events"], 0);
    }
}

async fn what_is_wrong_with_a_request_is_said_and_nothing_is_lost(store: Store) {
    let host = Host::start(&store).await;
    counters(&host, &["c-1", "c-2"], 2).await;
    let consumer = host.client().consumer("all");
    let at = |answer: Answer| answer.problem(400, "malformed-request")["errors"][0].clone();
    let settings = [
        (json!({ "lock_timeout_ms": 0 }), "/lock_timeout_ms"),
        (json!({ "max_attempts": 0 }), "/max_attempts"),
        (json!({ "backoff_ms": 3_600_001 }), "/backoff_ms"),
        (
            json!({ "filter": { "deciders": ["no name"] } }),
            "/filter/deciders/0",
        ),
        (
            json!({ "filter": { "events": ["A", ""] } }),
            "/filter/events/1",
        ),
        (json!({ "start": "yesterday" }), "/start"),
        (json!({ "start": { "position": "x" } }), "/start/position"),
        (
            json!({ "push": { "url": "ftp://example.org" } }),
            "/push/url",
        ),
        (json!({ "push": { "url": "nowhere" } }), "/push/url"),
        (
            json!({ "push": { "url": "http://example.org", "secret": "" } }),
            "/push/secret",
        ),
        (json!({ "lock_timeout": 1 }), "/lock_timeout"),
    ];
    for (body, pointer) in settings {
        assert_eq!(
            at(consumer.put(body.clone()).await)["pointer"],
            pointer,
            "{body}"
        );
    }
    assert_eq!(
        at(host.client().consumer(".hidden").put(json!({})).await)["parameter"],
        "name"
    );

    consumer
        .lease(json!({}))
        .await
        .problem(404, "consumer-not-found");
    consumer.put(json!({})).await.expect(201);
    for (body, pointer) in [
        (json!({ "max_streams": 0 }), "/max_streams"),
        (json!({ "max_events": 1_001 }), "/max_events"),
        (json!({ "wait_ms": 60_001 }), "/wait_ms"),
    ] {
        assert_eq!(at(consumer.lease(body).await)["pointer"], pointer);
    }
    let both = leases(&consumer, 2).await;
    let foreign = &both[1]["events"][0]["position"];
    for through in [json!("000"), foreign.clone()] {
        let body = json!({ "lease": both[0]["lease"], "through": through });
        assert_eq!(
            at(consumer.post("/ack", &body).await)["pointer"],
            "/through"
        );
    }
    let body = json!({ "lease": both[0]["lease"], "through": "nonsense" });
    assert_eq!(
        at(consumer.post("/ack", &body).await)["pointer"],
        "/through"
    );
    let unknown = json!({ "lease": "made-up", "through": foreign });
    consumer
        .post("/ack", &unknown)
        .await
        .problem(409, "lease-lost");
    let body = json!({ "lease": both[0]["lease"], "delay_ms": 86_400_001 });
    assert_eq!(
        at(consumer.post("/nack", &body).await)["pointer"],
        "/delay_ms"
    );
    for lease in &both {
        consumer.ack(lease).await.expect(200);
    }
}

async fn leases_outlive_a_host_that_is_killed(store: Store) {
    let mut host = Host::start(&store).await;
    counters(&host, &["c-1", "c-2"], 2).await;
    let consumer = host.client().consumer("all");
    consumer.put(json!({})).await.expect(201);
    let both = leases(&consumer, 2).await;
    consumer.ack(&both[0]).await.expect(200);
    host.kill();

    let host = Host::start(&store).await;
    let consumer = host.client().consumer("all");
    assert_eq!(consumer.leases(json!({})).await, Vec::<Value>::new());
    consumer.ack(&both[1]).await.expect(200);
    host.client()
        .stream(COUNTER, "c-1")
        .increment()
        .await
        .accepted();
    assert_eq!(versions(&consumer.lease_one().await), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_two_hosts_share_a_consumer() {
    let store = Store::new(Backend::Postgres).await;
    let (one, two) = (Host::start(&store).await, Host::start(&store).await);
    counters(&one, &["c-1", "c-2"], 1).await;
    let consumers = [&one, &two].map(|host| host.client().consumer("all"));
    consumers[0].put(json!({})).await.expect(201);
    let first = consumers[0].lease_one().await;
    let second = consumers[1].lease_one().await;
    assert_ne!(first["id"], second["id"]);
    consumers[1].ack(&first).await.expect(200);
    consumers[0].ack(&second).await.expect(200);
    // The worker on one host hears of what the other host stores.
    let waiting = consumers[0].lease_one();
    let appending = async {
        two.client()
            .stream(COUNTER, "c-3")
            .increment()
            .await
            .accepted()
    };
    let (lease, _) = tokio::join!(waiting, appending);
    assert_eq!(lease["id"], "c-3");
}

async fn tags_choose_what_is_leased_and_pushed(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let receiver = Receiver::start(|_| (204, Vec::new())).await;
    let push = json!({ "url": receiver.url("/"), "secret": "sesame" });
    let filter = json!({ "tags": ["vip", "order:1"] });
    for (name, push) in [("asks", Value::Null), ("hook", push)] {
        let body = json!({ "filter": filter, "push": push });
        let shown = client.consumer(name).put(body).await.json(201);
        assert_eq!(shown["filter"]["tags"], filter["tags"]);
    }
    let unfit = json!({ "filter": { "tags": ["a", "a"] } });
    let refused = client.consumer("unfit").put(unfit).await;
    let problem = refused.problem(400, "malformed-request");
    assert_eq!(problem["errors"][0]["pointer"], "/filter/tags/1");

    let tagged = |tags: &[&str]| json!({ "event": "Incremented", "data": {}, "tags": tags });
    let events = json!([
        tagged(&["vip"]),
        tagged(&["order:1", "vip", "x"]),
        tagged(&[]),
    ]);
    let appended = client
        .stream(COUNTER, "c-1")
        .append(0, &events)
        .send()
        .await;
    let wanted = json!([appended.json(200)["events"][1]]);

    let lease = client.consumer("asks").lease_one().await;
    assert_eq!(lease["events"], wanted);
    let pushed = eventually("it is pushed", LIMIT, async || {
        receiver
            .deliveries()
            .first()
            .map(|delivery| delivery.json())
    });
    assert_eq!(pushed.await["events"], wanted);
}
