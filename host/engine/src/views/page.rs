//! A page of the log on its way into a table: which keys its events name, and what is to be
//! committed of the rows.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use gavel_model::{Position, RecordedEvent, RowKey};
use gavel_sandbox::RunError;
use gavel_store::views::{KeyedRow, ParkedEvent, ParkedRow, RowsChange, StoredRow, TableId};
use time::OffsetDateTime;

use super::folding::{FoldedRow, Keys, RowFolder, RowTask};
use crate::catalog::View;
use crate::streaming::Events;

/// The events of a part of a page, by the rows that they change.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PagePart {
    /// The number of events of the page that belong to the part.
    pub(super) events: usize,
    /// The rows, each with its events as places in the page.
    pub(super) rows: BTreeMap<RowKey, Vec<u32>>,
    /// The events whose keys cannot be told, as places in the page, and why.
    pub(super) parked: Vec<(u32, String)>,
}

impl PagePart {
    /// Takes events from `first` on until they change more than `most` rows; one event at least.
    pub(super) fn of(keys: &[Keys], first: usize, most: usize) -> Self {
        let mut part = Self::default();
        for (place, keys) in (0_u32..).zip(keys).skip(first) {
            match keys {
                Ok(keys) => {
                    let new = keys.iter().filter(|key| !part.rows.contains_key(*key));
                    let new = new.count();
                    if part.events > 0 && new > 0 && part.rows.len() + new > most {
                        return part;
                    }
                    for key in keys {
                        match part.rows.entry(key.clone()) {
                            Entry::Vacant(row) => drop(row.insert(vec![place])),
                            Entry::Occupied(mut row) => row.get_mut().push(place),
                        }
                    }
                }
                Err(reason) => part.parked.push((place, reason.clone())),
            }
            part.events += 1;
        }
        part
    }

    /// The rows that are to be folded, and what has to wait because its row is parked.
    pub(super) fn tasks(
        &self,
        events: &[&RecordedEvent],
        stored: Vec<StoredRow>,
    ) -> (Vec<RowTask>, Vec<(RowKey, Position)>) {
        let (mut tasks, mut waiting) = (Vec::new(), Vec::new());
        for ((key, places), stored) in self.rows.iter().zip(stored) {
            if stored.is_parked {
                let positions = places.iter().map(|place| position(events, *place));
                waiting.extend(positions.map(|position| (key.clone(), position)));
            } else {
                tasks.push(RowTask {
                    key: key.clone(),
                    value: stored.value,
                    events: places.clone(),
                });
            }
        }
        (tasks, waiting)
    }
}

/// Puts together what is to be committed, one row after the other.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    events: &'a [&'a RecordedEvent],
    now: OffsetDateTime,
    change: RowsChange,
}

impl<'a> Changes<'a> {
    pub(super) fn new(
        events: &'a [&'a RecordedEvent],
        now: OffsetDateTime,
        table: TableId,
        (from, to): (Position, Position),
    ) -> Self {
        Self {
            events,
            now,
            change: RowsChange::moving(table, from, to),
        }
    }

    /// Adds what has to wait.
    pub(super) fn wait(&mut self, waiting: Vec<(RowKey, Position)>) {
        self.change.waiting.extend(waiting);
    }

    /// Adds an event whose keys cannot be told.
    pub(super) fn park(&mut self, place: u32, reason: String) {
        let event = self.events[place as usize];
        self.change.parked_events.push(ParkedEvent {
            position: event.position,
            event_id: event.event.event_id,
            reason,
        });
    }

    /// Adds a row that was folded.
    pub(super) fn add(&mut self, task: &RowTask, folded: FoldedRow) {
        let was_there = task.value.is_some();
        let last = folded.folded.checked_sub(1);
        match (folded.value, last) {
            // It is parked at its first event.
            (_, None) => {}
            (Some(value), Some(last)) => {
                self.change.added += u64::from(!was_there);
                self.change.put.push(KeyedRow {
                    key: task.key.clone(),
                    value,
                    cells: folded.cells,
                    position: position(self.events, task.events[last]),
                });
            }
            (None, Some(_)) if was_there => {
                self.change.removed += 1;
                self.change.ended.push(task.key.clone());
            }
            (None, Some(_)) => {}
        }
        let Some(reason) = folded.fault else {
            return;
        };
        let event = self.events[task.events[folded.folded] as usize];
        self.change.parked.push(ParkedRow {
            key: task.key.clone(),
            position: event.position,
            event_id: event.event.event_id,
            reason,
            since: self.now,
        });
        let later = task.events.iter().skip(folded.folded + 1);
        let later = later.map(|place| (task.key.clone(), position(self.events, *place)));
        self.change.waiting.extend(later);
    }

    pub(super) fn into_change(self) -> RowsChange {
        self.change
    }
}

fn position(events: &[&RecordedEvent], place: u32) -> Position {
    events[place as usize].position
}

/// The events of some pages that a view reads. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct ReadEvents(Arc<Selected>);

#[derive(Debug)]
struct Selected {
    pages: Vec<Events>,
    /// The events, each as a page and a place on it.
    places: Vec<(usize, usize)>,
}

impl ReadEvents {
    pub(super) fn of(pages: Vec<Events>, view: &View) -> Self {
        let mut places = Vec::new();
        for (page, events) in pages.iter().enumerate() {
            let read = events.iter_with_places();
            let read = read.filter(|(_, event)| view.reads(event));
            places.extend(read.map(|(place, _)| (page, place)));
        }
        Self(Arc::new(Selected { pages, places }))
    }

    /// The number of events.
    pub(super) fn count(&self) -> usize {
        self.0.places.len()
    }

    /// All events, in order.
    pub(super) fn list(&self) -> Vec<&RecordedEvent> {
        let Selected { pages, places } = &*self.0;
        let event = |(page, place): &(usize, usize)| pages[*page].at(*place);
        places.iter().map(event).collect()
    }
}

/// The keys of events, each of which the view reads in one version or another.
pub(super) fn keys_of(
    folder: &mut RowFolder,
    events: &[&RecordedEvent],
    view: &View,
) -> Result<Vec<Keys>, RunError> {
    let known: Vec<&RecordedEvent> = events
        .iter()
        .filter(|event| view.can_fold(event))
        .copied()
        .collect();
    let mut keys = folder.keys(&known)?.into_iter();
    let keys = events.iter().map(|event| {
        if view.can_fold(event) {
            keys.next().unwrap_or_else(|| Ok(Vec::new()))
        } else {
            let RecordedEvent { stream, event, .. } = event;
            let (decider, version) = (stream.decider(), event.schema_version);
            let name = &event.event;
            Err(format!(
                "the view does not read schema version {version} of {decider}/{name}"
            ))
        }
    });
    Ok(keys.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Keys {
        Ok(names
            .iter()
            .map(|&name| RowKey::new(name).unwrap())
            .collect())
    }

    #[test]
    fn a_part_has_so_many_rows_at_most_but_one_event_at_least() {
        let page = [
            keys(&["a", "b", "c"]),
            keys(&["a"]),
            Err("why".to_owned()),
            keys(&["d"]),
            keys(&[]),
            keys(&["d", "e"]),
        ];
        let first = PagePart::of(&page, 0, 2);
        assert_eq!(first.events, 3, "its first event alone has too many");
        assert_eq!(first.rows[&RowKey::new("a").unwrap()], [0, 1]);
        assert_eq!(first.parked, [(2, "why".to_owned())]);
        let second = PagePart::of(&page, 3, 2);
        assert_eq!((second.events, second.rows.len()), (3, 2));
        assert_eq!(second.rows[&RowKey::new("d").unwrap()], [3, 5]);
        assert_eq!(PagePart::of(&page, 0, 100).events, 6);
        assert_eq!(PagePart::of(&page, 6, 100), PagePart::default());
    }
}
