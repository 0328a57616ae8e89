//! A module that is ready to keep rows: compiled, described, with its columns and the schema of its
//! rows at hand.

use std::collections::{BTreeMap, BTreeSet};

use gavel_model::{EventFilter, Json, ModuleDigest, RecordedEvent};
use gavel_sandbox::Module;
use gavel_store::EventKind;
use gavel_store::views::{Cell, Column, ColumnType, TableShape};
use serde_json::Value;

use crate::catalog::reads::Reads;
use crate::catalog::{Schema, SchemaBudget, ViewManifest, referred};

/// Most columns of a table (inclusive).
const COLUMNS: usize = 200;
/// Most bytes of the texts of one index together (inclusive): PostgreSQL has room for 2,704 bytes
/// in an entry, the key among them.
const INDEX_TEXTS_BYTES: usize = 2_000;
/// The longest name of a column, in bytes (inclusive): names of its indexes are longer.
const COLUMN_NAME_BYTES: usize = 59;
/// The names of the columns that every table has, whatever their case.
const OWN_COLUMNS: [&str; 3] = ["key", "row", "position"];
/// Most references that are followed to find the type of a member.
const REFERENCES: u32 = 16;

/// A module that is ready to keep rows.
#[derive(Debug)]
pub struct View {
    module: Module,
    manifest: ViewManifest,
    row_schema: Schema,
    shape: TableShape,
    /// The members that stay in the row alone, in the order of the schema.
    uncolumned: Vec<String>,
    reads: Reads,
}

impl View {
    /// Brings a compiled module and its manifest together. Compiling the schema may take long: not
    /// for a thread that others wait for.
    ///
    /// # Errors
    ///
    /// All that is wrong with schema, columns and indexes, one sentence each.
    pub fn new(module: Module, manifest: ViewManifest) -> Result<Self, Vec<String>> {
        let mut budget = SchemaBudget::default();
        let row_schema = Schema::compile(&manifest.row_schema, &mut budget)
            .map_err(|reason| vec![format!("the schema of the rows is invalid: {reason}")])?;
        let (columns, uncolumned) = columns(&manifest.row_schema);
        let shape = TableShape {
            columns,
            indexes: manifest.indexes.clone(),
        };
        let reasons = violations(&shape, &uncolumned);
        if !reasons.is_empty() {
            return Err(reasons);
        }
        Ok(Self {
            reads: Reads::of(&manifest.reads),
            module,
            manifest,
            row_schema,
            shape,
            uncolumned,
        })
    }

    /// Gives the module's digest.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.module.digest()
    }

    /// Gives the module's manifest.
    #[must_use]
    pub fn manifest(&self) -> &ViewManifest {
        &self.manifest
    }

    /// Gives the compiled module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Gives the columns and indexes of its tables.
    #[must_use]
    pub fn shape(&self) -> &TableShape {
        &self.shape
    }

    /// Gives the members of rows that are no columns.
    #[must_use]
    pub fn uncolumned(&self) -> &[String] {
        &self.uncolumned
    }

    /// Gives the kinds of events that the view's sources find by tags.
    #[must_use]
    pub fn read_by_tag(&self) -> &BTreeSet<EventKind> {
        self.reads.by_tag()
    }

    /// Tells whether the view reads an event, in whatever version of its schema.
    #[must_use]
    pub fn reads(&self, event: &RecordedEvent) -> bool {
        self.reads.versions(event).is_some()
    }

    /// Tells whether the view reads an event in its version of the schema.
    #[must_use]
    pub fn can_fold(&self, event: &RecordedEvent) -> bool {
        self.reads.can_fold(event)
    }

    /// Gives the filter of the log that lets through all that the view reads, and perhaps more:
    /// [`View::reads`] tells.
    #[must_use]
    pub fn filter(&self) -> EventFilter {
        self.reads.filter()
    }

    /// Checks a row that the module has folded, and takes the values of its columns out of it. May
    /// take long: call it on a guest's thread.
    ///
    /// # Errors
    ///
    /// The reason for which the row cannot be kept, one sentence.
    pub fn cells(&self, row: &Json) -> Result<Vec<Option<Cell>>, String> {
        let value = self.row_schema.checked_value(row).map_err(|violations| {
            let first = violations.into_iter().next().unwrap_or_default();
            let (pointer, message) = first;
            format!("the row breaks its schema at `{pointer}`: {message}")
        })?;
        let cell = |column: &Column| {
            let member = value.get(&column.name);
            let is_indexed = self.shape.is_indexed(&column.name);
            column.kind.cell(member, is_indexed).map_err(|error| {
                format!(
                    "the row's `{}` does not fit its column: {error}",
                    column.name
                )
            })
        };
        let cells: Vec<Option<Cell>> = self
            .shape
            .columns
            .iter()
            .map(cell)
            .collect::<Result<_, _>>()?;
        for index in &self.shape.indexes {
            let columns = self.shape.columns.iter().zip(&cells);
            let texts = columns.filter(|(column, _)| index.contains(&column.name));
            let bytes: usize = texts
                .map(|(_, cell)| match cell {
                    Some(Cell::Text(text)) => text.len(),
                    _ => 0,
                })
                .sum();
            if bytes > INDEX_TEXTS_BYTES {
                let named = index.join(", ");
                return Err(format!(
                    "the texts of the index ({named}) have {bytes} bytes, of at most {INDEX_TEXTS_BYTES}"
                ));
            }
        }
        Ok(cells)
    }
}

/// Finds the columns of rows with such a schema, and the members that stay in the row alone.
fn columns(schema: &Value) -> (Vec<Column>, Vec<String>) {
    let members = schema.get("properties").and_then(Value::as_object);
    let members = || members.into_iter().flatten();
    let mut names = BTreeMap::<String, usize>::new();
    for (name, _) in members() {
        *names.entry(name.to_lowercase()).or_default() += 1;
    }
    let (mut columns, mut others) = (Vec::new(), Vec::new());
    for (name, member) in members() {
        let is_alone = names.get(&name.to_lowercase()) == Some(&1);
        let kind = scalar(member, schema, REFERENCES);
        match kind.filter(|_| is_alone && is_column_name(name)) {
            Some(kind) => columns.push(Column {
                name: name.clone(),
                kind,
            }),
            None => others.push(name.clone()),
        }
    }
    (columns, others)
}

fn is_column_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=COLUMN_NAME_BYTES).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !OWN_COLUMNS.contains(&name.to_ascii_lowercase().as_str())
}

/// Finds the type of the scalars that a schema describes, `null` apart; none if it describes
/// anything else.
fn scalar(schema: &Value, document: &Value, references: u32) -> Option<ColumnType> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let referred = referred(document, reference)?;
        return scalar(referred, document, references.checked_sub(1)?);
    }
    for keyword in ["oneOf", "anyOf"] {
        if let Some(schemas) = schema.get(keyword).and_then(Value::as_array) {
            let schemas = schemas.iter().filter(|schema| !is_null(schema));
            let left = references.checked_sub(1)?;
            let kinds = schemas.map(|schema| scalar(schema, document, left));
            return the_same(kinds);
        }
    }
    if let Some(value) = schema.get("const") {
        return kind_of(value);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values = values.iter().filter(|value| !value.is_null());
        return the_same(values.map(kind_of));
    }
    let named = |name: &str| match name {
        "integer" => Some(ColumnType::Integer),
        "number" => Some(ColumnType::Number),
        "boolean" => Some(ColumnType::Boolean),
        "string" => Some(match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => ColumnType::Time,
            Some("uuid") => ColumnType::Uuid,
            Some(_) | None => ColumnType::Text,
        }),
        _ => None,
    };
    match schema.get("type")? {
        Value::String(name) => named(name),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str);
            the_same(names.filter(|name| *name != "null").map(named))
        }
        _ => None,
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
        || schema.get("const").is_some_and(Value::is_null)
}

fn kind_of(value: &Value) -> Option<ColumnType> {
    match value {
        Value::String(_) => Some(ColumnType::Text),
        Value::Bool(_) => Some(ColumnType::Boolean),
        Value::Number(number) if number.is_i64() => Some(ColumnType::Integer),
        Value::Number(_) => Some(ColumnType::Number),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Gives the type that all of at least one have.
fn the_same(mut kinds: impl Iterator<Item = Option<ColumnType>>) -> Option<ColumnType> {
    let first = kinds.next()??;
    kinds.all(|kind| kind == Some(first)).then_some(first)
}

/// Lists what is wrong with columns and indexes.
fn violations(shape: &TableShape, uncolumned: &[String]) -> Vec<String> {
    let mut reasons = Vec::new();
    let columns = shape.columns.len();
    if columns > COLUMNS {
        reasons.push(format!(
            "the rows have {columns} columns, of at most {COLUMNS}"
        ));
    }
    for index in &shape.indexes {
        let named = index.join(", ");
        for field in index {
            if shape.column_type(field).is_none() {
                let reason = if uncolumned.contains(field) {
                    "is no column: columns are members of one scalar type, with names of letters, \
                     digits and `_` that no other member has but for case"
                } else {
                    "is no member of the rows' schema"
                };
                reasons.push(format!(
                    "the index ({named}) names `{field}`, which {reason}"
                ));
            }
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_at_the_top_become_columns_and_all_else_stays_in_the_row() {
        let schema = json!({
            "type": "object",
            "properties": {
                "amount": { "type": "integer" },
                "ratio": { "type": ["number", "null"] },
                "open": { "type": "boolean" },
                "status": { "$ref": "#/$defs/status" },
                "created_at": { "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "null" }] },
                "owner": { "type": "string", "format": "uuid" },
                "size": { "oneOf": [{ "const": "S" }, { "const": "L" }] },
                "lines": { "type": "array" },
                "mixed": { "type": ["string", "integer"] },
                "any": true,
                "Key": { "type": "string" },
                "position": { "type": "integer" },
                "Same": { "type": "string" },
                "same": { "type": "string" },
                "a-b": { "type": "string" },
                "ä": { "type": "string" },
                "1st": { "type": "string" },
                "circle": { "$ref": "#/$defs/circle" },
                "x".repeat(60): { "type": "string" },
            },
            "$defs": {
                "status": { "enum": ["open", "shut"] },
                "circle": { "$ref": "#/$defs/circle" },
            },
        });
        let (found, others) = columns(&schema);
        let found: BTreeMap<_, _> = found.iter().map(|c| (c.name.as_str(), c.kind)).collect();
        let expected = BTreeMap::from([
            ("amount", ColumnType::Integer),
            ("ratio", ColumnType::Number),
            ("open", ColumnType::Boolean),
            ("status", ColumnType::Text),
            ("created_at", ColumnType::Time),
            ("owner", ColumnType::Uuid),
            ("size", ColumnType::Text),
        ]);
        assert_eq!(found, expected);
        assert_eq!(others.len(), 12, "{others:?}");
        assert_eq!(columns(&Value::Null).0, []);
        assert_eq!(columns(&json!({ "properties": 7 })).0, []);
    }

    #[test]
    fn an_index_is_over_columns_that_are_there() {
        let shape = |indexes: Value| TableShape {
            columns: ["a", "b", "c", "d", "e"]
                .map(|name| Column {
                    name: name.to_owned(),
                    kind: ColumnType::Text,
                })
                .into(),
            indexes: serde_json::from_value(indexes).unwrap(),
        };
        let uncolumned = ["lines".to_owned()];
        let refused = |indexes| violations(&shape(indexes), &uncolumned).join("; ");
        assert_eq!(refused(json!([["a"], ["a", "b", "c", "d"]])), "");
        for (indexes, reason) in [
            (json!([["lines"]]), "is no column"),
            (json!([["nothing"]]), "no member"),
        ] {
            let reasons = refused(indexes);
            assert!(reasons.contains(reason), "{reasons}");
        }
    }
}
