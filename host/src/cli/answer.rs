//! What a host answers, as far as people are shown it. As JSON it is passed on as received.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::exit::Result;

/// A successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    pub(super) fn new(status: u16, body: String) -> Self {
        Self { status, body }
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// The document as it was received.
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// The document's fields.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_str(&self.body)
            .context("the answer is not what this version of gavel knows")?)
    }
}

/// The answer to a command.
#[derive(Debug, Deserialize)]
pub(super) struct CommandOutcome {
    pub(super) decider: String,
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) replayed: bool,
    pub(super) events: Vec<Event>,
}

/// An event, which looks the same wherever it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    event: String,
    decider: String,
    id: String,
    version: u64,
    data: Box<RawValue>,
    #[serde(rename = "final", default)]
    is_final: bool,
    /// None in the answer to a dry run, which stores nothing.
    #[serde(default)]
    created_at: Option<String>,
}

impl Event {
    /// What happened, where the stream is known.
    pub(super) fn in_words(&self) -> String {
        let end = if self.is_final { "  (final)" } else { "" };
        format!("v{}  {}  {}{end}", self.version, self.event, self.data)
    }

    /// What happened, when and in which stream.
    pub(super) fn in_words_with_stream(&self) -> String {
        let mut words = String::new();
        if let Some(created_at) = &self.created_at {
            let _ = write!(words, "{created_at}  ");
        }
        let _ = write!(words, "{}/{}  {}", self.decider, self.id, self.in_words());
        words
    }
}

/// The state of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    pub(super) decider: String,
    pub(super) id: String,
    pub(super) version: u64,
    #[serde(rename = "final")]
    pub(super) is_final: bool,
    pub(super) state: serde_json::Value,
    pub(super) module: String,
}

/// A page of the log. The events are kept as received too, to be passed on.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) events: Vec<Box<RawValue>>,
    /// Where to go on; none when there was nothing to read yet.
    pub(super) next: Option<String>,
    pub(super) caught_up: bool,
}

/// The answer to an activation, as far as it is not in the report.
#[derive(Debug, Deserialize)]
pub(super) struct Activation {
    pub(super) digest: String,
    pub(super) activation: u64,
    #[serde(default)]
    pub(super) report: serde_json::Value,
}
