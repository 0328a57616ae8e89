//! What was folded and is not committed yet, and the rows that need not be read again.

use std::collections::{HashMap, HashSet};
use std::mem;

use gavel_model::{Json, Position, RowKey};
use gavel_store::views::{KeyedRow, RowsChange, StoredRow, TableId};
use tokio::time::Instant;

/// The size of a row besides its key and its value, in bytes, about.
const OVERHEAD_BYTES: usize = 128;

/// The changes of one or more pages, as one.
#[derive(Debug)]
pub(super) struct Batch {
    /// All but the rows that there are, and those that end.
    change: RowsChange,
    put: HashMap<RowKey, KeyedRow>,
    ended: HashSet<RowKey>,
    /// The size of the rows, in bytes, about.
    bytes: usize,
    /// The number of events that were folded or parked.
    events: u64,
    /// The time at which the first change was added; none if there is nothing to commit.
    began: Option<Instant>,
}

impl Batch {
    /// Nothing, for a table that stands at a position.
    pub(super) fn new(table: TableId, at: Position) -> Self {
        Self {
            change: RowsChange::moving(table, at, at),
            put: HashMap::new(),
            ended: HashSet::new(),
            bytes: 0,
            events: 0,
            began: None,
        }
    }

    /// The position through which the table and the batch hold all events.
    pub(super) fn to(&self) -> Position {
        self.change.to
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn began(&self) -> Option<Instant> {
        self.began
    }

    /// Tells whether the batch concerns more than rows and progress.
    pub(super) fn parks(&self) -> bool {
        let change = &self.change;
        !(change.parked.is_empty() && change.waiting.is_empty() && change.parked_events.is_empty())
    }

    /// Moves on, and changes nothing.
    pub(super) fn pass(&mut self, to: Position) {
        self.change.to = to;
        self.began.get_or_insert_with(Instant::now);
    }

    /// Adds what changes next.
    pub(super) fn add(&mut self, events: u64, change: RowsChange) {
        let RowsChange {
            table: _,
            from: _,
            to,
            put,
            ended,
            added,
            removed,
            parked,
            unparked,
            waiting,
            parked_events,
        } = change;
        self.pass(to);
        self.events += events;
        for row in put {
            if self.ended.remove(&row.key) {
                self.bytes -= size(&row.key, None);
            }
            self.bytes += size(&row.key, Some(&row.value));
            if let Some(before) = self.put.insert(row.key.clone(), row) {
                self.bytes -= size(&before.key, Some(&before.value));
            }
        }
        for key in ended {
            if let Some(before) = self.put.remove(&key) {
                self.bytes -= size(&key, Some(&before.value));
            }
            let bytes = size(&key, None);
            if self.ended.insert(key) {
                self.bytes += bytes;
            }
        }
        let all = &mut self.change;
        all.added += added;
        all.removed += removed;
        all.parked.extend(parked);
        all.unparked.extend(unparked);
        all.waiting.extend(waiting);
        all.parked_events.extend(parked_events);
    }

    /// Takes everything, in the order of keys: neighbours in an index are written together. What
    /// is left is an empty batch that goes on from there.
    pub(super) fn take(&mut self) -> RowsChange {
        let next = Self::new(self.change.table, self.change.to);
        let Self {
            mut change,
            put,
            ended,
            ..
        } = mem::replace(self, next);
        change.put = put.into_values().collect();
        change.put.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        change.ended = ended.into_iter().collect();
        change.ended.sort_unstable();
        change
    }

    /// A row that was changed; none if it was not.
    fn row(&self, key: &RowKey) -> Option<Option<&Json>> {
        match self.put.get(key) {
            Some(row) => Some(Some(&row.value)),
            None => self.ended.contains(key).then_some(None),
        }
    }
}

/// Rows as they are in the table, or will be once what is being committed is there.
///
/// **Invariant:** a row that is parked is never here: somebody else may change it, and this changes
/// its row without moving the table.
#[derive(Debug)]
pub(super) struct RowCache {
    rows: HashMap<RowKey, Option<Json>>,
    /// The size of the rows, in bytes, about.
    bytes: usize,
    /// Tells whether there is no other row in the table.
    is_whole: bool,
}

impl RowCache {
    /// Nothing, for a table that is empty or not.
    pub(super) fn new(is_empty: bool) -> Self {
        Self {
            rows: HashMap::new(),
            bytes: 0,
            is_whole: is_empty,
        }
    }

    /// The rows of some keys: a value, or a row that is not there, where that is known.
    pub(super) fn find<'a>(&'a self, batch: &'a Batch, key: &RowKey) -> Option<Option<&'a Json>> {
        let known = || self.rows.get(key).map(Option::as_ref);
        let absent = || self.is_whole.then_some(None);
        batch.row(key).or_else(known).or_else(absent)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a row that was read.
    pub(super) fn note(&mut self, key: &RowKey, row: &StoredRow) {
        if !row.is_parked {
            self.keep(key, row.value.clone());
        }
    }

    /// Keeps the rows of a change that is to be committed. Before that, all rows are forgotten if
    /// they take up more than `limit` bytes.
    pub(super) fn note_change(&mut self, change: &RowsChange, limit: usize) {
        if self.bytes > limit {
            *self = Self::new(false);
        }
        for row in &change.put {
            self.keep(&row.key, Some(row.value.clone()));
        }
        for key in &change.ended {
            self.keep(key, None);
        }
        for parked in &change.parked {
            self.forget(&parked.key);
            self.is_whole = false;
        }
    }

    fn keep(&mut self, key: &RowKey, value: Option<Json>) {
        self.forget(key);
        self.bytes += size(key, value.as_ref());
        self.rows.insert(key.clone(), value);
    }

    fn forget(&mut self, key: &RowKey) {
        if let Some(before) = self.rows.remove(key) {
            self.bytes -= size(key, before.as_ref());
        }
    }
}

fn size(key: &RowKey, value: Option<&Json>) -> usize {
    OVERHEAD_BYTES + key.as_str().len() + value.map_or(0, |value| value.as_str().len())
}

#[cfg(test)]
mod tests {
    use gavel_store::views::ParkedRow;
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    fn at(offset: u64) -> Position {
        Position::new(0, 1, offset)
    }

    fn key(name: &str) -> RowKey {
        RowKey::new(name).unwrap()
    }

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    fn row(name: &str, text: &str, offset: u64) -> KeyedRow {
        KeyedRow {
            key: key(name),
            value: json(text),
            cells: Vec::new(),
            position: at(offset),
        }
    }

    fn change(from: u64, to: u64) -> RowsChange {
        RowsChange::moving(TableId::new(1), at(from), at(to))
    }

    fn parked(name: &str) -> ParkedRow {
        ParkedRow {
            key: key(name),
            position: at(1),
            event_id: Uuid::nil(),
            reason: String::new(),
            since: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn changes_of_several_pages_are_one() {
        let mut batch = Batch::new(TableId::new(1), at(0));
        assert!(batch.began().is_none());
        let mut first = change(0, 2);
        first.put = vec![row("b", "1", 1), row("a", "1", 2), row("c", "1", 2)];
        first.added = 3;
        batch.add(4, first);
        let mut second = change(2, 5);
        second.put = vec![row("a", "2", 4)];
        second.ended = vec![key("b"), key("z")];
        second.removed = 2;
        batch.add(3, second);
        let mut third = change(5, 6);
        third.put = vec![row("z", "3", 6)];
        third.added = 1;
        batch.add(1, third);
        assert!(batch.began().is_some());
        assert_eq!((batch.to(), batch.events()), (at(6), 8));

        let mut expected = change(0, 6);
        expected.put = vec![row("a", "2", 4), row("c", "1", 2), row("z", "3", 6)];
        expected.ended = vec![key("b")];
        (expected.added, expected.removed) = (4, 2);
        assert_eq!(batch.take(), expected);

        assert!(batch.began().is_none());
        assert_eq!((batch.bytes(), batch.events()), (0, 0));
        assert_eq!(batch.take(), change(6, 6));
    }

    #[test]
    fn the_size_is_that_of_the_rows_which_are_left() {
        let mut batch = Batch::new(TableId::new(1), at(0));
        let mut rows = change(0, 1);
        rows.put = vec![row("a", "\"long\"", 1), row("b", "1", 1)];
        batch.add(1, rows);
        let both = batch.bytes();
        let mut shorter = change(1, 2);
        shorter.put = vec![row("a", "1", 2)];
        batch.add(1, shorter);
        assert_eq!(batch.bytes(), both - 5);
        let mut less = change(2, 3);
        less.ended = vec![key("a"), key("b")];
        batch.add(1, less);
        assert_eq!(batch.bytes(), 2 * (OVERHEAD_BYTES + 1), "keys that end");
        let mut again = change(3, 4);
        again.put = vec![row("a", "1", 4), row("b", "1", 4)];
        batch.add(1, again);
        assert_eq!(batch.bytes(), both - 5);
    }

    #[test]
    fn a_row_is_what_was_changed_last_or_read() {
        let mut batch = Batch::new(TableId::new(1), at(0));
        let mut cache = RowCache::new(false);
        let found = |cache: &RowCache, batch: &Batch, name: &str| {
            let found = cache.find(batch, &key(name));
            found.map(|value| value.map(|value| value.as_str().to_owned()))
        };
        assert_eq!(found(&cache, &batch, "a"), None);
        let stored = |value: Option<&str>, is_parked| StoredRow {
            value: value.map(json),
            is_parked,
        };
        cache.note(&key("a"), &stored(Some("1"), false));
        cache.note(&key("b"), &stored(None, false));
        cache.note(&key("p"), &stored(Some("1"), true));
        assert_eq!(found(&cache, &batch, "a"), Some(Some("1".to_owned())));
        assert_eq!(found(&cache, &batch, "b"), Some(None));
        assert_eq!(found(&cache, &batch, "p"), None, "it may change any time");

        let mut next = change(0, 1);
        next.put = vec![row("b", "2", 1)];
        next.ended = vec![key("a")];
        batch.add(1, next);
        assert_eq!(found(&cache, &batch, "a"), Some(None));
        assert_eq!(found(&cache, &batch, "b"), Some(Some("2".to_owned())));

        let change = batch.take();
        cache.note_change(&change, 1 << 20);
        assert_eq!(found(&cache, &batch, "a"), Some(None));
        assert_eq!(found(&cache, &batch, "b"), Some(Some("2".to_owned())));
    }

    #[test]
    fn a_whole_cache_knows_what_is_not_there_until_a_row_is_parked_or_forgotten() {
        let mut batch = Batch::new(TableId::new(1), at(0));
        let mut cache = RowCache::new(true);
        assert_eq!(cache.find(&batch, &key("a")), Some(None));
        let mut first = change(0, 1);
        first.put = vec![row("a", "1", 1)];
        batch.add(1, first);
        cache.note_change(&batch.take(), 0);
        assert_eq!(cache.find(&batch, &key("b")), Some(None));
        let mut parking = change(1, 2);
        parking.put = vec![row("p", "1", 2)];
        parking.parked = vec![parked("p")];
        batch.add(1, parking);
        cache.note_change(&batch.take(), 1 << 20);
        assert_eq!(cache.find(&batch, &key("p")), None, "it is parked");
        assert_eq!(cache.find(&batch, &key("b")), None);
        assert!(cache.find(&batch, &key("a")).flatten().is_some());

        // More is kept than may be.
        let mut second = change(2, 3);
        second.put = vec![row("c", "1", 3)];
        batch.add(1, second);
        cache.note_change(&batch.take(), 0);
        assert_eq!(cache.find(&batch, &key("a")), None);
        assert_eq!(cache.find(&batch, &key("b")), None);
        assert!(cache.find(&batch, &key("c")).flatten().is_some());
    }
}
