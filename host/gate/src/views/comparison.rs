//! Two tables, row by row: what was seen of them so far.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
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
/// The number of comparisons that a host keeps.
const KEPT: usize = 8;

/// The verdict on a row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RowVerdict {
    Changed(Vec<String>),
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
    examples: BTreeMap<RowKey, RowExample>,
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
}

impl TableComparison {
    pub(super) fn new(before: TableId, after: TableId, through: Position) -> Self {
        Self {
            before,
            after,
            through,
            hasher: RandomState::new(),
            different: HashMap::new(),
            examples: BTreeMap::new(),
        }
    }

    /// Compares a row, in place of what was said of it before.
    pub(super) fn compare(&mut self, key: &RowKey, before: Option<&Json>, after: Option<&Json>) {
        let verdict = match (before, after) {
            (None, None) => None,
            (Some(before), Some(after)) if before == after => None,
            (Some(before), Some(after)) => Some(RowVerdict::Changed(changes(
                &before.to_value(),
                &after.to_value(),
            ))),
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
            let example = RowExample::of(key, before, after, &verdict);
            self.examples.insert(key.clone(), example);
        }
        match self.different.entry(hash) {
            Entry::Occupied(mut known) => drop(known.insert(verdict)),
            Entry::Vacant(place) => drop(place.insert(verdict)),
        }
    }

    pub(super) fn count(&self, rows_after: u64) -> RowDifferences {
        let mut found = RowDifferences::default();
        let mut pointers = BTreeMap::<&str, u64>::new();
        for verdict in self.different.values() {
            match verdict {
                RowVerdict::OnlyBefore => found.only_before += 1,
                RowVerdict::OnlyAfter => found.only_after += 1,
                RowVerdict::Changed(places) => {
                    found.changed += 1;
                    for place in places {
                        let is_known = pointers.contains_key(place.as_str());
                        let place = if is_known || pointers.len() < POINTERS {
                            place
                        } else {
                            ""
                        };
                        *pointers.entry(place).or_default() += 1;
                    }
                }
            }
        }
        found.equal = rows_after.saturating_sub(found.changed + found.only_after);
        let pointers = pointers.into_iter().map(|(pointer, rows)| ChangedPointer {
            pointer: pointer.to_owned(),
            rows,
        });
        found.pointers = pointers.collect();
        found.pointers.sort_by_key(|changed| Reverse(changed.rows));
        found.examples = self.examples.values().cloned().collect();
        found
    }
}

impl RowExample {
    fn of(key: &RowKey, before: Option<&Json>, after: Option<&Json>, verdict: &RowVerdict) -> Self {
        let shown = |row: Option<&Json>| row.map(excerpt_json);
        let lines = match verdict {
            RowVerdict::OnlyBefore => vec!["would be gone".to_owned()],
            RowVerdict::OnlyAfter => vec!["would be new".to_owned()],
            RowVerdict::Changed(places) => {
                let at = |row: Option<&Json>, place: &String| {
                    let value = row.map(Json::to_value).unwrap_or_default();
                    let value = value.pointer(place).map(Value::to_string);
                    value.map_or_else(|| "nothing".to_owned(), |value| excerpt(&value))
                };
                let places = places.iter().take(SHOWN_CHANGES);
                places
                    .map(|place| format!("{place}: {} -> {}", at(before, place), at(after, place)))
                    .collect()
            }
        };
        Self {
            key: key.to_string(),
            before: shown(before),
            after: shown(after),
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
        comparison.compare(&key("a"), Some(&two), Some(&two));
        comparison.compare(&key("b"), Some(&one), Some(&two));
        comparison.compare(&key("c"), None, None);
        let found = comparison.count(3);
        assert_eq!((found.equal, found.changed, found.different()), (2, 1, 1));
        assert_eq!(found.examples.len(), 1);
    }
}
