//! Given events and the rows that they lead to, without a store: the specifications of views.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gavel_model::{
    DeciderName, Json, Metadata, Namespace, NewEvent, Position, RecordedEvent, StreamId, Version,
};
use gavel_sandbox::RunError;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::ViewLimits;
use super::folding::{RowFolder, RowTask};
use super::page::keys_of;
use crate::catalog::{LoggedEvent, View};

/// The rows that a specification leads to, and what the module has written.
#[derive(Debug)]
pub struct SpecRows {
    /// The rows by key, or the reason for which there are none.
    pub rows: Result<BTreeMap<String, Value>, String>,
    /// The text that the module wrote to stdout and stderr; none if it wrote nothing.
    pub output: Option<String>,
}

/// Folds the events of a specification. Runs guest code.
///
/// # Errors
///
/// [`RunError::NoRoom`], which says nothing of the module.
pub fn fold_spec(
    view: &Arc<View>,
    limits: ViewLimits,
    given: &[LoggedEvent],
) -> Result<SpecRows, RunError> {
    let mut folder = RowFolder::new(Arc::clone(view), limits);
    let rows = match events(view, given) {
        Ok(events) => fold(&mut folder, view, &events.iter().collect::<Vec<_>>())?,
        Err(reason) => Err(reason),
    };
    Ok(SpecRows {
        rows,
        output: folder.take_output(),
    })
}

fn fold(
    folder: &mut RowFolder,
    view: &View,
    events: &[&RecordedEvent],
) -> Result<Result<BTreeMap<String, Value>, String>, RunError> {
    let keys = keys_of(folder, events, view)?;
    let mut tasks = BTreeMap::new();
    for (place, (keys, event)) in (0_u32..).zip(keys.into_iter().zip(events)) {
        let name = &event.event.event;
        let keys = match keys {
            Ok(keys) => keys,
            Err(reason) => return Ok(Err(format!("the keys of {name} cannot be told: {reason}"))),
        };
        for key in keys {
            let task = tasks.entry(key.clone()).or_insert_with(|| RowTask {
                key,
                value: None,
                events: Vec::new(),
            });
            task.events.push(place);
        }
    }
    // Event by event, with the row stored in between: what a row does not keep must not matter.
    let rows = tasks.into_values().map(|task: RowTask| {
        let mut value = None;
        for event in &task.events {
            let step = RowTask {
                key: task.key.clone(),
                value,
                events: vec![*event],
            };
            let folded = folder.fold(events, &[step])?.into_iter().next();
            let fault = folded.as_ref().and_then(|row| row.fault.as_ref());
            if let Some(reason) = fault {
                let reason = format!("row {} cannot be folded: {reason}", task.key);
                return Ok(Err(reason));
            }
            value = folded.and_then(|row| row.value);
        }
        let row = value.as_ref().map(Json::to_value);
        Ok(Ok((task.key.to_string(), row)))
    });
    let rows: Result<Vec<_>, RunError> = rows.collect();
    let rows = rows?.into_iter();
    let rows: Result<Vec<_>, String> = rows.collect();
    Ok(rows.map(|rows| {
        let rows = rows.into_iter();
        rows.filter_map(|(key, row)| Some((key, row?))).collect()
    }))
}

/// Makes recorded events of the given ones.
fn events(view: &View, given: &[LoggedEvent]) -> Result<Vec<RecordedEvent>, String> {
    let mut versions = HashMap::<(String, String), Version>::new();
    let numbered = (1_u64..).zip(given);
    numbered
        .map(|(number, event)| {
            let name = &event.event;
            let wrong = |reason: String| format!("the given {name} is none: {reason}");
            let (decider, newest) = reader(view, event).map_err(wrong)?;
            let id = event.stream_id.as_deref().unwrap_or("spec");
            let version = versions
                .entry((decider.clone(), id.to_owned()))
                .or_default();
            *version = version.next();
            let decider = DeciderName::new(&decider).map_err(|error| wrong(error.to_string()))?;
            let stream = StreamId::new(Namespace::default(), decider, id);
            let data = Json::from_value(&event.data).map_err(|error| wrong(error.to_string()))?;
            let seconds = i128::from(event.created_ms.unwrap_or_default()) * 1_000_000;
            let created_at = OffsetDateTime::from_unix_timestamp_nanos(seconds);
            Ok(RecordedEvent {
                stream: stream.map_err(|error| wrong(error.to_string()))?,
                version: *version,
                position: Position::new(1, 0, number),
                previous_id: None,
                created_at: created_at.map_err(|error| wrong(error.to_string()))?,
                event: NewEvent {
                    event_id: Uuid::from_u128(u128::from(number)),
                    event: name.clone(),
                    schema_version: event.schema_version.unwrap_or(newest),
                    data,
                    is_final: false,
                    tags: event.tags.clone(),
                    metadata: Metadata::from_stored(event.metadata.clone()),
                    command_id: Uuid::nil(),
                },
            })
        })
        .collect()
}

/// Finds the decider that a given event is of, and the newest version of its schema that the view
/// reads.
fn reader(view: &View, event: &LoggedEvent) -> Result<(String, u32), String> {
    let reads = view.manifest().reads.iter().filter(|read| {
        let is_of = event.decider.as_ref();
        read.event == event.event && is_of.is_none_or(|decider| *decider == read.decider)
    });
    let reads: Vec<_> = reads.collect();
    match reads[..] {
        [] => Err("the view does not read it".to_owned()),
        [read] => {
            let newest = read.schema_versions.last().copied().unwrap_or(1);
            Ok((read.decider.clone(), newest))
        }
        _ => Err(
            "several deciders have an event of this name, so `decider` has to be given".to_owned(),
        ),
    }
}
