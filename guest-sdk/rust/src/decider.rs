//! The trait that an author implements, and the one that `#[gavel::decider]` implements for them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::EventTable;
use crate::schema::{JsonSchema, Variants};
use crate::{Context, Rejection};

/// The rules of one kind of stream; the implementing type is the state of such a stream.
///
/// [`Default`] is the state of a stream without events. Both functions MUST be pure: the same
/// inputs give the same outputs, in any instance, at any time. Time and randomness come from the
/// [`Context`]. Whatever `decide` iterates over MUST have a stable order, so prefer `BTreeMap` and
/// `BTreeSet` to their hashing cousins. A `HashSet` is refused by the compiler, in states, commands
/// and events alike: its elements have no order that JSON could keep.
///
/// ```compile_fail,E0277
/// #[derive(Default, gavel::JsonSchema)]
/// pub struct Cart { items: std::collections::HashSet<String> }
/// ```
///
/// ```
/// #[derive(Default, gavel::JsonSchema)]
/// pub struct Cart { items: std::collections::BTreeSet<String> }
/// ```
pub trait Decider: Default + Serialize + DeserializeOwned + JsonSchema + 'static {
    /// An enum with one variant for each command, in serde's default representation: no `tag`, no
    /// `untagged`.
    ///
    /// The variant's name, after serde's renaming, is the command's name; its fields are the
    /// command's data.
    type Command: DeserializeOwned + Variants;

    /// An enum with one variant for each event, in serde's default representation: no `tag`, no
    /// `untagged`.
    ///
    /// The name is stored with every event for good. To rename a variant later, keep the stored
    /// name with `#[serde(rename = "…")]`. Versions, final events and tags: see the derive macro
    /// [`Event`](macro@crate::Event).
    type Event: Serialize + DeserializeOwned + Variants;

    /// The rejections of commands; see the derive macro [`Rejection`](macro@crate::Rejection).
    type Rejection: Rejection;

    /// Decides `command` at this state: returns the events to append, or a rejection.
    ///
    /// An empty list means accepted, with nothing to record.
    ///
    /// # Errors
    ///
    /// A rejection: an expected outcome, of which only the command's row in the ledger is stored.
    fn decide(
        &self,
        command: Self::Command,
        context: &Context,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Folds one event into this state.
    ///
    /// It MUST accept every event that the type can express, in any order: a fact cannot be
    /// refused.
    fn evolve(&mut self, event: &Self::Event);
}

/// A decider as the host sees it: with a name and specifications. The attribute `#[gavel::decider]`
/// implements it.
pub trait Module: Decider {
    /// The decider's name.
    const NAME: &'static str;

    /// The given/when/then specifications: a JSON array, as in the manifest.
    const SPECS: &'static str;

    #[doc(hidden)]
    const EVENTS: EventTable<Self::Event>;
}
