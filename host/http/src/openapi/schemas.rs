//! The schemas of a description, to which those of manifests are added.

use serde_json::{Map, Value, json};

/// The schemas of a document, by name.
#[derive(Debug)]
pub(super) struct Schemas(Map<String, Value>);

impl Schemas {
    pub(super) fn of(general: &Value) -> Self {
        Self(general.as_object().cloned().unwrap_or_default())
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// Sets the schema of a member of one of them.
    pub(super) fn member(&mut self, name: &str, member: &str, schema: Value) {
        self.0[name]["properties"][member] = schema;
    }

    /// Sets one, and gives what refers to it.
    pub(super) fn set(&mut self, name: &str, schema: Value) -> Value {
        let name = component_name(name);
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        self.0.insert(name, schema);
        reference
    }

    /// Adds a schema that was a document of its own: its definitions become components too, and
    /// what refers to them follows.
    pub(super) fn add(&mut self, name: &str, schema: &Value) -> Value {
        // Without a schema, anything goes.
        let mut schema = if schema.is_null() {
            json!({})
        } else {
            schema.clone()
        };
        let mut definitions = Map::new();
        if let Some(root) = schema.as_object_mut() {
            root.remove("$schema");
            for keyword in ["$defs", "definitions"] {
                if let Some(Value::Object(found)) = root.remove(keyword) {
                    definitions.extend(found);
                }
            }
        }
        for (definition, mut schema) in definitions {
            redirect(&mut schema, name);
            self.set(&format!("{name}.{definition}"), schema);
        }
        redirect(&mut schema, name);
        self.set(name, schema)
    }
}

/// Points the references of a schema that was the document `name` to where its parts are now.
fn redirect(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(moved) = moved(reference, name)
            {
                *reference = moved;
            }
            members
                .values_mut()
                .for_each(|member| redirect(member, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redirect(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn moved(reference: &str, name: &str) -> Option<String> {
    let within = reference.strip_prefix('#')?;
    let definition = within
        .strip_prefix("/$defs/")
        .or_else(|| within.strip_prefix("/definitions/"));
    let (component, rest) = match definition {
        Some(definition) => {
            let (definition, rest) =
                definition.split_at(definition.find('/').unwrap_or(definition.len()));
            (format!("{name}.{definition}"), rest)
        }
        None => (name.to_owned(), within),
    };
    Some(format!(
        "#/components/schemas/{}{rest}",
        component_name(&component)
    ))
}

/// Names of components are restricted, names in manifests hardly.
fn component_name(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || ".-_".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect()
}
