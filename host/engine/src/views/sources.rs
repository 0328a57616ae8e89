//! The events that the sources of a row name, read in the order of the log.
//!
//! Streams are read by their index, and so are tags, as far as their kinds of events are indexed
//! and the log shows them; what is left is looked for in the log.

use std::collections::BTreeSet;

use gavel_model::{DeciderName, EventFilter, Namespace, Position, RecordedEvent, StreamId};
use gavel_sandbox::QueryItem;
use gavel_store::{Error, EventKind, LogFilter, LogPage, Moment, Store, TagCondition, TaggedPage};

use crate::catalog::View;

/// The number of events that a page of the whole log is taken to have looked at.
const PAGE_OF_LOG: u32 = 1_000;

/// The places of the log where the events of a row are.
#[derive(Debug)]
pub(super) struct Sources {
    namespace: Namespace,
    streams: Vec<StreamId>,
    tagged: Vec<TagCondition>,
}

/// A page of events, of which not all need to be the row's.
#[derive(Debug)]
pub(super) struct SourcePage {
    /// The events, by ascending position.
    pub(super) events: Vec<RecordedEvent>,
    /// The position to resume from; none at the end.
    pub(super) next: Option<Position>,
    /// The number of events that were looked at, about.
    pub(super) looked_at: u64,
}

impl Sources {
    /// Finds the places that a view names. What it does not read is left out, and what it names
    /// twice is read once. May take long: call it on a guest's thread.
    ///
    /// # Errors
    ///
    /// The reason for which there are too many.
    pub(super) fn of(
        namespace: &Namespace,
        view: &View,
        items: Vec<QueryItem>,
        most: usize,
    ) -> Result<Self, String> {
        let read = view.filter();
        let is_read = |kind: &EventKind| {
            read.deciders.contains(&kind.decider) && read.events.contains(&kind.event)
        };
        let (mut streams, mut tagged) = (BTreeSet::new(), Vec::new());
        for item in items {
            match item.stream_id {
                Some(id) => {
                    let deciders = item.events.into_iter().map(|(decider, _)| decider);
                    let deciders = deciders.filter(|name| read.deciders.contains(name));
                    let deciders = deciders.filter_map(|name| DeciderName::new(name).ok());
                    let named = deciders
                        .filter_map(|decider| StreamId::new(namespace.clone(), decider, &*id).ok());
                    streams.extend(named);
                }
                None => {
                    let kinds = item.events.into_iter();
                    let kinds = kinds.map(|(decider, event)| EventKind { decider, event });
                    let condition = TagCondition {
                        kinds: kinds.filter(|kind| is_read(kind)).collect(),
                        tags: item.tags,
                    };
                    if !condition.kinds.is_empty() && !tagged.contains(&condition) {
                        tagged.push(condition);
                    }
                }
            }
            let named = streams.len() + tagged.len();
            if named > most {
                return Err(format!(
                    "it names more than {most} streams and tags as the sources of a row (the setting `views.sources_per_row`)"
                ));
            }
        }
        Ok(Self {
            namespace: namespace.clone(),
            streams: streams.into_iter().collect(),
            tagged,
        })
    }

    /// Reads on after a position: events that were stored before a moment.
    pub(super) async fn page(
        &self,
        store: &dyn Store,
        after: Position,
        through: &Moment,
        limit: u32,
    ) -> Result<SourcePage, Error> {
        let mut page = SourcePage {
            events: Vec::new(),
            next: None,
            looked_at: 0,
        };
        if !self.streams.is_empty() {
            let read = store.read_streams(&self.streams, after, through, limit);
            let read = read.await?;
            let end = read.items.last().filter(|_| read.has_more);
            page.looked_at += read.items.len() as u64;
            page.next = end.map(|last| last.position);
            page.events = read.items;
        }
        for condition in &self.tagged {
            let read = self.read_tagged(store, condition, after, through, limit);
            let SourcePage {
                events,
                next,
                looked_at,
            } = read.await?;
            page.next = page.next.into_iter().chain(next).min();
            page.looked_at += looked_at;
            page.events.extend(events);
        }
        if let Some(end) = page.next {
            page.events.retain(|event| event.position <= end);
        }
        page.events.sort_unstable_by_key(|event| event.position);
        page.events.dedup_by_key(|event| event.position);
        Ok(page)
    }

    /// Reads events with some tags: by the index of tags, and where that has none, or the log shows
    /// none yet, in the log.
    async fn read_tagged(
        &self,
        store: &dyn Store,
        condition: &TagCondition,
        after: Position,
        through: &Moment,
        limit: u32,
    ) -> Result<SourcePage, Error> {
        let is_settled = after < through.settled;
        if is_settled {
            let conditions = std::slice::from_ref(condition);
            let settled = through.settled;
            let found = store.tagged(&self.namespace, conditions, after, settled, limit);
            match found.await {
                Ok(Some(found)) => return Ok(indexed(found, settled)),
                // Which event it is, the log tells.
                Ok(None) | Err(Error::Malformed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let names = |of: fn(&EventKind) -> &String| condition.kinds.iter().map(of).cloned();
        let filter = LogFilter::from(EventFilter {
            deciders: names(|kind| &kind.decider).collect(),
            events: names(|kind| &kind.event).collect(),
            tags: condition.tags.clone(),
        });
        let read = store.read_log_through(&self.namespace, after, &filter, through, limit);
        let LogPage {
            events,
            next,
            caught_up,
            ..
        } = read.await?;
        // What is not settled are few.
        let passed_over = if is_settled {
            u64::from(PAGE_OF_LOG)
        } else {
            0
        };
        Ok(SourcePage {
            looked_at: passed_over.max(events.len() as u64),
            events,
            next: (!caught_up).then_some(next),
        })
    }

    /// Reads no more of a stream, unless its events are found by tags as well.
    pub(super) fn leave_out(&mut self, stream: &StreamId) {
        self.streams.retain(|known| known != stream);
    }

    /// Tells whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.tagged.is_empty()
    }
}

/// A page of the index; behind what is settled, the log is read.
fn indexed(found: TaggedPage, settled: Position) -> SourcePage {
    let TaggedPage {
        events,
        next,
        has_more,
    } = found;
    let next = if has_more { next } else { settled };
    SourcePage {
        looked_at: events.len() as u64,
        events,
        next: Some(next),
    }
}
