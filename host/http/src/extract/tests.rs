//! Tests of bodies, headers and parameters that make no sense.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::{StreamBody, combinators::BoxBody};
use hyper::body::Frame;

use crate::testing::{Api, COMMANDS, assert_problem};
use crate::{ApiSettings, BodyLimit};

#[tokio::test]
async fn names_that_are_none_are_refused_where_they_stand() {
    let api = Api::default();
    for (path, parameter) in [
        ("/v1/deciders/1st/x", "decider"),
        ("/v1/deciders/a%20b", "decider"),
        ("/v1/deciders/counter/a%00b", "id"),
        ("/v1/deciders/counter/x/events?limit=0", "limit"),
        (
            "/v1/deciders/counter/x/events?after_version=9223372036854775808",
            "after_version",
        ),
        (
            "/v1/deciders/counter/x?version=1&at=2026-01-01T00:00:00Z",
            "at",
        ),
        ("/v1/deciders/counter/x?at=yesterday", "at"),
        ("/v1/deciders/counter/x?module=sha256:00", "module"),
        ("/v1/modules/sha256:00", "digest"),
        ("/v1/events?after=somewhere", "after"),
        ("/v1/deciders/counter/%ff", "path"),
    ] {
        let answer = api.get(path).await;
        assert_problem(&answer, 400, "malformed-request");
        assert_eq!(answer.body["errors"][0]["parameter"], parameter, "{path}");
    }
}

#[tokio::test]
async fn a_namespace_is_refused_and_never_rewritten() {
    let api = Api::default();
    for namespace in ["a_b", "A", "-a", "", "ä"] {
        let answer = api
            .send("GET /v1/deciders", &[("gavel-namespace", namespace)], ())
            .await;
        assert_problem(&answer, 400, "invalid-namespace");
    }
    let twice = [("gavel-namespace", "a"), ("gavel-namespace", "b")];
    assert_problem(
        &api.send("GET /v1/deciders", &twice, ()).await,
        400,
        "invalid-namespace",
    );
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let api = Api::default();
    let answer = api
        .send(
            &format!("POST {COMMANDS}"),
            &[("content-type", "text/plain")],
            "{}",
        )
        .await;
    assert_problem(&answer, 415, "unsupported-media-type");
    assert_problem(
        &api.post("/v1/modules", "{}").await,
        415,
        "unsupported-media-type",
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_or_not_it_says_so() {
    let command_body = BodyLimit {
        bytes: 64,
        timeout: Duration::from_secs(60),
    };
    let api = Api::new(ApiSettings {
        command_body,
        ..ApiSettings::default()
    });
    let json = ("content-type", "application/json");
    let announced = api
        .send(
            &format!("POST {COMMANDS}"),
            &[json, ("content-length", "65")],
            "x".repeat(65),
        )
        .await;
    let silent = api
        .send(&format!("POST {COMMANDS}"), &[json], "x".repeat(65))
        .await;
    for answer in [announced, silent] {
        assert_problem(&answer, 413, "too-large");
        assert_eq!(answer.body["limit_bytes"], 64);
    }
    assert_problem(
        &api.post(COMMANDS, &"x".repeat(64)).await,
        400,
        "malformed-request",
    );
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_not_waited_for() {
    let command_body = BodyLimit {
        bytes: 64,
        timeout: Duration::from_millis(1),
    };
    let api = Api::new(ApiSettings {
        command_body,
        ..ApiSettings::default()
    });
    let never = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
    let body = Body::new(BoxBody::new(StreamBody::new(never)));
    let answer = api
        .send(
            &format!("POST {COMMANDS}"),
            &[("content-type", "application/json")],
            body,
        )
        .await;
    assert_problem(&answer, 408, "request-timeout");
}

#[tokio::test]
async fn preconditions_that_would_not_be_honoured_are_refused() {
    let json = ("content-type", "application/json");
    let answer = Api::default()
        .send(
            "POST /v1/commands",
            &[json, ("if-match", "\"1\"")],
            r#"{"commands":[]}"#,
        )
        .await;
    assert_problem(&answer, 400, "malformed-request");
}
