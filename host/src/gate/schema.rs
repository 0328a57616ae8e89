//! What has become narrower from one JSON Schema to another.
//!
//! It looks at what schemas of data types hold: types, properties, required ones, closed objects, enumerations, bounds, items, and references within
//! the document. What it does not understand and what differs is called a difference.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Deepest nesting that is compared.
const DEPTH: usize = 32;

/// In what `new` accepts less than `old`, a sentence each, with the place as a JSON pointer. Empty when all that fitted fits.
pub(super) fn narrowed(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison {
        old,
        new,
        found: Vec::new(),
    };
    comparison.compare(old, new, "", 0);
    comparison.found
}

struct Comparison<'s> {
    old: &'s Value,
    new: &'s Value,
    found: Vec<String>,
}

impl<'s> Comparison<'s> {
    fn compare(&mut self, old: &'s Value, new: &'s Value, at: &str, depth: usize) {
        let (old, new) = (resolve(self.old, old), resolve(self.new, new));
        if old == new || accepts_all(new) || depth > DEPTH {
            return;
        }
        let (Value::Object(old), Value::Object(new)) = (old, new) else {
            self.add(at, "accepts less");
            return;
        };
        self.types(old, new, at);
        self.bounds(old, new, at);
        self.values(old, new, at);
        self.members(old, new, at, depth);
        for key in ["items", "additionalProperties"] {
            if let (Some(one), Some(other)) = (old.get(key), new.get(key)) {
                self.compare(one, other, &format!("{at}/*"), depth + 1);
            }
        }
        for key in [
            "oneOf",
            "anyOf",
            "allOf",
            "not",
            "pattern",
            "format",
            "prefixItems",
        ] {
            if new.contains_key(key) && old.get(key) != new.get(key) {
                self.add(at, &format!("has another `{key}`"));
            }
        }
    }

    fn types(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let Some(newer) = types(new) else { return };
        let lost = match types(old) {
            None => true,
            Some(older) => older.iter().any(|name| {
                !(newer.contains(name) || *name == "integer" && newer.contains("number"))
            }),
        };
        if lost {
            let newer: Vec<&str> = newer.into_iter().collect();
            self.add(at, &format!("must be {}", newer.join(" or ")));
        }
    }

    fn bounds(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        const LOWER: [&str; 5] = [
            "minimum",
            "exclusiveMinimum",
            "minLength",
            "minItems",
            "minProperties",
        ];
        const UPPER: [&str; 5] = [
            "maximum",
            "exclusiveMaximum",
            "maxLength",
            "maxItems",
            "maxProperties",
        ];
        let bound =
            |schema: &Map<String, Value>, key: &str| schema.get(key).and_then(Value::as_f64);
        for key in LOWER {
            if let Some(newer) = bound(new, key)
                && bound(old, key).is_none_or(|older| newer > older)
            {
                self.add(at, &format!("has a higher `{key}`: {newer}"));
            }
        }
        for key in UPPER {
            if let Some(newer) = bound(new, key)
                && bound(old, key).is_none_or(|older| newer < older)
            {
                self.add(at, &format!("has a lower `{key}`: {newer}"));
            }
        }
    }

    fn values(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let values = |schema: &Map<String, Value>| match (schema.get("const"), schema.get("enum")) {
            (Some(value), _) => Some(vec![value.clone()]),
            (None, Some(Value::Array(values))) => Some(values.clone()),
            _ => None,
        };
        let Some(newer) = values(new) else { return };
        match values(old) {
            Some(older) => {
                for lost in older.iter().filter(|value| !newer.contains(value)) {
                    self.add(at, &format!("is never {lost} any more"));
                }
            }
            None => self.add(at, "has a list of values"),
        }
    }

    fn members(
        &mut self,
        old: &'s Map<String, Value>,
        new: &'s Map<String, Value>,
        at: &str,
        depth: usize,
    ) {
        let required = |schema: &'s Map<String, Value>| -> BTreeSet<&'s str> {
            let names = schema.get("required").and_then(Value::as_array);
            names
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect()
        };
        for name in required(new).difference(&required(old)) {
            self.add(&format!("{at}/{name}"), "is required now");
        }
        let properties = |schema: &'s Map<String, Value>| {
            let members = schema.get("properties").and_then(Value::as_object);
            members.into_iter().flatten()
        };
        let is_closed = new.get("additionalProperties") == Some(&Value::Bool(false));
        for (name, older) in properties(old) {
            let at = format!("{at}/{name}");
            match properties(new).find(|(other, _)| *other == name) {
                Some((_, newer)) => self.compare(older, newer, &at, depth + 1),
                None if is_closed => self.add(&at, "is not allowed any more"),
                None => self.add(&at, "is gone"),
            }
        }
    }

    fn add(&mut self, at: &str, what: &str) {
        let at = if at.is_empty() { "it" } else { at };
        self.found.push(format!("{at} {what}"));
    }
}

fn types(schema: &Map<String, Value>) -> Option<BTreeSet<&str>> {
    match schema.get("type")? {
        Value::String(name) => Some([name.as_str()].into()),
        Value::Array(names) => Some(names.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn accepts_all(schema: &Value) -> bool {
    match schema {
        Value::Null | Value::Bool(true) => true,
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// What a reference within its document refers to.
fn resolve<'s>(document: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    // A chain of references may be a circle.
    for _ in 0..DEPTH {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let target = reference
            .and_then(|reference| reference.strip_prefix('#'))
            .and_then(|pointer| document.pointer(pointer));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(properties: &Value, required: &[&str]) -> Value {
        json!({ "type": "object", "properties": properties, "required": required })
    }

    #[test]
    fn what_accepts_all_that_it_did_is_not_narrower() {
        let old = object(
            &json!({ "amount": { "type": "integer", "minimum": 1 } }),
            &["amount"],
        );
        let wider = object(
            &json!({ "amount": { "type": ["number", "null"] }, "note": { "type": "string" } }),
            &[],
        );
        assert_eq!(narrowed(&old, &old), Vec::<String>::new());
        assert_eq!(narrowed(&old, &wider), Vec::<String>::new());
        assert_eq!(narrowed(&old, &json!(true)), Vec::<String>::new());
    }

    #[test]
    fn each_way_of_accepting_less_is_named_with_its_place() {
        let old = object(
            &json!({
                "amount": { "type": "integer" }, "note": { "type": "string" },
                "kind": { "enum": ["a", "b"] }, "list": { "type": "array", "items": { "$ref": "#/$defs/item" } },
            }),
            &[],
        );
        let mut old = old;
        old["$defs"] = json!({ "item": { "type": ["string", "null"] } });
        let new = object(
            &json!({
                "amount": { "type": "integer", "maximum": 100 }, "kind": { "enum": ["a"] },
                "list": { "type": "array", "items": { "type": "string" } },
            }),
            &["amount"],
        );
        assert_eq!(
            narrowed(&old, &new),
            [
                "/amount is required now",
                "/amount has a lower `maximum`: 100",
                "/kind is never \"b\" any more",
                "/list/* must be string",
                "/note is gone",
            ]
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_is_compared_as_far_as_it_goes() {
        let circle = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } });
        let list = json!({ "properties": { "next": { "$ref": "#" } } });
        let longer = json!({ "properties": { "next": { "$ref": "#" } }, "required": ["next"] });
        assert!(narrowed(&circle, &json!({ "type": "string" })).len() == 1);
        assert!(!narrowed(&list, &longer).is_empty());
    }
}
