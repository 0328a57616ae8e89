//! A receiver of pushed deliveries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A delivery, unchanged.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The path of the request.
    pub path: String,
    /// The headers of the request.
    pub headers: HashMap<String, String>,
    /// The body of the request.
    pub body: Vec<u8>,
}

impl Delivery {
    /// The body.
    ///
    /// # Panics
    ///
    /// When it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a delivery is JSON")
    }

    /// The id of the stream that the delivery is about.
    #[must_use]
    pub fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_default().to_owned()
    }
}

type Answer = dyn Fn(&Delivery) -> (u16, Vec<(&'static str, String)>) + Send + Sync;

/// A server of our own, which keeps what it is sent, and answers as the test says. It ends when
/// this is dropped.
pub struct Receiver {
    address: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    deliveries: Mutex<Vec<Delivery>>,
    answer: Box<Answer>,
}

impl Receiver {
    /// Answers each delivery with the status and the headers that `answer` gives.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start(
        answer: impl Fn(&Delivery) -> (u16, Vec<(&'static str, String)>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener
            .local_addr()
            .expect("it has an address")
            .to_string();
        let shared = Arc::new(Shared {
            deliveries: Mutex::default(),
            answer: Box::new(answer),
        });
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            shared,
            task: serving.abort_handle(),
        }
    }

    /// The URL of one of its paths.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The deliveries so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        let deliveries = self.shared.deliveries.lock();
        deliveries.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text =
        |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let delivery = Delivery {
        path: uri.path().to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: body.to_vec(),
    };
    let (status, headers) = (shared.answer)(&delivery);
    let mut deliveries = shared
        .deliveries
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    deliveries.push(delivery);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, "as told").into_response();
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
