//! Extractors: input from clients is checked once, on the way in.
//!
//! Every rejection is a [`Problem`] that names the place of the mistake. An extracted value need
//! not be checked again.

mod body;
mod consumer;
mod headers;
mod ids;
mod modules;
mod names;
mod preconditions;
mod query;
#[cfg(test)]
mod tests;

pub(super) use body::{JsonBody, OptionalJsonBody, WasmBody};
pub(super) use consumer::{
    ConsumerPath, ParkedPath, consumer_settings, failure, lease_limits, position, start,
};
pub(super) use headers::{IdempotencyKey, Sender};
pub(super) use ids::{CommandPath, EventPath, RehearsalPath};
pub(super) use modules::{DigestPath, KnownModules};
pub(super) use names::{
    DeciderPath, KeyPath, NamespaceHeader, StoredStreamPath, StreamPath, decider_name, metadata,
    namespace, stream_id,
};
pub(super) use preconditions::{Preconditions, expected};
pub(super) use query::Query;

use serde::Serialize;
use serde_path_to_error::{Path, Segment};

use crate::error::{Code, Problem};

/// A mistake in a request, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Mistake {
    #[serde(flatten)]
    place: Location,
    message: String,
}

/// The part of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Location {
    /// A JSON pointer (RFC 6901) into the body.
    Pointer(String),
    /// A parameter of the path or the query.
    Parameter(String),
    /// A header.
    Header(&'static str),
}

impl Location {
    pub(super) fn pointer(pointer: impl Into<String>) -> Self {
        Self::Pointer(pointer.into())
    }

    pub(super) fn parameter(name: &str) -> Self {
        Self::Parameter(name.to_owned())
    }
}

/// A request that is refused for one mistake.
pub(super) fn malformed(place: Location, message: impl Into<String>) -> Problem {
    let message = message.into();
    let what = match &place {
        Location::Pointer(pointer) if pointer.is_empty() => "The body".to_owned(),
        Location::Pointer(pointer) => format!("The body at `{pointer}`"),
        Location::Parameter(name) => format!("The parameter `{name}`"),
        Location::Header(name) => format!("The header `{name}`"),
    };
    Problem::new(
        Code::MalformedRequest,
        format!("{what} is refused: {message}."),
    )
    .with("errors", [Mistake { place, message }])
}

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
