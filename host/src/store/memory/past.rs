//! The past of deciders in memory.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use async_trait::async_trait;

use super::events::Events;
use super::{MemoryStore, lock};
use crate::core::{
    CommandId, CommandRecord, DeciderName, EventId, Namespace, Position, RecordedEvent,
};
use crate::store::past::Passages;
use crate::store::{Counted, Error, Frontier, Passage, PastRange, PastStore, Place};

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
            .take_while(move |(id, _)| is_read(range, id));
        from_there.flat_map(move |(id, stream)| {
            let read = if *id == after.id {
                usize::try_from(after.version.get()).unwrap_or(usize::MAX)
            } else {
                0
            };
            let rest = stream.get(read..).unwrap_or_default();
            let is_read = |event: &&RecordedEvent| {
                range
                    .through
                    .is_none_or(|through| event.position <= through)
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
            .take_while(move |(place, _)| is_read(range, &place.id))
            .filter_map(move |(_, id)| self.command(&range.namespace, *id))
    }
}

#[async_trait]
impl PastStore for MemoryStore {
    async fn passages(
        &self,
        range: &PastRange,
        after: &Place,
        limit: u32,
    ) -> Result<Vec<Passage>, Error> {
        let Some(after) = range.enter(after) else {
            return Ok(Vec::new());
        };
        let mut passages = Passages::default();
        let events = lock(&self.events);
        for recorded in events.after(range, &after).take(limit as usize) {
            let event = recorded.event.clone();
            let command_id = event.command_id;
            passages.push(
                recorded.stream.id(),
                recorded.version,
                event.into(),
                command_id,
            );
        }
        Ok(passages.into_vec())
    }

    async fn eventless(
        &self,
        range: &PastRange,
        after: &(Place, CommandId),
        limit: u32,
    ) -> Result<Vec<CommandRecord>, Error> {
        let Some(after) = range.enter_commands(after) else {
            return Ok(Vec::new());
        };
        let events = lock(&self.events);
        let commands = events.eventless_after(range, &after);
        Ok(commands.take(limit as usize).collect())
    }

    async fn commands(
        &self,
        namespace: &Namespace,
        ids: &[CommandId],
    ) -> Result<HashMap<CommandId, CommandRecord>, Error> {
        let events = lock(&self.events);
        let found = ids
            .iter()
            .filter_map(|id| Some((*id, events.command(namespace, *id)?)));
        Ok(found.collect())
    }

    async fn frontier(&self, namespace: &Namespace) -> Result<Frontier, Error> {
        let events = lock(&self.events);
        let newest = events.log_after(namespace, Position::BEGINNING).last();
        let newest = newest.map_or(Position::BEGINNING, |newest| newest.position);
        Ok(Frontier {
            settled: newest,
            newest,
        })
    }

    async fn moved_since(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        since: Position,
        limit: u32,
    ) -> Result<Option<Vec<String>>, Error> {
        let events = lock(&self.events);
        let behind = events.log_after(namespace, since);
        let of_decider = behind.filter(|event| event.stream.decider() == decider);
        let ids: BTreeSet<&str> = of_decider.map(|event| event.stream.id()).collect();
        let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        Ok((ids.len() <= limit as usize).then_some(ids))
    }

    async fn event(
        &self,
        namespace: &Namespace,
        event_id: EventId,
    ) -> Result<Option<RecordedEvent>, Error> {
        let events = lock(&self.events);
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
            id: None,
            through: None,
        };
        let events = lock(&self.events);
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
    range.id.as_ref().is_none_or(|only| only == id)
}
