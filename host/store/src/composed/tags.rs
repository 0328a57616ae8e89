//! The tag index, which each process keeps in its own memory: it is made from the log.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use gavel_model::{EventFilter, Namespace, Position, RecordedEvent};
use tokio::sync::Mutex;

use super::log::PAGE_EVENTS;
use super::{Composed, Core};
use crate::{Error, EventKind, HistoryIndex, LogFilter, LogStore as _, TagIndex};

/// The indexes by namespace.
#[derive(Debug, Default)]
pub(super) struct TagIndexes(Mutex<HashMap<Namespace, Index>>);

/// The index of a namespace.
#[derive(Debug, Default)]
struct Index {
    guarded: BTreeSet<EventKind>,
    /// The kinds of which all events up to `through` were indexed once.
    complete: BTreeSet<EventKind>,
    /// The position up to which events of all guarded kinds are indexed.
    through: Position,
    places: HashMap<(EventKind, String), BTreeSet<Position>>,
}

impl Index {
    fn filter(&self) -> LogFilter {
        let names = |of: fn(&EventKind) -> &String| -> Vec<String> {
            let names: BTreeSet<&String> = self.guarded.iter().map(of).collect();
            names.into_iter().cloned().collect()
        };
        LogFilter::from(EventFilter {
            deciders: names(|kind| &kind.decider),
            events: names(|kind| &kind.event),
            tags: Vec::new(),
        })
    }

    fn add(&mut self, event: &RecordedEvent) {
        let kind = EventKind::of(event);
        if !self.guarded.contains(&kind) {
            return;
        }
        for tag in &event.event.tags {
            let places = self.places.entry((kind.clone(), tag.clone())).or_default();
            places.insert(event.position);
        }
    }
}

impl<B: Core> Composed<B> {
    /// Indexes the next events of the log. Tells whether they were the last.
    async fn index(
        &self,
        namespace: &Namespace,
        index: &mut Index,
        limit: u32,
    ) -> Result<bool, Error> {
        if index.guarded.is_empty() {
            return Ok(true);
        }
        let filter = index.filter();
        let page = self.read_log(namespace, index.through, &filter, limit);
        let page = page.await?;
        page.events.iter().for_each(|event| index.add(event));
        index.through = page.next;
        if page.caught_up {
            index.complete.clone_from(&index.guarded);
        }
        Ok(page.caught_up)
    }
}

#[async_trait]
impl<B: Core> TagIndex for Composed<B> {
    async fn guard_tags(
        &self,
        namespace: &Namespace,
        kinds: &BTreeSet<EventKind>,
    ) -> Result<(), Error> {
        let mut all = self.tags.0.lock().await;
        let index = all.entry(namespace.clone()).or_default();
        if !kinds.is_subset(&index.guarded) {
            index.guarded.extend(kinds.iter().cloned());
            index.through = Position::BEGINNING;
        }
        Ok(())
    }

    async fn index_history(
        &self,
        namespace: &Namespace,
        limit: u32,
    ) -> Result<HistoryIndex, Error> {
        let mut all = self.tags.0.lock().await;
        let index = all.entry(namespace.clone()).or_default();
        if index.complete == index.guarded || self.index(namespace, index, limit).await? {
            return Ok(HistoryIndex::Complete);
        }
        Ok(HistoryIndex::Incomplete)
    }

    async fn places_of_tag(
        &self,
        namespace: &Namespace,
        kinds: &BTreeSet<EventKind>,
        tag: &str,
        after: Position,
        through: Position,
        limit: u32,
    ) -> Result<Option<Vec<Position>>, Error> {
        let mut all = self.tags.0.lock().await;
        let index = all.entry(namespace.clone()).or_default();
        if !kinds.is_subset(&index.complete) {
            return Ok(None);
        }
        while !self.index(namespace, index, PAGE_EVENTS).await? {}
        let rest = (Bound::Excluded(after), Bound::Included(through.max(after)));
        let of_kind = |kind: &EventKind| index.places.get(&(kind.clone(), tag.to_owned()));
        let found = kinds.iter().filter_map(of_kind);
        let mut found: Vec<Position> = found
            .flat_map(|places| places.range(rest).take(limit as usize))
            .copied()
            .collect();
        found.sort_unstable();
        found.truncate(limit as usize);
        Ok(Some(found))
    }
}
