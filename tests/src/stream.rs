//! One stream: what can be sent to it, and what can be read of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, Client, Event, Request};

/// The largest number of events that are asked for at a time.
const PAGE_EVENTS: u64 = 500;

/// One stream of one decider. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stream {
    client: Client,
    decider: String,
    id: String,
}

impl Client {
    /// One stream.
    #[must_use]
    pub fn stream(&self, decider: &str, id: &str) -> Stream {
        Stream {
            client: self.clone(),
            decider: decider.to_owned(),
            id: id.to_owned(),
        }
    }
}

impl Stream {
    /// The id within the decider.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A command to be sent.
    #[must_use]
    pub fn command(&self, command: &str, data: Value) -> CommandRequest {
        let request = self.client.request(Method::POST, &self.path("/commands"));
        CommandRequest {
            request,
            body: json!({ "command": command, "data": data }),
        }
    }

    /// Sends a command as plainly as can be.
    pub async fn send(&self, command: &str, data: Value) -> Answer {
        self.command(command, data).send().await
    }

    /// Increments a counter.
    pub async fn increment(&self) -> Answer {
        self.send("Increment", json!({})).await
    }

    /// Asks for the state.
    #[must_use]
    pub fn state(&self) -> Request {
        self.client.get(&self.path(""))
    }

    /// Asks for a page of its events.
    #[must_use]
    pub fn events(&self) -> Request {
        self.client.get(&self.path("/events"))
    }

    /// Appends without a decider.
    #[must_use]
    pub fn append(&self, expected_version: u64, events: &Value) -> Request {
        self.client.post(
            &self.path("/events"),
            &json!({ "expected_version": expected_version, "events": events }),
        )
    }

    /// The events of the stream, page by page, unchanged.
    ///
    /// # Panics
    ///
    /// When they cannot be read, or the pages do not fit together.
    pub async fn history_json(&self) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        let mut after = 0;
        loop {
            let request = self
                .events()
                .query("after_version", after)
                .query("limit", PAGE_EVENTS);
            let page = request.send().await.json(200);
            events.extend_from_slice(page["events"].as_array().expect("a page has events"));
            match page["next_after_version"].as_u64() {
                Some(next) => assert!(
                    std::mem::replace(&mut after, next) < next,
                    "pages go forward"
                ),
                None => return events,
            }
        }
    }

    /// The events of the stream.
    ///
    /// # Panics
    ///
    /// As [`Stream::history_json`], or when one has not the shape of an event.
    pub async fn history(&self) -> Vec<Event> {
        let events = self.history_json().await;
        serde_json::from_value(Value::Array(events)).expect("each event has the shape of an event")
    }

    /// Checks that nothing is stored: neither an event nor a trace of the stream.
    ///
    /// # Panics
    ///
    /// When there is.
    pub async fn assert_absent(&self) {
        self.state().send().await.problem(404, "stream-not-found");
    }

    fn path(&self, rest: &str) -> String {
        let id = self.id.bytes().map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        });
        format!(
            "/v1/deciders/{}/{}{rest}",
            self.decider,
            id.collect::<String>()
        )
    }
}

/// A command to be sent.
#[derive(Debug)]
pub struct CommandRequest {
    request: Request,
    body: Value,
}

impl CommandRequest {
    /// Sets the idempotency key.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("Idempotency-Key", key)
    }

    /// Requires that the stream is at this version.
    #[must_use]
    pub fn if_version(self, version: u64) -> Self {
        self.header("If-Match", &format!("\"{version}\""))
    }

    /// Requires that the stream is new.
    #[must_use]
    pub fn if_new(self) -> Self {
        self.header("If-None-Match", "*")
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Adds a parameter to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.query(name, value);
        self
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.body[member] = value;
        self
    }

    /// Sends the command to a host that is expected to answer.
    ///
    /// # Panics
    ///
    /// As [`Request::send`].
    pub async fn send(self) -> Answer {
        self.request
            .body("application/json", self.body.to_string())
            .send()
            .await
    }

    /// Sends the command to a host that may be killed meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Request::try_send`].
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        self.request
            .body("application/json", self.body.to_string())
            .try_send()
            .await
    }
}
