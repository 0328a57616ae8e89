//! Reads core values from bodies and queries, and writes them as text.

use std::fmt::{self, Display};

use gavel_model::{Event, Json, JsonError, Position, Version, in_utc};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};

/// The number of elements on a page: 1 to 1000, by default 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Limit(u32);

impl Limit {
    /// The limit as a number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The limit as a number of elements.
    pub fn to_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<u32> for Limit {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        if (1..=1000).contains(&number) {
            Ok(Self(number))
        } else {
            Err("give a number from 1 to 1000")
        }
    }
}

/// Reads a document that every store can hold.
///
/// # Errors
///
/// The error of the deserializer if the text is not such a document.
pub fn document<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?;
    Json::parse(text.get()).map_err(D::Error::custom)
}

/// Reads the payload of a command, a document that every store can hold; none if it holds U+0000,
/// for which a command is refused only after its name was looked at.
///
/// # Errors
///
/// The error of the deserializer if the text is not such a document.
pub fn payload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?;
    match Json::parse(text.get()) {
        Ok(document) => Ok(Some(document)),
        Err(JsonError::NulCharacter) => Ok(None),
        Err(error) => Err(D::Error::custom(error)),
    }
}

/// Writes a value as the text that it is displayed as.
///
/// # Errors
///
/// The error of the serializer.
pub fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Writes an optional value as the text that it is displayed as.
///
/// # Errors
///
/// The error of the serializer.
pub fn optional_text<S: Serializer>(
    value: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// A text from a client. It does not hold U+0000, which not every store can keep in a text column.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(String);

impl Text {
    /// The text alone.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains('\0') {
            Err("it holds the character U+0000")
        } else {
            Ok(Self(text))
        }
    }
}

/// Reads an optional version.
///
/// # Errors
///
/// The error of the deserializer if the text is not a version.
pub fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Version>, D::Error> {
    let number = Option::<u64>::deserialize(deserializer)?;
    let version = |number| {
        Version::new(number).ok_or_else(|| D::Error::custom("it is larger than any version"))
    };
    number.map(version).transpose()
}

/// The error message for a time that [`in_utc`] refuses.
pub const TIME_RULE: &str = "give a time of the years 1 to 9999, in UTC";

/// Reads an optional time (RFC 3339).
///
/// # Errors
///
/// The error of the deserializer if the text is not a time.
pub fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<OffsetDateTime>, D::Error> {
    let time = time::serde::rfc3339::option::deserialize(deserializer)?;
    time.map(|time| in_utc(time).ok_or_else(|| D::Error::custom(TIME_RULE)))
        .transpose()
}

/// Reads an optional position; an empty text means none.
///
/// # Errors
///
/// The error of the deserializer if the text is not a position.
pub fn position<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Position>, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Option<Position>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a position")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            if text.is_empty() {
                Ok(None)
            } else {
                text.parse().map(Some).map_err(E::custom)
            }
        }
    }

    deserializer.deserialize_str(Text)
}

/// The labels of an event. Their length is limited in bytes, which a schema cannot express.
pub fn tags_schema() -> Schema {
    let tag = ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(Event::TAG_BYTES))
        .pattern(Some("^[^\\u0000]*$"));
    ArrayBuilder::new()
        .items(tag)
        .max_items(Some(Event::MOST_TAGS))
        .unique_items(true)
        .description(Some(
            "Labels by which the log can be queried, without duplicates. Default: none.",
        ))
        .into()
}

/// Metadata that a sender may attach. Lengths are limited in bytes, which a schema cannot express.
pub fn metadata_schema() -> Schema {
    let text = || {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .max_length(Some(1024))
    };
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some("Entries stored with every event that follows. `actor`, `module`, `traceparent` and whatever begins with `gavel-` are the host's."))
        .max_properties(Some(16))
        .property_names(Some(
            text()
                .min_length(Some(1))
                .pattern(Some("^[^\\u0000]+$")),
        ))
        .additional_properties(Some(text().pattern(Some("^[^\\u0000]*$"))))
        .into()
}
