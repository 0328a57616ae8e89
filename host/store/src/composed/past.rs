//! The past, by its streams; commands without events leave marks in streams of the store's own.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use gavel_model::{
    CommandId, CommandRecord, DeciderName, Event, EventFilter, EventId, Namespace, Position,
    RecordedEvent, StreamId, Version,
};
use serde::{Deserialize, Serialize};

use super::journal::{document, internal_stream, recorded_event, unconditional};
use super::log::{PAGE_EVENTS, read_log};
use super::{Composed, Core};
use crate::toolkit::Segments;
use crate::{
    Counted, Error, EventStore as _, LogFilter, Moment, PastPage, PastRange, PastStore, Place,
    ResumeError, Room, StreamAppend, StreamRange,
};

/// The number of streams that are listed in one step.
const PAGE_STREAMS: u32 = 1_000;

/// The mark of a command without events.
#[derive(Debug, Serialize, Deserialize)]
struct EventlessMark {
    version: Version,
    command_id: CommandId,
}

impl EventlessMark {
    fn read(recorded: &RecordedEvent) -> Result<Self, Error> {
        serde_json::from_str(recorded.event.data.as_str()).map_err(|error| Error::Corrupt {
            what: "mark of a command without events",
            reason: error.to_string(),
        })
    }
}

/// The decider of the marks of a decider's commands.
fn marks_of(decider: &DeciderName) -> String {
    format!("eventless_{decider}")
}

/// The part of an append that marks a part's command, if it leaves no event.
pub(super) fn mark_of(part: &StreamAppend) -> Result<Option<StreamAppend>, Error> {
    let (Some(command), []) = (&part.command, part.events.as_slice()) else {
        return Ok(None);
    };
    let mark = EventlessMark {
        version: command.version,
        command_id: command.command_id,
    };
    let mark = document(&mark)?;
    let stream = &part.stream;
    let marks = marks_of(stream.decider());
    let stream = internal_stream(stream.namespace().clone(), &marks, stream.id())?;
    Ok(Some(unconditional(stream, vec![recorded_event(mark)])))
}

impl<B: Core> Composed<B> {
    /// The next ids of a decider's streams after one of them, of those that a range reads.
    async fn ids_after(
        &self,
        range: &PastRange,
        decider: &DeciderName,
        after: &str,
    ) -> Result<Vec<String>, Error> {
        if let Some(streams) = &range.streams {
            let passed = streams.partition_point(|start| start.id.as_str() <= after);
            let rest = streams.iter().skip(passed).take(PAGE_STREAMS as usize);
            return Ok(rest.map(|start| start.id.clone()).collect());
        }
        let after = (!after.is_empty()).then_some(after);
        let core = &self.core;
        let listed = core.list_streams(&range.namespace, decider, after, PAGE_STREAMS);
        Ok(listed.await?.into_iter().map(|stream| stream.id).collect())
    }

    /// Adds the events of a stream after a version, up to a moment, as far as there is room.
    async fn fill(
        &self,
        segments: &mut Segments,
        room: &mut Room,
        stream: &StreamId,
        mut after: Version,
        through: Option<&Moment>,
    ) -> Result<(), Error> {
        loop {
            let page = self
                .core
                .read_stream(stream, StreamRange::page_after(after))
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.version;
            for recorded in page {
                let is_later = through.is_some_and(|through| recorded.position > through.settled);
                let (version, command_id) = (recorded.version, recorded.event.command_id);
                let event = Event::from(recorded.event);
                if is_later || !room.take_bytes(event.size_bytes()) {
                    return Ok(());
                }
                segments.push(stream.id(), version, event, command_id);
            }
        }
    }

    /// All marks of a stream that a range reads, by version and id.
    async fn marks(
        &self,
        range: &PastRange,
        marks: &DeciderName,
        id: &str,
    ) -> Result<Vec<(Place, CommandId)>, Error> {
        let stream = named(&range.namespace, marks, id)?;
        let (mut found, mut after) = (Vec::new(), Version::EMPTY);
        let is_before = |moment: &Moment, event: &RecordedEvent| event.position <= moment.settled;
        loop {
            let page = self
                .core
                .read_stream(&stream, StreamRange::page_after(after))
                .await?;
            let Some(last) = page.last() else { break };
            after = last.version;
            for recorded in &page {
                let mark = EventlessMark::read(recorded)?;
                let (since, through) = (range.eventless_since.as_ref(), range.through.as_ref());
                let is_wanted = through.is_none_or(|through| is_before(through, recorded))
                    && since.is_none_or(|since| !is_before(since, recorded))
                    && mark.version >= range.start_of(id);
                if is_wanted {
                    let version = mark.version;
                    let place = Place {
                        id: id.to_owned(),
                        version,
                    };
                    found.push((place, mark.command_id));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

#[async_trait]
impl<B: Core> PastStore for Composed<B> {
    async fn segments(
        &self,
        range: &PastRange,
        after: &Place,
        limit: u32,
    ) -> Result<PastPage, Error> {
        let mut segments = Segments::default();
        let mut room = Room::of_history(limit);
        let mut ids = first_of(range, &after.id);
        let mut last = after.id.clone();
        loop {
            for id in ids {
                let stream = named(&range.namespace, &range.decider, &id)?;
                let start = range.start_of(&id);
                let start = if id == after.id {
                    start.max(after.version)
                } else {
                    start
                };
                let through = range.through.as_ref();
                self.fill(&mut segments, &mut room, &stream, start, through)
                    .await?;
                if room.is_full() {
                    return Ok(segments.into_page(true));
                }
                last = id;
            }
            ids = self.ids_after(range, &range.decider, &last).await?;
            if ids.is_empty() {
                return Ok(segments.into_page(false));
            }
        }
    }

    async fn eventless(
        &self,
        range: &PastRange,
        after: &(Place, CommandId),
        limit: u32,
    ) -> Result<Vec<CommandRecord>, Error> {
        let marks = DeciderName::internal(&marks_of(&range.decider));
        let mut commands = Vec::new();
        let mut ids = first_of(range, &after.0.id);
        let mut last = after.0.id.clone();
        loop {
            for id in ids {
                for mark in self.marks(range, &marks, &id).await? {
                    if commands.len() == limit as usize {
                        return Ok(commands);
                    }
                    if mark > *after {
                        let command = self.core.command(&range.namespace, mark.1).await?;
                        commands.push(command.ok_or_else(|| Error::Corrupt {
                            what: "mark of a command without events",
                            reason: format!("the ledger has no command {}", mark.1),
                        })?);
                    }
                }
                last = id;
            }
            ids = self.ids_after(range, &marks, &last).await?;
            if ids.is_empty() {
                return Ok(commands);
            }
        }
    }

    async fn commands(
        &self,
        namespace: &Namespace,
        ids: &[CommandId],
    ) -> Result<HashMap<CommandId, CommandRecord>, Error> {
        let mut found = HashMap::with_capacity(ids.len());
        for id in ids {
            if let Some(command) = self.core.command(namespace, *id).await? {
                found.insert(*id, command);
            }
        }
        Ok(found)
    }

    async fn event(
        &self,
        namespace: &Namespace,
        event_id: EventId,
    ) -> Result<Option<RecordedEvent>, Error> {
        let (everything, mut after) = (LogFilter::default(), Position::BEGINNING);
        loop {
            let page = read_log(&*self.core, namespace, after, &everything, PAGE_EVENTS).await?;
            after = page.next;
            let mut events = page.events.into_iter();
            let found = events.find(|recorded| recorded.event.event_id == event_id);
            if found.is_some() || page.caught_up {
                return Ok(found);
            }
        }
    }

    async fn moment(&self, namespace: &Namespace) -> Result<Moment, Error> {
        Ok(Moment {
            settled: self.ends.find(&*self.core, namespace).await?,
            mark: String::new(),
        })
    }

    async fn moved_since(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        since: &Moment,
        limit: u32,
    ) -> Result<Option<Vec<Place>>, Error> {
        match self.core.check_position(namespace, since.settled).await {
            Ok(()) => {}
            Err(ResumeError::Lost { .. }) => return Ok(None),
            Err(ResumeError::Store(error)) => return Err(error),
        }
        let end = self.ends.find(&*self.core, namespace).await?;
        let marks = DeciderName::internal(&marks_of(decider));
        let of_decider = LogFilter::from(EventFilter {
            deciders: [decider, &marks].map(DeciderName::to_string).to_vec(),
            ..EventFilter::default()
        });
        let mut places = BTreeMap::new();
        let mut after = since.settled;
        while after < end && places.len() <= limit as usize {
            let page = self
                .core
                .read_log(namespace, after, &of_decider, PAGE_EVENTS);
            let page = page.await?;
            for event in &page.events {
                let version = match event.stream.decider().is_internal() {
                    true => EventlessMark::read(event)?.version,
                    false => event.version.previous(),
                };
                let earliest = places
                    .entry(event.stream.id().to_owned())
                    .or_insert(version);
                *earliest = version.min(*earliest);
            }
            after = page.next;
            if page.caught_up {
                break;
            }
        }
        let is_told = places.len() <= limit as usize;
        let places = places.into_iter();
        let places = places.map(|(id, version)| Place { id, version });
        Ok(is_told.then(|| places.collect()))
    }

    async fn count_events(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: &Place,
        limit: u32,
    ) -> Result<Counted, Error> {
        let after = (!after.id.is_empty()).then_some(after.id.as_str());
        let streams = self.list_streams(namespace, decider, after, limit).await?;
        let last = streams.last().filter(|_| streams.len() == limit as usize);
        Ok(Counted {
            events: streams.iter().map(|stream| stream.version.get()).sum(),
            end: last.map(|last| Place {
                id: last.id.clone(),
                version: last.version,
            }),
        })
    }
}

/// The stream in which a place is, if it is in one and a range reads it.
fn first_of(range: &PastRange, id: &str) -> Vec<String> {
    let streams = range.streams.as_deref();
    let is_read = streams.is_none_or(|streams| streams.iter().any(|start| start.id == id));
    let is_first = is_read && !id.is_empty();
    is_first.then(|| id.to_owned()).into_iter().collect()
}

/// A stream that may be none, which then has no events.
fn named(namespace: &Namespace, decider: &DeciderName, id: &str) -> Result<StreamId, Error> {
    StreamId::new(namespace.clone(), decider.clone(), id)
        .map_err(|error| Error::Refused(error.to_string()))
}
