//! Tests of the guards: pages, tokens and their scopes, and places.

use axum::http::StatusCode;
use gavel_config::{Origin, Scope, Token};

use crate::testing::{Api, COMMANDS, assert_problem};
use crate::{ApiSettings, Tokens};

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
