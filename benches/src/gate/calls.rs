//! The calls that have to do with rehearsals.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::lab::Installation;

/// The interval between two requests for the progress of a rehearsal.
pub(super) const GLANCE: Duration = Duration::from_millis(50);

/// A rehearsal of the account.
#[derive(Debug)]
pub(super) struct Rehearsal<'a> {
    host: &'a Installation,
    path: String,
}

impl<'a> Rehearsal<'a> {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// When the host refuses.
    pub(super) async fn start(host: &'a Installation, candidate: &str) -> Result<Self> {
        let body = json!({ "digest": candidate }).to_string();
        let request = host
            .requests()
            .post("/v1/deciders/account/rehearsals", body);
        let answer = host.call(request).await?;
        let id = answer["rehearsal"].as_str();
        let id = id.context("a rehearsal has an id")?;
        let path = format!("/v1/rehearsals/{id}");
        Ok(Self { host, path })
    }

    /// The report of the rehearsal, once it has passed; none while it runs.
    ///
    /// # Errors
    ///
    /// An error when the rehearsal has ended in any other way.
    pub(super) async fn report(&self) -> Result<Option<Value>> {
        let request = self.host.requests().get(&self.path);
        let mut answer = self.host.call(request).await?;
        match answer["status"].as_str() {
            Some("running") => Ok(None),
            Some("passed") => Ok(Some(answer["report"].take())),
            _ => bail!("a rehearsal did not pass: {answer}"),
        }
    }

    /// Waits for its report.
    ///
    /// # Errors
    ///
    /// When it does not pass.
    pub(super) async fn end(self) -> Result<Value> {
        loop {
            if let Some(report) = self.report().await? {
                return Ok(report);
            }
            sleep(GLANCE).await;
        }
    }

    /// Cancels the rehearsal, and waits until no work is done for it any more.
    ///
    /// # Errors
    ///
    /// When the host refuses.
    pub(super) async fn cancel(self) -> Result<()> {
        let request = self.host.requests().delete(&self.path);
        self.host.call(request).await.map(drop)
    }
}
