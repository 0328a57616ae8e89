//! A comparison of two JSON Schemas: where the new one accepts less than the old one.
//!
//! Compared are the parts that schemas of data types have: types, properties, required ones, closed
//! objects, enumerations, bounds, items, and references within the document. A difference in
//! anything else counts as narrower.

use std::collections::{BTreeSet, HashSet};

use gavel_engine::catalog::referred;
use serde_json::{Map, Value};

use super::words::excerpt;

/// Deepest nesting that is compared (inclusive), in levels of values.
const DEPTH: usize = 128;
/// Most steps of one comparison: pairs of schemas, and pairs of values that they list.
const STEPS: usize = 100_000;
/// Most findings of one comparison; what follows is not looked for.
const FINDINGS: usize = 100;
const TOO_LARGE: &str = "the schemas are too large to compare";

/// Lists where `new` accepts less than `old`, a sentence each, with the place as a JSON pointer.
/// Empty when all that fitted fits.
pub(super) fn narrowed(old: &Value, new: &Value) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    let mut comparison = Comparison::new(old, new, STEPS);
    comparison.compare(old, new, "", 0);
    comparison.end()
}

struct Comparison<'s> {
    old: &'s Value,
    new: &'s Value,
    /// Pairs, by address, that are being compared or were found not to be narrower.
    settled: HashSet<(*const Value, *const Value)>,
    steps_left: usize,
    is_too_large: bool,
    found: Vec<String>,
}

impl<'s> Comparison<'s> {
    fn new(old: &'s Value, new: &'s Value, steps_left: usize) -> Self {
        Self {
            old,
            new,
            settled: HashSet::new(),
            steps_left,
            is_too_large: false,
            found: Vec::new(),
        }
    }

    fn end(mut self) -> Vec<String> {
        self.found.truncate(FINDINGS);
        if self.is_too_large {
            self.found.push(TOO_LARGE.to_owned());
        }
        self.found
    }

    /// Spends `steps`; tells whether there were enough left.
    fn spend(&mut self, steps: usize) -> bool {
        if self.found.len() >= FINDINGS {
            return false;
        }
        match self.steps_left.checked_sub(steps) {
            Some(left) => self.steps_left = left,
            None => self.is_too_large = true,
        }
        !self.is_too_large
    }

    fn compare(&mut self, old: &'s Value, new: &'s Value, at: &str, depth: usize) {
        let (old, new) = (resolve(self.old, old), resolve(self.new, new));
        // The same text may refer to other things, so that only what both refer to is compared.
        let pair = (std::ptr::from_ref(old), std::ptr::from_ref(new));
        if accepts_all(new) || self.settled.contains(&pair) || !self.spend(1) {
            return;
        }
        if depth > DEPTH {
            self.is_too_large = true;
            return;
        }
        let (Value::Object(old), Value::Object(new)) = (old, new) else {
            if old != new {
                self.add(at, "accepts less");
            }
            return;
        };
        let found = self.found.len();
        self.settled.insert(pair);
        self.objects(old, new, at, depth);
        if self.found.len() > found {
            // Wherever else it is, it is narrower as well.
            self.settled.remove(&pair);
        }
    }

    fn objects(
        &mut self,
        old: &'s Map<String, Value>,
        new: &'s Map<String, Value>,
        at: &str,
        depth: usize,
    ) {
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
            match (old.get(key), new.get(key)) {
                (_, None) => {}
                (Some(Value::Array(older)), Some(Value::Array(newer))) if older == newer => {
                    for (one, other) in older.iter().zip(newer) {
                        self.compare(one, other, at, depth + 1);
                    }
                }
                (Some(older), Some(newer)) if older == newer => {
                    // What is excluded widens when the schema narrows.
                    if key == "not" && self.is_narrower_in_reverse(older, newer, depth) {
                        self.add(at, "has another `not`");
                    }
                }
                _ => self.add(at, &format!("has another `{key}`")),
            }
        }
    }

    fn is_narrower_in_reverse(&mut self, old: &'s Value, new: &'s Value, depth: usize) -> bool {
        let mut reverse = Comparison::new(self.new, self.old, self.steps_left);
        reverse.compare(new, old, "", depth + 1);
        self.steps_left = reverse.steps_left;
        self.is_too_large |= reverse.is_too_large;
        !reverse.found.is_empty()
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
        fn values(schema: &Map<String, Value>) -> Option<&[Value]> {
            match (schema.get("const"), schema.get("enum")) {
                (Some(value), _) => Some(std::slice::from_ref(value)),
                (None, Some(Value::Array(values))) => Some(values),
                _ => None,
            }
        }
        let Some(newer) = values(new) else { return };
        let Some(older) = values(old) else {
            self.add(at, "has a list of values");
            return;
        };
        for value in older {
            if !self.spend(newer.len()) {
                return;
            }
            if !newer.contains(value) {
                self.add(at, &format!("is never {value} any more"));
            }
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
        let properties =
            |schema: &'s Map<String, Value>| schema.get("properties").and_then(Value::as_object);
        let newer = properties(new);
        let is_closed = new.get("additionalProperties") == Some(&Value::Bool(false));
        for (name, older) in properties(old).into_iter().flatten() {
            let at = format!("{at}/{name}");
            match newer.and_then(|newer| newer.get(name)) {
                Some(newer) => self.compare(older, newer, &at, depth + 1),
                None if is_closed => self.add(&at, "is not allowed any more"),
                None => self.add(&at, "is gone"),
            }
        }
    }

    fn add(&mut self, at: &str, what: &str) {
        if self.found.len() >= FINDINGS {
            return;
        }
        let at = if at.is_empty() { "it" } else { at };
        self.found.push(excerpt(&format!("{at} {what}")));
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

/// Resolves the references of a schema within its document.
fn resolve<'s>(document: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    // A chain of references may be a circle.
    for _ in 0..DEPTH {
        let reference = schema.get("$ref").and_then(Value::as_str);
        match reference.and_then(|reference| referred(document, reference)) {
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

    #[test]
    fn what_is_narrower_behind_references_of_the_same_text_is_found() {
        let with = |inner: &Value| {
            json!({
                "properties": { "a": { "$ref": "#/$defs/A" }, "b": { "oneOf": [{ "$ref": "#/$defs/B" }] } },
                "$defs": { "A": { "properties": { "b": { "$ref": "#/$defs/B" } } }, "B": inner },
                "not": { "$ref": "#/$defs/B" },
            })
        };
        let (any, text) = (
            with(&json!({ "type": ["string", "null"] })),
            with(&json!({ "type": "string" })),
        );
        assert_eq!(
            narrowed(&any, &text),
            ["/a/b must be string", "/b must be string"]
        );
        assert_eq!(narrowed(&text, &any), ["it has another `not`"]);
    }

    #[test]
    fn schemas_that_branch_at_each_level_are_compared_in_few_steps_and_findings_are_bounded() {
        let branching = |leaf: &Value| {
            let mut definitions = json!({ "d0": leaf });
            for level in 1..=40 {
                let below = json!({ "$ref": format!("#/$defs/d{}", level - 1) });
                definitions[format!("d{level}")] =
                    json!({ "properties": { "l": below, "r": below } });
            }
            json!({ "$ref": "#/$defs/d40", "$defs": definitions })
        };
        let integer = branching(&json!({ "type": "integer" }));
        let number = branching(&json!({ "type": "number" }));
        assert_eq!(narrowed(&integer, &number), Vec::<String>::new());
        assert_eq!(narrowed(&number, &integer).len(), FINDINGS);
    }

    #[test]
    fn schemas_that_take_too_many_steps_are_said_to_be_too_large() {
        let values = |from: usize| json!({ "enum": (from..from + 400).collect::<Vec<_>>() });
        assert_eq!(
            narrowed(&values(0), &values(10)).last().map(String::as_str),
            Some(TOO_LARGE)
        );
    }
}
