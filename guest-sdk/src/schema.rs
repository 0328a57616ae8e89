//! JSON Schemas of an enum's variants: the schema of each variant's data, complete in itself.

use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

const DEFINITIONS: &str = "$defs";
const REFERENCE_PREFIX: &str = "#/$defs/";

/// A generator for the dialect 2020-12, without a `$schema` in every document.
pub(crate) fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.meta_schema = None)
        .into_generator()
}

/// The schema of `T`, complete in itself.
pub(crate) fn whole<T: JsonSchema>() -> Value {
    generator().into_root_schema_for::<T>().to_value()
}

/// The name and schema of each variant of `T`; none when `T` is not an enum in serde's default representation.
pub(crate) fn variants<T: JsonSchema>() -> Option<Vec<(String, Value)>> {
    let Value::Object(mut root) = whole::<T>() else {
        return None;
    };
    let definitions = root.remove(DEFINITIONS).unwrap_or_default();
    let members = match root.remove("oneOf") {
        Some(Value::Array(members)) => members,
        _ => vec![Value::Object(root)],
    };
    let mut variants = Vec::new();
    for member in members {
        match member.get("type").and_then(Value::as_str) {
            Some("string") => variants.extend(unit_variants(&member)?),
            _ => variants.push(variant_with_data(member)?),
        }
    }
    for (_, schema) in &mut variants {
        add_definitions(schema, &definitions);
    }
    Some(variants)
}

/// Variants without data are text for serde, and an object without properties for us, so that fields can be added later.
fn unit_variants(member: &Value) -> Option<Vec<(String, Value)>> {
    let names = match member.get("enum") {
        Some(Value::Array(names)) => names.as_slice(),
        _ => std::slice::from_ref(member.get("const")?),
    };
    let mut schema = json!({ "type": "object" });
    if let Some(description) = member.get("description") {
        schema["description"] = description.clone();
    }
    names
        .iter()
        .map(|name| Some((name.as_str()?.to_owned(), schema.clone())))
        .collect()
}

/// A variant with data is an object whose one property is the variant's name.
fn variant_with_data(mut member: Value) -> Option<(String, Value)> {
    let closed = member.get("additionalProperties") == Some(&Value::Bool(false));
    let description = member.get("description").cloned();
    let properties = std::mem::take(member.get_mut("properties")?.as_object_mut()?);
    let mut properties = properties.into_iter();
    let (name, mut schema) = properties.next().filter(|_| closed)?;
    if let (Some(schema), Some(description)) = (schema.as_object_mut(), description) {
        schema.insert("description".to_owned(), description);
    }
    properties.next().is_none().then_some((name, schema))
}

/// Adds to `schema` those of `definitions` that it refers to, directly or through others.
pub(crate) fn add_definitions(schema: &mut Value, definitions: &Value) {
    let mut needed = BTreeSet::new();
    collect_references(schema, definitions, &mut needed);
    let needed = needed
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), definitions.get(name)?.clone())));
    let needed: Map<String, Value> = needed.collect();
    if let (Some(schema), false) = (schema.as_object_mut(), needed.is_empty()) {
        schema.insert(DEFINITIONS.to_owned(), Value::Object(needed));
    }
}

fn collect_references<'a>(value: &Value, definitions: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            let target = members
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|path| path.strip_prefix(REFERENCE_PREFIX));
            let target = target.and_then(|name| definitions.as_object()?.get_key_value(name));
            if let Some((name, definition)) = target
                && found.insert(name)
            {
                collect_references(definition, definitions, found);
            }
            members
                .values()
                .for_each(|member| collect_references(member, definitions, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, definitions, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
