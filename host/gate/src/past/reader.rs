//! The reader: pages of events and of commands, brought together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use gavel_model::{CommandId, CommandRecord};
use gavel_sandbox::BackgroundThrottle;
use gavel_sandbox::scheduling::{PAGE, SMALL_PAGE};
use gavel_store::{Error, PAGE_BYTES, PastPage, PastRange, Place, Segment, Store};
use tokio_util::task::AbortOnDropHandle;

use super::page::{Cut, DecisionPage, end_of, place_of};
use super::{Part, Throttling};
use crate::Gate;

/// The number of commands that are read at once: each may be as large as the body of a request.
const COMMANDS: u32 = 256;
/// The most bytes of the commands of a page, about; a page ends where there are more.
const COMMANDS_BYTES: usize = 4 * PAGE_BYTES;

fn page_size(live_calls_running: bool) -> u32 {
    if live_calls_running { SMALL_PAGE } else { PAGE }
}

/// The choice whether the commands are read as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The events only.
    Events,
    /// The events, and the ledger of what was decided at these places or later ones of their
    /// streams, and on all of other streams.
    DecisionsFrom(Arc<[Place]>),
}

impl Reading {
    /// Reads the events and the ledger.
    pub(crate) fn decisions() -> Self {
        Self::DecisionsFrom([].into())
    }
}

/// Reads the past of a range from its beginning to its end: while a page is worked on, the commands
/// of the next one are looked up, and the events of the one after that are read.
#[derive(Debug)]
pub(crate) struct PastReader {
    source: PageSource,
    /// The events of the page after `ahead`; none after the last.
    events_ahead: Option<ReadTask<EventsPage>>,
    /// The next page; none before the first, and after the last.
    ahead: Option<ReadTask<LookedUp>>,
    /// The end of the last page, when its last command continues on the next.
    carried: Option<Cut>,
    /// The rest of a page, when there are more commands without events than fit beside it.
    left: Option<DecisionPage>,
    /// The place where the last part ended; before the first one, a place that no stream has.
    read_to: Place,
    eventless: Eventless,
}

type ReadTask<T> = AbortOnDropHandle<Result<T, Error>>;

#[derive(Debug, Clone)]
struct PageSource {
    store: Arc<dyn Store>,
    range: PastRange,
    reading: Reading,
    throttle: BackgroundThrottle,
}

/// A page of which the commands are not known yet.
#[derive(Debug)]
struct EventsPage {
    segments: Vec<Segment>,
    is_last: bool,
    /// The number of events to read next.
    next_limit: u32,
}

/// A page, and those of its events whose commands have found no room on it.
#[derive(Debug)]
struct LookedUp {
    page: DecisionPage,
    rest: Option<EventsPage>,
}

/// The commands that have left no event, a page at a time.
#[derive(Debug)]
struct Eventless {
    read: VecDeque<CommandRecord>,
    after: (Place, CommandId),
    /// The number of commands to read, and to take, at a time.
    limit: u32,
    is_over: bool,
}

impl Gate {
    /// Reads `range`.
    pub(crate) fn reader(
        &self,
        range: PastRange,
        reading: Reading,
        throttling: Throttling,
    ) -> PastReader {
        let throttle = match throttling {
            Throttling::GivesWay => self.modules.runtime().throttle().clone(),
            // It knows of no calls.
            Throttling::Presses => BackgroundThrottle::default(),
        };
        PastReader::new(self.store.clone(), range, reading, throttle)
    }
}

impl PastReader {
    /// Makes a reader as [`Gate::reader`] does. Must be called in an async runtime.
    pub(super) fn new(
        store: Arc<dyn Store>,
        range: PastRange,
        reading: Reading,
        throttle: BackgroundThrottle,
    ) -> Self {
        let is_over = reading == Reading::Events;
        let source = PageSource {
            store,
            range,
            reading,
            throttle,
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

    /// Reads the next parts; none at the end. Only the first one may continue a stream that began
    /// earlier.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Part>>, Error> {
        let left = self.left.take();
        let page = match left {
            Some(_) => left,
            None => self.page().await?,
        };
        let Some(mut page) = page else {
            return Ok(None);
        };
        let end = match (page.is_last, page.segments.last()) {
            (false, Some(segment)) => Some(end_of(segment)),
            // Nothing but the end of a command that goes on.
            (false, None) => return Ok(Some(Vec::new())),
            (true, _) => None,
        };
        let (eventless, is_full) = self
            .eventless
            .take_through(&self.source, end.as_ref())
            .await?;
        // There may be more, at the same place even.
        let full = eventless.last().map(place_of).filter(|_| is_full);
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
        page.segments = rest.unwrap_or_default();
        if !page.segments.is_empty() || (full.is_some() && page.is_last) {
            self.left = Some(page);
        }
        Ok(Some(parts))
    }

    /// Reads the next page, with whole commands.
    async fn page(&mut self) -> Result<Option<DecisionPage>, Error> {
        if self.ahead.is_none() {
            self.go_on().await?;
        }
        let Some(ahead) = self.ahead.take() else {
            return Ok(None);
        };
        let LookedUp { mut page, rest } = done(ahead).await?;
        match rest {
            Some(rest) => self.ahead = Some(self.source.look_up_ahead(rest)),
            None => self.go_on().await?,
        }
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
            let end = events.segments.last().map(end_of).unwrap_or_default();
            self.events_ahead = Some(self.source.read_ahead(end, events.next_limit));
        }
        self.ahead = Some(self.source.look_up_ahead(events));
        Ok(())
    }
}

async fn done<T>(task: ReadTask<T>) -> Result<T, Error> {
    // It has panicked, or the runtime is shutting down.
    task.await
        .unwrap_or_else(|error| Err(Error::Unavailable(error.into())))
}

impl PageSource {
    fn read_ahead(&self, after: Place, limit: u32) -> ReadTask<EventsPage> {
        let source = self.clone();
        let reading = async move {
            let segments = source.store.segments(&source.range, &after, limit);
            let (segments, live_calls_running) = source.throttle.take_turns(segments).await;
            let PastPage { segments, has_more } = segments?;
            Ok(EventsPage {
                segments,
                is_last: !has_more,
                next_limit: page_size(live_calls_running),
            })
        };
        AbortOnDropHandle::new(tokio::spawn(reading))
    }

    fn look_up_ahead(&self, events: EventsPage) -> ReadTask<LookedUp> {
        let source = self.clone();
        let looking = async move { source.look_up(events).await };
        AbortOnDropHandle::new(tokio::spawn(looking))
    }

    /// Looks up the commands of events, as many as a page has room for.
    async fn look_up(&self, events: EventsPage) -> Result<LookedUp, Error> {
        let EventsPage {
            segments,
            is_last,
            next_limit,
        } = events;
        let wanted = match &self.reading {
            Reading::Events => Vec::new(),
            Reading::DecisionsFrom(from) => commands_of(&segments, from),
        };
        let mut page = DecisionPage {
            segments,
            commands: HashMap::new(),
            is_last,
        };
        let (mut bytes, mut rest) = (0, None);
        for wanted in wanted.chunks(COMMANDS as usize) {
            let ids: Vec<_> = wanted.iter().map(|(id, _)| *id).collect();
            let found = self.store.commands(&self.range.namespace, &ids);
            let found = self.throttle.take_turns(found).await.0?;
            bytes += found.values().map(CommandRecord::size_bytes).sum::<usize>();
            page.commands.extend(found);
            let last = wanted.last().filter(|_| bytes > COMMANDS_BYTES);
            if let Some((_, end)) = last {
                let segments = page.split_off(&end.of(&page.segments));
                if !segments.is_empty() {
                    page.is_last = false;
                    rest = Some(EventsPage {
                        segments,
                        is_last,
                        next_limit,
                    });
                }
                break;
            }
        }
        Ok(LookedUp { page, rest })
    }
}

/// The end of some events: so many of one segment among several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    segment: usize,
    events: usize,
}

impl End {
    fn of(self, segments: &[Segment]) -> Place {
        let segment = &segments[self.segment];
        Place {
            id: segment.id.clone(),
            version: segment.after.plus(self.events),
        }
    }
}

/// Lists the commands that events followed from, at or after the places of their streams at which
/// reading begins; each with the end of its events.
fn commands_of(segments: &[Segment], from: &[Place]) -> Vec<(CommandId, End)> {
    let mut commands: Vec<(CommandId, End)> = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        let known = segment.after.events_to(Place::of(&segment.id, from));
        for (event, id) in segment.command_ids.iter().enumerate().skip(known) {
            let end = End {
                segment: number,
                events: event + 1,
            };
            match commands.last_mut() {
                // Those of one command follow each other.
                Some((last, its_end)) if last == id && its_end.segment == number => *its_end = end,
                _ => commands.push((*id, end)),
            }
        }
    }
    commands
}

impl Eventless {
    /// Takes all commands up to a place (inclusive), or up to the end, within the limits; and says
    /// whether a limit was reached.
    async fn take_through(
        &mut self,
        source: &PageSource,
        end: Option<&Place>,
    ) -> Result<(Vec<CommandRecord>, bool), Error> {
        let most = self.limit as usize;
        let (mut taken, mut bytes) = (Vec::new(), 0);
        loop {
            let is_full = |taken: &[_], bytes| taken.len() >= most || bytes > COMMANDS_BYTES;
            while let Some(record) = self.read.front() {
                let is_full = is_full(&taken, bytes);
                if is_full || end.is_some_and(|end| place_of(record) > *end) {
                    return Ok((taken, is_full));
                }
                bytes += record.size_bytes();
                taken.extend(self.read.pop_front());
            }
            let is_full = is_full(&taken, bytes);
            if self.is_over || is_full {
                return Ok((taken, is_full));
            }
            let limit = self.limit.min(COMMANDS);
            let page = source.store.eventless(&source.range, &self.after, limit);
            let (page, live_calls_running) = source.throttle.take_turns(page).await;
            let page = page?;
            self.is_over = page.len() < limit as usize;
            self.limit = page_size(live_calls_running);
            if let Some(last) = page.last() {
                self.after = (place_of(last), last.command_id);
            }
            self.read = page.into();
        }
    }
}
