//! `GET /v1/deciders/{decider}/{id}`: states now, at a version, at a time, and as another module
//! sees them.

use gavel_tests::{COUNTER, Host, Store, component, on_every_store, revision};
use serde_json::json;

on_every_store! {
    every_version_can_be_visited,
    the_state_at_a_time_is_that_of_the_last_event_before_it,
    a_moment_before_the_first_event_shows_no_stream,
    the_past_can_be_folded_by_another_module,
    a_moment_that_makes_no_sense_is_refused,
    whoever_has_a_state_is_told_so_unless_another_module_has_folded_it,
}

async fn every_version_can_be_visited(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    for command in ["Increment", "Increment", "Decrement", "Increment", "Reset"] {
        counter.send(command, json!({})).await.accepted();
    }

    for (version, value) in [(1, 1), (2, 2), (3, 1), (4, 2), (5, 0)] {
        let answer = counter.state().query("version", version).send().await;
        assert_eq!(
            answer.header("etag"),
            Some(format!("\"{version}\"").as_str())
        );
        let state = answer.json(200);
        assert_eq!(
            (&state["version"], &state["state"]),
            (&json!(version), &json!({ "value": value }))
        );
    }
    counter
        .state()
        .query("version", 6)
        .send()
        .await
        .problem(404, "stream-not-found");
}

async fn the_state_at_a_time_is_that_of_the_last_event_before_it(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    for _ in 0..3 {
        counter.increment().await.accepted();
    }

    for event in counter.history().await {
        let state = counter
            .state()
            .query("at", &event.created_at)
            .send()
            .await
            .json(200);
        // Events may share a moment; of those the newest counts.
        assert!(
            state["version"].as_u64() >= Some(event.version),
            "at {}: {state}",
            event.created_at
        );
        assert_eq!(state["state"]["value"], state["version"]);
    }
    let state = counter
        .state()
        .query("at", "2999-01-01T00:00:00Z")
        .send()
        .await
        .json(200);
    assert_eq!(state["version"], 3);
}

async fn a_moment_before_the_first_event_shows_no_stream(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    counter.increment().await.accepted();

    counter
        .state()
        .query("at", "1999-12-31T23:59:59Z")
        .send()
        .await
        .problem(404, "stream-not-found");
    host.client().stream(COUNTER, "c-2").assert_absent().await;
    host.client()
        .stream("nobody", "c-1")
        .state()
        .send()
        .await
        .problem(404, "decider-not-found");
}

async fn the_past_can_be_folded_by_another_module(store: Store) {
    let host = Host::start(&store).await;
    let active = host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    counter.increment().await.accepted();
    let uploaded = host
        .client()
        .upload(revision(component(COUNTER), 1))
        .await
        .json(201);

    let state = counter
        .state()
        .query("module", uploaded["digest"].as_str().unwrap())
        .send()
        .await
        .json(200);
    assert_eq!(
        (&state["module"], &state["state"]),
        (&uploaded["digest"], &json!({ "value": 1 }))
    );
    assert_eq!(
        counter.state().send().await.json(200)["module"],
        json!(active)
    );

    let unknown = format!("sha256:{}", "0".repeat(64));
    counter
        .state()
        .query("module", unknown)
        .send()
        .await
        .problem(404, "module-not-found");
}

async fn a_moment_that_makes_no_sense_is_refused(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    counter.increment().await.accepted();

    for (parameter, value) in [
        ("version", "x"),
        ("version", "-1"),
        ("at", "yesterday"),
        ("module", "sha256:short"),
    ] {
        let problem = counter
            .state()
            .query(parameter, value)
            .send()
            .await
            .problem(400, "malformed-request");
        assert!(
            !problem["errors"].as_array().unwrap().is_empty(),
            "{problem}"
        );
    }
    let both = counter
        .state()
        .query("version", 1)
        .query("at", "2999-01-01T00:00:00Z");
    both.send().await.problem(400, "malformed-request");
}

async fn whoever_has_a_state_is_told_so_unless_another_module_has_folded_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let first = client.deploy_example(COUNTER).await;
    let counter = client.stream(COUNTER, "c-1");
    counter.increment().await.accepted();
    let status = async |header, tag: &str| {
        let answer = counter.state().header(header, tag).send().await;
        assert!(answer.status() != 304 || answer.bytes().is_empty());
        answer.status()
    };
    for (header, tag, expected) in [
        ("If-None-Match", "\"1\"", 304),
        ("If-None-Match", "W/\"1\", \"7\"", 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", "\"2\"", 200),
        ("If-Match", "\"1\"", 200),
        ("If-Match", "*", 200),
        ("If-Match", "\"2\"", 412),
        ("If-Match", "W/\"1\"", 412),
    ] {
        assert_eq!(status(header, tag).await, expected, "{header}: {tag}");
    }
    let by_first = || counter.state().query("module", &first);
    let answer = by_first().send().await;
    let tag = answer.header("ETag").unwrap();
    assert_eq!(tag, format!("\"1-{first}\""));
    let again = by_first().header("If-None-Match", tag).send().await;
    assert_eq!((again.status(), again.header("ETag")), (304, Some(tag)));

    // Of this version there are two states now, and nobody knows which one the other side has.
    client
        .deploy(COUNTER, revision(component(COUNTER), 2))
        .await;
    assert_eq!(status("If-None-Match", "\"1\"").await, 200);
    counter.increment().await.accepted();
    assert_eq!(status("If-None-Match", "\"2\"").await, 304);

    let increment = async |id: &str, tag: &str| {
        let command = client.stream(COUNTER, id).command("Increment", json!({}));
        command.header("If-Match", tag).send().await
    };
    let answer = increment("c-1", "*").await;
    assert_eq!(answer.accepted().version, 3);
    increment("c-1", "\"2\"")
        .await
        .problem(409, "version-conflict");
    for (id, tag) in [("c-1", "W/\"3\""), ("c-1", tag), ("new", "*")] {
        increment(id, tag).await.problem(412, "precondition-failed");
    }
}
