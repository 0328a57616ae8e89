//! Answers of a host, as far as people see them. As JSON an answer is printed as received.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The answer to a command.
#[derive(Debug, Deserialize)]
pub(super) struct CommandOutcome {
    pub(super) decider: String,
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) replayed: bool,
    pub(super) events: Vec<Event>,
    /// The awaited views that do not show the events.
    #[serde(default)]
    pub(super) behind: Vec<BehindView>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BehindView {
    pub(super) view: String,
    pub(super) reason: String,
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
    /// The time of the event; none in the answer to a dry run, which stores nothing.
    #[serde(default)]
    created_at: Option<String>,
}

impl Event {
    /// Describes the event, for output in which the stream is known.
    pub(super) fn in_words(&self) -> String {
        let end = if self.is_final { "  (final)" } else { "" };
        format!("v{}  {}  {}{end}", self.version, self.event, self.data)
    }

    /// Describes the event with its time and its stream.
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
    /// The value of `after` for the next page; none if there was nothing to read yet.
    pub(super) next: Option<String>,
    pub(super) caught_up: bool,
}

/// A rehearsal and its progress.
#[derive(Debug, Deserialize)]
pub(super) struct Rehearsal {
    pub(super) rehearsal: String,
    pub(super) mode: Mode,
    pub(super) status: Status,
    pub(super) progress: Progress,
    /// The report of the gate, once there is one.
    #[serde(default)]
    pub(super) report: Option<serde_json::Value>,
    /// The reason why the rehearsal failed, in one sentence.
    #[serde(default)]
    pub(super) error: Option<String>,
}

/// The input of a rehearsal: recorded commands, or commands from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    History,
    Shadow,
}

/// The status of a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Running,
    Passed,
    Refused,
    Cancelled,
    Failed,
}

/// The progress of a rehearsal.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    pub(super) step: Option<String>,
    pub(super) events: u64,
    pub(super) events_total: u64,
    pub(super) commands: u64,
    pub(super) events_per_second: f64,
    pub(super) seconds_left: Option<f64>,
}

/// The answer to a deactivation.
#[derive(Debug, Deserialize)]
pub(super) struct Deactivation {
    pub(super) activation: u64,
    pub(super) replaces: String,
}

/// The answer to an activation of several modules.
#[derive(Debug, Deserialize)]
pub(super) struct ActivationList {
    pub(super) activations: Vec<Activation>,
}

/// The answer to an activation, as far as it is not in the report.
#[derive(Debug, Deserialize)]
pub(super) struct Activation {
    pub(super) digest: String,
    pub(super) activation: u64,
    #[serde(default)]
    pub(super) report: serde_json::Value,
}
