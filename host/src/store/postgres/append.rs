//! What `gavel_append` takes and gives: one statement for any number of appends, which it answers one by one.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rows::{PartOutcome, Refused};
use crate::core::{
    ActivationNumber, CommandOutcome, CommandRecord, Json, NewEvent, RecordedEvent, StreamId,
    Version,
};
use crate::store::{Append, AppendError, Appended, StreamAppend};

#[derive(Serialize)]
pub(super) struct PartInput<'a> {
    append: usize,
    namespace: &'a str,
    decider: &'a str,
    decider_id: &'a str,
    expected: Option<i64>,
    expected_previous_id: Option<Uuid>,
    fence: Option<i64>,
    ahead: usize,
    ahead_id: Option<Uuid>,
    ends_after: Option<usize>,
    repeated_command: bool,
    repeated_event_id: Option<Uuid>,
    events: Vec<EventInput<'a>>,
    command: Option<CommandInput<'a>>,
}

#[derive(Serialize)]
struct EventInput<'a> {
    event: &'a str,
    event_id: Uuid,
    event_version: u32,
    data: &'a RawValue,
    command_id: Uuid,
    previous_id: Option<Uuid>,
    r#final: bool,
    tags: &'a [String],
    metadata: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct CommandInput<'a> {
    command_id: Uuid,
    command: &'a str,
    data: &'a str,
    fingerprint: String,
    #[serde(with = "time::serde::rfc3339")]
    now: OffsetDateTime,
    seed: i64,
    actor: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    version: i64,
    module: String,
    outcome: &'static str,
    events: u32,
    rejection_code: Option<&'a str>,
    rejection_message: Option<&'a str>,
    rejection_data: Option<&'a str>,
    fuel: i64,
}

/// What the parts so far do to one stream, seen from its head.
#[derive(Default)]
struct Ahead {
    events: usize,
    last_id: Option<Uuid>,
    ends_after: Option<usize>,
}

/// The append number `number` of a call, as `gavel_append` reads it.
pub(super) fn encode(number: usize, append: &Append) -> Vec<PartInput<'_>> {
    let mut streams: HashMap<&StreamId, Ahead> = HashMap::new();
    let (mut commands, mut ids) = (HashSet::new(), HashSet::new());
    let parts = append.parts.iter().map(|part| {
        let ahead = streams.entry(&part.stream).or_default();
        let command_id = part.command.as_ref().map(|command| command.command_id);
        let input = PartInput {
            append: number,
            namespace: part.stream.namespace().as_str(),
            decider: part.stream.decider().as_str(),
            decider_id: part.stream.id(),
            expected: part.expected.version().map(Version::to_sql),
            expected_previous_id: part.expected_previous_id,
            fence: part.fence.map(|fence| fence.0.get()),
            ahead: ahead.events,
            ahead_id: ahead.last_id,
            ends_after: ahead.ends_after.or_else(|| ends_early(ahead, &part.events)),
            repeated_command: command_id.is_some_and(|id| !commands.insert(id)),
            repeated_event_id: part
                .events
                .iter()
                .map(|event| event.event_id)
                .fold(None, |found, id| found.or((!ids.insert(id)).then_some(id))),
            events: encode_events(&part.events),
            command: part.command.as_ref().map(encode_command),
        };
        if part.events.iter().any(|event| event.is_final) {
            ahead
                .ends_after
                .get_or_insert(ahead.events + part.events.len());
        }
        ahead.events += part.events.len();
        ahead.last_id = part
            .events
            .last()
            .map(|event| event.event_id)
            .or(ahead.last_id);
        input
    });
    parts.collect()
}

/// How many events after the head a final event ends the stream, if others come after it in the same part.
fn ends_early(ahead: &Ahead, events: &[NewEvent]) -> Option<usize> {
    let last_is_at = events.iter().position(|event| event.is_final)? + 1;
    (last_is_at < events.len()).then_some(ahead.events + last_is_at)
}

fn encode_events(events: &[NewEvent]) -> Vec<EventInput<'_>> {
    let mut previous_id = None;
    let events = events.iter().map(|event| EventInput {
        event: &event.event,
        event_id: event.event_id,
        event_version: event.schema_version,
        data: event.data.as_raw(),
        command_id: event.command_id,
        previous_id: previous_id.replace(event.event_id),
        r#final: event.is_final,
        tags: &event.tags,
        metadata: event.metadata.entries(),
    });
    events.collect()
}

fn encode_command(command: &CommandRecord) -> CommandInput<'_> {
    let (outcome, events, rejection) = match &command.outcome {
        CommandOutcome::Accepted { events } => ("accepted", *events, None),
        CommandOutcome::Rejected(rejection) => ("rejected", 0, Some(rejection)),
    };
    CommandInput {
        command_id: command.command_id,
        command: &command.command,
        data: command.data.as_str(),
        fingerprint: format!("\\x{}", hex::encode(command.fingerprint.as_bytes())),
        now: command.now,
        seed: command.seed.cast_signed(),
        actor: command.actor.as_deref(),
        metadata: command.metadata.entries(),
        version: command.version.to_sql(),
        module: command.module.to_string(),
        outcome,
        events,
        rejection_code: rejection.map(|rejection| rejection.code.as_str()),
        rejection_message: rejection.map(|rejection| rejection.message.as_str()),
        rejection_data: rejection
            .and_then(|rejection| rejection.data.as_ref())
            .map(Json::as_str),
        fuel: command.fuel.cast_signed(),
    }
}

/// What became of an append, from the answers for its parts.
pub(super) fn outcome(
    append: &Append,
    parts: Vec<PartOutcome>,
) -> Result<Vec<Appended>, AppendError> {
    if parts.len() != append.parts.len() {
        let reason = format!("{} answers for {} parts", parts.len(), append.parts.len());
        return Err(AppendError::OutcomeUnknown(reason.into()));
    }
    let both = append.parts.iter().zip(&parts);
    // Checks come in the order of `Refused`, each over all parts.
    let refused = both.filter_map(|(part, found)| Some((found.refused?, part, found)));
    if let Some((why, part, found)) = refused.min_by_key(|(why, ..)| *why) {
        return Err(refusal(why, part, found));
    }
    let both = append.parts.iter().zip(parts);
    Ok(both.map(|(part, found)| appended(part, &found)).collect())
}

fn refusal(why: Refused, part: &StreamAppend, found: &PartOutcome) -> AppendError {
    let stream = part.stream.clone();
    let version = Version::from_sql(found.number.unwrap_or_default()).unwrap_or_default();
    let event_id = found.id.unwrap_or_default();
    match why {
        Refused::Fenced => AppendError::Fenced {
            decider: stream.decider().clone(),
            fence: part.fence.map_or(ActivationNumber::NONE, |fence| fence.0),
            current: ActivationNumber::new(found.number.unwrap_or_default()),
        },
        Refused::DuplicateCommand => AppendError::DuplicateCommand {
            command_id: part
                .command
                .as_ref()
                .map(|command| command.command_id)
                .unwrap_or_default(),
        },
        Refused::Final => AppendError::StreamFinal { stream, version },
        Refused::Conflict => AppendError::VersionConflict {
            stream,
            expected: part.expected.version().unwrap_or_default(),
            current: version,
        },
        Refused::WrongPreviousId => AppendError::WrongPreviousId {
            stream,
            current: found.id,
        },
        Refused::Unregistered => {
            let event = part.events.iter().find(|event| event.event_id == event_id);
            AppendError::EventUnregistered {
                decider: stream.decider().clone(),
                event: event.map(|event| event.event.clone()).unwrap_or_default(),
                schema_version: event.map(|event| event.schema_version).unwrap_or_default(),
            }
        }
        Refused::DuplicateEvent => AppendError::DuplicateEventId { event_id },
    }
}

fn appended(part: &StreamAppend, found: &PartOutcome) -> Appended {
    let (mut version, mut previous_id) = (found.version, found.previous_id);
    let events = part
        .events
        .iter()
        .zip(&found.positions)
        .map(|(event, position)| {
            version = version.next();
            RecordedEvent {
                stream: part.stream.clone(),
                version,
                position: *position,
                previous_id: previous_id.replace(event.event_id),
                created_at: found.created_at,
                event: event.clone(),
            }
        });
    let events = events.collect();
    Appended { version, events }
}
