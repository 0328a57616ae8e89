//! JSON documents that every store can hold.

mod canonical;

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

/// The number of characters of a number that an error shows.
const SHOWN_DIGITS: usize = 40;

/// The largest number of bytes that the numbers of a document may add when they are written out:
/// `1e308` has 309 digits.
const GROWTH_LIMIT_BYTES: usize = 1 << 20;

/// A JSON document as text, checked once.
///
/// **Invariant:** it parses, nests at most 127 levels, holds no U+0000 and no number that a 64-bit
/// integer or float does not keep, and its text is the one text of the document: what one store
/// accepts, every store accepts, and what a module sees has the same bytes before it was stored and
/// after, in every store. Text that something other than Gavel has stored and that cannot be
/// brought into that form is the exception: it stays as it is.
#[derive(Debug, Clone)]
pub struct Json(Box<RawValue>);

/// The reason for which a text is not a [`Json`].
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON, nested too deeply, or has a number out of range.
    #[error("not a JSON document: {0}")]
    Syntax(String),
    /// A string or key holds U+0000.
    #[error("the character U+0000 cannot be stored")]
    NulCharacter,
    /// A number has more digits than its canonical text would keep, or is too small for a 64-bit
    /// float.
    #[error("the number {0} cannot be kept exactly: send it as a string")]
    InexactNumber(String),
    /// The numbers of the text are much longer than they were sent once they are written without
    /// exponents.
    #[error("the numbers, written out, are more than {GROWTH_LIMIT_BYTES} bytes longer")]
    LongNumbers,
}

impl Json {
    /// Checks `text` and brings it into the canonical form. Of duplicate keys the last one counts.
    ///
    /// # Errors
    ///
    /// [`JsonError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        if canonical::is_canonical(text) {
            return Self::as_recorded(text.to_owned());
        }
        // As serialisers print it, most often nothing but the spaces is missing.
        let spaced = canonical::spaced(text);
        if canonical::is_canonical(&spaced) {
            return Self::as_recorded(spaced);
        }
        Self::from_value(&Self::exact_value(text)?)
    }

    /// Parses `text`, a document in which every number keeps its text. Each number has the type of
    /// its canonical text: `1.0` is an integer.
    ///
    /// # Errors
    ///
    /// [`JsonError::Syntax`], [`JsonError::InexactNumber`] or [`JsonError::LongNumbers`].
    fn exact_value(text: &str) -> Result<Value, JsonError> {
        let mut value =
            serde_json::from_str(text).map_err(|error| JsonError::Syntax(error.to_string()))?;
        canonical::check_numbers(text)?;
        canonical::simplify_numbers(&mut value);
        Ok(value)
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
        Self::as_recorded(canonical::text_of(value))
    }

    /// The canonical text of `value`, which no other value has.
    #[must_use]
    pub fn text_of(value: &Value) -> String {
        canonical::text_of(value)
    }

    /// Takes text that a store gives back: it was checked on its way in. An older release, or plain
    /// SQL, may have written it in another form than the canonical one.
    ///
    /// # Errors
    ///
    /// [`JsonError::Syntax`] when something other than Gavel has written it, and it is not JSON.
    pub fn from_stored(text: String) -> Result<Self, JsonError> {
        Self::as_recorded(text).map(|recorded| Self::from_raw(recorded.0))
    }

    /// Takes a document that a store gives back parsed, as [`from_stored`](Self::from_stored) does.
    #[must_use]
    pub fn from_raw(document: Box<RawValue>) -> Self {
        if canonical::is_canonical(document.get()) {
            return Self(document);
        }
        Self::parse(document.get()).unwrap_or(Self(document))
    }

    /// Takes the payload of a command that the ledger gives back, whatever its form: to decide
    /// again takes the bytes that were decided, also those of an older release.
    ///
    /// # Errors
    ///
    /// [`JsonError::Syntax`] when it is not JSON.
    pub fn as_recorded(text: String) -> Result<Self, JsonError> {
        RawValue::from_string(text)
            .map(Self)
            .map_err(|error| JsonError::Syntax(error.to_string()))
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

    /// The document as `serde_json` prints what it has parsed: without spaces, and with the keys in
    /// the order of their bytes.
    #[must_use]
    pub(crate) fn to_compact_text(&self) -> String {
        canonical::compact(self.as_str()).unwrap_or_else(|| self.to_value().to_string())
    }

    /// The parsed document.
    #[must_use]
    pub fn to_value(&self) -> Value {
        // Stored by something other than Gavel and beyond what serde_json reads: shown as the text
        // it is.
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

/// Compares documents, whatever the order of keys, the white space, and the way in which a number
/// is written: a JSONB column gives back `1e19` as an integer.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str() || are_equal(&self.to_value(), &other.to_value())
    }
}

fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            // Two integers are compared exactly, all other numbers as their readers take them: as
            // 64-bit floats.
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
    use proptest::prelude::*;

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
            r#"{"a": 2}"#
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

    #[derive(serde::Deserialize)]
    struct Vectors {
        accepted: Vec<(String, String)>,
        refused: Vec<String>,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../../../wit/canonical-json.json")).unwrap()
    }

    #[test]
    fn a_document_has_one_text() {
        for (input, canonical) in vectors().accepted {
            assert_eq!(Json::parse(&input).unwrap().as_str(), canonical, "{input}");
            assert_eq!(
                Json::from_stored(input.clone()).unwrap().as_str(),
                canonical
            );
            assert_eq!(Json::parse(&canonical).unwrap().as_str(), canonical);
            assert!(
                canonical::is_canonical(&canonical) || canonical.contains('\\'),
                "{canonical}"
            );
            assert!(
                input == canonical || !canonical::is_canonical(&input),
                "{input}"
            );
            let spaced = canonical::spaced(&input);
            assert!(
                spaced == canonical || !canonical::is_canonical(&spaced),
                "{input}"
            );
        }
    }

    #[test]
    fn what_a_serialiser_prints_is_the_text_but_for_the_spaces() {
        let value = serde_json::json!({"a": [true, "b:c,\"{d\\"], "amount": -1.5});
        let spaced = canonical::spaced(&value.to_string());
        assert!(canonical::is_canonical(&spaced), "{spaced}");
        for broken in ["\"", "\"\\", "{\"a\":", "1,", ":,\"\\u"] {
            assert!(
                !canonical::is_canonical(&canonical::spaced(broken)),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_common_document_is_made_compact_without_being_parsed() {
        for (text, compact) in [
            (
                r#"{"a": "b: c, d", "e": [1, -2, []]}"#,
                Some(r#"{"a":"b: c, d","e":[1,-2,[]]}"#),
            ),
            (r#"" \" , \\""#, Some(r#"" \" , \\""#)),
            (r#"{"z": 1, "aa": 2}"#, None),
            ("[0.5]", None),
            ("[ 1]", None),
        ] {
            assert_eq!(canonical::compact(text).as_deref(), compact, "{text}");
        }
    }

    #[test]
    fn a_number_that_cannot_be_kept_is_refused_and_stays_where_it_is_stored() {
        for input in vectors().refused {
            assert!(Json::parse(&input).is_err(), "{input}");
            assert_eq!(Json::from_stored(input.clone()).unwrap().as_str(), input);
        }
    }

    #[test]
    fn numbers_cannot_blow_a_document_up() {
        let array = |numbers| format!("[{}]", vec!["1e308"; numbers].join(","));
        assert!(Json::parse(&array(3_400)).is_ok());
        let refused = Json::parse(&array(3_500)).unwrap_err();
        assert!(matches!(refused, JsonError::LongNumbers), "{refused}");
        assert!(Json::parse(&format!("[{}]", vec!["0.5"; 1 << 20].join(", "))).is_ok());
    }

    #[test]
    fn nesting_is_bounded_in_either_form() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(&nested(127)).is_ok());
        assert!(Json::parse(&nested(128)).is_err());
        assert!(Json::parse(&nested(100_000)).is_err());
    }

    fn any_document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[^\0]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[^\0]{0,4}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_text_of_the_text_is_the_text(value in any_document()) {
            let text = Json::from_value(&value).unwrap().to_string();
            let exact = Json::exact_value(&text).unwrap();
            prop_assert_eq!(&canonical::text_of(&exact), &text);
            prop_assert_eq!(&exact, &Json::exact_value(&value.to_string()).unwrap());
            let compact = exact.to_string();
            let spaced = canonical::spaced(&compact);
            prop_assert!(spaced == text || !canonical::is_canonical(&spaced));
            let again = Json::parse(&value.to_string()).unwrap();
            prop_assert_eq!(again.as_str(), &text);
            prop_assert_eq!(&again.to_value(), &exact);
            prop_assert_eq!(again.to_compact_text(), compact);
            prop_assert!(canonical::is_canonical(&text) || text.contains('\\'));
        }
    }
}
