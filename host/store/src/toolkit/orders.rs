//! The commands of tasks as rows hold them: decider and stream in columns, and the rest as JSON.

use std::collections::BTreeMap;

use gavel_model::{DeciderName, Json, Metadata, Order, StreamKey, Version};
use serde::{Deserialize, Serialize};

/// The part of an order that a row holds as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct OrderRest {
    command: String,
    data: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected_version: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

/// The text of an order, but for its decider and stream. The payload keeps its text.
///
/// # Panics
///
/// Never: text, numbers and documents are JSON.
#[must_use]
pub fn text_of(order: &Order) -> String {
    let rest = OrderRest {
        command: order.command.clone(),
        data: order.data.clone(),
        expected_version: order.expected_version.map(Version::get),
        metadata: order.metadata.entries().clone(),
    };
    serde_json::to_string(&rest).expect("text, numbers and documents are JSON")
}

/// The order of a row.
///
/// # Errors
///
/// The fault in the row.
pub fn order(decider: &str, stream: &str, text: &str) -> Result<Order, String> {
    let rest: OrderRest = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let expected_version = rest.expected_version.map(|number| {
        let version = Version::new(number);
        version.ok_or_else(|| format!("{number} is no version"))
    });
    Ok(Order {
        decider: DeciderName::new(decider).map_err(|error| error.to_string())?,
        stream: StreamKey::new(stream).map_err(|error| error.to_string())?,
        command: rest.command,
        data: rest.data,
        expected_version: expected_version.transpose()?,
        metadata: Metadata::from_stored(rest.metadata),
    })
}
