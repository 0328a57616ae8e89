//! Requests that are refused for what stands in them, with its place.

use std::borrow::Cow;

use serde::Serialize;

use super::{Code, Problem};

/// A mistake in a request, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Mistake {
    #[serde(flatten)]
    place: Location,
    message: String,
}

/// The part of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Location {
    /// A JSON pointer (RFC 6901) into the body.
    Pointer(Cow<'static, str>),
    /// A parameter of the path or the query.
    Parameter(Cow<'static, str>),
    /// A header.
    Header(&'static str),
}

impl Location {
    pub(crate) fn pointer(pointer: impl Into<Cow<'static, str>>) -> Self {
        Self::Pointer(pointer.into())
    }

    pub(crate) fn parameter(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Parameter(name.into())
    }
}

/// A request that is refused for one mistake.
pub(crate) fn malformed(place: Location, message: impl Into<String>) -> Problem {
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
