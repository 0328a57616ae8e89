//! Events and ledger in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use gavel_model::{
    CommandId, CommandRecord, DeciderName, Json, Namespace, Position, RecordedEvent, StreamId,
    Version,
};
use time::OffsetDateTime;

use crate::toolkit::admit::Facts;
use crate::{
    Append, AppendError, Appended, Direction, LogFilter, LogPage, PAGE_BYTES, ResumeError, Room,
    StreamHead, StreamRange, StreamSummary,
};

/// The events of one stream, oldest first; the index of an event is its version less 1.
type StreamEvents = Vec<Arc<RecordedEvent>>;

/// All events, by stream and in the order of the log.
#[derive(Debug, Default)]
pub(super) struct StoredEvents {
    /// The facts that appends are checked against.
    facts: Facts,
    /// The events by ascending position.
    log: Vec<Arc<RecordedEvent>>,
    streams: HashMap<(Namespace, DeciderName), BTreeMap<String, StreamEvents>>,
    commands: HashMap<(Namespace, CommandId), CommandRecord>,
}

impl StoredEvents {
    /// Makes an empty log of this generation.
    pub(super) fn new(generation: u64) -> Self {
        let facts = Facts {
            generation,
            ..Facts::default()
        };
        Self {
            facts,
            ..Self::default()
        }
    }

    pub(super) fn append(
        &mut self,
        append: Append,
        now: OffsetDateTime,
    ) -> Result<Vec<Appended>, AppendError> {
        let admitted = self.facts.admit(append, now)?;
        for event in admitted.answers.iter().flat_map(|part| &part.events) {
            let event = Arc::new(event.clone());
            let stream = &event.stream;
            self.streams
                .entry((stream.namespace().clone(), stream.decider().clone()))
                .or_default()
                .entry(stream.id().to_owned())
                .or_default()
                .push(Arc::clone(&event));
            self.log.push(event);
        }
        for mut command in admitted.commands {
            if command.kept_data().is_none() {
                command.data = Json::null();
            }
            let key = (command.stream.namespace().clone(), command.command_id);
            self.commands.insert(key, command);
        }
        Ok(admitted.answers)
    }

    fn stream(&self, stream: &StreamId) -> &[Arc<RecordedEvent>] {
        self.streams
            .get(&(stream.namespace().clone(), stream.decider().clone()))
            .and_then(|streams| streams.get(stream.id()))
            .map_or(&[], Vec::as_slice)
    }

    /// The log of a namespace.
    fn log_after(
        &self,
        namespace: &Namespace,
        after: Position,
    ) -> impl Iterator<Item = &Arc<RecordedEvent>> {
        let start = self.log.partition_point(|event| event.position <= after);
        let rest = self.log[start..].iter();
        rest.filter(move |event| event.stream.namespace() == namespace)
    }

    pub(super) fn head(&self, stream: &StreamId) -> StreamHead {
        self.stream(stream)
            .last()
            .map_or_else(StreamHead::default, |newest| head_after(newest))
    }

    /// The events after one version and through another.
    fn range_of(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
    ) -> &[Arc<RecordedEvent>] {
        let events = self.stream(stream);
        let index = |version: Version| usize::try_from(version.get()).unwrap_or(usize::MAX);
        let end = through.map_or(events.len(), index).min(events.len());
        events.get(index(after)..end).unwrap_or_default()
    }

    pub(super) fn read_stream(&self, stream: &StreamId, range: StreamRange) -> Vec<RecordedEvent> {
        let in_range = self.range_of(stream, range.after, range.through).iter();
        let mut room = Room::new(range.limit, range.bytes);
        match range.direction {
            Direction::Forward => fitting(in_range, &mut room),
            Direction::Backward => fitting(in_range.rev(), &mut room),
        }
    }

    pub(super) fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> LogPage {
        let in_namespace = || self.log_after(namespace, after);
        let passing = in_namespace().filter(|event| filter.passes(event));
        let mut room = Room::new(limit, PAGE_BYTES);
        let events = fitting(passing, &mut room);
        let caught_up = !room.is_full();
        let newest = if caught_up {
            in_namespace().last().map(|event| event.position)
        } else {
            events.last().map(|event| event.position)
        };
        LogPage {
            events,
            next: newest.unwrap_or(after),
            caught_up,
            is_withheld: false,
        }
    }

    pub(super) fn events_at(
        &self,
        namespace: &Namespace,
        positions: &[Position],
    ) -> Vec<RecordedEvent> {
        let mut positions = positions.to_vec();
        positions.sort_unstable();
        positions.dedup();
        let find = |position: &Position| {
            let place = |event: &Arc<RecordedEvent>| event.position;
            let index = self.log.binary_search_by_key(position, place).ok()?;
            self.log.get(index)
        };
        let found = positions.iter().filter_map(find);
        let found = found.filter(|event| event.stream.namespace() == namespace);
        found.map(|event| RecordedEvent::clone(event)).collect()
    }

    pub(super) fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        let place = |event: &Arc<RecordedEvent>| event.position;
        if position == Position::BEGINNING
            || self.log.binary_search_by_key(&position, place).is_ok()
        {
            return Ok(());
        }
        let known = self.log[..self.log.partition_point(|event| event.position < position)].iter();
        let last = known
            .rev()
            .find(|event| event.stream.namespace() == namespace);
        let end = last.map_or(Position::BEGINNING, place);
        Err(ResumeError::Lost { position, end })
    }

    pub(super) fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Vec<StreamSummary> {
        let Some(streams) = self.streams.get(&(namespace.clone(), decider.clone())) else {
            return Vec::new();
        };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        streams
            .range::<str, _>((start, Bound::Unbounded))
            .filter_map(|(id, stream)| {
                stream.last().map(|newest| StreamSummary {
                    id: id.clone(),
                    version: newest.version,
                    is_final: newest.event.is_final,
                    updated_at: newest.created_at,
                })
            })
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect()
    }

    pub(super) fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Option<CommandRecord> {
        self.commands.get(&(namespace.clone(), command_id)).cloned()
    }
}

/// The end of a stream after one of its events.
fn head_after(event: &RecordedEvent) -> StreamHead {
    StreamHead {
        version: event.version,
        last_event_id: Some(event.event.event_id),
        is_final: event.event.is_final,
    }
}

/// Copies as many events as there is room for.
fn fitting<'e>(
    events: impl Iterator<Item = &'e Arc<RecordedEvent>>,
    room: &mut Room,
) -> Vec<RecordedEvent> {
    events
        .take_while(|event| room.take(event))
        .map(|event| RecordedEvent::clone(event))
        .collect()
}
