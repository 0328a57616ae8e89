//! The types of settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Value;

/// A type that a setting can have.
pub(super) trait Setting: PartialOrd + Sized {
    /// True if a bad value must not be repeated in an error.
    const SECRET: bool = false;

    /// Parses a value from `gavel.toml`, or from a variable or flag, whose text comes as a
    /// [`Value::String`].
    ///
    /// The error names the expected kind of value.
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

impl<T: Setting> Setting for Option<T> {
    const SECRET: bool = T::SECRET;

    fn from_toml(value: &Value) -> Result<Self, String> {
        T::from_toml(value).map(Some)
    }

    fn to_json(&self) -> serde_json::Value {
        self.as_ref().map_or(serde_json::Value::Null, T::to_json)
    }
}

/// A list: an array in `gavel.toml`, items separated by commas in a variable.
impl<T: Setting> Setting for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn from_toml(value: &Value) -> Result<Self, String> {
        let each = |value: &Value| {
            T::from_toml(value).map_err(|expected| format!("a list, each item {expected}"))
        };
        match value {
            Value::Array(values) => values.iter().map(each).collect(),
            Value::String(text) => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                items.map(|item| each(&item.into())).collect()
            }
            _ => each(value).map(|item| vec![item]),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        self.iter().map(T::to_json).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_an_array_or_text_with_commas() {
        let read = |value: Value| Vec::<u64>::from_toml(&value);
        assert_eq!(read(Value::Array(vec![1.into(), 2.into()])), Ok(vec![1, 2]));
        assert_eq!(read(Value::Array(vec![])), Ok(vec![]));
        assert_eq!(read("1, 2".into()), Ok(vec![1, 2]));
        assert_eq!(read("".into()), Ok(vec![]));
        let expected = || Err("a list, each item a whole number".to_owned());
        assert_eq!(read("1, two".into()), expected());
        assert_eq!(read(true.into()), expected());
        assert_eq!(vec![1_u64, 2].to_json(), json!([1, 2]));
    }

    #[test]
    fn what_may_be_left_out_is_null_where_it_is() {
        assert_eq!(Option::<u64>::from_toml(&7.into()), Ok(Some(7)));
        assert!(Option::<u64>::from_toml(&"".into()).is_err());
        assert_eq!(None::<u64>.to_json(), json!(null));
        assert_eq!(Some(7_u64).to_json(), json!(7));
    }
}
