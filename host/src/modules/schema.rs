//! A JSON Schema of a manifest, ready to check values at a cost that is bounded: by the schema beforehand, by the value here.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::schema_cost::SchemaBudget;

/// Most schema violations that are reported for one value.
const VIOLATIONS: usize = 20;
/// Most visits of parts of the schema that checking one value may need (inclusive): a second or so.
const VISITS: u64 = 50_000_000;
/// Most visits with which violations are still told one by one: their list is made in full before it is cut.
const VISITS_TO_TELL: u64 = 200_000;
/// Largest compiled pattern, and largest cache of a running one, in bytes.
const PATTERN_MEMORY_BYTES: usize = 64 << 10;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    visits: u64,
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
        let visits = budget.spend(schema)?;
        // A hostile module must not be able to make matching take longer than linear time.
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_MEMORY_BYTES)
            .dfa_size_limit(PATTERN_MEMORY_BYTES);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns)
            .build(schema)
            .map_err(|error| error.to_string())?;
        Ok(Self { validator, visits })
    }

    /// Whether the value fits.
    #[must_use]
    pub fn is_valid(&self, value: &Value) -> bool {
        self.visits_of(value) <= VISITS && self.validator.is_valid(value)
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// Pointer and message of the first places that do not fit.
    pub fn check(&self, value: &Value) -> Result<(), Vec<(String, String)>> {
        let whole = |message: &str| Err(vec![(String::new(), message.to_owned())]);
        let visits = self.visits_of(value);
        if visits > VISITS {
            return whole("the value is too large to be checked against its schema");
        }
        if self.validator.is_valid(value) {
            return Ok(());
        }
        if visits > VISITS_TO_TELL {
            return whole("the value does not fit its schema; it is too large to tell where");
        }
        let place = |error: jsonschema::ValidationError<'_>| {
            (error.instance_path().to_string(), error.to_string())
        };
        let errors = self.validator.iter_errors(value);
        Err(errors.take(VIOLATIONS).map(place).collect())
    }

    fn visits_of(&self, value: &Value) -> u64 {
        self.visits.saturating_mul(parts(value))
    }
}

/// How many values a value is made of, itself included.
fn parts(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(parts).sum::<u64>() + 1,
        Value::Object(members) => members.values().map(parts).sum::<u64>() + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(schema: &Value) -> Result<Schema, String> {
        Schema::compile(schema, &mut SchemaBudget::default())
    }

    /// A tower of alternatives: each level has two, which are the level below.
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
        assert!(compile(&json!({ "pattern": r"\p{L}{200}" })).is_err());
        for common in [
            r"^[\w.-]{1,64}$",
            r"^\d{4}-\d{2}-\d{2}$",
            "^[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}$",
        ] {
            assert!(compile(&json!({ "pattern": common })).is_ok(), "{common}");
        }
    }
}
