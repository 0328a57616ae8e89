//! `POST /v1/deciders/{decider}/{id}/events`: appending without a decider.

use gavel_tests::{COUNTER, Host, Store, assert_sound, on_every_store};
use serde_json::json;
use uuid::Uuid;

on_every_store! {
    imported_events_are_folded_like_decided_ones,
    an_import_that_expects_another_version_conflicts,
    an_import_is_stored_as_a_whole_or_not_at_all,
    an_event_id_is_stored_once,
    an_import_can_end_a_stream,
    an_import_has_to_say_where_it_goes_on,
}

async fn imported_events_are_folded_like_decided_ones(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let id = Uuid::now_v7();

    let events = json!([
        { "event": "Incremented", "event_id": id, "data": {}, "metadata": { "from": "the old system" } },
        { "event": "Incremented", "schema_version": 1, "data": {} },
    ]);
    counter.append(0, &events).send().await.json(200);
    counter.increment().await.accepted();

    let history = counter.history().await;
    assert_sound(&history);
    assert_eq!((history.len(), history[0].event_id), (3, id));
    assert_eq!(history[0].metadata["from"], "the old system");
    assert_eq!(
        counter.state().send().await.json(200)["state"],
        json!({ "value": 3 })
    );
}

async fn an_import_that_expects_another_version_conflicts(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let events = json!([{ "event": "Incremented", "data": {} }]);
    counter.append(0, &events).send().await.json(200);

    for expected in [0, 2] {
        let problem = counter
            .append(expected, &events)
            .send()
            .await
            .problem(409, "version-conflict");
        assert_eq!(
            (&problem["expected_version"], &problem["current_version"]),
            (&json!(expected), &json!(1))
        );
    }
    assert_eq!(counter.history().await.len(), 1);
}

async fn an_import_is_stored_as_a_whole_or_not_at_all(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");

    let unregistered =
        json!([{ "event": "Incremented", "data": {} }, { "event": "Exploded", "data": {} }]);
    counter
        .append(0, &unregistered)
        .send()
        .await
        .problem(422, "event-unregistered");
    let other_schema = json!([{ "event": "Incremented", "data": {} }, { "event": "Incremented", "schema_version": 9, "data": {} }]);
    counter
        .append(0, &other_schema)
        .send()
        .await
        .problem(422, "event-unregistered");
    let nobody = host.client().stream("nobody", "c-1");
    nobody
        .append(0, &json!([{ "event": "Incremented", "data": {} }]))
        .send()
        .await
        .problem(422, "event-unregistered");

    counter.assert_absent().await;
}

async fn an_event_id_is_stored_once(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let (counter, other) = (
        host.client().stream(COUNTER, "c-1"),
        host.client().stream(COUNTER, "c-2"),
    );
    let event = json!({ "event": "Incremented", "event_id": Uuid::now_v7(), "data": {} });
    counter.append(0, &json!([event])).send().await.json(200);

    counter
        .append(1, &json!([event]))
        .send()
        .await
        .problem(409, "duplicate-event-id");
    other
        .append(0, &json!([event]))
        .send()
        .await
        .problem(409, "duplicate-event-id");
    let twice = json!({ "event": "Incremented", "event_id": Uuid::now_v7(), "data": {} });
    other
        .append(0, &json!([twice, twice]))
        .send()
        .await
        .problem(409, "duplicate-event-id");

    other.assert_absent().await;
    assert_eq!(counter.history().await.len(), 1);
}

async fn an_import_can_end_a_stream(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let last = json!([{ "event": "Incremented", "data": {}, "final": true }]);
    counter.append(0, &last).send().await.json(200);

    counter
        .append(1, &last)
        .send()
        .await
        .problem(409, "stream-final");

    assert!(counter.history().await[0].is_final);
}

async fn an_import_has_to_say_where_it_goes_on(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let events = json!([{ "event": "Incremented", "data": {} }]);
    let path = format!("/v1/deciders/{COUNTER}/c-1/events");

    host.client()
        .post(&path, &json!({ "events": events }))
        .send()
        .await
        .problem(400, "malformed-request");
    let empty = host
        .client()
        .stream(COUNTER, "c-1")
        .append(0, &json!([]))
        .send()
        .await;
    empty.problem(400, "malformed-request");

    host.client().stream(COUNTER, "c-1").assert_absent().await;
}
