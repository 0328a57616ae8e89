//! The arguments of `gavel_append`: one statement for any number of appends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::LazyLock;

use gavel_model::{NewEvent, StreamId, Version};
use gavel_store::Append;
use serde_json::value::RawValue;
use sqlx::types::Json as SqlJson;
use uuid::Uuid;

use super::ledger::Commands;
use super::query::Statement;
use super::rows::BatchOutcome;

/// The number of arguments of `gavel_append` besides those of the ledger.
const OTHERS: usize = 31;

static CALL: LazyLock<String> = LazyLock::new(|| {
    let arguments = (1..=OTHERS + Commands::COUNT).map(|place| format!("${place}"));
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    let columns = BatchOutcome::COLUMNS;
    format!("SELECT {columns} FROM gavel_append({arguments})")
});

/// The arguments of `gavel_append`, which explains them: one list per column.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    parts: Parts<'a>,
    commands: Commands<'a>,
    events: EventColumns<'a>,
    activations: Vec<(&'a str, &'a str, &'a str)>,
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
struct EventColumns<'a> {
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

/// The effect of the earlier parts on one stream, seen from its head.
#[derive(Default)]
struct StreamGrowth {
    events: usize,
    last_id: Option<Uuid>,
    ends_after: Option<usize>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a [Append]) -> Self {
        let mut columns = Self::default();
        let (mut fences, mut kinds) = (HashMap::new(), HashMap::new());
        for (number, append) in batch.iter().enumerate() {
            let mut streams: HashMap<&StreamId, StreamGrowth> = HashMap::new();
            let (mut commands, mut ids) = (HashSet::new(), HashSet::new());
            for part in &append.parts {
                let stream = &part.stream;
                let (namespace, decider) = (stream.namespace().as_str(), stream.decider().as_str());
                let fence_at = part.fence.map(|fence| {
                    let key = (namespace, fence.kind.as_str(), decider);
                    place(&mut fences, &mut columns.activations, key)
                });
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
                parts.fence.push(part.fence.map(|fence| fence.number.get()));
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

    /// The call of a host that knows migrations up to `known`. With `waits` it waits for streams
    /// that others write to; without, what appends to those is refused.
    pub(super) fn statement(&self, known: i64, waits: bool) -> Statement<'static> {
        let (parts, commands, events) = (&self.parts, &self.commands, &self.events);
        let (activations, kinds) = (&self.activations, &self.kinds);
        let statement = sqlx::query(CALL.as_str())
            .bind(known)
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
            .bind(&parts.repeated_event_id);
        commands
            .bind(statement)
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
            .bind(activations.iter().map(|key| key.0).collect::<Vec<_>>())
            .bind(activations.iter().map(|key| key.1).collect::<Vec<_>>())
            .bind(activations.iter().map(|key| key.2).collect::<Vec<_>>())
            .bind(kinds.iter().map(|kind| kind.0).collect::<Vec<_>>())
            .bind(kinds.iter().map(|kind| kind.1).collect::<Vec<_>>())
            .bind(kinds.iter().map(|kind| kind.2).collect::<Vec<_>>())
    }
}

impl<'a> EventColumns<'a> {
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

/// The place of an item in a list without repetition, at whose end it is put if it is new; the
/// first place is 1.
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

/// The number of events from the head to a final event that has others after it in the same part.
fn ends_early(ahead: &StreamGrowth, events: &[NewEvent]) -> Option<usize> {
    let last_is_at = events.iter().position(|event| event.is_final)? + 1;
    (last_is_at < events.len()).then_some(ahead.events + last_is_at)
}
