//! Documents as what they say.

use serde_json::Value;

/// A document that a module has written.
pub(super) fn json(text: &str) -> Value {
    simplified(serde_json::from_str(text).expect("the module writes JSON"))
}

/// Makes an integer of each whole number, since a stored document does not tell `5.0` from `5`.
pub(super) fn simplified(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|float| number.is_f64() && float.fract() == 0.0)
                // Zero has no sign.
                .and_then(|float| format!("{:.0}", float + 0.0).parse().ok());
            Value::Number(whole.unwrap_or(number))
        }
        Value::Array(items) => items.into_iter().map(simplified).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| (name, simplified(member)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}
