//! What all routes have in common. What each does with a real module is tested end to end.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::get;
use gavel_config::{Origin, Scope, Token};
use http_body_util::{StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use tower::ServiceExt as _;

use super::testing::{Answer, Api};
use super::{ApiSettings, BodyLimit, Tokens};

const COMMANDS: &str = "/v1/deciders/counter/c-1/commands";

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.body["code"].as_str()),
        (status, Some(code)),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.body["instance"], answer.header("request-id"));
    assert!(
        answer.body["type"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/{code}"))
    );
    for member in ["title", "detail"] {
        assert!(
            !answer.body[member].as_str().unwrap().is_empty(),
            "{member}"
        );
    }
}

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
    let response = super::router::with_layers(routes, &Api::default().state)
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
async fn a_rehearsal_that_asks_for_nothing_we_know_is_not_begun() {
    let api = Api::default();
    let digest = format!("sha256:{}", "0".repeat(64));
    for (body, pointer) in [
        ("{}".to_owned(), ""),
        (r#"{"digest":"sha256:00"}"#.to_owned(), "/digest"),
        (format!(r#"{{"digest":"{digest}","mode":"live"}}"#), "/mode"),
        (
            format!(r#"{{"digest":"{digest}","accept":"cost"}}"#),
            "/accept",
        ),
        (
            format!(r#"{{"digest":"{digest}","message":"why"}}"#),
            "/message",
        ),
    ] {
        let answer = api.post("/v1/deciders/counter/rehearsals", &body).await;
        assert_problem(&answer, 400, "malformed-request");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{body}");
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

#[tokio::test]
async fn an_import_has_to_say_where_it_goes_on() {
    let answer = Api::default()
        .post(
            "/v1/deciders/counter/c-1/events",
            r#"{"events":[{"event":"A","data":{}}]}"#,
        )
        .await;
    assert_problem(&answer, 400, "malformed-request");
    assert_eq!(answer.body["errors"][0]["pointer"], "/expected_version");
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

#[tokio::test]
async fn a_batch_tells_of_each_command_or_of_the_one_that_stopped_it() {
    let api = Api::default();
    let commands = r#"[{"decider":"counter","id":"1","command":"A"},{"decider":"counter","id":"2","command":"A"}]"#;
    let each = api
        .post("/v1/commands", &format!(r#"{{"commands":{commands}}}"#))
        .await;
    assert_eq!(each.status, StatusCode::OK);
    for index in 0..2 {
        let result = &each.body["results"][index];
        assert_eq!(result["code"], "decider-not-found");
        assert_eq!(result["instance"], each.header("request-id"));
    }
    let atomic = api
        .post(
            "/v1/commands",
            &format!(r#"{{"atomic":true,"commands":{commands}}}"#),
        )
        .await;
    assert_problem(&atomic, 404, "decider-not-found");
    assert_eq!(atomic.body["command_index"], 0);
    let empty = api
        .post("/v1/commands", r#"{"atomic":true,"commands":[]}"#)
        .await;
    assert_eq!(empty.body["results"], serde_json::json!([]));
}

#[tokio::test]
async fn a_browser_is_told_what_pages_of_allowed_origins_may_do_and_no_others() {
    let api = Api::new(ApiSettings {
        cors_origins: vec![Origin::parse("https://ui.example").unwrap()],
        ..ApiSettings::default()
    });
    let ask = async |origin| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            (
                "access-control-request-headers",
                "authorization,content-type",
            ),
        ];
        api.send("OPTIONS /v1/consumers/mailer", &headers, ()).await
    };
    let allowed = ask("https://ui.example").await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    for (name, value) in [
        ("access-control-allow-origin", "https://ui.example"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "authorization,content-type"),
        ("vary", "origin"),
    ] {
        assert_eq!(allowed.header(name), value, "{name}");
    }
    for origin in ["https://evil.example", "http://localhost:3000", "null"] {
        let foreign = ask(origin).await;
        assert_problem(&foreign, 403, "forbidden");
        assert_eq!(foreign.header("access-control-allow-origin"), "");
    }
    // Who does not ask for a page gets the answer that he would get without any allowed origin.
    let plain = api.send("OPTIONS /v1/consumers/mailer", &[], ()).await;
    assert_problem(&plain, 405, "method-not-allowed");
    // A page may read what is wrong with its request, too.
    let page = [("origin", "https://ui.example")];
    let answer = api.send("GET /v1/consumers/mailer", &page, ()).await;
    assert_problem(&answer, 404, "consumer-not-found");
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://ui.example"
    );
    assert_eq!(answer.header("access-control-expose-headers"), "*");
}

#[tokio::test]
async fn a_preflight_needs_no_token() {
    let api = Api::new(ApiSettings {
        cors_origins: vec![Origin::parse("https://ui.example").unwrap()],
        ..with_tokens().state.settings.clone()
    });
    let headers = [
        ("origin", "https://ui.example"),
        ("access-control-request-method", "GET"),
    ];
    let answer = api.send("OPTIONS /v1/info", &headers, ()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let answer = api.send("GET /v1/info", &headers, ()).await;
    assert_problem(&answer, 401, "unauthenticated");
}

fn with_tokens() -> Api {
    let token = |name: &str, scope| Token::new(name, Token::hash(name), [scope]);
    let tokens = vec![
        token("reader", Scope::Read),
        token("sender", Scope::Command),
    ];
    Api::new(ApiSettings {
        tokens: Tokens::new(tokens),
        ..ApiSettings::default()
    })
}

#[tokio::test]
async fn who_has_no_valid_token_is_asked_for_one() {
    let api = with_tokens();
    for path in [
        "/v1/info",
        "/metrics",
        "/v1/events",
        "/v1/deciders/counter/c-1",
    ] {
        let answer = api.get(path).await;
        assert_problem(&answer, 401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"gavel\"");
        assert_eq!(answer.body["needed_scope"], "read");
    }
    for path in ["/livez", "/openapi.json"] {
        assert_eq!(api.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_scopes_only() {
    let api = with_tokens();
    let reader = [
        ("authorization", "Bearer reader"),
        ("content-type", "application/json"),
    ];
    assert_eq!(
        api.send("GET /v1/info", &reader, ()).await.status,
        StatusCode::OK
    );
    for (line, scope) in [
        (format!("POST {COMMANDS}"), "command"),
        ("POST /v1/commands".to_owned(), "command"),
        ("POST /v1/modules".to_owned(), "deploy"),
        ("POST /v1/deciders/counter/rollback".to_owned(), "deploy"),
        ("POST /v1/deciders/counter/rehearsals".to_owned(), "deploy"),
        ("DELETE /v1/rehearsals/r-1".to_owned(), "deploy"),
        ("POST /v1/deciders/counter/c-1/events".to_owned(), "append"),
    ] {
        let answer = api.send(&line, &reader, "{}").await;
        assert_problem(&answer, 403, "forbidden");
        assert_eq!(answer.body["needed_scope"], scope, "{line}");
    }
    let sender = [("authorization", "Bearer sender")];
    for path in [
        "/v1/deciders/counter/rehearsals",
        "/v1/rehearsals/r-1",
        "/v1/events/e-1/why",
        "/v1/commands/c-1/why",
        "/v1/verify",
    ] {
        let answer = api.send(&format!("GET {path}"), &sender, ()).await;
        assert_problem(&answer, 403, "forbidden");
        assert_eq!(answer.body["needed_scope"], "read", "{path}");
    }
}

#[tokio::test]
async fn a_host_is_ready_when_it_says_so_and_until_it_drains() {
    let api = Api::default();
    assert_problem(&api.get("/readyz").await, 503, "starting");
    api.state.mark_ready();
    assert_eq!(api.get("/readyz").await.status, StatusCode::OK);
    api.drain.cancel();
    assert_problem(&api.get("/readyz").await, 503, "draining");
    let answer = api.post(COMMANDS, "{}").await;
    assert_problem(&answer, 503, "draining");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(api.get("/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn more_requests_than_can_be_worked_on_are_turned_away_at_once() {
    let api = Api::new(ApiSettings {
        max_requests_in_flight: 0,
        ..ApiSettings::default()
    });
    let answer = api.get("/v1/deciders").await;
    assert_problem(&answer, 503, "overloaded");
    assert_eq!(answer.header("retry-after"), "1");
    for path in ["/livez", "/metrics", "/openapi.json"] {
        assert_eq!(api.get(path).await.status, StatusCode::OK, "{path}");
    }
}
