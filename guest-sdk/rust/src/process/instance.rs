//! An instance before and after its inputs, and the step of each of them.

use std::collections::BTreeSet;

use super::input::Input;
use super::task::{Action, Task};
use crate::log::EventText;

/// An instance as it is stored, and what it learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInstance {
    /// The key.
    pub key: String,
    /// The state as JSON; none if the instance has not begun, or was forgotten.
    pub state: Option<String>,
    /// The inputs that it learns, in order.
    pub inputs: Vec<Input<EventText>>,
}

/// An instance after its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The state to keep as JSON; none if it equals the initial one and nothing is listed.
    pub state: Option<String>,
    /// One step for each input, in order.
    pub steps: Vec<Step>,
}

/// The change of what is listed by one input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The tasks that are listed now and were not before, in the order of the list.
    pub added: Vec<Task>,
    /// The ids of those that were listed before and are not any longer.
    pub gone: Vec<String>,
}

impl Step {
    /// The step from one list to the next.
    pub(super) fn between(before: &[Task], after: &[Task]) -> Self {
        let added = missing_in(before, after).cloned().collect();
        let gone = missing_in(after, before)
            .map(|task| task.id.clone())
            .collect();
        Self { added, gone }
    }
}

/// The tasks of `list` that are not in `other`.
fn missing_in<'a>(other: &'a [Task], list: &'a [Task]) -> impl Iterator<Item = &'a Task> {
    let known: BTreeSet<_> = other.iter().map(identity).collect();
    list.iter()
        .filter(move |task| !known.contains(&identity(task)))
}

/// The facts by which a task is known: its id, and for a wait its time in milliseconds.
fn identity(task: &Task) -> (&str, Option<u64>) {
    let time = match &task.action {
        Action::Send(_) => None,
        Action::WaitUntil(time) => Some(time.as_ms()),
    };
    (&task.id, time)
}

/// Checks that each task has an id of its own.
pub(super) fn check_ids(tasks: &[Task]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match tasks.iter().find(|task| !seen.insert(&task.id)) {
        None => Ok(()),
        Some(task) => Err(format!("`todo` lists two tasks with the id {}", task.id)),
    }
}
