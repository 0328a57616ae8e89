//! Headers of commands: the idempotency key, and who sends.

use axum::extract::FromRequestParts;
use axum::http::header::HeaderName;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use gavel_engine::command::Origin;
use gavel_model::{CommandId, is_derived};
use uuid::Uuid;

use crate::auth::Actor;
use crate::error::{Location, Problem, malformed};
use crate::state::AppState;

pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The longest idempotency key, in characters (inclusive).
const KEY_LIMIT: usize = 255;
/// The namespace in which keys that are not UUIDs are hashed into one. It must never change, or
/// retries would run twice.
const KEY_SPACE: Uuid = Uuid::from_u128(0x5f0e_8c5b_54a1_4c0f_9d55_1f6e_3a7b_2c90);

/// The sender's name for its command, as a command id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(Option<CommandId>);

impl IdempotencyKey {
    /// Brings the header and `command_id` of the body together.
    ///
    /// # Errors
    ///
    /// When they contradict each other, or the body's is derived.
    pub(crate) fn with(self, in_body: Option<CommandId>) -> Result<Option<CommandId>, Problem> {
        let in_body = chosen(in_body, || Location::pointer("/command_id"))?;
        match (self.0, in_body) {
            (Some(header), Some(body)) if header != body => Err(malformed(
                Location::pointer("/command_id"),
                "it contradicts the header `Idempotency-Key`",
            )),
            (header, body) => Ok(header.or(body)),
        }
    }

    /// The id of the command at `index` of a batch that has this key as a whole.
    pub(crate) fn of_batch(&self, index: usize) -> Option<CommandId> {
        self.0
            .map(|key| Uuid::new_v5(&key, index.to_string().as_bytes()))
    }

    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let name = HeaderName::from_static("idempotency-key");
        let Some(key) = single(headers, &name, IDEMPOTENCY_KEY)? else {
            return Ok(Self(None));
        };
        if !(1..=KEY_LIMIT).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(malformed(
                Location::Header(IDEMPOTENCY_KEY),
                "give 1 to 255 visible characters",
            ));
        }
        let id = Uuid::parse_str(key);
        let id = id.unwrap_or_else(|_| Uuid::new_v5(&KEY_SPACE, key.as_bytes()));
        chosen(Some(id), || Location::Header(IDEMPOTENCY_KEY)).map(Self)
    }
}

impl FromRequestParts<AppState> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

/// Refuses an id that only hosts derive, as a sender's choice: whoever stored something under it
/// first would take the place of what it is for.
pub(crate) fn chosen(
    id: Option<Uuid>,
    place: impl FnOnce() -> Location,
) -> Result<Option<Uuid>, Problem> {
    if id.is_some_and(is_derived) {
        return Err(malformed(
            place(),
            "UUIDs of version 8 are derived by hosts; give one of another version, or none",
        ));
    }
    Ok(id)
}

/// The sender of a request, and the trace that the request belongs to.
#[derive(Debug)]
pub(crate) struct Sender(pub(crate) Origin);

impl FromRequestParts<AppState> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let actor = parts.extensions.get::<Actor>();
        let actor = actor.map(|actor| actor.name().to_owned());
        Ok(Self(Origin {
            actor,
            traceparent: traceparent(&parts.headers),
        }))
    }
}

/// The trace context. A malformed one is ignored: W3C asks to start a new trace then, not to fail.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    (hex && lengths == [2, 32, 16, 2]).then(|| text.to_owned())
}

/// The value of a header that may be given once.
pub(super) fn single<'h>(
    headers: &'h HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(malformed(
            Location::Header(name),
            "it is given more than once",
        ));
    }
    let text = HeaderValue::to_str(value).map_err(|_| {
        malformed(
            Location::Header(name),
            "it holds other than visible characters",
        )
    })?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn key(given: &str) -> Option<CommandId> {
        IdempotencyKey::of(&headers(&[("idempotency-key", given)]))
            .ok()
            .and_then(|key| key.0)
    }

    #[test]
    fn a_key_that_is_a_uuid_is_the_command_id() {
        let id = "0199d1a0-7c1e-7000-8000-000000000001";
        assert_eq!(key(id).unwrap().to_string(), id);
        assert_eq!(key(&id.to_uppercase()), key(id));
    }

    #[test]
    fn any_other_key_is_hashed_into_one_id_for_ever() {
        assert_eq!(
            key("order-17").unwrap().to_string(),
            "81e44199-e327-5d2d-9c09-9ca2be7c7b7f"
        );
        assert_ne!(key("order-18"), key("order-17"));
    }

    #[test]
    fn keys_are_1_to_255_visible_characters() {
        assert!(key(&"k".repeat(255)).is_some());
        for refused in ["", "a b", &"k".repeat(256)] {
            assert_eq!(key(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn the_key_and_the_body_must_agree() {
        let id = Uuid::from_u128(7);
        assert_eq!(IdempotencyKey(Some(id)).with(Some(id)).unwrap(), Some(id));
        assert_eq!(IdempotencyKey(None).with(Some(id)).unwrap(), Some(id));
        assert!(
            IdempotencyKey(Some(id))
                .with(Some(Uuid::from_u128(8)))
                .is_err()
        );
    }

    #[test]
    fn a_malformed_trace_context_is_ignored() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            traceparent(&headers(&[("traceparent", valid)])).as_deref(),
            Some(valid)
        );
        for ignored in [
            "",
            "00",
            &valid.to_uppercase(),
            &valid.replace('-', "+"),
            &format!("{valid}-00"),
        ] {
            assert_eq!(
                traceparent(&headers(&[("traceparent", ignored)])),
                None,
                "{ignored:?}"
            );
        }
    }
}
