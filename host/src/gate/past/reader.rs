//! Reading: pages of events and of commands, brought together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::{Part, PastDecision};
use crate::core::{CommandId, CommandOutcome, CommandRecord, Version};
use crate::store::{Error, Passage, PastRange, Place, Store};

/// How many events, and how many commands without events, are read at a time.
const PAGE: u32 = 2_000;

/// Whether the commands are read as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Reading {
    /// The events only.
    Events,
    /// The events and the ledger.
    Decisions,
}

/// Reads the past of a range from its beginning to its end.
#[derive(Debug)]
pub(in crate::gate) struct Reader {
    source: Source,
    /// The next page; none after the last.
    ahead: Option<AbortOnDropHandle<Result<Page, Error>>>,
    /// The end of the last page, when its last command goes on in the next.
    carried: Option<Cut>,
    eventless: Eventless,
}

#[derive(Debug, Clone)]
struct Source {
    store: Arc<dyn Store>,
    range: PastRange,
    reading: Reading,
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
    is_over: bool,
}

impl Reader {
    /// From the beginning of `range`. Must be called in an async runtime.
    pub(in crate::gate) fn new(store: Arc<dyn Store>, range: PastRange, reading: Reading) -> Self {
        let source = Source {
            store,
            range,
            reading,
        };
        Self {
            ahead: Some(source.fetch(Place::default())),
            source,
            carried: None,
            eventless: Eventless {
                read: VecDeque::new(),
                after: (Place::default(), CommandId::nil()),
                is_over: reading == Reading::Events,
            },
        }
    }

    /// The next parts; none at the end. Only the first one may go on with a stream that began earlier.
    pub(in crate::gate) async fn next(&mut self) -> Result<Option<Vec<Part>>, Error> {
        let Some(ahead) = self.ahead.take() else {
            return Ok(None);
        };
        // It has panicked, or the runtime is shutting down.
        let mut page = ahead
            .await
            .unwrap_or_else(|error| Err(Error::Unavailable(error.into())))?;
        if !page.is_last {
            let end = page.passages.last().map(end_of).unwrap_or_default();
            self.ahead = Some(self.source.fetch(end));
        }
        if let Some(cut) = self.carried.take() {
            page.prepend(cut);
        }
        if !page.is_last {
            self.carried = page.cut_off_unfinished();
        }
        let end = match (page.is_last, page.passages.last()) {
            (false, Some(passage)) => Some(end_of(passage)),
            // Nothing but the end of a command that goes on.
            (false, None) => return Ok(Some(Vec::new())),
            (true, _) => None,
        };
        let eventless = self
            .eventless
            .take_through(&self.source, end.as_ref())
            .await?;
        Ok(Some(page.into_parts(eventless)))
    }
}

impl Source {
    fn fetch(&self, after: Place) -> AbortOnDropHandle<Result<Page, Error>> {
        let source = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { source.page(&after).await }))
    }

    async fn page(&self, after: &Place) -> Result<Page, Error> {
        let passages = self.store.passages(&self.range, after, PAGE).await?;
        let mut ids = Vec::new();
        let mut events = 0;
        for passage in &passages {
            events += passage.events.len();
            ids.extend(&passage.command_ids);
        }
        let commands = match self.reading {
            Reading::Events => HashMap::new(),
            Reading::Decisions => {
                // Those of one command follow each other.
                ids.dedup();
                self.store.commands(&self.range.namespace, &ids).await?
            }
        };
        Ok(Page {
            passages,
            commands,
            is_last: events < PAGE as usize,
        })
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
        let here = its_own.take_while(|id| **id == command_id).count();
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

    fn into_parts(mut self, eventless: Vec<CommandRecord>) -> Vec<Part> {
        let mut eventless = eventless.into_iter().peekable();
        let mut parts = Vec::with_capacity(self.passages.len());
        for passage in std::mem::take(&mut self.passages) {
            // Streams of which nothing but rejections is recorded, and that sort before this one.
            while let Some(record) =
                eventless.next_if(|next| next.stream.id() < passage.id.as_str())
            {
                push_eventless(&mut parts, record);
            }
            let end = end_of(&passage);
            let mut decisions = self.decisions(&passage);
            while let Some(record) = eventless.next_if(|next| place_of(next) <= end) {
                decisions.push(past_decision(record));
            }
            // What has left no event comes first: it has not moved the stream.
            decisions.sort_by_key(|decision| (decision.at, !decision.events.is_empty()));
            parts.push(Part {
                id: passage.id,
                after: passage.after,
                events: passage.events,
                decisions,
            });
        }
        for record in eventless {
            push_eventless(&mut parts, record);
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
            if let Some(record) = self.commands.remove(&command_id) {
                decisions.push(PastDecision {
                    at: passage.after.plus(from),
                    record,
                    events: from..to,
                });
            }
            from = to;
        }
        decisions
    }
}

impl Eventless {
    /// All up to a place (inclusive), or up to the end.
    async fn take_through(
        &mut self,
        source: &Source,
        end: Option<&Place>,
    ) -> Result<Vec<CommandRecord>, Error> {
        let mut taken = Vec::new();
        loop {
            while let Some(record) = self.read.front() {
                if end.is_some_and(|end| place_of(record) > *end) {
                    return Ok(taken);
                }
                taken.extend(self.read.pop_front());
            }
            if self.is_over {
                return Ok(taken);
            }
            let page = source
                .store
                .eventless(&source.range, &self.after, PAGE)
                .await?;
            self.is_over = page.len() < PAGE as usize;
            if let Some(last) = page.last() {
                self.after = (place_of(last), last.command_id);
            }
            self.read = page.into();
        }
    }
}

/// Adds a command of a stream without events.
///
/// One that was decided at a later version is left out: its stream was read before the events that it builds on were appended.
fn push_eventless(parts: &mut Vec<Part>, record: CommandRecord) {
    if record.version != Version::EMPTY {
        return;
    }
    match parts.last_mut() {
        Some(part) if part.id == record.stream.id() => part.decisions.push(past_decision(record)),
        _ => parts.push(Part {
            id: record.stream.id().to_owned(),
            after: Version::EMPTY,
            events: Vec::new(),
            decisions: vec![past_decision(record)],
        }),
    }
}

fn past_decision(record: CommandRecord) -> PastDecision {
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
