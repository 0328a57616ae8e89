//! JSON Schemas (2020-12) of Rust types, put together from text that the derive macro wrote at
//! compile time.
//!
//! A schema travels in every module and is read once, at upload. So it is text from the start, and
//! there is no tree of JSON values to build it from.

mod standard;
mod writer;

pub use writer::{Field, SchemaWriter};

/// A type whose JSON has a schema. Derive it with [`JsonSchema`](macro@crate::JsonSchema).
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no JSON Schema",
    note = "add `#[derive(gavel::JsonSchema)]` to a type of yours; above a field of a foreign type, name a type with the same JSON: `#[schema(as = String)]`",
    note = "a `HashSet` has none, for its elements have no order that a snapshot or an event could keep: use a `BTreeSet`"
)]
pub trait JsonSchema {
    /// Tells whether serde reads the absence of a field of this type as a value, as it does for an
    /// `Option`.
    const OPTIONAL: bool = false;

    /// The indexes of a view whose rows have this type, each the JSON names of its fields in order.
    const INDEXES: &'static [&'static [&'static str]] = &[];

    /// Writes the schema: one JSON object.
    fn schema(schema: &mut SchemaWriter);
}

/// An enum whose variants are commands or events. The derive macro
/// [`JsonSchema`](macro@crate::JsonSchema) implements it for each enum in serde's default
/// representation.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an enum of commands or events",
    note = "they are an enum with `#[derive(gavel::JsonSchema)]` in serde's default representation: no `tag`, no `untagged`"
)]
pub trait Variants {
    /// The variants in the order in which they are declared.
    const VARIANTS: &'static [Variant];
}

/// One command or event.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// The name of the command or event.
    pub name: &'static str,
    /// Writes the schema of the event's data.
    pub schema: fn(&mut SchemaWriter),
}

/// The schema of one type, complete in itself: the types that it refers to are in its `$defs`.
pub(crate) fn document(schema: fn(&mut SchemaWriter)) -> String {
    written(SchemaWriter::default(), schema)
}

/// The schema of a command's data, as [`document`] gives it. An object takes no members but its
/// fields, unless the type says otherwise: a field that the decider does not read is a mistake of
/// the sender.
pub(crate) fn command_document(schema: fn(&mut SchemaWriter)) -> String {
    written(SchemaWriter::closed(), schema)
}

fn written(mut writer: SchemaWriter, schema: fn(&mut SchemaWriter)) -> String {
    schema(&mut writer);
    writer.into_document()
}

#[cfg(test)]
mod tests;
