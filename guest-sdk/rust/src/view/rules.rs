//! The trait that an author of a view implements, and the one that `#[gavel::view]` implements for
//! them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::log::{Foreign, Key, Recorded};
use crate::schema::JsonSchema;

/// The rules of one view; the implementing type is a row.
///
/// [`Default`] is a row without events. A row is a fold of the events that name its key, in the
/// order of the log; a page may hold any number of them, and between two pages the row is its JSON.
/// So both functions MUST be pure, and a field that serde skips is lost at some time. Whatever they
/// iterate over MUST have a stable order, as for a [`Decider`](crate::Decider).
///
/// A top-level field of the row that is an integer, a number, a boolean, a text or a
/// [`Timestamp`](crate::Timestamp) becomes a column. `#[index]` on a field makes the view queryable
/// by it: see the derive macro [`JsonSchema`](macro@crate::JsonSchema).
pub trait View: Default + Serialize + DeserializeOwned + JsonSchema + 'static {
    /// The events that the view reads: see the derive macro [`Foreign`](macro@crate::Foreign).
    type Event: Foreign;

    /// The keys of the rows that the event changes; a key that is listed twice counts once.
    ///
    /// With `key = …` the attribute `#[gavel::view]` writes this function. A key is 1 to 255 bytes
    /// without control characters.
    fn keys(event: &Recorded<Self::Event>) -> Vec<String>;

    /// Folds one event into this row.
    ///
    /// It MUST accept every event that the type can express, in any order: a fact cannot be
    /// refused.
    fn evolve(&mut self, event: &Recorded<Self::Event>) -> Row;
}

/// The fate of a row after an event.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// The row stays, or begins.
    Keep,
    /// The row ends: there is none, until another event with its key begins it again.
    End,
}

/// A view as the host sees it: with a name and specifications. The attribute `#[gavel::view]`
/// implements it.
pub trait ViewModule: View {
    /// The view's name.
    const NAME: &'static str;

    /// The specifications: a JSON array, as in the manifest.
    const SPECS: &'static str;

    #[doc(hidden)]
    const KEY: Key;
}
