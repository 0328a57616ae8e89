//! Events of deciders that a module reads without being one of them.

use serde::de::DeserializeOwned;

use crate::event::EventTable;
use crate::payload::decode;
use crate::schema::Variants;

/// The events of deciders that a module reads: an enum. Derive it with
/// [`Foreign`](macro@crate::Foreign).
///
/// ```
/// use serde::Deserialize;
///
/// // Of an order, these two events; what else they say is ignored.
/// #[derive(Deserialize, gavel::Foreign)]
/// #[foreign(decider = "order")]
/// enum OrderEvent {
///     OrderCreated { restaurant_identifier: String },
///     OrderPrepared {},
/// }
///
/// # mod restaurant_events {
/// #     #[derive(serde::Deserialize, gavel::JsonSchema, gavel::Event)]
/// #     pub enum Event { RestaurantCreated { name: String } }
/// # }
/// // Of two deciders; all events of the restaurant, with its own types and upcasters.
/// #[derive(gavel::Foreign)]
/// enum BoardEvent {
///     Order(OrderEvent),
///     #[foreign(decider = "restaurant")]
///     Restaurant(restaurant_events::Event),
/// }
///
/// # use gavel::Foreign;
/// assert_eq!(BoardEvent::reads().len(), 3);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whose events it reads",
    note = "add `#[derive(gavel::Foreign)]` and `#[foreign(decider = \"…\")]` to an enum with the events of one decider, or wrap it in an enum that has them"
)]
pub trait Foreign: Sized {
    /// The events that the type reads, as in the manifest.
    fn reads() -> Vec<ForeignEvent>;

    /// Reads the event called `name` of `decider` from its data in `schema_version`; none if it is
    /// not among those that the type reads.
    ///
    /// # Errors
    ///
    /// When the type reads no such schema version, or the data does not fit.
    fn read(
        decider: &str,
        name: &str,
        schema_version: u32,
        data: &str,
    ) -> Option<Result<Self, String>>;
}

/// An event of a decider, and the versions of its schema that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignEvent {
    /// The decider whose event it is.
    pub decider: &'static str,
    /// The name of the event.
    pub event: &'static str,
    /// The schema versions, in ascending order.
    pub schema_versions: Vec<u32>,
}

/// An event's name, and the schema versions that are read as one; when there are none, those that
/// the upcasters lead from, and the current one.
type Name = (&'static str, &'static [u32]);

/// The names of a decider's own events, all of whose versions are read.
#[doc(hidden)]
pub fn event_names<E: Variants>() -> impl Iterator<Item = Name> {
    let names = E::VARIANTS.iter().map(|event| event.name);
    names.map(|name| (name, [].as_slice()))
}

/// The events of one decider in one type, as in the manifest.
#[doc(hidden)]
pub fn reads_of<E>(
    decider: &'static str,
    names: impl IntoIterator<Item = Name>,
    table: &EventTable<E>,
) -> Vec<ForeignEvent> {
    let read = |(event, versions): Name| ForeignEvent {
        decider,
        event,
        schema_versions: if versions.is_empty() {
            (1..=table.current_version(event)).collect()
        } else {
            versions.to_vec()
        },
    };
    names.into_iter().map(read).collect()
}

/// Reads an event of one type; none if it is not among `names`.
#[doc(hidden)]
pub fn read_of<E: DeserializeOwned>(
    names: impl IntoIterator<Item = Name>,
    table: &EventTable<E>,
    name: &str,
    schema_version: u32,
    data: &str,
) -> Option<Result<E, String>> {
    let (_, versions) = names.into_iter().find(|(known, _)| *known == name)?;
    Some(if versions.is_empty() {
        table
            .upcast(name, schema_version, data)
            .and_then(|data| decode(name, &data).map_err(|error| error.to_string()))
    } else if versions.contains(&schema_version) {
        decode(name, data).map_err(|error| error.to_string())
    } else {
        Err(format!(
            "{name} is read in the schema versions {versions:?}, not {schema_version}"
        ))
    })
}
