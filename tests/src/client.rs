//! A client of the HTTP API that watches every answer.

use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::{Answer, Document, component};

/// A limit longer than any answer takes, so that a host that hangs fails its test and not the whole
/// run.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// A limit longer than any test follows an answer that does not end.
const FOLLOW_LIMIT: Duration = Duration::from_secs(600);

/// Speaks to one host, within one namespace. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    namespace: Option<String>,
    token: Option<String>,
    /// The OpenAPI document that answers are checked against; none until the host has been asked
    /// for it.
    document: Option<Arc<Document>>,
}

impl Client {
    /// A client of the host at `server`, as in `http://127.0.0.1:4000`.
    ///
    /// # Panics
    ///
    /// When `server` is no URL.
    #[must_use]
    pub fn new(server: &str) -> Self {
        static PROVIDER: Once = Once::new();
        // TLS is compiled in for the host's sake. We speak plain HTTP, but no client is built
        // without a provider.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_LIMIT)
            .build()
            .expect("a client can be built");
        let server = server.parse().expect("the host's address is a URL");
        Self {
            http,
            server,
            namespace: None,
            token: None,
            document: None,
        }
    }

    /// The same client, which objects to every answer that the host's own `/openapi.json` does not
    /// document.
    pub(crate) async fn watching(mut self) -> Self {
        let document = self.get("/openapi.json").send().await.json(200);
        self.document = Some(Arc::new(Document::new(document)));
        self
    }

    /// The same client in another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self.clone()
        }
    }

    /// The same client with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// A request for `path`, a query included, which is sent as it stands.
    ///
    /// # Panics
    ///
    /// When `path` is no path.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> Request {
        let url = self.server.join(path).expect("a path is a path");
        let mut builder = self.http.request(method.clone(), url.clone());
        if let Some(namespace) = &self.namespace {
            builder = builder.header("Gavel-Namespace", namespace);
        }
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token);
        }
        Request {
            builder,
            method,
            path: url.path().to_owned(),
            document: self.document.clone(),
        }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A `POST` of a JSON document.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Request {
        self.request(Method::POST, path)
            .body("application/json", body.to_string())
    }

    /// A `DELETE`.
    #[must_use]
    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    /// The value of a metric that has no labels.
    ///
    /// # Panics
    ///
    /// When it is not among the metrics.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").send().await.expect(200).text();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{name} is not among the metrics: {text}"))
    }

    /// Uploads a component.
    pub async fn upload(&self, component: Vec<u8>) -> Answer {
        self.request(Method::POST, "/v1/modules")
            .body("application/wasm", component)
            .send()
            .await
    }

    /// Asks for a module to become active.
    pub async fn activate(&self, decider: &str, digest: &str) -> Answer {
        self.post(
            &format!("/v1/deciders/{decider}/activations"),
            &json!({ "digest": digest }),
        )
        .send()
        .await
    }

    /// Uploads a component and activates it. Gives its digest.
    ///
    /// # Panics
    ///
    /// When one of these is refused.
    pub async fn deploy(&self, decider: &str, component: Vec<u8>) -> String {
        let uploaded = self.upload(component).await;
        assert!(
            [200, 201].contains(&uploaded.status()),
            "the module is taken: {}",
            uploaded.text()
        );
        let digest = uploaded.json(uploaded.status())["digest"]
            .as_str()
            .expect("a module has a digest")
            .to_owned();
        self.activate(decider, &digest).await.expect(201);
        digest
    }

    /// Deploys the module `name` as the decider of the same name. Gives its digest.
    ///
    /// # Panics
    ///
    /// When the host refuses.
    pub async fn deploy_example(&self, name: &str) -> String {
        self.deploy(name, component(name)).await
    }
}

/// A request to be sent.
#[derive(Debug)]
pub struct Request {
    builder: reqwest::RequestBuilder,
    method: Method,
    path: String,
    document: Option<Arc<Document>>,
}

impl Request {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// Adds a parameter to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.builder = self.builder.query(&[(name, value.to_string())]);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, media_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.builder = self.builder.header(CONTENT_TYPE, media_type).body(body);
        self
    }

    /// Waits for the answer up to `limit`.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.builder = self.builder.timeout(limit);
        self
    }

    /// Sends the request to a host that is expected to answer.
    ///
    /// # Panics
    ///
    /// When there is no answer, or one without `Request-Id`, or one that is not documented.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        self.try_send()
            .await
            .unwrap_or_else(|error| panic!("no answer to {what}: {error:?}"))
    }

    /// Sends the request to a host that may be killed meanwhile.
    ///
    /// # Errors
    ///
    /// When no whole answer came: what became of the request is not known.
    ///
    /// # Panics
    ///
    /// When an answer came without `Request-Id`, or is not documented.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let Self {
            builder,
            method,
            path,
            document,
        } = self;
        let response = builder.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        let answer = Answer {
            request: format!("{method} {path}"),
            status,
            headers,
            body,
        };
        assert!(
            answer.header("request-id").is_some_and(|id| !id.is_empty()),
            "{method} {path} carries Request-Id"
        );
        let media_type = answer.header(CONTENT_TYPE.as_str());
        let objection = document.and_then(|document| {
            document.objection(method.as_str(), &path, answer.status(), media_type)
        });
        assert_eq!(objection, None, "{}", answer.text());
        Ok(answer)
    }

    /// Sends the request, and leaves the body to be read piece by piece.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn open(self) -> reqwest::Response {
        let what = format!("{} {}", self.method, self.path);
        let sent = self.builder.timeout(FOLLOW_LIMIT).send().await;
        sent.unwrap_or_else(|error| panic!("no answer to {what}: {error:?}"))
    }
}
