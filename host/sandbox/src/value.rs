//! The inputs and outputs of a guest, as plain values; and the checks of the outputs.

use gavel_model::{CommandRecord, Event, Json, RecordedEvent, Rejection, check_tags};
use time::OffsetDateTime;

use super::bindings::gavel::module::types as wit;
use super::bindings::readers::gavel::module::log;
use super::log::printable;
use super::{Fault, Limits};

/// A command for a guest.
#[derive(Debug, Clone, PartialEq)]
pub struct GuestCommand {
    /// One of the names that the manifest declares.
    pub name: String,
    /// The data, valid against that command's schema.
    pub data: Json,
}

/// The inputs of a decision besides state and command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestContext {
    /// The command's id, a hyphenated UUID.
    pub command_id: String,
    /// The namespace of the stream.
    pub namespace: String,
    /// The id of the stream within its decider.
    pub stream_id: String,
    /// The version that is decided at; 0 for an empty stream.
    pub version: u64,
    /// The time of the decision, in milliseconds since 1970.
    pub now_ms: u64,
    /// A random number, different for every command.
    pub seed: u64,
    /// The sender of the command; none when authentication is off.
    pub actor: Option<String>,
    /// The metadata that the sender attached, sorted by key, without duplicate keys.
    pub metadata: Vec<(String, String)>,
}

/// The answer of a decider to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The command is accepted, with these events; none means that there is nothing to record.
    /// Their names and schemas are not checked here.
    Accepted(Vec<Event>),
    /// The command is rejected.
    Rejected(Rejection),
}

impl GuestCommand {
    pub(super) fn lower(&self) -> wit::Command<'_> {
        wit::Command {
            name: &self.name,
            data: self.data.as_str(),
        }
    }
}

/// The labels of an event, for [`lower_event`].
pub(super) fn tag_texts(event: &Event) -> Vec<&str> {
    event.tags.iter().map(String::as_str).collect()
}

/// An event for a guest.
pub(super) fn lower_event<'a>(event: &'a Event, tags: &'a [&'a str]) -> wit::EventParam<'a> {
    wit::EventParam {
        name: &event.name,
        schema_version: event.schema_version,
        data: event.data.as_str(),
        final_: event.is_final,
        tags,
    }
}

impl From<&CommandRecord> for GuestContext {
    /// The context that the decider saw, or is to see, for a command of the ledger.
    fn from(record: &CommandRecord) -> Self {
        Self {
            command_id: record.command_id.to_string(),
            namespace: record.stream.namespace().as_str().to_owned(),
            stream_id: record.stream.id().to_owned(),
            version: record.version.get(),
            now_ms: millis(record.now),
            seed: record.seed,
            actor: record.actor.clone(),
            metadata: record.metadata.entries().clone().into_iter().collect(),
        }
    }
}

impl GuestContext {
    pub(super) fn metadata_texts(&self) -> Vec<(&str, &str)> {
        self.metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }

    pub(super) fn lower<'a>(&'a self, metadata: &'a [(&'a str, &'a str)]) -> wit::Context<'a> {
        wit::Context {
            command_id: &self.command_id,
            namespace: &self.namespace,
            stream_id: &self.stream_id,
            version: self.version,
            now_ms: self.now_ms,
            seed: self.seed,
            actor: self.actor.as_deref(),
            metadata,
        }
    }
}

/// The milliseconds since 1970 at a time; 0 before.
pub(super) fn millis(time: OffsetDateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

/// The parts of an event of the log that are lent to a guest.
pub(super) struct EventTexts<'a> {
    event: &'a RecordedEvent,
    event_id: String,
    tags: Vec<&'a str>,
    metadata: Vec<(&'a str, &'a str)>,
}

impl<'a> EventTexts<'a> {
    pub(super) fn of(event: &'a RecordedEvent) -> Self {
        let metadata = event.event.metadata.entries().iter();
        Self {
            event,
            event_id: event.event.event_id.to_string(),
            tags: event.event.tags.iter().map(String::as_str).collect(),
            metadata: metadata
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
        }
    }

    pub(super) fn lower(&self) -> log::RecordedEvent<'_> {
        let RecordedEvent {
            stream,
            version,
            created_at,
            event,
            ..
        } = self.event;
        log::RecordedEvent {
            decider: stream.decider().as_str(),
            stream_id: stream.id(),
            version: version.get(),
            event_id: &self.event_id,
            name: &event.event,
            schema_version: event.schema_version,
            data: event.data.as_str(),
            tags: &self.tags,
            created_ms: millis(*created_at),
            metadata: &self.metadata,
        }
    }
}

/// Checks a guest's decision.
pub(super) fn decision(
    decision: Result<Vec<wit::EventResult>, wit::Rejection>,
    limits: &Limits,
) -> Result<Decision, Fault> {
    match decision {
        Ok(events) => {
            within(events.len(), limits.events, "events")?;
            let bytes = events.iter().map(size_of_event).sum();
            within(bytes, limits.output_bytes, "bytes of output")?;
            let events = events.into_iter().enumerate().map(|(index, event)| {
                checked_event(event).map_err(|reason| Fault::BrokeContract {
                    reason: format!("event {index}: {reason}"),
                })
            });
            events.collect::<Result<_, _>>().map(Decision::Accepted)
        }
        Err(rejection) => {
            let data = rejection.data.as_ref().map_or(0, String::len);
            let bytes = rejection.code.len() + rejection.message.len() + data;
            within(bytes, limits.output_bytes, "bytes of output")?;
            checked_rejection(rejection)
                .map(Decision::Rejected)
                .map_err(|reason| Fault::BrokeContract {
                    reason: format!("the rejection: {reason}"),
                })
        }
    }
}

/// Checks a document that a guest gave back by itself.
pub(super) fn document(what: &'static str, text: &str, limit_bytes: usize) -> Result<Json, Fault> {
    within(text.len(), limit_bytes, "bytes of output")?;
    Json::parse(text).map_err(|error| Fault::BrokeContract {
        reason: format!("{what}: {error}"),
    })
}

pub(super) fn within(size: usize, limit: usize, what: &'static str) -> Result<(), Fault> {
    if size <= limit {
        Ok(())
    } else {
        Err(Fault::OutputTooLarge { what, limit })
    }
}

fn size_of_event(event: &wit::EventResult) -> usize {
    let tags: usize = event.tags.iter().map(String::len).sum();
    event.name.len() + event.data.len() + tags
}

fn checked_event(event: wit::EventResult) -> Result<Event, String> {
    without_nul("the name", &event.name)?;
    check_tags(&event.tags).map_err(|error| printable(&error.to_string()))?;
    Ok(Event {
        name: event.name,
        schema_version: event.schema_version,
        data: Json::parse(&event.data).map_err(|error| format!("the data: {error}"))?,
        is_final: event.final_,
        tags: event.tags,
    })
}

fn checked_rejection(rejection: wit::Rejection) -> Result<Rejection, String> {
    without_nul("the code", &rejection.code)?;
    without_nul("the message", &rejection.message)?;
    let data = rejection.data.as_deref().map(Json::parse).transpose();
    Ok(Rejection {
        code: rejection.code,
        message: rejection.message,
        data: data.map_err(|error| format!("the data: {error}"))?,
    })
}

/// A store's text columns cannot hold U+0000.
pub(super) fn without_nul(what: &str, text: &str) -> Result<(), String> {
    if text.contains('\0') {
        Err(format!("{what} holds the character U+0000"))
    } else {
        Ok(())
    }
}
