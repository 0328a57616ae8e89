//! Consumers, and one worker's calls.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::lab::Installation;
use crate::load::{Connection, Requests};

/// A lease, as it is given to a worker or pushed. Only what is needed is read.
#[derive(Debug, Deserialize)]
pub(super) struct Lease {
    lease: String,
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    position: String,
}

#[derive(Debug, Deserialize)]
struct LeaseList {
    leases: Vec<Lease>,
}

impl Lease {
    /// The number of events in the lease.
    pub(super) fn len(&self) -> u64 {
        self.events.len() as u64
    }
}

/// Makes a consumer, or changes it.
///
/// # Errors
///
/// When the host refuses it.
pub(super) async fn put(host: &Installation, name: &str, body: &Value) -> Result<()> {
    let path = format!("/v1/consumers/{name}");
    let request = host.requests().put(&path, body.to_string());
    host.call(request).await.map(drop)
}

/// Deletes a consumer, if there is one of that name.
///
/// # Errors
///
/// When the host refuses that.
pub(super) async fn delete(host: &Installation, name: &str) -> Result<()> {
    let request = host.requests().delete(&format!("/v1/consumers/{name}"));
    let mut connection = Connection::open(host.server().address()).await?;
    let (status, _) = connection.send(request).await?;
    ensure!(
        matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_FOUND),
        "deleting a consumer was answered with {status}"
    );
    Ok(())
}

/// Resets a consumer to the first event.
///
/// # Errors
///
/// An error when the host refuses that.
pub(super) async fn reset(host: &Installation, name: &str) -> Result<()> {
    let path = format!("/v1/consumers/{name}/reset");
    let request = host.requests().post(&path, r#"{"start":"beginning"}"#);
    host.call(request).await.map(drop)
}

/// A worker that leases from a consumer.
#[derive(Debug)]
pub(super) struct Worker {
    connection: Connection,
    requests: Requests,
    consumer: String,
}

impl Worker {
    /// Connects.
    ///
    /// # Errors
    ///
    /// An error when nothing listens there.
    pub(super) async fn connect(requests: &Requests, consumer: &str) -> Result<Self> {
        Ok(Self {
            connection: Connection::open(requests.address()).await?,
            requests: requests.clone(),
            consumer: consumer.to_owned(),
        })
    }

    /// Asks for leases within the default limits, waiting for up to `wait`. Returns the leases and
    /// the latency of the answer.
    ///
    /// # Errors
    ///
    /// When the connection breaks or the answer is not 200.
    pub(super) async fn lease(&mut self, wait: Duration) -> Result<(Vec<Lease>, Duration)> {
        let body = format!(r#"{{"wait_ms":{}}}"#, wait.as_millis());
        let path = format!("/v1/consumers/{}/leases", self.consumer);
        let request = self.requests.post(&path, body);
        let sent = Instant::now();
        let (status, body) = self.connection.send(request).await?;
        let took = sent.elapsed();
        ensure!(
            status == StatusCode::OK,
            "leasing was answered with {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok((serde_json::from_slice::<LeaseList>(&body)?.leases, took))
    }

    /// Acknowledges all events of a lease. How long the answer took, too.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub(super) async fn acknowledge(&mut self, lease: &Lease) -> Result<(StatusCode, Duration)> {
        let through = lease.events.last().map(|event| &event.position);
        let body = json!({ "lease": lease.lease, "through": through }).to_string();
        let path = format!("/v1/consumers/{}/ack", self.consumer);
        let request = self.requests.post(&path, body);
        let sent = Instant::now();
        let (status, _) = self.connection.send(request).await?;
        Ok((status, sent.elapsed()))
    }
}
