//! The arguments of `gavel_append`: one statement for any number of appends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use gavel_model::{ModuleDigest, NewEvent, StreamId, Version};
use gavel_store::toolkit::lean;
use gavel_store::{Append, StreamAppend};
use serde_json::value::RawValue;
use sqlx::types::Json as SqlJson;
use uuid::Uuid;

use super::ledger::Commands;
use super::places::{Places, index};
use super::query::Statement;
use super::rows::BatchOutcome;

/// The number of arguments of `gavel_append` besides those of the ledger.
const OTHERS: usize = 32;

/// Stands for no version, and no activation, where numbers cannot be NULL.
const NONE: i64 = -1;

static CALL: LazyLock<String> = LazyLock::new(|| {
    let arguments = (1..=OTHERS + Commands::COUNT).map(|place| format!("${place}"));
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    let columns = BatchOutcome::COLUMNS;
    format!("SELECT {columns} FROM gavel_append({arguments})")
});

/// The arguments of `gavel_append`, which explains them: one list per column.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    targets: Places<Target<'a>>,
    kinds: Places<(&'a str, &'a str, i64)>,
    parts: Parts<'a>,
    sequels: Sequels,
    commands: Commands<'a>,
    events: EventColumns<'a>,
}

/// A place for parts, and what they depend on: decider, activation, and the module that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Target<'a> {
    namespace: &'a str,
    decider: &'a str,
    fence: Option<(&'static str, i64)>,
    module: Option<ModuleDigest>,
}

#[derive(Debug, Default)]
struct Parts<'a> {
    append: Vec<i32>,
    target: Vec<i32>,
    decider_id: Vec<&'a str>,
    expected: Vec<i64>,
    expected_previous_id: Vec<Uuid>,
    since: Vec<i64>,
}

/// The effects of the earlier parts of its append on a part; none at all in most batches.
#[derive(Debug, Default)]
struct Sequels {
    ahead: Vec<i64>,
    ahead_id: Vec<Option<Uuid>>,
    ends_after: Vec<Option<i64>>,
    repeats_command: Vec<bool>,
    repeated_event_id: Vec<Option<Uuid>>,
    is_any: bool,
}

#[derive(Debug, Default)]
struct EventColumns<'a> {
    part: Vec<i32>,
    nth: Vec<i64>,
    kind: Vec<i32>,
    event_id: Vec<Uuid>,
    data: Vec<SqlJson<&'a RawValue>>,
    command_id: Vec<Uuid>,
    is_final: Vec<bool>,
    tags: Vec<Option<String>>,
    metadata: Vec<Option<SqlJson<BTreeMap<String, String>>>>,
    is_lean: Vec<bool>,
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
        for (number, append) in batch.iter().enumerate() {
            let mut streams: HashMap<&StreamId, StreamGrowth> = HashMap::new();
            let (mut commands, mut ids) = (HashSet::new(), HashSet::new());
            for part in &append.parts {
                let command = part.command.as_ref();
                let repeats_command =
                    command.is_some_and(|command| !commands.insert(command.command_id));
                let mut repeated = part.events.iter().map(|event| event.event_id);
                let repeated = repeated.find(|id| !ids.insert(*id));
                let ahead = streams.entry(&part.stream).or_default();
                let ends_after = ahead.ends_after.or_else(|| ends_early(ahead, &part.events));
                columns
                    .sequels
                    .push(ahead, ends_after, repeats_command, repeated);
                columns.push(index(number), part, ahead.events);
                ahead.grow(&part.events);
            }
        }
        if !columns.sequels.is_any {
            columns.sequels = Sequels::default();
        }
        columns
    }

    fn push(&mut self, append: i32, part: &'a StreamAppend, ahead: usize) {
        let stream = &part.stream;
        let command = part.command.as_ref();
        let module = command.map(|command| command.module);
        let decider = stream.decider().as_str();
        let fence = part.fence;
        let target = self.targets.of(Target {
            namespace: stream.namespace().as_str(),
            decider,
            fence: fence.map(|fence| (fence.kind.as_str(), fence.number.get())),
            module,
        });
        // The stream was at this version when it was decided on.
        let seen = command.map_or(Version::EMPTY, |command| command.version);
        let seen = part.expected.version().unwrap_or(seen).to_sql() - count(ahead);
        let parts = &mut self.parts;
        parts.append.push(append);
        parts.target.push(target);
        parts.decider_id.push(stream.id());
        let expected = part.expected.version().map(Version::to_sql);
        parts.expected.push(expected.unwrap_or(NONE));
        let previous_id = part.expected_previous_id;
        parts
            .expected_previous_id
            .push(previous_id.unwrap_or_default());
        parts.since.push(seen.max(0));

        let place = index(parts.append.len());
        if let Some(command) = command {
            self.commands.push(place, command);
        }
        let module = module.map(|module| module.to_string());
        for (nth, event) in part.events.iter().enumerate() {
            let kind = (
                decider,
                event.event.as_str(),
                i64::from(event.schema_version),
            );
            let kind = self.kinds.of(kind);
            self.events.push(event, place, nth, kind, module.as_deref());
        }
    }

    /// The call of a host that knows migrations up to `known`. With `waits` it waits for streams
    /// that others write to; without, what appends to those is refused. With `doubts` it looks for
    /// ids that are in use.
    pub(super) fn statement(&self, known: i64, waits: bool, doubts: bool) -> Statement<'static> {
        let (parts, sequels, events) = (&self.parts, &self.sequels, &self.events);
        let (targets, kinds) = (self.targets.list(), self.kinds.list());
        let fences = targets.iter().map(|target| target.fence);
        let (fence_kinds, numbers): (Vec<_>, Vec<_>) = fences
            .map(|fence| fence.map_or((None, NONE), |(kind, number)| (Some(kind), number)))
            .unzip();
        let modules = targets.iter().map(|target| target.module);
        let modules = modules.map(|module| module.map(|module| module.to_string()));
        let statement = sqlx::query(CALL.as_str())
            .bind(known)
            .bind(waits)
            .bind(doubts)
            .bind(column(targets, |target| target.namespace))
            .bind(column(targets, |target| target.decider))
            .bind(fence_kinds)
            .bind(numbers)
            .bind(modules.collect::<Vec<_>>())
            .bind(column(kinds, |kind| kind.0))
            .bind(column(kinds, |kind| kind.1))
            .bind(column(kinds, |kind| kind.2))
            .bind(&parts.append)
            .bind(&parts.target)
            .bind(&parts.decider_id)
            .bind(&parts.expected)
            .bind(&parts.expected_previous_id)
            .bind(&parts.since)
            .bind(&sequels.ahead)
            .bind(&sequels.ahead_id)
            .bind(&sequels.ends_after)
            .bind(&sequels.repeats_command)
            .bind(&sequels.repeated_event_id);
        self.commands
            .bind(statement)
            .bind(&events.part)
            .bind(&events.nth)
            .bind(&events.kind)
            .bind(&events.event_id)
            .bind(&events.data)
            .bind(&events.command_id)
            .bind(&events.is_final)
            .bind(&events.tags)
            .bind(&events.metadata)
            .bind(&events.is_lean)
    }
}

impl Sequels {
    fn push(
        &mut self,
        ahead: &StreamGrowth,
        ends_after: Option<usize>,
        repeats_command: bool,
        repeated_event_id: Option<Uuid>,
    ) {
        self.is_any |= ahead.events > 0
            || ends_after.is_some()
            || repeats_command
            || repeated_event_id.is_some();
        self.ahead.push(count(ahead.events));
        self.ahead_id.push(ahead.last_id);
        self.ends_after.push(ends_after.map(count));
        self.repeats_command.push(repeats_command);
        self.repeated_event_id.push(repeated_event_id);
    }
}

impl StreamGrowth {
    fn grow(&mut self, events: &[NewEvent]) {
        if events.iter().any(|event| event.is_final) {
            self.ends_after.get_or_insert(self.events + events.len());
        }
        self.events += events.len();
        self.last_id = events.last().map(|event| event.event_id).or(self.last_id);
    }
}

impl<'a> EventColumns<'a> {
    /// Adds an event that the module with this digest has decided, or none.
    fn push(
        &mut self,
        event: &'a NewEvent,
        part: i32,
        nth: usize,
        kind: i32,
        module: Option<&str>,
    ) {
        let lean = module.and_then(|module| lean::lean(event, module));
        self.is_lean.push(lean.is_some());
        let metadata = lean
            .unwrap_or_else(|| event.metadata.clone())
            .into_entries();
        self.metadata
            .push((!metadata.is_empty()).then_some(SqlJson(metadata)));
        self.part.push(part);
        self.nth.push(count(nth) + 1);
        self.kind.push(kind);
        self.event_id.push(event.event_id);
        self.data.push(SqlJson(event.data.as_raw()));
        self.command_id.push(event.command_id);
        self.is_final.push(event.is_final);
        let tags = (!event.tags.is_empty())
            .then(|| serde_json::Value::from(event.tags.clone()).to_string());
        self.tags.push(tags);
    }
}

fn column<T, C>(list: &[T], of: impl Fn(&T) -> C) -> Vec<C> {
    list.iter().map(of).collect()
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The number of events from the head to a final event that has others after it in the same part.
fn ends_early(ahead: &StreamGrowth, events: &[NewEvent]) -> Option<usize> {
    let last_is_at = events.iter().position(|event| event.is_final)? + 1;
    (last_is_at < events.len()).then_some(ahead.events + last_is_at)
}
