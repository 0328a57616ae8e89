//! The process's exports as plain functions over text, which `export` binds to the component, and
//! tests run natively.

use super::instance::{Folded, StoredInstance};
use super::rules::{ProcessModule, Rules};
use super::task::{Action, Task};
use crate::log::{self, EventText, FoldError, Recorded};

/// The keys of each event, each once.
///
/// # Panics
///
/// When the author's `keys` needs an event that cannot be read.
#[must_use]
pub fn keys<P: ProcessModule>(events: Vec<Recorded<EventText>>) -> Vec<Vec<String>> {
    log::keys(P::KEY, P::Rules::keys, events)
}

/// Folds each instance's inputs into its state.
pub fn fold<P: ProcessModule>(instances: Vec<StoredInstance>) -> Vec<Result<Folded, FoldError>> {
    let fold = |instance| {
        let folded = P::Rules::fold(instance)?;
        for (index, step) in (0..).zip(&folded.steps) {
            check::<P>(&step.added).map_err(|message| FoldError { index, message })?;
        }
        Ok(folded)
    };
    instances.into_iter().map(fold).collect()
}

/// All that is to be done at a state.
///
/// # Panics
///
/// When the state cannot be read, or a task cannot be done: there is no answer that says so.
#[must_use]
pub fn todo<P: ProcessModule>(key: &str, state: &str) -> Vec<Task> {
    let listed = P::Rules::todo(key, state).and_then(|tasks| {
        check::<P>(&tasks)?;
        Ok(tasks)
    });
    listed.unwrap_or_else(|error| panic!("the instance {key} of {}: {error}", P::NAME))
}

/// Checks that all commands can be written, and are those that the manifest names.
fn check<P: ProcessModule>(tasks: &[Task]) -> Result<(), String> {
    for Task { id, action } in tasks {
        if let Action::Send(order) = action
            && let Some(fault) = order.fault(P::SENDS)
        {
            return Err(format!("the task {id} cannot be done: {fault}"));
        }
    }
    Ok(())
}
