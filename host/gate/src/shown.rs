//! Commands, events and outcomes as reports show them.

use gavel_model::{CommandOutcome, CommandRecord, Event, Rejection};
use gavel_sandbox::Decision;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::folder::Again;
use super::words::{document_line, excerpt_json};

/// A command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(super) struct ShownCommand {
    /// The name of the command.
    pub(super) command: String,
    /// The payload, or the beginning of its text; null where the ledger keeps keys only.
    pub(super) data: Option<Value>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(super) struct ShownEvent {
    /// The name of the event.
    pub(super) event: String,
    /// The version of the event's schema.
    pub(super) schema_version: u32,
    /// The payload, or the beginning of its text.
    pub(super) data: Value,
    /// Tells whether the event ends its stream.
    #[serde(rename = "final", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_final: bool,
    /// The labels by which the log can be queried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
}

/// A rejection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(super) struct ShownRejection {
    /// The kind of rejection, for programs.
    pub(super) code: String,
    /// The reason for people.
    pub(super) message: String,
    /// Facts for programs, or the beginning of their text.
    pub(super) data: Option<Value>,
}

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ShownOutcome {
    /// The command is accepted, with these events.
    Events(Vec<ShownEvent>),
    /// The command is rejected.
    Rejected(ShownRejection),
    /// The module fails, for this reason.
    Failed(String),
}

impl From<&Event> for ShownEvent {
    fn from(event: &Event) -> Self {
        Self {
            event: event.name.clone(),
            schema_version: event.schema_version,
            data: excerpt_json(&event.data),
            is_final: event.is_final,
            tags: event.tags.clone(),
        }
    }
}

impl From<&Rejection> for ShownRejection {
    fn from(rejection: &Rejection) -> Self {
        Self {
            code: rejection.code.clone(),
            message: rejection.message.clone(),
            data: rejection.data.as_ref().map(excerpt_json),
        }
    }
}

impl From<&Again> for ShownOutcome {
    fn from(again: &Again) -> Self {
        match again {
            Ok(Decision::Accepted(events)) => Self::of_events(events),
            Ok(Decision::Rejected(rejection)) => Self::Rejected(rejection.into()),
            Err(fault) => Self::Failed(fault.to_string()),
        }
    }
}

impl ShownOutcome {
    /// Gives the recorded outcome of a command that `events` followed from.
    pub(super) fn recorded(record: &CommandRecord, events: &[Event]) -> Self {
        match &record.outcome {
            CommandOutcome::Accepted { .. } => Self::of_events(events),
            CommandOutcome::Rejected(rejection) => Self::Rejected(rejection.into()),
        }
    }

    fn of_events(events: &[Event]) -> Self {
        Self::Events(events.iter().map(ShownEvent::from).collect())
    }

    /// Writes the outcome on one line: `Withdrawn {"amount": 4}, Charged {"fee": 1}`.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Events(events) if events.is_empty() => "no event".to_owned(),
            Self::Events(events) => {
                let shown = events.iter();
                let shown =
                    shown.map(|event| format!("{} {}", event.event, document_line(&event.data)));
                shown.collect::<Vec<_>>().join(", ")
            }
            Self::Rejected(ShownRejection { code, message, .. }) => {
                format!("rejected with {code}: {message}")
            }
            Self::Failed(reason) => format!("failed: {reason}"),
        }
    }
}
