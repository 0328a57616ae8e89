//! The events that the sources of a row name, read in the order of the log.
//!
//! Streams are read by their index. Tags without a stream are looked for in the whole log.

use std::collections::BTreeSet;

use gavel_model::{DeciderName, EventFilter, Namespace, Position, RecordedEvent, StreamId};
use gavel_sandbox::QueryItem;
use gavel_store::{Error, LogFilter, LogPage, Moment, Store};

use crate::catalog::View;

/// The number of events that a page of the whole log is taken to have looked at.
const PAGE_OF_LOG: u32 = 1_000;

/// The places of the log where the events of a row are.
#[derive(Debug)]
pub(super) struct Sources {
    namespace: Namespace,
    streams: Vec<StreamId>,
    tagged: Vec<LogFilter>,
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
        let (mut streams, mut tagged) = (BTreeSet::new(), Vec::new());
        for item in items {
            let (deciders, events): (BTreeSet<_>, BTreeSet<_>) = item.events.into_iter().unzip();
            let deciders = deciders
                .into_iter()
                .filter(|name| read.deciders.contains(name));
            match item.stream_id {
                Some(id) => {
                    let deciders = deciders.filter_map(|name| DeciderName::new(name).ok());
                    let named = deciders
                        .filter_map(|decider| StreamId::new(namespace.clone(), decider, &*id).ok());
                    streams.extend(named);
                }
                None => {
                    let events = events.into_iter().filter(|name| read.events.contains(name));
                    let filter = LogFilter::from(EventFilter {
                        deciders: deciders.collect(),
                        events: events.collect(),
                        tags: item.tags,
                    });
                    // Empty lists would let everything pass.
                    let is_any =
                        filter.events.deciders.is_empty() || filter.events.events.is_empty();
                    if !is_any && !tagged.contains(&filter) {
                        tagged.push(filter);
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
        for filter in &self.tagged {
            let read = self.read_tagged(store, filter, after, through, limit);
            let LogPage {
                events,
                next,
                caught_up,
                ..
            } = read.await?;
            if !caught_up {
                page.next = Some(page.next.map_or(next, |end| end.min(next)));
            }
            page.looked_at += u64::from(PAGE_OF_LOG).max(events.len() as u64);
            page.events.extend(events);
        }
        if let Some(end) = page.next {
            page.events.retain(|event| event.position <= end);
        }
        page.events.sort_unstable_by_key(|event| event.position);
        page.events.dedup_by_key(|event| event.position);
        Ok(page)
    }

    /// Reads the events with some tags in the whole log. An index of tags goes here.
    async fn read_tagged(
        &self,
        store: &dyn Store,
        filter: &LogFilter,
        after: Position,
        through: &Moment,
        limit: u32,
    ) -> Result<LogPage, Error> {
        store
            .read_log_through(&self.namespace, after, filter, through, limit)
            .await
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
