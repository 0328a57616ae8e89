//! The trait that an author of a process implements, and the one that `#[gavel::process]`
//! implements for them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::input::Input;
use super::instance::{Folded, StoredInstance};
use super::task::Task;
use crate::log::{FoldError, Foreign, Key, Recorded};
use crate::schema::{JsonSchema, SchemaWriter};

/// The rules of one process; the implementing type is the state of an instance.
///
/// [`Default`] is the state of an instance that has learnt nothing. A state is a fold of the
/// instance's [inputs](crate::Input) in the order of the log, and what is to be done is a function
/// of the state: there is no place for "already sent". A page may hold any number of inputs, and
/// between two pages the state is its JSON. So all functions MUST be pure, and a field that serde
/// skips is lost at some time. Whatever they iterate over MUST have a stable order, as for a
/// [`Decider`](crate::Decider).
///
/// A task is done at most once, however often it is listed: the host remembers which are done until
/// the instance is over. It is over, and forgotten, when its state is the initial one and nothing
/// is listed; the next event with its key begins another one.
pub trait Process: Default + Serialize + DeserializeOwned + JsonSchema + 'static {
    /// The events that the process reads: see the derive macro [`Foreign`](macro@crate::Foreign).
    type Event: Foreign;

    /// The keys of the instances that learn of the event; a key that is listed twice counts once.
    ///
    /// With `key = …` the attribute `#[gavel::process]` writes this function. A key is the id of a
    /// stream of the process: 1 to 255 bytes without control characters.
    fn keys(event: &Recorded<Self::Event>) -> Vec<String>;

    /// Folds one input into this state.
    ///
    /// It MUST accept every input that the type can express, in any order: a fact cannot be
    /// refused.
    fn evolve(&mut self, input: &Input<Self::Event>);

    /// All that is to be done at this state, in the order in which it is to be begun, and nothing
    /// that is not; `key` is the instance's.
    ///
    /// A task that was done, or is over in another way, MAY still be listed: it is not done again.
    /// What is not listed any longer is not begun. Each task has an id of its own.
    fn todo(&self, key: &str) -> Vec<Task>;
}

/// A process as the host sees it: with a name, and what it sends. The attribute
/// `#[gavel::process]` implements it.
pub trait ProcessModule: 'static {
    /// The process's name.
    const NAME: &'static str;

    #[doc(hidden)]
    type Rules: Rules;

    #[doc(hidden)]
    const KEY: Key;

    /// The deciders to which it sends, and the names of the commands.
    #[doc(hidden)]
    const SENDS: &'static [(&'static str, &'static [&'static str])];

    /// True if an instance learns which of its commands were accepted.
    #[doc(hidden)]
    const ACCEPTED: bool;
}

/// The rules of a process in one form, whichever trait its author implements.
#[doc(hidden)]
pub trait Rules {
    type Event: Foreign;

    /// Writes the schema of a state; none where no state is kept.
    const STATE: Option<fn(&mut SchemaWriter)>;

    fn keys(event: &Recorded<Self::Event>) -> Vec<String>;

    fn fold(instance: StoredInstance) -> Result<Folded, FoldError>;

    fn todo(key: &str, state: &str) -> Result<Vec<Task>, String>;
}
