//! A consumer: the calls of its workers and of its operators.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, Client};

/// One consumer of one namespace. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Consumer {
    client: Client,
    name: String,
}

impl Client {
    /// One consumer.
    #[must_use]
    pub fn consumer(&self, name: &str) -> Consumer {
        Consumer {
            client: self.clone(),
            name: name.to_owned(),
        }
    }
}

impl Consumer {
    /// Creates or changes the consumer.
    pub async fn put(&self, settings: Value) -> Answer {
        self.client
            .request(Method::PUT, &self.path(""))
            .body("application/json", settings.to_string())
            .send()
            .await
    }

    /// The settings and the progress of the consumer.
    ///
    /// # Panics
    ///
    /// When the consumer does not exist.
    pub async fn report(&self) -> Value {
        self.client.get(&self.path("")).send().await.json(200)
    }

    /// Asks for leases.
    pub async fn lease(&self, body: Value) -> Answer {
        self.post("/leases", &body).await
    }

    /// The leases that the host grants.
    ///
    /// # Panics
    ///
    /// When the host refuses.
    pub async fn leases(&self, body: Value) -> Vec<Value> {
        let answer = self.lease(body).await.json(200);
        answer["leases"]
            .as_array()
            .expect("leases are a list")
            .clone()
    }

    /// The one stream that is free, which may take a moment to show.
    ///
    /// # Panics
    ///
    /// When none is within half a minute.
    pub async fn lease_one(&self) -> Value {
        let leases = self
            .leases(json!({ "max_streams": 1, "wait_ms": 30_000 }))
            .await;
        leases.into_iter().next().expect("a stream is free")
    }

    /// Acknowledges everything of a lease.
    ///
    /// # Panics
    ///
    /// When it has no events.
    pub async fn ack(&self, lease: &Value) -> Answer {
        let last = lease["events"].as_array().and_then(|events| events.last());
        let through = &last.expect("a lease has events")["position"];
        let body = json!({ "lease": lease["lease"], "through": through });
        self.post("/ack", &body).await
    }

    /// Sends `body` to what is below it.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.client.post(&self.path(path), body).send().await
    }

    /// The parked streams.
    ///
    /// # Panics
    ///
    /// When the consumer does not exist.
    pub async fn parked(&self) -> Vec<Value> {
        let answer = self
            .client
            .get(&self.path("/parked"))
            .send()
            .await
            .json(200);
        answer["parked"]
            .as_array()
            .expect("parked streams are a list")
            .clone()
    }

    /// Deletes the consumer.
    pub async fn delete(&self) -> Answer {
        self.client.delete(&self.path("")).send().await
    }

    /// The path of the consumer, followed by `rest`.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/consumers/{}{rest}", self.name)
    }
}
