//! The arguments of `gavel_append`: one statement for any number of appends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use gavel_model::{CommandOutcome, CommandRecord, Json, NewEvent, StreamId, Version};
use gavel_store::Append;
use serde_json::value::RawValue;
use sqlx::types::Json as SqlJson;
use time::OffsetDateTime;
use uuid::Uuid;

use super::query::Statement;
use super::rows::BatchOutcome;

/// The arguments of `gavel_append`, which explains them: one list per column.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    parts: Parts<'a>,
    commands: Commands<'a>,
    events: Events<'a>,
    activations: Vec<(&'a str, &'a str)>,
    kinds: Vec<(&'a str, &'a str, i64)>,
}

#[derive(Debug, Default)]
struct Parts<'a> {
    append: Vec<i32>,
    namespace: Vec<&'a str>,
    decider: Vec<&'a str>,
    decider_id: Vec<&'a str>,
    expected: Vec<Option<i64>>,
    expected_previous_id: Vec<Option<Uuid>>,
    fence: Vec<Option<i64>>,
    fence_at: Vec<Option<i32>>,
    ahead: Vec<i64>,
    ahead_id: Vec<Option<Uuid>>,
    ends_after: Vec<Option<i64>>,
    repeats_command: Vec<bool>,
    repeated_event_id: Vec<Option<Uuid>>,
}

#[derive(Debug, Default)]
struct Commands<'a> {
    command_id: Vec<Option<Uuid>>,
    command: Vec<Option<&'a str>>,
    data: Vec<Option<&'a str>>,
    fingerprint: Vec<Option<&'a [u8]>>,
    now: Vec<Option<OffsetDateTime>>,
    seed: Vec<Option<i64>>,
    actor: Vec<Option<&'a str>>,
    metadata: Vec<Option<SqlJson<&'a BTreeMap<String, String>>>>,
    version: Vec<Option<i64>>,
    module: Vec<Option<String>>,
    outcome: Vec<Option<&'a str>>,
    events: Vec<Option<i64>>,
    rejection_code: Vec<Option<&'a str>>,
    rejection_message: Vec<Option<&'a str>>,
    rejection_data: Vec<Option<&'a str>>,
    fuel: Vec<Option<i64>>,
}

#[derive(Debug, Default)]
struct Events<'a> {
    part: Vec<i32>,
    nth: Vec<i64>,
    kind: Vec<i32>,
    event_id: Vec<Uuid>,
    data: Vec<SqlJson<&'a RawValue>>,
    command_id: Vec<Uuid>,
    previous_id: Vec<Option<Uuid>>,
    is_final: Vec<bool>,
    tags: Vec<Option<String>>,
    metadata: Vec<SqlJson<&'a BTreeMap<String, String>>>,
}

/// What the parts so far do to one stream, seen from its head.
#[derive(Default)]
struct Ahead {
    events: usize,
    last_id: Option<Uuid>,
    ends_after: Option<usize>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a [Append]) -> Self {
        let mut columns = Self::default();
        let (mut fences, mut kinds) = (HashMap::new(), HashMap::new());
        for (number, append) in batch.iter().enumerate() {
            let mut streams: HashMap<&StreamId, Ahead> = HashMap::new();
            let (mut commands, mut ids) = (HashSet::new(), HashSet::new());
            for part in &append.parts {
                let stream = &part.stream;
                let (namespace, decider) = (stream.namespace().as_str(), stream.decider().as_str());
                let fence_at = part
                    .fence
                    .map(|_| place(&mut fences, &mut columns.activations, (namespace, decider)));
                let command_id = part.command.as_ref().map(|command| command.command_id);
                let repeated = part.events.iter().map(|event| event.event_id);
                let repeated =
                    repeated.fold(None, |found, id| found.or((!ids.insert(id)).then_some(id)));
                let ahead = streams.entry(stream).or_default();

                let parts = &mut columns.parts;
                parts.append.push(index(number));
                parts.namespace.push(namespace);
                parts.decider.push(decider);
                parts.decider_id.push(stream.id());
                parts
                    .expected
                    .push(part.expected.version().map(Version::to_sql));
                parts.expected_previous_id.push(part.expected_previous_id);
                parts.fence.push(part.fence.map(|fence| fence.0.get()));
                parts.fence_at.push(fence_at);
                parts.ahead.push(count(ahead.events));
                parts.ahead_id.push(ahead.last_id);
                let ends_after = ahead.ends_after.or_else(|| ends_early(ahead, &part.events));
                parts.ends_after.push(ends_after.map(count));
                parts
                    .repeats_command
                    .push(command_id.is_some_and(|id| !commands.insert(id)));
                parts.repeated_event_id.push(repeated);
                let place_of_part = index(parts.append.len());
                columns.commands.push(part.command.as_ref());

                let mut previous_id = None;
                for (nth, event) in part.events.iter().enumerate() {
                    let kind = (
                        decider,
                        event.event.as_str(),
                        i64::from(event.schema_version),
                    );
                    let kind = place(&mut kinds, &mut columns.kinds, kind);
                    let previous_id = previous_id.replace(event.event_id);
                    columns
                        .events
                        .push(event, place_of_part, nth, kind, previous_id);
                }
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
            }
        }
        columns
    }

    /// The call. With `waits` it waits for streams that others write to; without, what appends to those is refused.
    pub(super) fn statement(&self, waits: bool) -> Statement<'static> {
        let (parts, commands, events) = (&self.parts, &self.commands, &self.events);
        let activations = self.activations.iter().copied();
        let (namespaces, deciders): (Vec<&str>, Vec<&str>) = activations.unzip();
        let kinds = &self.kinds;
        sqlx::query(BatchOutcome::SELECT)
            .bind(waits)
            .bind(&parts.append)
            .bind(&parts.namespace)
            .bind(&parts.decider)
            .bind(&parts.decider_id)
            .bind(&parts.expected)
            .bind(&parts.expected_previous_id)
            .bind(&parts.fence)
            .bind(&parts.fence_at)
            .bind(&parts.ahead)
            .bind(&parts.ahead_id)
            .bind(&parts.ends_after)
            .bind(&parts.repeats_command)
            .bind(&parts.repeated_event_id)
            .bind(&commands.command_id)
            .bind(&commands.command)
            .bind(&commands.data)
            .bind(&commands.fingerprint)
            .bind(&commands.now)
            .bind(&commands.seed)
            .bind(&commands.actor)
            .bind(&commands.metadata)
            .bind(&commands.version)
            .bind(&commands.module)
            .bind(&commands.outcome)
            .bind(&commands.events)
            .bind(&commands.rejection_code)
            .bind(&commands.rejection_message)
            .bind(&commands.rejection_data)
            .bind(&commands.fuel)
            .bind(&events.part)
            .bind(&events.nth)
            .bind(&events.kind)
            .bind(&events.event_id)
            .bind(&events.data)
            .bind(&events.command_id)
            .bind(&events.previous_id)
            .bind(&events.is_final)
            .bind(&events.tags)
            .bind(&events.metadata)
            .bind(&namespaces)
            .bind(&deciders)
            .bind(kinds.iter().map(|kind| kind.0).collect::<Vec<_>>())
            .bind(kinds.iter().map(|kind| kind.1).collect::<Vec<_>>())
            .bind(kinds.iter().map(|kind| kind.2).collect::<Vec<_>>())
    }
}

impl<'a> Commands<'a> {
    /// The row of one part; all of it is NULL where there is none.
    fn push(&mut self, command: Option<&'a CommandRecord>) {
        let outcome = command.map(|command| match &command.outcome {
            CommandOutcome::Accepted { events } => ("accepted", i64::from(*events), None),
            CommandOutcome::Rejected(rejection) => ("rejected", 0, Some(rejection)),
        });
        let rejection = outcome.and_then(|(_, _, rejection)| rejection);
        let rejection_data = rejection.and_then(|rejection| rejection.data.as_ref());
        self.command_id
            .push(command.map(|command| command.command_id));
        self.command
            .push(command.map(|command| command.command.as_str()));
        let data = command.and_then(CommandRecord::kept_data);
        self.data.push(data.map(Json::as_str));
        self.fingerprint
            .push(command.map(|command| command.fingerprint.as_bytes()));
        self.now.push(command.map(|command| command.now));
        self.seed
            .push(command.map(|command| command.seed.cast_signed()));
        self.actor
            .push(command.and_then(|command| command.actor.as_deref()));
        self.metadata
            .push(command.map(|command| SqlJson(command.metadata.entries())));
        self.version
            .push(command.map(|command| command.version.to_sql()));
        self.module
            .push(command.map(|command| command.module.to_string()));
        self.outcome.push(outcome.map(|(outcome, _, _)| outcome));
        self.events.push(outcome.map(|(_, events, _)| events));
        self.rejection_code
            .push(rejection.map(|rejection| rejection.code.as_str()));
        self.rejection_message
            .push(rejection.map(|rejection| rejection.message.as_str()));
        self.rejection_data.push(rejection_data.map(Json::as_str));
        self.fuel
            .push(command.map(|command| command.fuel.cast_signed()));
    }
}

impl<'a> Events<'a> {
    fn push(
        &mut self,
        event: &'a NewEvent,
        part: i32,
        nth: usize,
        kind: i32,
        previous_id: Option<Uuid>,
    ) {
        self.part.push(part);
        self.nth.push(count(nth) + 1);
        self.kind.push(kind);
        self.event_id.push(event.event_id);
        self.data.push(SqlJson(event.data.as_raw()));
        self.command_id.push(event.command_id);
        self.previous_id.push(previous_id);
        self.is_final.push(event.is_final);
        let tags = (!event.tags.is_empty())
            .then(|| serde_json::Value::from(event.tags.clone()).to_string());
        self.tags.push(tags);
        self.metadata.push(SqlJson(event.metadata.entries()));
    }
}

/// The place of an item in a list without repetition, at whose end it is put if it is new; the first place is 1.
fn place<T: Copy + Eq + Hash>(places: &mut HashMap<T, i32>, list: &mut Vec<T>, item: T) -> i32 {
    *places.entry(item).or_insert_with(|| {
        list.push(item);
        index(list.len())
    })
}

fn index(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How many events after the head a final event ends the stream, if others come after it in the same part.
fn ends_early(ahead: &Ahead, events: &[NewEvent]) -> Option<usize> {
    let last_is_at = events.iter().position(|event| event.is_final)? + 1;
    (last_is_at < events.len()).then_some(ahead.events + last_is_at)
}
