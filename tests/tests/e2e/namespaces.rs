//! `Gavel-Namespace`: what is in one is not in another.

use gavel_tests::{COUNTER, Host, Store, on_every_store};
use serde_json::json;

use crate::log;

on_every_store! {
    namespaces_share_neither_deciders_nor_streams_nor_events,
    a_namespace_that_is_none_is_refused,
}

async fn namespaces_share_neither_deciders_nor_streams_nor_events(store: Store) {
    let host = Host::start(&store).await;
    let (default, named, there) = (
        host.client(),
        host.client().in_namespace("default"),
        host.client().in_namespace("a-b"),
    );
    default.deploy_example(COUNTER).await;
    default.stream(COUNTER, "c-1").increment().await.accepted();

    there
        .stream(COUNTER, "c-1")
        .increment()
        .await
        .problem(404, "decider-not-found");
    assert_eq!(
        there.get("/v1/deciders").send().await.json(200)["deciders"],
        json!([])
    );
    there.deploy_example(COUNTER).await;
    assert_eq!(
        there
            .stream(COUNTER, "c-1")
            .increment()
            .await
            .accepted()
            .version,
        1
    );

    assert_eq!(
        named
            .stream(COUNTER, "c-1")
            .increment()
            .await
            .accepted()
            .version,
        2
    );
    for (client, count) in [(&there, 1), (&default, 2)] {
        let (events, _) = log::read(client, "", 10, count).await;
        assert_eq!(events.len(), count);
    }
    // Modules belong to the installation: the same bytes are stored once.
    assert_eq!(
        there.get("/v1/modules").send().await.json(200)["modules"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

async fn a_namespace_that_is_none_is_refused(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    for namespace in ["a_b", "A", "-a", "", "a.b", "a b", &"a".repeat(64)] {
        let client = host.client().in_namespace(namespace);
        client
            .stream(COUNTER, "c-1")
            .increment()
            .await
            .problem(400, "invalid-namespace");
        client
            .get("/v1/deciders")
            .send()
            .await
            .problem(400, "invalid-namespace");
    }
    host.client().stream(COUNTER, "c-1").assert_absent().await;
}
