//! Values of columns.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The longest text of a column that is indexed, in bytes (inclusive): more does not fit into a
/// page of an index.
const INDEXED_TEXT_BYTES: usize = 1_000;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Integers of 64 bits.
    Integer,
    /// Finite numbers of 64 bits.
    Number,
    /// Truth values.
    Boolean,
    /// Texts, in the order of their bytes.
    Text,
    /// Times of the years 1 to 9999, in microseconds.
    Time,
    /// UUIDs.
    Uuid,
}

/// The value of a column in one row; none is [`None`] of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// An integer.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// A text.
    Text(String),
    /// A time in UTC, in whole microseconds.
    Time(OffsetDateTime),
    /// A UUID.
    Uuid(Uuid),
}

/// The reason for which a value does not fit its column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// The value is of another type, or out of range.
    #[error("it is not {0}")]
    Unfit(&'static str),
    /// The text is too long for an index.
    #[error("it has {0} bytes, and an index takes at most {INDEXED_TEXT_BYTES}")]
    TooLong(usize),
}

impl ColumnType {
    /// Takes the value of a member as one of this column; none of `null` and of a member that is
    /// not there.
    ///
    /// # Errors
    ///
    /// [`CellError`] says why the value does not fit.
    pub fn cell(self, value: Option<&Value>, is_indexed: bool) -> Result<Option<Cell>, CellError> {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let cell = match (self, value) {
            (Self::Integer, Value::Number(number)) => {
                // A document has one spelling of each number: an integer has no fraction.
                number.as_i64().map(Cell::Integer)
            }
            (Self::Number, Value::Number(number)) => number
                .as_f64()
                .filter(|number| number.is_finite())
                .map(Cell::Number),
            (Self::Boolean, Value::Bool(value)) => Some(Cell::Boolean(*value)),
            (Self::Text, Value::String(text)) if is_indexed && text.len() > INDEXED_TEXT_BYTES => {
                return Err(CellError::TooLong(text.len()));
            }
            (Self::Text, Value::String(text)) => Some(Cell::Text(text.clone())),
            (Self::Time, Value::String(text)) => time(text).map(Cell::Time),
            (Self::Uuid, Value::String(text)) => Uuid::try_parse(text).ok().map(Cell::Uuid),
            _ => None,
        };
        cell.map(Some).ok_or(CellError::Unfit(self.in_words()))
    }

    /// Reads a value as people write it in a query.
    ///
    /// # Errors
    ///
    /// [`CellError`] says why the text is none of this column.
    pub fn parse(self, text: &str) -> Result<Cell, CellError> {
        let cell = match self {
            Self::Integer => text.parse().ok().map(Cell::Integer),
            Self::Number => text
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Cell::Number),
            Self::Boolean => text.parse().ok().map(Cell::Boolean),
            Self::Text => Some(Cell::Text(text.to_owned())),
            Self::Time => time(text).map(Cell::Time),
            Self::Uuid => Uuid::try_parse(text).ok().map(Cell::Uuid),
        };
        cell.ok_or(CellError::Unfit(self.in_words()))
    }

    /// The type in words, with its article.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Integer => "a 64-bit integer",
            Self::Number => "a finite number",
            Self::Boolean => "`true` or `false`",
            Self::Text => "a text",
            Self::Time => "a time of the years 1 to 9999 as RFC 3339 writes it",
            Self::Uuid => "a UUID",
        }
    }
}

/// Reads a time, to the microsecond: databases keep no more.
fn time(text: &str) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let time = gavel_model::in_utc(time)?;
    time.replace_nanosecond(time.nanosecond() / 1_000 * 1_000)
        .ok()
}

impl Cell {
    /// The type of columns that hold such a value.
    #[must_use]
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Integer(_) => ColumnType::Integer,
            Self::Number(_) => ColumnType::Number,
            Self::Boolean(_) => ColumnType::Boolean,
            Self::Text(_) => ColumnType::Text,
            Self::Time(_) => ColumnType::Time,
            Self::Uuid(_) => ColumnType::Uuid,
        }
    }

    /// Compares values of one column; values of two types are not ordered.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(other)),
            (Self::Number(one), Self::Number(other)) => one.partial_cmp(other),
            (Self::Boolean(one), Self::Boolean(other)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            (Self::Time(one), Self::Time(other)) => Some(one.cmp(other)),
            (Self::Uuid(one), Self::Uuid(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_fits_its_column_or_says_why_not() {
        let long = "x".repeat(INDEXED_TEXT_BYTES + 1);
        for (column, value, fits) in [
            (ColumnType::Integer, json!(i64::MAX), true),
            (ColumnType::Integer, json!(u64::MAX), false),
            (ColumnType::Integer, json!(1.5), false),
            (ColumnType::Integer, json!("1"), false),
            (ColumnType::Number, json!(1e300), true),
            (ColumnType::Number, json!(7), true),
            (ColumnType::Boolean, json!(false), true),
            (ColumnType::Boolean, json!(0), false),
            (ColumnType::Text, json!(&long), true),
            (
                ColumnType::Time,
                json!("2026-02-03T04:05:06.789+01:00"),
                true,
            ),
            (ColumnType::Time, json!("0000-12-31T23:00:00Z"), false),
            (ColumnType::Time, json!("9999-12-31T23:59:59-01:00"), false),
            (ColumnType::Time, json!("yesterday"), false),
            (
                ColumnType::Uuid,
                json!("0199f0a2-6a56-7cc0-8e3b-0a4a5f3c2b1d"),
                true,
            ),
            (ColumnType::Uuid, json!("none"), false),
        ] {
            let cell = column.cell(Some(&value), false);
            assert_eq!(cell.is_ok(), fits, "{column:?} {value}");
            assert_eq!(column.cell(Some(&Value::Null), false), Ok(None));
        }
        let indexed = ColumnType::Text.cell(Some(&json!(long)), true);
        assert_eq!(indexed, Err(CellError::TooLong(1_001)));
    }

    #[test]
    fn what_people_write_is_read_as_the_column_has_it() {
        assert_eq!(ColumnType::Integer.parse("-7"), Ok(Cell::Integer(-7)));
        assert_eq!(ColumnType::Boolean.parse("true"), Ok(Cell::Boolean(true)));
        for (column, text) in [
            (ColumnType::Integer, "7.0"),
            (ColumnType::Number, "NaN"),
            (ColumnType::Number, "inf"),
            (ColumnType::Boolean, "yes"),
            (ColumnType::Time, "2026-02-03"),
        ] {
            assert!(column.parse(text).is_err(), "{column:?} {text}");
        }
    }
}
