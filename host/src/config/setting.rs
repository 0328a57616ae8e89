//! The types a setting can have.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Value;

/// A type that a setting can have.
pub(super) trait Setting: PartialOrd + Sized {
    /// Whether a bad value must not be repeated in an error.
    const SECRET: bool = false;

    /// Takes the value from `gavel.toml`, or from a variable or flag, whose text comes as a [`Value::String`].
    ///
    /// The error says what was expected instead.
    fn from_toml(value: &Value) -> Result<Self, String>;

    /// The value as `gavel config` shows it, without secrets.
    fn to_json(&self) -> serde_json::Value;
}

macro_rules! whole_number {
    ($number:ty) => {
        impl Setting for $number {
            fn from_toml(value: &Value) -> Result<Self, String> {
                match value {
                    Value::Integer(number) => (*number).try_into().ok(),
                    Value::String(text) => text.parse().ok(),
                    _ => None,
                }
                .ok_or_else(|| "a whole number".to_owned())
            }

            fn to_json(&self) -> serde_json::Value {
                (*self).into()
            }
        }
    };
}

whole_number!(u32);
whole_number!(u64);

impl Setting for f64 {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as Self),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| "a number".to_owned())
    }

    fn to_json(&self) -> serde_json::Value {
        (*self).into()
    }
}

impl Setting for bool {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Boolean(value) => Some(*value),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| "`true` or `false`".to_owned())
    }

    fn to_json(&self) -> serde_json::Value {
        (*self).into()
    }
}

impl Setting for SocketAddr {
    fn from_toml(value: &Value) -> Result<Self, String> {
        value
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| "an IP address and port such as 127.0.0.1:4000".to_owned())
    }

    fn to_json(&self) -> serde_json::Value {
        self.to_string().into()
    }
}

impl Setting for PathBuf {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) if !text.is_empty() => Ok(text.into()),
            _ => Err("a path".to_owned()),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        self.display().to_string().into()
    }
}
