//! The most that checking values against a schema can cost, computed from the schema alone, before
//! anything of the schema is compiled.
//!
//! A schema is code: a few hundred bytes of references and alternatives that double at each level
//! keep a validator busy for ever, and a long chain of them overflows its stack. So the schema is
//! walked as a validator would, for all values at once: at each place of a value, a set of
//! subschemas is visited, each along so many paths, and those decide what is visited one level
//! below. Different sets are finitely many, unless a recursion visits the same place along more and
//! more paths; then the limit is met.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Map, Value};

/// Most JSON values in the schemas of one manifest (inclusive).
const NODES: usize = 50_000;
/// Most subschemas that lead to each other at one place of a value (inclusive); a validator
/// recurses once for each.
const DEPTH: usize = 64;
/// Most visits of subschemas at one place of a value (inclusive).
const VISITS: u64 = 10_000;
/// Most steps that are taken to find out what the schemas of one manifest cost (inclusive).
const STEPS: usize = 500_000;
/// Most patterns in the schemas of one manifest (inclusive): each takes memory as long as the
/// module is loaded.
const PATTERNS: usize = 100;
/// Longest pattern (inclusive), in bytes.
const PATTERN_BYTES: usize = 1_024;
/// The comparisons that a division by the number of `multipleOf` counts as: both numbers may have
/// hundreds of digits.
const DIVISION: usize = 250;
/// The bytes of a text that are compared in the time of one comparison.
const COMPARED_BYTES: usize = 64;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords that list the names which an object must have.
const REQUIRED: [&str; 3] = ["required", "dependentRequired", "dependencies"];

/// Keywords whose cost depends on more than the schema's text, or which lead out of the document.
const REFUSED: [&str; 5] = [
    "unevaluatedProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "$recursiveRef",
    "discriminator",
];

/// The most that checking a value can cost, for each part of the value: each number is that of the
/// part's most expensive place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchemaCost {
    /// Subschemas that are visited, and values, names and properties that they compare with.
    pub comparisons: u64,
    /// Violations that may be found.
    pub violations: u64,
    /// Patterns that are run over a text.
    pub patterns: u64,
    /// Lists that may hold nothing twice, for which all that is in them is written down.
    pub unique: u64,
}

impl SchemaCost {
    /// Adds `times` visits of `schema`.
    fn add(&mut self, schema: &Map<String, Value>, times: u64) {
        let sum = |keys: &[&str], size: fn(&Value) -> usize| -> usize {
            let found = keys.iter().filter_map(|key| schema.get(*key));
            found.map(size).sum()
        };
        let members = |key| object(schema, key).map_or(0, Map::len);
        let patterns = usize::from(schema.contains_key("pattern")) + members("patternProperties");
        let required = sum(&REQUIRED, nodes);
        let listed = sum(&["enum", "const"], weight) + sum(&REQUIRED, weight);
        let divisions = usize::from(schema.contains_key("multipleOf")) * DIVISION;
        let comparisons = listed + members("properties") + patterns + divisions;
        let is_unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let often = |number: usize| times.saturating_mul(number as u64);
        self.comparisons = self.comparisons.saturating_add(often(1 + comparisons));
        self.violations = self.violations.saturating_add(often(1 + required));
        self.patterns = self.patterns.saturating_add(often(patterns));
        self.unique = self.unique.saturating_add(often(is_unique.into()));
    }

    fn max(self, other: Self) -> Self {
        Self {
            comparisons: self.comparisons.max(other.comparisons),
            violations: self.violations.max(other.violations),
            patterns: self.patterns.max(other.patterns),
            unique: self.unique.max(other.unique),
        }
    }
}

/// Counts the values within a value, itself included.
pub(super) fn nodes(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(nodes).sum::<usize>() + 1,
        Value::Object(members) => members.values().map(nodes).sum::<usize>() + 1,
        _ => 1,
    }
}

/// Counts the bytes of the texts and names within a value.
pub(super) fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| name.len() + text_bytes(member))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// Bounds the comparisons that it takes to tell whether a value is this one.
fn weight(value: &Value) -> usize {
    nodes(value) + text_bytes(value) / COMPARED_BYTES
}

/// The budget that is left for the cost of one manifest's schemas.
#[derive(Debug)]
pub struct SchemaBudget {
    nodes: usize,
    steps: usize,
    patterns: usize,
}

impl Default for SchemaBudget {
    fn default() -> Self {
        Self {
            nodes: NODES,
            steps: STEPS,
            patterns: PATTERNS,
        }
    }
}

impl SchemaBudget {
    /// Takes the cost of a schema, and gives back what it makes each value cost.
    ///
    /// # Errors
    ///
    /// Which limit the schema exceeds.
    pub fn spend(&mut self, schema: &Value) -> Result<SchemaCost, String> {
        self.look_at(schema, true)?;
        let mut most = SchemaCost {
            comparisons: 1,
            violations: 1,
            ..SchemaCost::default()
        };
        let mut pending = vec![SchemasByAddress::from([(
            std::ptr::from_ref(schema),
            (schema, 1),
        )])];
        let mut seen = HashSet::new();
        while let Some(place) = pending.pop() {
            let key: Vec<_> = place
                .iter()
                .map(|(node, (_, times))| (*node, *times))
                .collect();
            if !seen.insert(key) {
                continue;
            }
            let mut visit = SchemaVisit {
                document: schema,
                budget: self,
                visits: 0,
                objects: BTreeMap::new(),
            };
            for (node, times) in place.values() {
                visit.enter(node, *times, 1)?;
            }
            let mut cost = SchemaCost::default();
            for (schema, times) in visit.objects.values() {
                cost.add(schema, *times);
            }
            most = most.max(cost);
            let objects: Vec<_> = visit.objects.into_values().collect();
            self.below(&objects, &mut pending)?;
        }
        Ok(most)
    }

    /// Counts nodes and patterns, wherever they are, and refuses keywords.
    fn look_at(&mut self, node: &Value, is_root: bool) -> Result<(), String> {
        take(&mut self.nodes, 1, || {
            format!("the schemas of a manifest hold more than {NODES} values")
        })?;
        match node {
            Value::Array(items) => items.iter().try_for_each(|item| self.look_at(item, false)),
            Value::Object(members) => {
                if let Some(pattern) = members.get("pattern").and_then(Value::as_str) {
                    self.pattern(pattern)?;
                }
                for pattern in object(members, "patternProperties").into_iter().flatten() {
                    self.pattern(pattern.0)?;
                }
                let text = |key| members.get(key).and_then(Value::as_str);
                if text("$id").is_some() && !is_root {
                    return Err("`$id` is allowed at the root alone".to_owned());
                }
                if text("$schema").is_some_and(|draft| draft.trim_end_matches('#') != DRAFT) {
                    return Err(format!("`$schema` is not {DRAFT}"));
                }
                members
                    .values()
                    .try_for_each(|member| self.look_at(member, false))
            }
            _ => Ok(()),
        }
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        if pattern.len() > PATTERN_BYTES {
            return Err(format!("a pattern is longer than {PATTERN_BYTES} bytes"));
        }
        take(&mut self.patterns, 1, || {
            format!("the schemas of a manifest hold more than {PATTERNS} patterns")
        })
    }

    fn step(&mut self) -> Result<(), String> {
        take(&mut self.steps, 1, || {
            format!(
                "more than {STEPS} steps do not suffice to tell what the schemas of a manifest cost"
            )
        })
    }

    /// Finds the subschemas that are visited one level below a place where `objects` are.
    fn below<'s>(
        &mut self,
        objects: &[Visited<'s>],
        pending: &mut Vec<SchemasByAddress<'s>>,
    ) -> Result<(), String> {
        let names: BTreeSet<_> = objects
            .iter()
            .filter_map(|(schema, _)| object(schema, "properties"))
            .flat_map(Map::keys)
            .collect();
        // One name that no property has stands for all of those.
        for name in names.into_iter().map(Some).chain([None]) {
            let mut place = SchemasByAddress::new();
            for &(schema, times) in objects {
                self.step()?;
                let property = name.and_then(|name| object(schema, "properties")?.get(name));
                add(
                    &mut place,
                    property.or(schema.get("additionalProperties")),
                    times,
                );
                // Which of the patterns match is not worth finding out.
                for (_, pattern) in object(schema, "patternProperties").into_iter().flatten() {
                    self.step()?;
                    add(&mut place, Some(pattern), times);
                }
            }
            pending.push(place);
        }
        let longest = objects.iter().map(|(schema, _)| prefix(schema).len()).max();
        for index in 0..=longest.unwrap_or(0) {
            let mut place = SchemasByAddress::new();
            for &(schema, times) in objects {
                self.step()?;
                add(
                    &mut place,
                    prefix(schema).get(index).or(schema.get("items")),
                    times,
                );
                add(&mut place, schema.get("contains"), times);
            }
            pending.push(place);
        }
        let mut place = SchemasByAddress::new();
        for &(schema, times) in objects {
            add(&mut place, schema.get("propertyNames"), times);
        }
        pending.push(place);
        pending.retain(|place| !place.is_empty());
        Ok(())
    }
}

/// The subschemas that start at one place of a value, by address, and along how many paths each is
/// visited.
type SchemasByAddress<'s> = BTreeMap<*const Value, (&'s Value, u64)>;

/// A schema that was visited, and along how many paths.
type Visited<'s> = (&'s Map<String, Value>, u64);

fn add<'s>(place: &mut SchemasByAddress<'s>, schema: Option<&'s Value>, times: u64) {
    // Only objects lead anywhere.
    if let Some(schema) = schema.filter(|schema| schema.is_object()) {
        let entry = place
            .entry(std::ptr::from_ref(schema))
            .or_insert((schema, 0));
        entry.1 = entry.1.saturating_add(times);
    }
}

/// A walk along all paths at one place of a value.
struct SchemaVisit<'s, 'b> {
    document: &'s Value,
    budget: &'b mut SchemaBudget,
    visits: u64,
    /// All objects that were visited, by address, with the number of paths.
    objects: BTreeMap<*const Map<String, Value>, Visited<'s>>,
}

impl<'s> SchemaVisit<'s, '_> {
    fn enter(&mut self, node: &'s Value, times: u64, depth: usize) -> Result<(), String> {
        self.budget.step()?;
        self.visits = self.visits.saturating_add(times);
        if self.visits > VISITS {
            return Err(format!(
                "references and alternatives lead to one place of a value along more than {VISITS} paths"
            ));
        }
        if depth > DEPTH {
            return Err(format!(
                "more than {DEPTH} references and subschemas follow each other without descending into the value"
            ));
        }
        let Value::Object(schema) = node else {
            return Ok(());
        };
        if let Some(refused) = REFUSED.iter().find(|key| schema.contains_key(**key)) {
            return Err(format!("`{refused}` is not supported"));
        }
        let entry = self
            .objects
            .entry(std::ptr::from_ref(schema))
            .or_insert((schema, 0));
        entry.1 = entry.1.saturating_add(times);

        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = referred(self.document, reference).ok_or_else(|| {
                let start: String = reference.chars().take(100).collect();
                format!("`$ref` leads to no place of the same schema: {start:?}")
            })?;
            self.enter(target, times, depth + 1)?;
        }
        for key in ["not", "if", "then", "else"] {
            if let Some(part) = schema.get(key) {
                self.enter(part, times, depth + 1)?;
            }
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            let parts = schema.get(key).and_then(Value::as_array);
            for part in parts.into_iter().flatten() {
                self.enter(part, times, depth + 1)?;
            }
        }
        for key in ["dependentSchemas", "dependencies"] {
            for (_, part) in object(schema, key).into_iter().flatten() {
                self.enter(part, times, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Resolves a reference within its document, such as `#/$defs/a`.
#[must_use]
pub fn referred<'s>(document: &'s Value, reference: &str) -> Option<&'s Value> {
    document.pointer(&percent_decoded(reference.strip_prefix('#')?)?)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut decoded = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        decoded.extend(rest.bytes());
    }
    String::from_utf8(decoded).ok()
}

fn object<'s>(schema: &'s Map<String, Value>, key: &str) -> Option<&'s Map<String, Value>> {
    schema.get(key)?.as_object()
}

fn prefix(schema: &Map<String, Value>) -> &[Value] {
    let items = schema.get("prefixItems").and_then(Value::as_array);
    items.map_or(&[], Vec::as_slice)
}

fn take(left: &mut usize, number: usize, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    *left = left.checked_sub(number).ok_or_else(otherwise)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn assert_refused(schema: &Value, reason: &str) {
        let error = SchemaBudget::default().spend(schema).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }

    fn cost(schema: &Value) -> u64 {
        SchemaBudget::default().spend(schema).unwrap().comparisons
    }

    #[test]
    fn schemas_of_nested_recursive_and_alternative_types_cost_little() {
        let list =
            json!({ "properties": { "next": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] } } });
        assert!(cost(&list) < 10);
        let tree = json!({ "properties": {
            "left": { "$ref": "#" }, "right": { "$ref": "#" },
            "children": { "type": "array", "items": { "$ref": "#" } },
        } });
        assert!(cost(&tree) < 20);
        let variants: Vec<_> = (0..300)
            .map(|n| json!({ "type": "object", "properties": { "kind": { "const": n }, "of": { "$ref": "#/$defs/a%20b" } } }))
            .collect();
        assert!(
            cost(&json!({ "oneOf": variants, "$defs": { "a b": { "type": "string" } } })) < 2_000
        );
    }

    #[test]
    fn a_chain_of_references_is_refused_when_it_is_long_or_a_circle() {
        assert_refused(&json!({ "$ref": "#" }), "without descending");
        let mut definitions = json!({ "d0": { "type": "integer" } });
        for level in 1..=3_000 {
            definitions[format!("d{level}")] = json!({ "$ref": format!("#/$defs/d{}", level - 1) });
        }
        let chain =
            json!({ "properties": { "a": { "$ref": "#/$defs/d3000" } }, "$defs": definitions });
        assert_refused(&chain, "without descending");
    }

    #[test]
    fn paths_that_multiply_are_refused_at_one_place_and_with_the_depth_of_a_value() {
        let mut definitions = json!({ "d0": { "type": "integer" } });
        for level in 1..=30 {
            let below = json!({ "$ref": format!("#/$defs/d{}", level - 1) });
            definitions[format!("d{level}")] = json!({ "oneOf": [below, below] });
        }
        assert_refused(
            &json!({ "$ref": "#/$defs/d30", "$defs": definitions }),
            "paths",
        );

        let child = json!({ "properties": { "child": { "$ref": "#" } } });
        assert_refused(&json!({ "allOf": [child, child] }), "paths");
        let items = json!({ "items": { "$ref": "#" } });
        assert_refused(
            &json!({ "anyOf": [items, { "contains": { "$ref": "#" } }] }),
            "paths",
        );
        assert_refused(
            &json!({ "patternProperties": { "a": { "$ref": "#" }, "b": { "$ref": "#" } } }),
            "paths",
        );
    }

    #[test]
    fn what_a_subschema_compares_with_counts_beside_how_often_it_is_visited() {
        let numbers: Vec<_> = (0..500).collect();
        let names: Vec<_> = (0..500).map(|n| format!("n{n}")).collect();
        let cost = |schema| SchemaBudget::default().spend(&schema).unwrap();
        let listed = cost(json!({ "items": { "enum": numbers } }));
        assert!(listed.comparisons > 500 && listed.violations == 1);
        let required = cost(json!({ "items": { "required": names } }));
        assert!(required.comparisons > 500 && required.violations > 500);
        let pattern = json!({ "pattern": "a" });
        assert_eq!(
            cost(json!({ "items": { "allOf": [pattern, pattern] } })).patterns,
            2
        );
        let set = json!({ "uniqueItems": true });
        assert_eq!(cost(json!({ "items": { "allOf": [set, set] } })).unique, 2);
        let divided = cost(json!({ "items": { "multipleOf": 0.01 } }));
        assert!(divided.comparisons > DIVISION as u64);
        let long = cost(json!({ "const": "x".repeat(100 * COMPARED_BYTES) }));
        assert!(long.comparisons > 100);
    }

    #[test]
    fn what_leads_out_of_the_document_or_has_no_bound_is_refused() {
        assert_refused(&json!({ "$ref": "https://example.com/a" }), "no place");
        assert_refused(&json!({ "items": { "$ref": "#anchor" } }), "no place");
        assert_refused(&json!({ "not": { "$dynamicRef": "#" } }), "`$dynamicRef`");
        assert_refused(
            &json!({ "unevaluatedProperties": false }),
            "`unevaluatedProperties`",
        );
        assert_refused(&json!({ "$defs": { "a": { "$id": "b" } } }), "`$id`");
        assert_refused(
            &json!({ "$schema": "http://json-schema.org/draft-07/schema" }),
            "`$schema`",
        );
    }

    #[test]
    fn values_and_patterns_are_counted_over_all_schemas_of_a_manifest() {
        let mut budget = SchemaBudget::default();
        let patterns: Vec<_> = (0..60)
            .map(|n| json!({ "pattern": format!("{n}") }))
            .collect();
        let patterns = json!({ "anyOf": patterns });
        assert!(budget.spend(&patterns).is_ok());
        assert!(budget.spend(&patterns).unwrap_err().contains("patterns"));
        assert_refused(
            &json!({ "pattern": "a".repeat(PATTERN_BYTES + 1) }),
            "longer than",
        );
        assert_refused(&json!({ "enum": vec![0; NODES] }), "values");
    }
}
