//! Two tables, row by row: what was seen of them so far, and the comparisons that a host keeps.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use gavel_model::{Json, Position, RowKey};
use gavel_store::views::TableId;
use serde_json::Value;

use super::found::{ChangedPointer, RowDifferences, RowExample, SHOWN_CHANGES};
use crate::words::{excerpt, excerpt_json};

/// The number of examples that are kept.
const EXAMPLES: usize = 3;
/// The number of places in rows that are told apart; further ones are counted together.
const POINTERS: usize = 100;
/// The number of lists of places that are told apart; rows with further ones count as changed as a
/// whole.
const LISTS: usize = 1_000;
/// The number of comparisons that a host keeps.
const KEPT: usize = 8;

/// The verdict on a row that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowVerdict {
    /// The list of the places, by its number.
    Changed(usize),
    OnlyBefore,
    OnlyAfter,
}

/// A comparison of two tables, and what it has seen.
#[derive(Debug, Clone)]
pub(super) struct TableComparison {
    pub(super) before: TableId,
    pub(super) after: TableId,
    /// The position through which the rows that events change are compared again.
    pub(super) through: Position,
    hasher: RandomState,
    /// The rows that differ, by the hash of their keys: there may be a million.
    different: HashMap<u64, RowVerdict>,
    /// The places in which rows differ, each list once.
    lists: HashMap<Vec<String>, usize>,
    /// The first of the rows that differ, as they are before and after.
    examples: BTreeMap<RowKey, (Option<Json>, Option<Json>)>,
}

/// The comparisons that a host has made, to go on from.
#[derive(Debug, Default)]
pub(crate) struct Comparisons(Mutex<Vec<TableComparison>>);

impl Comparisons {
    pub(super) fn find(&self, before: TableId, after: TableId) -> Option<TableComparison> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |known: &&TableComparison| known.before == before && known.after == after;
        kept.iter().find(is_of).cloned()
    }

    pub(super) fn keep(&self, comparison: TableComparison) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|known| known.before != comparison.before || known.after != comparison.after);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(comparison);
    }

    pub(super) fn forget(&self, before: TableId, after: TableId) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|known| known.before != before || known.after != after);
    }

    /// Lists the tables that are compared, before and after.
    pub(super) fn tables(&self) -> Vec<(TableId, TableId)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .map(|known| (known.before, known.after))
            .collect()
    }
}

impl TableComparison {
    pub(super) fn new(before: TableId, after: TableId, through: Position) -> Self {
        Self {
            before,
            after,
            through,
            hasher: RandomState::new(),
            different: HashMap::new(),
            lists: HashMap::new(),
            examples: BTreeMap::new(),
        }
    }

    /// The same comparison, seen from the other table.
    pub(super) fn reversed(mut self) -> Self {
        std::mem::swap(&mut self.before, &mut self.after);
        for verdict in self.different.values_mut() {
            *verdict = match *verdict {
                RowVerdict::OnlyBefore => RowVerdict::OnlyAfter,
                RowVerdict::OnlyAfter => RowVerdict::OnlyBefore,
                changed @ RowVerdict::Changed(_) => changed,
            };
        }
        for (before, after) in self.examples.values_mut() {
            std::mem::swap(before, after);
        }
        self
    }

    /// Compares a row, in place of what was said of it before.
    pub(super) fn compare(&mut self, key: &RowKey, before: Option<&Json>, after: Option<&Json>) {
        let verdict = match (before, after) {
            (None, None) => None,
            (Some(before), Some(after)) if before == after => None,
            (Some(before), Some(after)) => {
                let places = changes(&before.to_value(), &after.to_value());
                Some(RowVerdict::Changed(self.number_of(places)))
            }
            (Some(_), None) => Some(RowVerdict::OnlyBefore),
            (None, Some(_)) => Some(RowVerdict::OnlyAfter),
        };
        let hash = self.hasher.hash_one(key);
        self.examples.remove(key);
        let Some(verdict) = verdict else {
            self.different.remove(&hash);
            return;
        };
        if self.examples.len() < EXAMPLES {
            let example = (before.cloned(), after.cloned());
            self.examples.insert(key.clone(), example);
        }
        self.different.insert(hash, verdict);
    }

    /// The number of a list of places.
    fn number_of(&mut self, mut places: Vec<String>) -> usize {
        if places.len() > POINTERS || self.lists.len() >= LISTS && !self.lists.contains_key(&places)
        {
            places = vec![String::new()];
        }
        let next = self.lists.len();
        *self.lists.entry(places).or_insert(next)
    }

    pub(super) fn count(&self, rows_after: u64) -> RowDifferences {
        let mut found = RowDifferences::default();
        let mut by_list = BTreeMap::<usize, u64>::new();
        for verdict in self.different.values() {
            match verdict {
                RowVerdict::OnlyBefore => found.only_before += 1,
                RowVerdict::OnlyAfter => found.only_after += 1,
                RowVerdict::Changed(list) => {
                    found.changed += 1;
                    *by_list.entry(*list).or_default() += 1;
                }
            }
        }
        let mut pointers = BTreeMap::<&str, u64>::new();
        for (places, list) in &self.lists {
            let Some(rows) = by_list.get(list) else {
                continue;
            };
            for place in places {
                let is_known = pointers.contains_key(place.as_str());
                let place = if is_known || pointers.len() < POINTERS {
                    place
                } else {
                    ""
                };
                *pointers.entry(place).or_default() += rows;
            }
        }
        found.equal = rows_after.saturating_sub(found.changed + found.only_after);
        let pointers = pointers.into_iter().map(|(pointer, rows)| ChangedPointer {
            pointer: pointer.to_owned(),
            rows,
        });
        found.pointers = pointers.collect();
        found.pointers.sort_by_key(|changed| Reverse(changed.rows));
        let examples = self.examples.iter();
        let examples = examples.map(|(key, (before, after))| RowExample::of(key, before, after));
        found.examples = examples.collect();
        found
    }
}

impl RowExample {
    fn of(key: &RowKey, before: &Option<Json>, after: &Option<Json>) -> Self {
        let lines = match (before, after) {
            (_, None) => vec!["would be gone".to_owned()],
            (None, _) => vec!["would be new".to_owned()],
            (Some(before), Some(after)) => {
                let (before, after) = (before.to_value(), after.to_value());
                let at = |row: &Value, place: &str| {
                    let value = row.pointer(place).map(Value::to_string);
                    value.map_or_else(|| "nothing".to_owned(), |value| excerpt(&value))
                };
                let places = changes(&before, &after).into_iter().take(SHOWN_CHANGES);
                let lines = places.map(|place| {
                    let (before, after) = (at(&before, &place), at(&after, &place));
                    format!("{place}: {before} -> {after}")
                });
                lines.collect()
            }
        };
        Self {
            key: key.to_string(),
            before: before.as_ref().map(excerpt_json),
            after: after.as_ref().map(excerpt_json),
            lines,
        }
    }
}

/// The places where two documents differ, as JSON pointers: the deepest objects that both have are
/// compared member by member.
fn changes(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![(String::new(), before, after)];
    while let Some((place, before, after)) = pending.pop() {
        match (before, after) {
            (Value::Object(one), Value::Object(other)) => {
                let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                for name in names.into_iter().rev() {
                    let step = name.replace('~', "~0").replace('/', "~1");
                    let member = format!("{place}/{step}");
                    match (one.get(name), other.get(name)) {
                        (Some(one), Some(other)) => pending.push((member, one, other)),
                        _ => found.push(member),
                    }
                }
            }
            (one, other) if one != other => found.push(place),
            _ => {}
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json(value: &Value) -> Json {
        Json::from_value(value).unwrap()
    }

    #[test]
    fn rows_differ_at_the_deepest_members_that_both_have() {
        let before = json!({ "total": 7, "lines": { "a": 1, "b": [1] }, "x/y": 1, "gone": 1 });
        let after = json!({ "total": 8, "lines": { "a": 1, "b": [2] }, "x/y": 2, "new": 1 });
        let expected = ["/gone", "/lines/b", "/new", "/total", "/x~1y"];
        assert_eq!(changes(&before, &after), expected);
        assert_eq!(changes(&before, &before), Vec::<String>::new());
        assert_eq!(changes(&json!(1), &json!({ "a": 1 })), [""]);
    }

    #[test]
    fn rows_that_differ_in_many_ways_are_counted_in_few() {
        let id = TableId::new;
        let mut comparison = TableComparison::new(id(1), id(2), Position::BEGINNING);
        for number in 0..2 * LISTS {
            let key = RowKey::new(number.to_string()).unwrap();
            let before = json(&json!({ format!("m-{number}"): 1 }));
            let after = json(&json!({ format!("m-{number}"): 2 }));
            comparison.compare(&key, Some(&before), Some(&after));
        }
        assert!(comparison.lists.len() <= LISTS + 1);
        let found = comparison.count(0);
        assert_eq!(found.changed, 2 * LISTS as u64);
        assert!(found.pointers.len() <= POINTERS + 1);
        let rows: u64 = found.pointers.iter().map(|changed| changed.rows).sum();
        assert_eq!(rows, found.changed);
    }

    #[test]
    fn a_row_that_is_compared_again_is_counted_once() {
        let id = TableId::new;
        let mut comparison = TableComparison::new(id(1), id(2), Position::BEGINNING);
        let key = |name: &str| RowKey::new(name).unwrap();
        let (one, two) = (json(&json!({ "total": 1 })), json(&json!({ "total": 2 })));
        comparison.compare(&key("a"), Some(&one), Some(&two));
        comparison.compare(&key("b"), Some(&one), None);
        comparison.compare(&key("c"), None, Some(&one));
        comparison.compare(&key("d"), Some(&one), Some(&one));
        let found = comparison.count(3);
        assert_eq!(
            (
                found.equal,
                found.changed,
                found.only_before,
                found.only_after
            ),
            (1, 1, 1, 1)
        );
        assert_eq!(found.pointers[0].pointer, "/total");
        assert_eq!(found.examples[0].lines, ["/total: 1 -> 2"]);
        let back = comparison.clone().reversed();
        assert_eq!((back.before, back.after), (id(2), id(1)));
        let back = back.count(3);
        assert_eq!((back.equal, back.changed), (1, 1));
        assert_eq!((back.only_before, back.only_after), (1, 1));
        let lines: Vec<_> = back.examples.iter().map(|row| row.lines.concat()).collect();
        assert_eq!(lines, ["/total: 2 -> 1", "would be new", "would be gone"]);
        comparison.compare(&key("a"), Some(&two), Some(&two));
        comparison.compare(&key("b"), Some(&one), Some(&two));
        comparison.compare(&key("c"), None, None);
        let found = comparison.count(3);
        assert_eq!((found.equal, found.changed, found.different()), (2, 1, 1));
        assert_eq!(found.examples.len(), 1);
    }
}
