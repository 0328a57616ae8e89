//! Reading: pages of events and of commands, brought together.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::{Manner, Part, PastDecision};
use crate::core::{CommandId, CommandOutcome, CommandRecord};
use crate::gate::Gate;
use crate::runtime::Courtesy;
use crate::store::{Error, Passage, PastPage, PastRange, Place, Store};

/// How many events, and how many commands without events, are read at a time.
const PAGE: u32 = 2_000;
/// The same while live calls are made: the store has a few tenths of a millisecond of work with them. What keeps a processor for longer makes all
/// commands wait, most of all those of the one connection that appends.
const SMALL_PAGE: u32 = 50;

fn page_size(has_company: bool) -> u32 {
    if has_company { SMALL_PAGE } else { PAGE }
}

/// Whether the commands are read as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gate) enum Reading {
    /// The events only.
    Events,
    /// The events, and the ledger of what was decided at these places or later ones of their streams, and on all of other streams.
    DecisionsFrom(Arc<[Place]>),
}

impl Reading {
    /// The events and the ledger.
    pub(in crate::gate) fn decisions() -> Self {
        Self::DecisionsFrom([].into())
    }
}

/// Reads the past of a range from its beginning to its end: while somebody works on a page, the commands of the next one are looked up, and the
/// events of the one after that are read.
#[derive(Debug)]
pub(in crate::gate) struct Reader {
    source: Source,
    /// The events of the page after `ahead`; none after the last.
    events_ahead: Option<Task<Events>>,
    /// The next page; none before the first, and after the last.
    ahead: Option<Task<Page>>,
    /// The end of the last page, when its last command goes on in the next.
    carried: Option<Cut>,
    /// What is left of a page, when there are more commands without events than fit beside it.
    left: Option<Page>,
    /// Where the last part ended; before the first one, a place that no stream has.
    read_to: Place,
    eventless: Eventless,
}

type Task<T> = AbortOnDropHandle<Result<T, Error>>;

#[derive(Debug, Clone)]
struct Source {
    store: Arc<dyn Store>,
    range: PastRange,
    reading: Reading,
    courtesy: Courtesy,
}

/// A page of which the commands are not known yet.
#[derive(Debug)]
struct Events {
    passages: Vec<Passage>,
    is_last: bool,
    /// How many to read next.
    next_limit: u32,
}

#[derive(Debug)]
struct Page {
    passages: Vec<Passage>,
    commands: HashMap<CommandId, CommandRecord>,
    is_last: bool,
}

/// Events that wait for the page after theirs, and the row of their command.
#[derive(Debug)]
struct Cut {
    passage: Passage,
    record: CommandRecord,
}

/// The commands that have left no event, a page at a time.
#[derive(Debug)]
struct Eventless {
    read: VecDeque<CommandRecord>,
    after: (Place, CommandId),
    /// How many to read, and to take, at a time.
    limit: u32,
    is_over: bool,
}

impl Gate {
    /// Reads `range`.
    pub(in crate::gate) fn reader(
        &self,
        range: PastRange,
        reading: Reading,
        manner: Manner,
    ) -> Reader {
        let courtesy = match manner {
            Manner::GivesWay => self.modules.runtime().courtesy().clone(),
            // It knows of no calls.
            Manner::Presses => Courtesy::default(),
        };
        Reader::new(self.store.clone(), range, reading, courtesy)
    }
}

impl Reader {
    /// As [`Gate::reader`]. Must be called in an async runtime.
    pub(super) fn new(
        store: Arc<dyn Store>,
        range: PastRange,
        reading: Reading,
        courtesy: Courtesy,
    ) -> Self {
        let is_over = reading == Reading::Events;
        let source = Source {
            store,
            range,
            reading,
            courtesy,
        };
        Self {
            events_ahead: Some(source.read_ahead(Place::default(), SMALL_PAGE)),
            ahead: None,
            source,
            carried: None,
            left: None,
            read_to: Place::default(),
            eventless: Eventless {
                read: VecDeque::new(),
                after: <_>::default(),
                limit: SMALL_PAGE,
                is_over,
            },
        }
    }

    /// The next parts; none at the end. Only the first one may go on with a stream that began earlier.
    pub(in crate::gate) async fn next(&mut self) -> Result<Option<Vec<Part>>, Error> {
        let left = self.left.take();
        let page = match left {
            Some(_) => left,
            None => self.page().await?,
        };
        let Some(mut page) = page else {
            return Ok(None);
        };
        let end = match (page.is_last, page.passages.last()) {
            (false, Some(passage)) => Some(end_of(passage)),
            // Nothing but the end of a command that goes on.
            (false, None) => return Ok(Some(Vec::new())),
            (true, _) => None,
        };
        let most = self.eventless.limit as usize;
        let eventless = self
            .eventless
            .take_through(&self.source, end.as_ref())
            .await?;
        // There may be more, at the same place even.
        let full = eventless.last().map(place_of);
        let full = full.filter(|_| eventless.len() >= most);
        let rest = full.as_ref().map(|place| page.split_off(place));
        let range = &self.source.range;
        let mut parts = page.parts(eventless, range, &self.read_to);
        for part in &mut parts {
            let follows = part.id == self.read_to.id && part.after == self.read_to.version;
            part.goes_on = follows || part.after != range.start_of(&part.id);
        }
        if let Some(last) = parts.last() {
            self.read_to = Place {
                id: last.id.clone(),
                version: last.end(),
            };
        }
        page.passages = rest.unwrap_or_default();
        if !page.passages.is_empty() || (full.is_some() && page.is_last) {
            self.left = Some(page);
        }
        Ok(Some(parts))
    }

    /// The next page, with whole commands.
    async fn page(&mut self) -> Result<Option<Page>, Error> {
        if self.ahead.is_none() {
            self.go_on().await?;
        }
        let Some(ahead) = self.ahead.take() else {
            return Ok(None);
        };
        let mut page = done(ahead).await?;
        self.go_on().await?;
        if let Some(cut) = self.carried.take() {
            page.prepend(cut);
        }
        if !page.is_last {
            self.carried = page.cut_off_unfinished();
        }
        Ok(Some(page))
    }

    /// Has the commands looked up of the events that were read ahead, and reads on meanwhile.
    async fn go_on(&mut self) -> Result<(), Error> {
        let Some(events) = self.events_ahead.take() else {
            return Ok(());
        };
        let events = done(events).await?;
        if !events.is_last {
            let end = events.passages.last().map(end_of).unwrap_or_default();
            self.events_ahead = Some(self.source.read_ahead(end, events.next_limit));
        }
        self.ahead = Some(self.source.look_up_ahead(events));
        Ok(())
    }
}

async fn done<T>(task: Task<T>) -> Result<T, Error> {
    // It has panicked, or the runtime is shutting down.
    task.await
        .unwrap_or_else(|error| Err(Error::Unavailable(error.into())))
}

impl Source {
    fn read_ahead(&self, after: Place, limit: u32) -> Task<Events> {
        let source = self.clone();
        let reading = async move {
            let passages = source.store.passages(&source.range, &after, limit);
            let (passages, has_company) = source.courtesy.take_turns(passages).await;
            let PastPage { passages, has_more } = passages?;
            Ok(Events {
                passages,
                is_last: !has_more,
                next_limit: page_size(has_company),
            })
        };
        AbortOnDropHandle::new(tokio::spawn(reading))
    }

    fn look_up_ahead(&self, events: Events) -> Task<Page> {
        let source = self.clone();
        let Events {
            passages, is_last, ..
        } = events;
        let looking = async move {
            let commands = match &source.reading {
                Reading::Events => HashMap::new(),
                Reading::DecisionsFrom(from) => {
                    let ids = passages.iter().flat_map(|passage| {
                        let from = Place::of(&passage.id, from);
                        let known = passage.after.events_to(from);
                        passage.command_ids.iter().skip(known)
                    });
                    let mut ids: Vec<_> = ids.copied().collect();
                    // Those of one command follow each other.
                    ids.dedup();
                    let found = source.store.commands(&source.range.namespace, &ids);
                    source.courtesy.take_turns(found).await.0?
                }
            };
            Ok(Page {
                passages,
                commands,
                is_last,
            })
        };
        AbortOnDropHandle::new(tokio::spawn(looking))
    }
}

impl Page {
    fn prepend(&mut self, cut: Cut) {
        let Cut { passage, record } = cut;
        self.commands.insert(record.command_id, record);
        match self.passages.first_mut() {
            Some(first) if first.id == passage.id => {
                first.after = passage.after;
                first.events.splice(0..0, passage.events);
                first.command_ids.splice(0..0, passage.command_ids);
            }
            // The ledger promises more events than there are.
            _ => self.passages.insert(0, passage),
        }
    }

    /// Takes the last command off when some of its events are on the next page.
    fn cut_off_unfinished(&mut self) -> Option<Cut> {
        let last = self.passages.last_mut()?;
        let command_id = *last.command_ids.last()?;
        let record = self.commands.get(&command_id)?;
        let CommandOutcome::Accepted { events } = record.outcome else {
            return None;
        };
        let its_own = last.command_ids.iter().rev();
        let under_its_id = its_own.take_while(|id| **id == command_id).count();
        let run = last.events.len() - under_its_id..last.events.len();
        let here = decided(record, last, run)?.len();
        if here >= events as usize {
            return None;
        }
        let first = last.events.len() - here;
        let passage = Passage {
            id: last.id.clone(),
            after: last.after.plus(first),
            events: last.events.split_off(first),
            command_ids: last.command_ids.split_off(first),
        };
        let record = record.clone();
        if first == 0 {
            self.passages.pop();
        }
        Some(Cut { passage, record })
    }

    /// Takes off what comes after a place.
    fn split_off(&mut self, place: &Place) -> Vec<Passage> {
        let whole = self
            .passages
            .partition_point(|passage| end_of(passage) <= *place);
        let mut rest = self.passages.split_off(whole);
        let cut = rest.first_mut().filter(|first| first.id == place.id);
        if let Some(first) = cut.filter(|first| first.after < place.version) {
            // Fewer than there are: it ends after that place.
            let here = first.after.events_to(place.version);
            self.passages.push(Passage {
                id: first.id.clone(),
                after: first.after,
                events: first.events.drain(..here).collect(),
                command_ids: first.command_ids.drain(..here).collect(),
            });
            first.after = place.version;
        }
        rest
    }

    /// The passages of a range with what was decided between their events; `read_to` is where the parts before these ended.
    fn parts(
        &mut self,
        eventless: Vec<CommandRecord>,
        range: &PastRange,
        read_to: &Place,
    ) -> Vec<Part> {
        let mut eventless = eventless.into_iter().peekable();
        let mut parts = Vec::with_capacity(self.passages.len());
        for passage in std::mem::take(&mut self.passages) {
            // Streams of which nothing but rejections is recorded, and that sort before this one.
            while let Some(record) =
                eventless.next_if(|next| next.stream.id() < passage.id.as_str())
            {
                push_eventless(&mut parts, record, range, read_to);
            }
            let end = end_of(&passage);
            let mut decisions = self.decisions(&passage);
            while let Some(record) = eventless.next_if(|next| place_of(next) <= end) {
                decisions.push(eventless_decision(record));
            }
            // What has left no event comes first: it has not moved the stream.
            decisions.sort_by_key(|decision| (decision.at, !decision.events.is_empty()));
            let mut part = Part::new(passage.id, passage.after, passage.events);
            part.add(decisions);
            parts.push(part);
        }
        for record in eventless {
            push_eventless(&mut parts, record, range, read_to);
        }
        parts
    }

    /// The decisions that the events of a passage followed from.
    fn decisions(&mut self, passage: &Passage) -> Vec<PastDecision> {
        let mut decisions = Vec::new();
        let mut from = 0;
        while from < passage.events.len() {
            let command_id = passage.command_ids[from];
            let rest = passage.command_ids[from..].iter();
            let to = from + rest.take_while(|id| **id == command_id).count();
            // An import has no row.
            let record = self.commands.get(&command_id);
            let events = record.and_then(|record| decided(record, passage, from..to));
            if let Some(events) = events
                && let Some(record) = self.commands.remove(&command_id)
            {
                decisions.push(PastDecision {
                    at: passage.after.plus(events.start),
                    record,
                    events,
                });
            }
            from = to;
        }
        decisions
    }
}

/// Those of successive events under the id of a command that followed from it. An import may have had the same id before it, on this or
/// another stream.
fn decided(record: &CommandRecord, passage: &Passage, run: Range<usize>) -> Option<Range<usize>> {
    let first = passage.after.events_to(record.version).max(run.start);
    let is_its_own = record.stream.id() == passage.id && first < run.end;
    let has_events = !matches!(
        record.outcome,
        CommandOutcome::Rejected(_) | CommandOutcome::Accepted { events: 0 }
    );
    (is_its_own && has_events).then_some(first..run.end)
}

impl Eventless {
    /// All up to a place (inclusive), or up to the end, and no more than the limit is.
    async fn take_through(
        &mut self,
        source: &Source,
        end: Option<&Place>,
    ) -> Result<Vec<CommandRecord>, Error> {
        let most = self.limit as usize;
        let mut taken = Vec::new();
        loop {
            while let Some(record) = self.read.front() {
                let is_full = taken.len() >= most;
                if is_full || end.is_some_and(|end| place_of(record) > *end) {
                    return Ok(taken);
                }
                taken.extend(self.read.pop_front());
            }
            if self.is_over || taken.len() >= most {
                return Ok(taken);
            }
            let page = source
                .store
                .eventless(&source.range, &self.after, self.limit);
            let (page, has_company) = source.courtesy.take_turns(page).await;
            let page = page?;
            self.is_over = page.len() < self.limit as usize;
            self.limit = page_size(has_company);
            if let Some(last) = page.last() {
                self.after = (place_of(last), last.command_id);
            }
            self.read = page.into();
        }
    }
}

/// Adds a command of a stream of which no events are read, or of one whose events before it have been read.
///
/// One that was decided at a later version is left out: its stream was read before the events that it builds on were appended.
fn push_eventless(
    parts: &mut Vec<Part>,
    record: CommandRecord,
    range: &PastRange,
    read_to: &Place,
) {
    let place = place_of(&record);
    if place.version != range.start_of(&place.id) && place != *read_to {
        return;
    }
    match parts.last_mut() {
        Some(part) if part.id == place.id => part.add([eventless_decision(record)]),
        _ => {
            let mut part = Part::new(place.id, place.version, Vec::new());
            part.add([eventless_decision(record)]);
            parts.push(part);
        }
    }
}

fn eventless_decision(record: CommandRecord) -> PastDecision {
    PastDecision {
        at: record.version,
        record,
        events: 0..0,
    }
}

fn place_of(record: &CommandRecord) -> Place {
    Place {
        id: record.stream.id().to_owned(),
        version: record.version,
    }
}

/// The place after a passage.
fn end_of(passage: &Passage) -> Place {
    Place {
        id: passage.id.clone(),
        version: passage.after.plus(passage.events.len()),
    }
}
