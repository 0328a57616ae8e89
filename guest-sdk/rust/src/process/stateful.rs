//! The rules of a [`Process`]: its instances are folded, and the steps follow from what is listed.

use std::marker::PhantomData;

use super::instance::{Folded, Step, StoredInstance, check_ids};
use super::rules::{Process, Rules};
use super::task::Task;
use crate::log::{FoldError, Recorded};
use crate::schema::SchemaWriter;

/// The rules of a [`Process`].
#[derive(Debug)]
pub struct Stateful<P>(PhantomData<P>);

impl<P: Process> Rules for Stateful<P> {
    type Event = P::Event;

    const STATE: Option<fn(&mut SchemaWriter)> = Some(P::schema);

    fn keys(event: &Recorded<P::Event>) -> Vec<String> {
        P::keys(event)
    }

    fn fold(instance: StoredInstance) -> Result<Folded, FoldError> {
        let StoredInstance { key, state, inputs } = instance;
        let fault = |index| move |message| FoldError { index, message };
        let mut state: Option<P> = state
            .as_deref()
            .map(restore)
            .transpose()
            .map_err(fault(0))?;
        let mut listed = match &state {
            Some(state) => list(state, &key).map_err(fault(0))?,
            None => Vec::new(),
        };
        let mut index = 0;
        let mut steps = Vec::new();
        for (place, input) in (0..).zip(inputs) {
            index = place;
            let input = input.read().map_err(fault(index))?;
            let state = state.get_or_insert_default();
            state.evolve(&input);
            let after = list(state, &key).map_err(fault(index))?;
            steps.push(Step::between(&listed, &after));
            listed = after;
        }
        let text = state.as_ref().map(write).transpose();
        let text = text.map_err(fault(index))?;
        let is_over = listed.is_empty() && text == write(&P::default()).ok();
        Ok(Folded {
            state: text.filter(|_| !is_over),
            steps,
        })
    }

    fn todo(key: &str, state: &str) -> Result<Vec<Task>, String> {
        list(&restore::<P>(state)?, key)
    }
}

fn restore<P: Process>(state: &str) -> Result<P, String> {
    gavel_json::read(state).map_err(|error| format!("the stored state cannot be read: {error}"))
}

fn write<P: Process>(state: &P) -> Result<String, String> {
    gavel_json::write_sorted(state)
        .map_err(|error| format!("the state cannot be written as JSON: {error}"))
}

fn list<P: Process>(state: &P, key: &str) -> Result<Vec<Task>, String> {
    let tasks = state.todo(key);
    check_ids(&tasks)?;
    Ok(tasks)
}
