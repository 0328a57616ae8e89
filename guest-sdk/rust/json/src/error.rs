//! The reason for which a value could not be read or written.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};
use serde::ser;

/// Says in one sentence why JSON could not be read or written.
#[derive(Debug)]
pub struct Error {
    message: Box<str>,
}

impl Error {
    /// Makes an error of one sentence.
    pub fn new(message: impl Into<Box<str>>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!(
            "invalid type: {}, expected {expected}",
            Found(unexpected)
        ))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!(
            "invalid value: {}, expected {expected}",
            Found(unexpected)
        ))
    }
}

/// Names a value in the words of JSON. Serde's own words would bring the code that prints floats.
struct Found<'a>(Unexpected<'a>);

impl Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Bool(value) => write!(f, "boolean `{value}`"),
            Unexpected::Unsigned(value) => write!(f, "integer `{value}`"),
            Unexpected::Signed(value) => write!(f, "integer `{value}`"),
            Unexpected::Float(_) => f.write_str("a number"),
            Unexpected::Char(value) => write!(f, "text `{value}`"),
            Unexpected::Str(value) => write!(f, "text `{value}`"),
            Unexpected::Unit | Unexpected::Option => f.write_str("null"),
            Unexpected::Bytes(_) | Unexpected::Seq | Unexpected::TupleVariant => {
                f.write_str("an array")
            }
            Unexpected::Map | Unexpected::StructVariant => f.write_str("an object"),
            Unexpected::NewtypeStruct | Unexpected::NewtypeVariant | Unexpected::Enum => {
                f.write_str("a value")
            }
            Unexpected::UnitVariant => f.write_str("a variant without data"),
            Unexpected::Other(what) => f.write_str(what),
        }
    }
}
