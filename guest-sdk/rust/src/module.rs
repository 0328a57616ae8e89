//! The decider's exports as plain functions over text, which `export` binds to the component, and
//! tests run natively.

use std::borrow::Cow;

use serde::Serialize;

use crate::payload::{Encoded, decode, encode};
use crate::{Context, Decider, Module, Rejection};

/// The stored form of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The name of its variant.
    pub name: String,
    /// The current version of its schema.
    pub schema_version: u32,
    /// The data as JSON.
    pub data: String,
    /// True when nothing may follow it.
    pub is_final: bool,
    /// The labels, each once.
    pub tags: Vec<String>,
}

/// The state as canonical JSON: equal states give equal bytes, whatever order their maps have.
///
/// # Panics
///
/// When the state holds something that JSON cannot express, such as a map whose keys are neither
/// texts nor numbers.
pub fn snapshot<S: Serialize>(state: &S) -> String {
    gavel_json::write_sorted(state)
        .unwrap_or_else(|error| panic!("the state cannot be written as JSON: {error}"))
}

/// The state that `snapshot` described.
///
/// # Errors
///
/// When the text is no snapshot of this type.
pub fn restore<D: Decider>(snapshot: &str) -> Result<D, String> {
    gavel_json::read(snapshot).map_err(|error| error.to_string())
}

/// Reads a stored event, upcasting it when it is older than this module.
///
/// # Errors
///
/// When the module has no such event, or the data does not fit it.
pub fn read_event<D: Module>(
    name: &str,
    schema_version: u32,
    data: &str,
) -> Result<D::Event, String> {
    let current: Cow<'_, str> = D::EVENTS.upcast(name, schema_version, data)?;
    decode(name, &current).map_err(|error| error.to_string())
}

/// Writes the stored form of an event.
///
/// # Panics
///
/// When the event cannot be written as a name and JSON.
pub(crate) fn write_event<D: Module>(event: &D::Event) -> StoredEvent {
    let Encoded { name, data } = encode(event).unwrap_or_else(|error| {
        panic!("an event of {} cannot be written as JSON: {error}", D::NAME)
    });
    let mut tags = Vec::new();
    for tag in (D::EVENTS.tags)(event) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    StoredEvent {
        schema_version: D::EVENTS.current_version(name),
        name: name.to_owned(),
        data: data.unwrap_or_else(|| "{}".to_owned()),
        is_final: (D::EVENTS.is_final)(event),
        tags,
    }
}

/// Reads a command.
///
/// # Panics
///
/// When the module has no such command, or the data does not fit it: the host has checked it
/// against the schema, so the schema in the manifest is wrong, and no answer could be right.
pub(crate) fn read_command<D: Module>(name: &str, data: &str) -> D::Command {
    decode(name, data).unwrap_or_else(|error| {
        panic!(
            "the command {name} of {} cannot be read although its schema holds: {error}",
            D::NAME
        )
    })
}

/// Decides `command` at `state`.
///
/// # Errors
///
/// The decider's rejection.
///
/// # Panics
///
/// When the command cannot be read, or an event cannot be written.
pub fn decide<D: Module>(
    state: &D,
    name: &str,
    data: &str,
    context: &Context,
) -> Result<Vec<StoredEvent>, D::Rejection> {
    let events = state.decide(read_command::<D>(name, data), context)?;
    Ok(events.iter().map(write_event::<D>).collect())
}

/// The data of a rejection: its variant's fields, as serde writes them.
///
/// # Panics
///
/// When the rejection cannot be written as JSON.
#[doc(hidden)]
pub fn rejection_data<R: Rejection + Serialize>(rejection: &R) -> Option<String> {
    match encode(rejection) {
        Ok(encoded) => encoded.data,
        Err(error) => panic!(
            "the rejection {} cannot be written as JSON: {error}",
            rejection.code()
        ),
    }
}
