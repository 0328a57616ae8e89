//! Times that no calendar holds: from clients, and in rows that plain SQL has written.

use gavel_tests::{Backend, COUNTER, Host, LIMIT, Store, eventually, on_every_store};
use serde_json::json;

on_every_store! {
    a_time_beyond_the_calendar_is_refused_and_stops_no_consumer,
    an_event_of_an_unreadable_time_parks_its_stream_and_only_it,
}

async fn a_time_beyond_the_calendar_is_refused_and_stops_no_consumer(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let good = client.consumer("good");
    good.put(json!({})).await.expect(201);
    client.stream(COUNTER, "a").increment().await.accepted();

    for time in [
        "9999-12-31T23:59:59-00:01",
        "0001-01-01T00:00:00+00:01",
        "0000-01-01T00:00:00Z",
    ] {
        let start = json!({ "start": { "time": time } });
        let bad = client.consumer("bad");
        for refused in [
            bad.put(start.clone()).await,
            good.post("/reset", &start).await,
        ] {
            let problem = refused.problem(400, "malformed-request");
            assert_eq!(problem["errors"][0]["pointer"], "/start/time", "{problem}");
        }
        client.get(&bad.path("")).send().await.expect(404);
        let state = client.get("/v1/deciders/counter/a").query("at", time);
        let problem = state.send().await.problem(400, "malformed-request");
        assert_eq!(problem["errors"][0]["parameter"], "at", "{problem}");
    }
    let list = client.get("/v1/consumers").send().await.json(200);
    assert_eq!(list["consumers"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(good.lease_one().await["id"], "a");
}

async fn an_event_of_an_unreadable_time_parks_its_stream_and_only_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    for id in ["bad", "good"] {
        client.stream(COUNTER, id).increment().await.accepted();
    }
    // As a row that was written before writers were bounded.
    let forged = match store.backend() {
        Backend::Sqlite => {
            "UPDATE events SET created_at = 300000000000000 WHERE decider_id = 'bad'"
        }
        Backend::Postgres => {
            "ALTER TABLE events DROP CONSTRAINT events_created_at_check; \
             UPDATE events SET created_at = '-infinity' WHERE decider_id = 'bad'"
        }
    };
    store.forge("events", forged).await;

    let consumer = client.consumer("all");
    consumer.put(json!({ "max_attempts": 1 })).await.expect(201);
    let list = client.get("/v1/consumers").send().await.json(200);
    assert_eq!(list["consumers"][0]["lag_events"], 2, "{list}");
    let parked = eventually("the bad stream is parked", LIMIT, async || {
        for lease in consumer.leases(json!({})).await {
            assert_eq!(lease["id"], "good");
            consumer.ack(&lease).await.expect(200);
        }
        let parked = consumer.parked().await;
        let is_done = consumer.report().await["lag_events"] == 1;
        (is_done && !parked.is_empty()).then_some(parked)
    })
    .await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0]["id"], "bad");

    let list = client.get("/v1/deciders/counter/streams").send().await;
    assert_eq!(list.json(200)["streams"].as_array().unwrap().len(), 2);

    // Whoever reads the log in pages is told which one it is, and goes on behind it.
    let problem = client.get("/v1/events").send().await;
    let malformed = &problem.problem(500, "internal")["malformed"];
    assert!(
        malformed["stream"].as_str().unwrap().contains("bad"),
        "{malformed}"
    );
    let position = malformed["position"].as_str().unwrap();
    let behind = client.get("/v1/events").query("after", position);
    let page = behind.send().await.json(200);
    assert_eq!(page["events"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["events"][0]["id"], "good", "{page}");
    consumer.delete().await.expect(204);
}
