//! The calls that have to do with rehearsals.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::lab::Installation;

/// The interval between two requests for the progress of a rehearsal.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// A rehearsal.
#[derive(Debug)]
pub(crate) struct Rehearsal<'a> {
    host: &'a Installation,
    path: String,
}

impl<'a> Rehearsal<'a> {
    /// Begins one, of `deciders/<name>` or `views/<name>`.
    ///
    /// # Errors
    ///
    /// When the host refuses.
    pub(crate) async fn start(host: &'a Installation, of: &str, candidate: &str) -> Result<Self> {
        let body = json!({ "digest": candidate }).to_string();
        let path = format!("/v1/{of}/rehearsals");
        let answer = host.call(host.requests().post(&path, body)).await?;
        let id = answer["rehearsal"].as_str();
        Ok(Self::of(host, id.context("a rehearsal has an id")?))
    }

    /// The rehearsal with this id.
    pub(crate) fn of(host: &'a Installation, id: &str) -> Self {
        let path = format!("/v1/rehearsals/{id}");
        Self { host, path }
    }

    /// The step that the rehearsal is at, or was at when it ended.
    ///
    /// # Errors
    ///
    /// When the host does not answer.
    pub(crate) async fn step(&self) -> Result<String> {
        let answer = self.host.call(self.host.requests().get(&self.path)).await?;
        let step = answer["progress"]["step"].as_str();
        Ok(step.unwrap_or_default().to_owned())
    }

    /// The report of the rehearsal, once it has passed; none while it runs.
    ///
    /// # Errors
    ///
    /// An error when the rehearsal has ended in any other way.
    pub(crate) async fn report(&self) -> Result<Option<Value>> {
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
    pub(crate) async fn end(self) -> Result<Value> {
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
    pub(crate) async fn cancel(self) -> Result<()> {
        let request = self.host.requests().delete(&self.path);
        self.host.call(request).await.map(drop)
    }
}
