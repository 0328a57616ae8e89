//! JSON text from and to Rust values, for serde.
//!
//! A codec of our own, since it travels in every module: code for floats comes only with a type
//! that has floats, which saves a fifth of an ordinary module. Its integers are those of JSON
//! Schema, for which `5.0` is one, so that a command which the host let through can be read. It
//! deliberately knows no tree of JSON values.

mod error;
mod read;
mod write;

pub use error::Error;
pub use read::Reader;
pub use write::{Array, Object, Variant, Writer, write_text};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads one JSON document.
///
/// # Errors
///
/// When `text` is not JSON, or does not fit the type.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Writes `value` in the order of its fields.
///
/// # Errors
///
/// When `value` holds what JSON cannot express: a float that is no number, or a map whose keys are
/// not texts or numbers.
pub fn write<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    finish(Writer::in_order(), value)
}

/// Writes `value` with every object's members sorted by key, so that equal values give equal text
/// whatever order their maps have.
///
/// # Errors
///
/// As for [`write()`].
pub fn write_sorted<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    finish(Writer::sorted(), value)
}

fn finish<T: Serialize + ?Sized>(mut writer: Writer, value: &T) -> Result<String, Error> {
    value.serialize(&mut writer)?;
    Ok(writer.into_text())
}

#[cfg(test)]
mod tests;
