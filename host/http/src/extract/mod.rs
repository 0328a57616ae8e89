//! Extractors: input from clients is checked once, on the way in.
//!
//! Every rejection is a [`Problem`] that names the place of the mistake. An extracted value need
//! not be checked again.
//!
//! [`Problem`]: crate::error::Problem

mod body;
mod consumer;
mod headers;
mod ids;
mod modules;
mod names;
mod preconditions;
mod query;
mod rows;
#[cfg(test)]
mod tests;

pub(super) use body::{JsonBody, OptionalJsonBody, WasmBody};
pub(super) use consumer::{
    ConsumerPath, ParkedPath, consumer_settings, failure, lease_limits, position, start,
};
pub(super) use headers::{IdempotencyKey, Sender, chosen};
pub(super) use ids::{CommandPath, EventPath, RehearsalPath};
pub(super) use modules::{DigestPath, KnownModules};
pub(super) use names::{
    DeciderPath, KeyPath, NamespaceHeader, RowPath, StoredStreamPath, StreamPath, ViewPath,
    decider_name, metadata, module_kind, namespace, stream_id,
};
pub(super) use preconditions::{Preconditions, expected};
pub(super) use query::Query;
pub(super) use rows::{AfterHeader, RowsQuery, read_place, write_place};

use serde_path_to_error::{Path, Segment};

/// The JSON pointer of a place in a document.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
            }
            // Variants are no level of the document, and an unknown place is as far as one can
            // point.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}
