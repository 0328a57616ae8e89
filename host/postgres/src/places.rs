//! Lists without repetition, in which the arguments of `gavel_append` have places.

use std::collections::HashMap;
use std::hash::Hash;

/// A list without repetition, and the place of each item in it.
#[derive(Debug)]
pub(super) struct Places<T> {
    places: HashMap<T, i32>,
    list: Vec<T>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            list: Vec::new(),
        }
    }
}

impl<T: Copy + Eq + Hash> Places<T> {
    /// The place of an item, at the end of the list if it is new; the first place is 1.
    pub(super) fn of(&mut self, item: T) -> i32 {
        // Nearly always the one before.
        if self.list.last() == Some(&item) {
            return index(self.list.len());
        }
        *self.places.entry(item).or_insert_with(|| {
            self.list.push(item);
            index(self.list.len())
        })
    }

    pub(super) fn list(&self) -> &[T] {
        &self.list
    }
}

/// The place of the last of `number` items, or the index of one, as an argument.
pub(super) fn index(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
