//! Tests of the parts that all routes have in common. Each route with a real module is tested end
//! to end.

use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::get;
use tower::ServiceExt as _;

use crate::guards::Conditions;
use crate::testing::{Api, COMMANDS, assert_problem};

#[tokio::test]
async fn a_path_that_leads_nowhere_is_a_problem() {
    assert_problem(&Api::default().get("/v2/events").await, 404, "not-found");
}

#[tokio::test]
async fn a_method_that_a_resource_does_not_have_is_told_which_it_has() {
    let api = Api::default();
    let answer = api.send("DELETE /v1/modules", &[], ()).await;
    assert_problem(&answer, 405, "method-not-allowed");
    let mut allowed: Vec<_> = answer.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    assert_problem(
        &api.get("/v1/deciders/counter/rollback").await,
        405,
        "method-not-allowed",
    );
}

#[tokio::test]
async fn the_id_of_a_request_is_taken_over() {
    let answer = Api::default()
        .send("GET /livez", &[("request-id", "abc")], ())
        .await;
    assert_eq!(
        (answer.status, answer.header("request-id")),
        (StatusCode::OK, "abc")
    );
}

#[tokio::test]
async fn a_panic_is_one_opaque_line() {
    let routes = axum::Router::new().route(
        "/panic",
        get(async || -> () { panic!("the secret of the house") }),
    );
    let request = axum::http::Request::get("/panic")
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    let response = crate::router::answered(routes, &Api::default().state, Conditions::default())
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = axum::body::to_bytes(response.into_body(), 10_000)
        .await
        .unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(
        body.contains("\"internal\"") && !body.contains("secret"),
        "{body}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let api = Api::default();
    assert_problem(
        &api.post(COMMANDS, r#"{"command":"Increment"}"#).await,
        404,
        "decider-not-found",
    );
    for (path, code) in [
        ("/v1/deciders/counter", "decider-not-found"),
        ("/v1/deciders/counter/openapi.json", "decider-not-found"),
        ("/v1/deciders/counter/streams", "decider-not-found"),
        ("/v1/deciders/counter/c-1", "decider-not-found"),
        ("/v1/deciders/counter/c-1/events", "stream-not-found"),
    ] {
        assert_problem(&api.get(path).await, 404, code);
    }
    // Only a UUID can be the id of any of these.
    for (path, code) in [
        ("/v1/rehearsals/r-1", "rehearsal-not-found"),
        ("/v1/events/e-1/why", "event-not-found"),
        ("/v1/commands/c%2F1/why", "command-not-found"),
    ] {
        assert_problem(&api.get(path).await, 404, code);
    }
    let answer = api.send("DELETE /v1/rehearsals/r-1", &[], ()).await;
    assert_problem(&answer, 404, "rehearsal-not-found");
    let digest = format!("sha256:{}", "0".repeat(64));
    assert_problem(
        &api.get(&format!("/v1/modules/{digest}")).await,
        404,
        "module-not-found",
    );
    let activation = format!(r#"{{"digest":"{digest}"}}"#);
    let answer = api
        .post("/v1/deciders/counter/activations", &activation)
        .await;
    assert_problem(&answer, 404, "module-not-found");
    let answer = api
        .send("POST /v1/deciders/counter/rollback", &[], ())
        .await;
    assert_problem(&answer, 404, "decider-not-found");
}
