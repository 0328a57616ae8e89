//! The API in process, on a store in memory, for tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use gavel_engine::command::CommandSettings;
use gavel_engine::streaming::{PushRules, PushSettings};
use gavel_engine::views::ViewSettings;
use gavel_gate::GateSettings;
use gavel_model::SystemClock;
use gavel_sandbox::{Limits, Runtime, RuntimeOptions};
use gavel_store::{MemoryStore, MemoryViews};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{ApiSettings, AppState, Services, recorder, router};

pub(super) const COMMANDS: &str = "/v1/deciders/counter/c-1/commands";

pub(super) struct Api {
    pub(super) state: AppState,
    pub(super) drain: CancellationToken,
    router: Router,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Api {
    pub(super) fn new(settings: ApiSettings) -> Self {
        let options = RuntimeOptions {
            threads: NonZeroUsize::MIN,
            ..RuntimeOptions::default()
        };
        let services = Services::new(
            Arc::new(MemoryStore::new(Arc::new(SystemClock))),
            Arc::new(MemoryViews::new(Arc::new(SystemClock))),
            Runtime::new(Limits::default(), options).unwrap(),
            CommandSettings::default(),
            GateSettings::default(),
            PushSettings {
                timeout: Duration::from_secs(1),
                rules: PushRules::new(None, SocketAddr::from((Ipv4Addr::LOCALHOST, 4000))),
            },
            ViewSettings::default(),
        );
        let drain = CancellationToken::new();
        let state = AppState::new(
            services,
            settings,
            recorder().unwrap().handle(),
            drain.clone(),
        );
        Self {
            router: router(state.clone()),
            state,
            drain,
        }
    }

    /// Sends a request: `GET /path`, headers, and a body. The body of the answer is left to be
    /// read.
    pub(super) async fn open(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Sends as [`Api::open`] does, and returns the whole answer.
    pub(super) async fn send(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let (parts, body) = self.open(line, headers, body).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], ()).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(
            &format!("POST {path}"),
            &[("content-type", "application/json")],
            body.to_owned(),
        )
        .await
    }
}

impl Default for Api {
    fn default() -> Self {
        Self::new(ApiSettings::default())
    }
}

#[track_caller]
pub(super) fn assert_problem(answer: &Answer, status: u16, code: &str) {
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
