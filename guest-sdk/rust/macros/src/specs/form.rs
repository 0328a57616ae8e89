//! The common part of specifications of all kinds.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One specification.
pub(crate) trait Form: Serialize + DeserializeOwned {
    fn title(&self) -> &str;
}

/// The data of what is named without any.
pub(super) fn empty() -> Value {
    Value::Object(Map::new())
}
