//! A JSON Schema of a manifest, ready to check values at a cost that is bounded: by the schema
//! beforehand, by the value here.

use std::collections::HashSet;

use gavel_model::Json;
use gavel_sandbox::give_way;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Keyword, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::schema_cost::{SchemaBudget, SchemaCost, nodes, text_bytes};

/// Most schema violations that are reported for one value.
const VIOLATIONS: usize = 20;
/// Longest message of a violation, in characters (inclusive): some repeat what the schema lists.
const MESSAGE_CHARS: usize = 1_000;
/// Most steps that checking one value may need (inclusive): a second or so.
const STEPS: u64 = 50_000_000;
/// Most steps (inclusive) of a check that does not give way to others: a twentieth of a second or
/// so.
const PROMPT_STEPS: u64 = 2_500_000;
/// Steps that a pattern takes for each byte of a text at most.
const PATTERN_STEPS: u64 = 16;
/// Steps that it takes to write down a part of a list with `uniqueItems`, apart from those for the
/// bytes of its texts.
const WRITING_STEPS: u64 = 4;
/// Most memory that a list of violations may need when they are listed one by one, in bytes: the
/// list is made in full before it is cut.
const VIOLATION_MEMORY_BYTES: u64 = 64 << 20;
/// The size of a violation apart from the names that it repeats, in bytes.
const VIOLATION_BYTES: u64 = 256;
/// Largest compiled pattern, and largest cache of a running one, in bytes.
const PATTERN_MEMORY_BYTES: usize = 64 << 10;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    cost: SchemaCost,
    /// Tells whether every document fits, so that none has to be parsed.
    accepts_all: bool,
}

impl Schema {
    /// Makes a schema ready to check values; an absent one accepts all.
    ///
    /// # Errors
    ///
    /// Why it is no JSON Schema, or costs too much.
    pub fn compile(schema: &Value, budget: &mut SchemaBudget) -> Result<Self, String> {
        // A module without a schema accepts any payload.
        let schema = if schema.is_null() {
            &Value::Bool(true)
        } else {
            schema
        };
        let cost = budget.spend(schema)?;
        // A hostile module must not be able to make matching take longer than linear time.
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_MEMORY_BYTES)
            .dfa_size_limit(PATTERN_MEMORY_BYTES);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns)
            .with_keyword("uniqueItems", |_, value, _| {
                Ok(Box::new(UniqueItems(value == &Value::Bool(true))))
            })
            .build(schema)
            .map_err(|error| match error.kind() {
                // It does not tell a pattern that is none from one that is too large.
                ValidationErrorKind::Format { .. } => {
                    format!("{error}, or one that takes more than {PATTERN_MEMORY_BYTES} bytes")
                }
                _ => error.to_string(),
            })?;
        let accepts_all = *schema == Value::Bool(true);
        Ok(Self {
            validator,
            cost,
            accepts_all,
        })
    }

    /// Tells whether the value fits. May take long: not for a thread that others wait for.
    #[must_use]
    pub fn is_valid(&self, value: &Value) -> bool {
        self.steps(&Size::of(value)) <= STEPS && self.validator.is_valid(value)
    }

    /// Checks a document. May take long: call it on a guest's thread, which gives way then.
    ///
    /// # Errors
    ///
    /// Pointer and message of the first places that do not fit.
    pub fn check_document(&self, document: &Json) -> Result<(), Vec<(String, String)>> {
        if self.accepts_all {
            return Ok(());
        }
        self.check(&parsed(document))
    }

    /// Checks a document, and gives it as a value. May take as long.
    ///
    /// # Errors
    ///
    /// As [`Schema::check_document`].
    pub fn checked_value(&self, document: &Json) -> Result<Value, Vec<(String, String)>> {
        let value = parsed(document);
        if !self.accepts_all {
            self.check(&value)?;
        }
        Ok(value)
    }

    fn check(&self, value: &Value) -> Result<(), Vec<(String, String)>> {
        let whole = |message: &str| Err(vec![(String::new(), message.to_owned())]);
        let size = Size::of(value);
        let steps = self.steps(&size);
        if steps > STEPS {
            return whole("the value is too large to be checked against its schema");
        }
        if steps > PROMPT_STEPS {
            give_way();
        }
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let violation_bytes = size.parts.saturating_mul(VIOLATION_BYTES) + size.bytes;
        let memory = self.cost.violations.saturating_mul(violation_bytes);
        // Below each alternative, the validator finds out again which of them holds.
        if memory > VIOLATION_MEMORY_BYTES || steps.saturating_mul(size.depth) > STEPS {
            return whole("the value does not fit its schema; it is too large to tell where");
        }
        let place = |error: ValidationError<'_>| {
            let message = in_words(&error, value);
            let message = message.chars().take(MESSAGE_CHARS).collect();
            (error.instance_path().to_string(), message)
        };
        let errors = self.validator.iter_errors(value);
        Err(errors.take(VIOLATIONS).map(place).collect())
    }

    fn steps(&self, size: &Size) -> u64 {
        let matched = self.cost.patterns.saturating_mul(PATTERN_STEPS);
        let compared = self.cost.comparisons.saturating_mul(size.parts);
        // What is in a list is in those around it as well.
        let written = self.cost.unique.saturating_mul(size.depth);
        let whole = size.parts.saturating_mul(WRITING_STEPS) + size.bytes;
        compared
            .saturating_add(matched.saturating_mul(size.bytes))
            .saturating_add(written.saturating_mul(whole))
    }
}

/// The keyword `uniqueItems`, checked by the texts of the items. The library compares items that
/// have the same hash with each other, and a sender can choose all items so.
struct UniqueItems(bool);

impl<'i> Keyword<'i> for UniqueItems {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(value) {
            return Ok(());
        }
        Err(ValidationError::custom("an item is there twice"))
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        let items = value.as_array().filter(|_| self.0);
        let mut seen = HashSet::new();
        let mut items = items.into_iter().flatten();
        items.all(|item| seen.insert(Json::text_of(item)))
    }
}

/// Describes a violation in `value`, for people.
fn in_words(error: &ValidationError<'_>, value: &Value) -> String {
    let unknown = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected.clone(),
        // For an object without any fields, the validator reports the first value, not its name.
        ValidationErrorKind::FalseSchema
            if error
                .schema_path()
                .as_str()
                .ends_with("/additionalProperties") =>
        {
            let object = value.pointer(error.instance_path().as_str());
            let members = object.and_then(Value::as_object);
            members.map_or_else(Vec::new, |members| members.keys().cloned().collect())
        }
        _ => Vec::new(),
    };
    match &unknown[..] {
        [] => error.to_string(),
        [field] => format!("there is no field `{field}`"),
        fields => format!("there are no fields `{}`", fields.join("`, `")),
    }
}

/// The size of a value.
struct Size {
    /// The values within the value, itself included.
    parts: u64,
    /// The bytes of its texts and names.
    bytes: u64,
    /// The levels of its lists and objects, and one for what is in the deepest of them.
    depth: u64,
}

impl Size {
    fn of(value: &Value) -> Self {
        Self {
            parts: nodes(value) as u64,
            bytes: text_bytes(value) as u64,
            depth: depth(value),
        }
    }
}

fn depth(value: &Value) -> u64 {
    let below = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    below.unwrap_or(0) + 1
}

/// A document as a value; on a guest's thread, which gives way where that takes long.
fn parsed(document: &Json) -> Value {
    // Parsing a byte takes a step at most.
    if document.as_str().len() as u64 > PROMPT_STEPS {
        give_way();
    }
    document.to_value()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(schema: &Value) -> Result<Schema, String> {
        Schema::compile(schema, &mut SchemaBudget::default())
    }

    /// Builds a tower of alternatives: each level has two, which are the level below.
    fn tower(levels: usize) -> Value {
        let mut definitions = json!({ "d0": { "type": "integer" } });
        for level in 1..=levels {
            let below = json!({ "$ref": format!("#/$defs/d{}", level - 1) });
            definitions[format!("d{level}")] = json!({ "anyOf": [below, below] });
        }
        json!({ "items": { "$ref": format!("#/$defs/d{levels}") }, "$defs": definitions })
    }

    #[test]
    fn violations_are_told_while_their_list_is_short_and_else_that_there_are_some() {
        let schema = compile(&tower(10)).unwrap();
        assert!(schema.check(&json!([1, 2])).is_ok());
        let [(place, _)] = &schema.check(&json!([1, "x"])).unwrap_err()[..] else {
            panic!("one place does not fit");
        };
        assert_eq!(place, "/1");

        let many = Value::Array(vec![json!("x"); 1_000]);
        let violations = schema.check(&many).unwrap_err();
        assert!(
            violations[0].1.contains("too large to tell"),
            "{violations:?}"
        );
        let more = Value::Array(vec![json!(1); 100_000]);
        let violations = schema.check(&more).unwrap_err();
        assert!(
            violations[0].1.contains("too large to be checked"),
            "{violations:?}"
        );
        assert!(!schema.is_valid(&more));
    }

    #[test]
    fn fields_that_an_object_does_not_have_are_named() {
        let empty = json!({ "type": "object", "additionalProperties": false });
        let some =
            json!({ "properties": { "a": {}, "empty": empty }, "additionalProperties": false });
        for (schema, value, place, message) in [
            (&empty, json!({ "by": 1 }), "", "there is no field `by`"),
            (
                &empty,
                json!({ "by": 1, "to": 2 }),
                "",
                "there are no fields `by`, `to`",
            ),
            (
                &some,
                json!({ "a": 1, "by": 1 }),
                "",
                "there is no field `by`",
            ),
            (
                &some,
                json!({ "empty": { "by": {} } }),
                "/empty",
                "there is no field `by`",
            ),
        ] {
            let violations = compile(schema).unwrap().check(&value).unwrap_err();
            assert_eq!(violations, [(place.to_owned(), message.to_owned())]);
        }
        let nothing = compile(&json!({ "properties": { "a": false } })).unwrap();
        let violations = nothing.check(&json!({ "a": { "b": 1 } })).unwrap_err();
        assert_eq!(violations[0].0, "/a");
    }

    #[test]
    fn a_value_is_not_checked_when_lists_names_or_patterns_make_that_take_long() {
        let numbers: Vec<_> = (0..5_000).collect();
        let listed = compile(&json!({ "items": { "enum": numbers } })).unwrap();
        assert!(listed.check(&json!([0, 4_999])).is_ok());
        let violations = listed.check(&json!([5_000])).unwrap_err();
        assert!(violations[0].1.chars().count() <= MESSAGE_CHARS);
        assert!(!listed.is_valid(&json!(vec![0; 20_000])));

        let names: Vec<_> = (0..5_000).map(|n| format!("n{n}")).collect();
        let required = compile(&json!({ "items": { "required": names } })).unwrap();
        let violations = required.check(&json!(vec![json!({}); 1_000])).unwrap_err();
        assert!(
            violations[0].1.contains("too large to tell"),
            "{violations:?}"
        );

        let patterns: Vec<_> = (0..50)
            .map(|n| json!({ "pattern": format!("{n}$") }))
            .collect();
        let patterns = compile(&json!({ "anyOf": patterns })).unwrap();
        assert!(patterns.check(&json!("a 49")).is_ok());
        assert!(!patterns.is_valid(&json!("49".repeat(100_000))));
    }

    /// Lists of nothing but lists, each another one; what is in them has the same hash.
    fn shapes(count: u32) -> Vec<Value> {
        let shape = |number: u32| {
            (0..12).fold(json!([]), |inner, bit| match number >> bit & 1 {
                0 => json!([inner]),
                _ => json!([[], inner]),
            })
        };
        (0..count).map(shape).collect()
    }

    #[test]
    fn what_is_in_a_list_twice_is_found_whatever_the_sender_chooses() {
        let set = compile(&json!({ "uniqueItems": true })).unwrap();
        let mut items = shapes(300);
        assert!(set.is_valid(&json!(items)));
        items.push(items[200].clone());
        assert_eq!(
            set.check(&json!(items)).unwrap_err(),
            [(String::new(), "an item is there twice".to_owned())]
        );
        assert!(set.is_valid(&json!([1, "1", [1], { "1": 1 }, null, false])));
        assert!(!set.is_valid(&json!([{ "a": 1, "b": 2 }, { "b": 2, "a": 1.0 }])));
        let bag = compile(&json!({ "uniqueItems": false })).unwrap();
        assert!(bag.is_valid(&json!([1, 1])));
    }

    #[test]
    fn a_value_is_not_checked_when_sets_divisions_or_long_texts_make_that_take_long() {
        let often = |schema: Value| {
            let all = vec![json!({ "$ref": "#/$defs/it" }); 1_000];
            compile(&json!({ "allOf": all, "$defs": { "it": schema } })).unwrap()
        };
        let set = often(json!({ "uniqueItems": true }));
        assert!(set.is_valid(&json!([[[1]], [[2]]])));
        assert!(!set.is_valid(&json!(vec![json!([[[[[[1]]]]]]); 2_000])));
        let divided = often(json!({ "items": { "multipleOf": 1e-300 } }));
        assert!(divided.is_valid(&json!([1e300])));
        assert!(!divided.is_valid(&json!(vec![1e300; 1_000])));
        let long = often(json!({ "not": { "const": "x".repeat(100_000) } }));
        assert!(long.is_valid(&json!("x")));
        assert!(!long.is_valid(&json!(vec!["x"; 100])));
    }

    #[test]
    fn of_a_deep_value_with_alternatives_at_each_level_it_is_not_told_where_it_does_not_fit() {
        let names: Vec<_> = (0..300).map(|n| json!({ "n": n })).collect();
        let level = json!({ "type": "array", "items": { "$ref": "#" } });
        let schema = compile(&json!({ "anyOf": [level, { "enum": names }] })).unwrap();
        let deep = |levels, count| {
            let list = json!(vec![json!({ "n": "x" }); count]);
            (0..levels).fold(list, |inner, _| json!([inner]))
        };
        let violation = |value| schema.check(&value).unwrap_err().remove(0).1;
        assert!(!violation(deep(1, 10)).contains("too large to tell"));
        assert!(violation(deep(120, 1_000)).contains("too large to tell"));
    }

    #[test]
    fn the_deepest_value_under_the_deepest_schema_fits_on_the_stack_of_a_thread() {
        let mut level = json!({ "properties": { "n": { "$ref": "#" } }, "type": "object" });
        for _ in 0..60 {
            level = json!({ "allOf": [level] });
        }
        let schema = compile(&level).unwrap();
        let value = (0..126).fold(json!({ "n": 5 }), |inner, _| json!({ "n": inner }));
        assert!(schema.check(&value).is_err());
    }

    #[test]
    fn a_pattern_that_takes_much_memory_is_refused() {
        let refused = compile(&json!({ "pattern": r"\p{L}{200}" })).unwrap_err();
        assert!(refused.contains("more than 65536 bytes"), "{refused}");
        for common in [
            r"^[\w.-]{1,64}$",
            r"^\d{4}-\d{2}-\d{2}$",
            "^[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}$",
        ] {
            assert!(compile(&json!({ "pattern": common })).is_ok(), "{common}");
        }
    }
}
