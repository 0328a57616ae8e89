//! JSON documents that every store can hold.

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

/// A JSON document as text, checked once.
///
/// **Invariant:** it parses, nests at most 127 levels, holds no number beyond a 64-bit float and no U+0000. A JSONB column refuses the
/// last two, so that they are refused everywhere: what one store accepts, every store accepts.
#[derive(Debug, Clone)]
pub struct Json(Box<RawValue>);

/// Why a text is not a [`Json`].
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, nested too deeply, or a number out of range.
    #[error("not a JSON document: {0}")]
    Syntax(String),
    /// A string or key holds U+0000.
    #[error("the character U+0000 cannot be stored")]
    NulCharacter,
}

impl Json {
    /// Checks `text` and keeps it as it is, white space and duplicate keys aside: of those the last one counts.
    ///
    /// # Errors
    ///
    /// [`JsonError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let value =
            serde_json::from_str(text).map_err(|error| JsonError::Syntax(error.to_string()))?;
        Self::from_value(&value)
    }

    /// The document for `value`.
    ///
    /// # Errors
    ///
    /// [`JsonError::NulCharacter`]; a `Value` breaks no other rule.
    pub fn from_value(value: &Value) -> Result<Self, JsonError> {
        if holds_nul(value) {
            return Err(JsonError::NulCharacter);
        }
        RawValue::from_string(value.to_string())
            .map(Self)
            .map_err(|error| JsonError::Syntax(error.to_string()))
    }

    /// Takes text that a store gives back: it was checked on its way in.
    ///
    /// # Errors
    ///
    /// [`JsonError::Syntax`] when something other than Gavel has written it, and it is not JSON.
    pub fn from_stored(text: String) -> Result<Self, JsonError> {
        RawValue::from_string(text)
            .map(Self)
            .map_err(|error| JsonError::Syntax(error.to_string()))
    }

    /// Takes a document that a store gives back parsed: it was checked on its way in.
    #[must_use]
    pub fn from_raw(document: Box<RawValue>) -> Self {
        Self(document)
    }

    /// The empty object, `{}`.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "an empty object is JSON")]
    pub fn empty_object() -> Self {
        Self(RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"))
    }

    /// The document `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// The document's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The document as serde's raw value, which serialises without being parsed again.
    #[must_use]
    pub fn as_raw(&self) -> &RawValue {
        &self.0
    }

    /// The parsed document.
    #[must_use]
    pub fn to_value(&self) -> Value {
        // Stored by something other than Gavel and beyond what serde_json reads: shown as the text it is.
        serde_json::from_str(self.0.get())
            .unwrap_or_else(|_| Value::String(self.0.get().to_owned()))
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members
            .iter()
            .any(|(key, member)| key.contains('\0') || holds_nul(member)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Equal when the documents are, whatever the order of keys, the white space, and the way in which a number is written: a JSONB column
/// gives back `1e19` as an integer.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str() || are_equal(&self.to_value(), &other.to_value())
    }
}

fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            // Two integers are compared exactly, anything else as what it is for whoever reads it: a 64-bit float.
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| are_equal(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, member)| {
                    other.get(key).is_some_and(|found| are_equal(member, found))
                })
        }
        _ => one == other,
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_jsonb_column_would_refuse_is_refused_here() {
        assert!(matches!(
            Json::parse(r#"{"a":"x\u0000"}"#),
            Err(JsonError::NulCharacter)
        ));
        assert!(matches!(
            Json::parse(r#"{"\u0000":1}"#),
            Err(JsonError::NulCharacter)
        ));
        assert!(matches!(Json::parse("1e400"), Err(JsonError::Syntax(_))));
        assert!(matches!(
            Json::parse(&"[".repeat(100_000)),
            Err(JsonError::Syntax(_))
        ));
        assert!(matches!(Json::parse("{"), Err(JsonError::Syntax(_))));
    }

    #[test]
    fn of_duplicate_keys_the_last_one_counts() {
        assert_eq!(
            Json::parse(r#"{"a":1,"a":2}"#).unwrap().as_str(),
            r#"{"a":2}"#
        );
    }

    #[test]
    fn equality_is_that_of_the_documents() {
        assert_eq!(
            Json::parse(r#"{"a":1,"b":[]}"#).unwrap(),
            Json::from_stored(r#"{"b": [], "a": 1}"#.to_owned()).unwrap()
        );
        let equal =
            |one: &str, other: &str| Json::parse(one).unwrap() == Json::parse(other).unwrap();
        assert!(equal("[1e19]", "[10000000000000000000]"));
        assert!(equal(r#"{"a":1.0}"#, r#"{"a":1}"#));
        assert!(!equal("9007199254740993", "9007199254740992"));
        assert!(!equal(r#"{"a":1,"b":2}"#, r#"{"a":1,"c":2}"#));
    }
}
