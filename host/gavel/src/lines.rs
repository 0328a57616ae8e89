//! Answers of one JSON document a line, as they arrive.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use reqwest::Response;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio_util::io::StreamReader;

use super::exit::Result;

pub(super) const MEDIA_TYPE: &str = "application/x-ndjson";

/// A host that is silent for longer is not there: it says something every 15 seconds.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(50);

/// The lines of an answer.
pub(super) struct Lines(tokio::io::Lines<Pin<Box<dyn AsyncBufRead>>>);

impl Lines {
    pub(super) fn of(response: Response) -> Self {
        let bytes = response.bytes_stream().map_err(std::io::Error::other);
        let reader: Pin<Box<dyn AsyncBufRead>> = Box::pin(StreamReader::new(bytes));
        Self(reader.lines())
    }

    /// The next document; none at the end. A host that is silent for long is not there any more.
    pub(super) async fn next(&mut self) -> Result<Option<String>> {
        loop {
            let line = tokio::time::timeout(LONGEST_SILENCE, self.0.next_line())
                .await
                .context("the host has sent nothing for too long")?
                .context("the connection has broken")?;
            // An empty line only says that the host is still there.
            if line.as_deref() != Some("") {
                return Ok(line);
            }
        }
    }
}
