//! The facts of an event besides its data: schema version, finality, tags, and the upcasters of
//! older versions.

use std::borrow::Cow;
use std::marker::PhantomData;

use gavel_json::{self as json, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schema::{JsonSchema, SchemaWriter};

/// The facts that the derive macro [`Event`](macro@crate::Event) reads from its attributes.
///
/// An event type without them has only events of schema version 1, none of them final, none tagged.
pub trait Event {
    /// The functions that bring older data to the current version, for each name from version 1
    /// without a gap.
    const UPCASTS: &'static [Upcast];

    /// Tells whether the stream ends with this event.
    fn is_final(&self) -> bool;

    /// The labels by which the log can be queried: `key:value`.
    fn tags(&self) -> Vec<String>;
}

/// Brings the data of one event from one schema version to the next.
#[derive(Debug, Clone, Copy)]
pub struct Upcast {
    #[doc(hidden)]
    pub name: &'static str,
    #[doc(hidden)]
    pub from: u32,
    #[doc(hidden)]
    pub apply: fn(&str) -> Result<String, Error>,
    #[doc(hidden)]
    pub schema: fn(&mut SchemaWriter),
}

/// Runs an author's upcaster on text.
#[doc(hidden)]
pub fn apply_upcaster<Old: DeserializeOwned, New: Serialize>(
    upcaster: fn(Old) -> New,
    data: &str,
) -> Result<String, Error> {
    json::write(&upcaster(json::read(data)?))
}

/// The schema of what an author's upcaster accepts: everything, when it takes a
/// `serde_json::Value`.
#[doc(hidden)]
pub fn upcaster_schema<Old: JsonSchema, New>(_: fn(Old) -> New, schema: &mut SchemaWriter) {
    Old::schema(schema);
}

/// [`Event`] as values, so that a type without it has a table too.
#[doc(hidden)]
#[derive(Debug)]
pub struct EventTable<E> {
    pub(crate) upcasts: &'static [Upcast],
    pub(crate) is_final: fn(&E) -> bool,
    pub(crate) tags: fn(&E) -> Vec<String>,
}

/// Finds the table of a concrete event type: `EventProbe::<E>::TABLE` is the associated constant of
/// this type where `E: Event`, and that of [`PlainEvents`] otherwise, since the compiler prefers
/// inherent items whose bounds hold.
#[doc(hidden)]
#[derive(Debug)]
pub struct EventProbe<E>(PhantomData<E>);

impl<E: Event> EventProbe<E> {
    pub const TABLE: EventTable<E> = EventTable {
        upcasts: E::UPCASTS,
        is_final: E::is_final,
        tags: E::tags,
    };
}

#[doc(hidden)]
pub trait PlainEvents {
    type Event;
    const TABLE: EventTable<Self::Event> = EventTable {
        upcasts: &[],
        is_final: |_| false,
        tags: |_| Vec::new(),
    };
}

impl<E> PlainEvents for EventProbe<E> {
    type Event = E;
}

impl<E> EventTable<E> {
    /// The schema version in which events called `name` are written.
    pub(crate) fn current_version(&self, name: &str) -> u32 {
        let newest = self
            .upcasts
            .iter()
            .filter(|upcast| upcast.name == name)
            .map(|upcast| upcast.from)
            .max();
        newest.unwrap_or(0) + 1
    }

    /// Brings `data` from `version` to the current one, step by step.
    pub(crate) fn upcast<'a>(
        &self,
        name: &str,
        version: u32,
        data: &'a str,
    ) -> Result<Cow<'a, str>, String> {
        let current = self.current_version(name);
        if version == 0 || version > current {
            return Err(format!(
                "{name} has the schema versions 1 to {current}, not {version}"
            ));
        }
        let mut data = Cow::Borrowed(data);
        for from in version..current {
            let step = self
                .upcasts
                .iter()
                .find(|upcast| upcast.name == name && upcast.from == from);
            let step =
                step.ok_or_else(|| format!("{name} has no upcaster from schema version {from}"))?;
            let newer = (step.apply)(&data);
            data = Cow::Owned(
                newer.map_err(|error| format!("upcasting from schema version {from}: {error}"))?,
            );
        }
        Ok(data)
    }
}
