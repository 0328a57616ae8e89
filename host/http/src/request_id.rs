//! The id of a request, by which its answer is found in the log.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use gavel_model::new_id;
use uuid::Uuid;

pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The longest request id that is accepted from a client, in bytes (inclusive).
const REQUEST_ID_LIMIT: usize = 128;

/// Names one request, in its answer and in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// The id that the client gave, if it is one that can be logged and sent back, otherwise a new
    /// one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&HeaderValue| {
            (1..=REQUEST_ID_LIMIT).contains(&id.len())
                && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        match headers.get(&REQUEST_ID).filter(sane) {
            Some(given) => Self(given.clone()),
            None => Self::new(),
        }
    }

    pub(super) fn new() -> Self {
        let mut text = Uuid::encode_buffer();
        let id = new_id().hyphenated().encode_lower(&mut text);
        Self(HeaderValue::from_str(id).expect("a UUID is visible ASCII"))
    }

    /// The value of the header that names the request.
    pub(super) fn value(&self) -> HeaderValue {
        self.0.clone()
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().expect("a request id is visible ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(given: &str) -> String {
        let headers = HeaderMap::from_iter([(
            REQUEST_ID.clone(),
            HeaderValue::from_bytes(given.as_bytes()).unwrap(),
        )]);
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_is_taken_over() {
        assert_eq!(id_of("abc-123"), "abc-123");
        assert_eq!(id_of(&"x".repeat(128)), "x".repeat(128));
    }

    #[test]
    fn an_id_that_cannot_be_logged_is_replaced() {
        for given in ["", "a b", "ä", "tab\there", &"x".repeat(129)] {
            assert!(uuid::Uuid::parse_str(&id_of(given)).is_ok(), "{given:?}");
        }
    }
}
