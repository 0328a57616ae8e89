//! A page of events folded twice: in one call, and event by event in another instance. A view gives
//! the same bytes, or is no function of its events.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_model::{Json, Namespace, Position, RecordedEvent, RowKey};
use gavel_sandbox::{QueryItem, RunError};
use gavel_store::{Error, LogFilter};

use super::folding::{Keys, RowFolder, RowTask};
use super::page::keys_of;
use super::touched::TouchedError;
use super::{ViewLimits, Views};
use crate::catalog::View;

/// The number of rows that are asked for their sources.
const SOURCES: usize = 50;
/// The number of differences that are kept.
const EXAMPLES: usize = 3;

/// The result of folding a sample twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepeatedFold {
    /// The events that were folded.
    pub events: u64,
    /// The rows that they lead to.
    pub rows: u64,
    /// The rows and events that were something else the second time.
    pub different: Differences,
    /// The events about which `sources` and `keys` disagree.
    pub misnamed: Differences,
    /// The fuel of folding all in one call.
    pub fuel: u64,
}

/// Things that are other than they should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// The number of them.
    pub count: u64,
    /// The first of them, a sentence each.
    pub examples: Vec<String>,
}

impl Differences {
    fn note(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

impl Views {
    /// Reads the first events of the log that the view reads.
    ///
    /// # Errors
    ///
    /// [`Error`] when the log cannot be read.
    pub async fn sample(
        &self,
        view: &View,
        namespace: &Namespace,
        events: u32,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let filter = LogFilter::from(view.filter());
        let start = Position::BEGINNING;
        let page = self
            .0
            .log_store
            .read_log(namespace, start, &filter, events)
            .await;
        match page {
            Ok(page) => Ok(page
                .events
                .into_iter()
                .filter(|event| view.reads(event))
                .collect()),
            Err(Error::Malformed { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Folds a sample twice, and compares keys and sources.
    ///
    /// # Errors
    ///
    /// [`TouchedError::NotRun`].
    pub async fn repeat(
        &self,
        view: &Arc<View>,
        sample: Arc<Vec<RecordedEvent>>,
    ) -> Result<RepeatedFold, TouchedError> {
        let (of, limits) = (Arc::clone(view), self.0.settings.limits);
        let runtime = self.0.modules.runtime();
        let repeat = move || Repeat::new(of, limits, &sample).run();
        Ok(runtime.run_in_background(repeat).await??)
    }
}

struct Repeat<'s> {
    view: Arc<View>,
    limits: ViewLimits,
    events: Vec<&'s RecordedEvent>,
    found: RepeatedFold,
}

impl<'s> Repeat<'s> {
    fn new(view: Arc<View>, limits: ViewLimits, sample: &'s [RecordedEvent]) -> Self {
        let events = sample.iter().filter(|event| view.can_fold(event));
        Self {
            events: events.collect(),
            view,
            limits,
            found: RepeatedFold::default(),
        }
    }

    fn folder(&self) -> RowFolder {
        RowFolder::new(Arc::clone(&self.view), self.limits)
    }

    fn run(mut self) -> Result<RepeatedFold, RunError> {
        let mut together = self.folder();
        let keys = keys_of(&mut together, &self.events, &self.view)?;
        let mut apart = self.folder();
        // Backwards, so that what an instance remembers is another history.
        for (event, keys) in self.events.iter().zip(&keys).rev() {
            let again = keys_of(&mut apart, &[*event], &self.view)?;
            if again.first() != Some(keys) {
                self.found.different.note(|| {
                    let name = &event.event.event;
                    format!(
                        "{}/{name} at {} has other keys the second time",
                        event.stream, event.position
                    )
                });
            }
        }
        let rows = rows(&keys);
        let tasks: Vec<RowTask> = rows
            .iter()
            .map(|(key, events)| RowTask {
                key: (*key).clone(),
                value: None,
                events: events.clone(),
            })
            .collect();
        let folded = together.fold(&self.events, &tasks)?;
        self.found.fuel = together.fuel();
        self.found.events = self.events.len() as u64;
        self.found.rows = folded.len() as u64;
        for (task, folded) in tasks.iter().zip(&folded).rev() {
            let again = one_by_one(&mut apart, &self.events, task)?;
            let once = (folded.value.as_ref().map(Json::as_str), folded.folded);
            if once != (again.0.as_ref().map(Json::as_str), again.1) {
                let text = |row: Option<&str>| {
                    row.unwrap_or("no row")
                        .chars()
                        .take(200)
                        .collect::<String>()
                };
                self.found.different.note(|| {
                    let (one, other) = (text(once.0), text(again.0.as_ref().map(Json::as_str)));
                    format!(
                        "row {}: {one} in one call, {other} event by event",
                        task.key
                    )
                });
            }
        }
        self.check_sources(&rows, &keys)?;
        Ok(self.found)
    }

    /// Compares what `sources` and `keys` say, both ways.
    fn check_sources(
        &mut self,
        rows: &BTreeMap<&RowKey, Vec<u32>>,
        keys: &[Keys],
    ) -> Result<(), RunError> {
        let mut folder = self.folder();
        for (key, events) in rows.iter().take(SOURCES) {
            let Some(items) = folder.sources(key)? else {
                return Ok(());
            };
            let items = match items {
                Ok(items) => items,
                Err(fault) => {
                    let misnamed = &mut self.found.misnamed;
                    misnamed.note(|| format!("row {key} has no sources: {fault}"));
                    // It may take long to fail again.
                    return Ok(());
                }
            };
            for ((place, event), keys) in (0_u32..).zip(&self.events).zip(keys) {
                let is_source = items.iter().any(|item| matches(item, event));
                if keys.is_err() || is_source == events.contains(&place) {
                    continue;
                }
                let (name, stream) = (&event.event.event, &event.stream);
                self.found.misnamed.note(|| match is_source {
                    true => format!("{stream}/{name} is among the sources of row {key}, which is none of its keys"),
                    false => format!("{stream}/{name} has the key {key}, of whose sources it is none"),
                });
            }
        }
        Ok(())
    }
}

/// The places of the events of each row.
fn rows(keys: &[Keys]) -> BTreeMap<&RowKey, Vec<u32>> {
    let mut rows = BTreeMap::<&RowKey, Vec<u32>>::new();
    for (place, keys) in (0_u32..).zip(keys) {
        for key in keys.iter().flatten() {
            rows.entry(key).or_default().push(place);
        }
    }
    rows
}

/// Folds a row event by event; gives the row, and the number of events that it folds.
fn one_by_one(
    folder: &mut RowFolder,
    events: &[&RecordedEvent],
    task: &RowTask,
) -> Result<(Option<Json>, usize), RunError> {
    let mut value = None;
    for (folded, event) in task.events.iter().enumerate() {
        let step = RowTask {
            key: task.key.clone(),
            value,
            events: vec![*event],
        };
        let done = folder.fold(events, &[step])?;
        let Some(row) = done.into_iter().next() else {
            return Ok((None, folded));
        };
        value = row.value;
        if row.fault.is_some() {
            return Ok((value, folded));
        }
    }
    Ok((value, task.events.len()))
}

/// Tells whether an event matches a condition that a module has named.
fn matches(item: &QueryItem, event: &RecordedEvent) -> bool {
    let RecordedEvent { stream, event, .. } = event;
    let (decider, name) = (stream.decider().as_str(), event.event.as_str());
    let mut events = item.events.iter();
    events.any(|(of, known)| of == decider && known == name)
        && item.stream_id.as_ref().is_none_or(|id| id == stream.id())
        && item.tags.iter().all(|tag| event.tags.contains(tag))
}
