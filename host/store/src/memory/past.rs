//! The past of deciders in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use gavel_model::{
    CommandId, CommandRecord, DeciderName, Event, EventId, Namespace, Position, RecordedEvent,
    Version,
};

use super::MemoryStore;
use super::events::Events;
use crate::toolkit::Passages;
use crate::{Counted, Error, Moment, PastPage, PastRange, PastStore, Place, Room};

impl Events {
    /// All events after a place, by stream and version.
    fn after<'e>(
        &'e self,
        range: &'e PastRange,
        after: &'e Place,
    ) -> impl Iterator<Item = &'e RecordedEvent> {
        let streams = self
            .streams
            .get(&(range.namespace.clone(), range.decider.clone()));
        let from_there = streams
            .into_iter()
            .flat_map(|streams| streams.range::<String, _>(&after.id..))
            .filter(move |(id, _)| is_read(range, id));
        from_there.flat_map(move |(id, stream)| {
            let start = range.start_of(id);
            let read = if *id == after.id {
                start.max(after.version)
            } else {
                start
            };
            let read = usize::try_from(read.get()).unwrap_or(usize::MAX);
            let rest = stream.get(read..).unwrap_or_default();
            let is_read = |event: &&RecordedEvent| {
                let through = range.through.as_ref();
                through.is_none_or(|through| event.position <= through.settled)
            };
            rest.iter().map(|event| &**event).filter(is_read)
        })
    }

    /// All commands without events after one of them, by stream, version and id.
    fn eventless_after<'e>(
        &'e self,
        range: &'e PastRange,
        after: &(Place, CommandId),
    ) -> impl Iterator<Item = CommandRecord> {
        let bounds = (Bound::Excluded(after.clone()), Bound::Unbounded);
        let places = self
            .eventless
            .get(&(range.namespace.clone(), range.decider.clone()));
        places
            .into_iter()
            .flat_map(move |places| places.range(bounds.clone()))
            .filter(move |((place, _), _)| {
                is_read(range, &place.id) && place.version >= range.start_of(&place.id)
            })
            .filter(move |(_, number)| {
                let is_before = |moment: &Moment| **number <= commands_before(moment);
                range.through.as_ref().is_none_or(is_before)
                    && !range.eventless_since.as_ref().is_some_and(is_before)
            })
            .filter_map(move |((_, id), _)| self.command(&range.namespace, *id))
    }

    /// The streams in which something was stored after a moment, with the version that they had then.
    pub(super) fn moved_since(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        since: &Moment,
    ) -> Vec<Place> {
        let range = PastRange {
            namespace: namespace.clone(),
            decider: decider.clone(),
            streams: None,
            through: None,
            eventless_since: Some(since.clone()),
        };
        let behind = self.log_after(namespace, since.settled);
        let of_decider = behind.filter(|event| event.stream.decider() == decider);
        let moved = of_decider.map(|event| {
            let before = event.version.get().saturating_sub(1);
            let before = Version::new(before).unwrap_or_default();
            (event.stream.id().to_owned(), before)
        });
        let beginning = <(Place, CommandId)>::default();
        let eventless = self.eventless_after(&range, &beginning);
        let decided = eventless.map(|command| (command.stream.id().to_owned(), command.version));
        let mut places = BTreeMap::new();
        for (id, version) in moved.chain(decided) {
            let earliest = places.entry(id).or_insert(version);
            *earliest = version.min(*earliest);
        }
        let places = places.into_iter();
        places.map(|(id, version)| Place { id, version }).collect()
    }
}

/// How many commands were stored before a moment.
fn commands_before(moment: &Moment) -> usize {
    moment.mark.parse().unwrap_or(0)
}

#[async_trait]
impl PastStore for MemoryStore {
    async fn passages(
        &self,
        range: &PastRange,
        after: &Place,
        limit: u32,
    ) -> Result<PastPage, Error> {
        let mut passages = Passages::default();
        let mut room = Room::of_history(limit);
        let events = &self.kept().events;
        for recorded in events.after(range, after) {
            let command_id = recorded.event.command_id;
            let event = Event::from(recorded.event.clone());
            if !room.take_bytes(event.size_bytes()) {
                break;
            }
            passages.push(recorded.stream.id(), recorded.version, event, command_id);
        }
        Ok(passages.into_page(room.is_full()))
    }

    async fn eventless(
        &self,
        range: &PastRange,
        after: &(Place, CommandId),
        limit: u32,
    ) -> Result<Vec<CommandRecord>, Error> {
        let events = &self.kept().events;
        let commands = events.eventless_after(range, after);
        Ok(commands.take(limit as usize).collect())
    }

    async fn commands(
        &self,
        namespace: &Namespace,
        ids: &[CommandId],
    ) -> Result<HashMap<CommandId, CommandRecord>, Error> {
        let events = &self.kept().events;
        let found = ids
            .iter()
            .filter_map(|id| Some((*id, events.command(namespace, *id)?)));
        Ok(found.collect())
    }

    async fn moment(&self, namespace: &Namespace) -> Result<Moment, Error> {
        let events = &self.kept().events;
        let newest = events.log_after(namespace, Position::BEGINNING).last();
        Ok(Moment {
            settled: newest.map_or(Position::BEGINNING, |newest| newest.position),
            mark: events.command_count().to_string(),
        })
    }

    async fn moved_since(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        since: &Moment,
        limit: u32,
    ) -> Result<Option<Vec<Place>>, Error> {
        let places = self.kept().events.moved_since(namespace, decider, since);
        Ok((places.len() <= limit as usize).then_some(places))
    }

    async fn event(
        &self,
        namespace: &Namespace,
        event_id: EventId,
    ) -> Result<Option<RecordedEvent>, Error> {
        let events = &self.kept().events;
        let mut log = events.log_after(namespace, Position::BEGINNING);
        let found = log.find(|event| event.event.event_id == event_id);
        Ok(found.map(|event| RecordedEvent::clone(event)))
    }

    async fn count_events(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: &Place,
        limit: u32,
    ) -> Result<Counted, Error> {
        let range = PastRange {
            namespace: namespace.clone(),
            decider: decider.clone(),
            streams: None,
            through: None,
            eventless_since: None,
        };
        let events = &self.kept().events;
        let page: Vec<_> = events.after(&range, after).take(limit as usize).collect();
        let last = page.last().filter(|_| page.len() == limit as usize);
        Ok(Counted {
            events: page.len() as u64,
            end: last.map(|event| Place {
                id: event.stream.id().to_owned(),
                version: event.version,
            }),
        })
    }
}

/// Whether the stream is one of those that are read.
fn is_read(range: &PastRange, id: &str) -> bool {
    let streams = range.streams.as_deref();
    streams.is_none_or(|streams| {
        streams
            .binary_search_by(|start| start.id.as_str().cmp(id))
            .is_ok()
    })
}
