//! Problem documents (RFC 9457): what a client is told when it does not get what it asked for.

use std::error::Error as StdError;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::RequestId;
use super::dto::ProblemBody;

/// The media type of problem documents.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// What precedes a code in the `type` of a problem. An identifier: the same from every host, whatever address it answers at.
const TYPE_BASE: &str = "https://gavel.dev/problems/";

/// Tells programs what is wrong; stable, unlike the sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the title of each says it, one line below")]
pub enum Code {
    MalformedRequest,
    InvalidNamespace,
    Unauthenticated,
    Forbidden,
    NotFound,
    DeciderNotFound,
    ModuleNotFound,
    StreamNotFound,
    CommandUnknown,
    MethodNotAllowed,
    RequestTimeout,
    VersionConflict,
    StreamFinal,
    DuplicateEventId,
    ModuleInUse,
    NothingToRollBackTo,
    ActivationContended,
    TooLarge,
    UnsupportedMediaType,
    CommandRejected,
    InvalidCommandData,
    InvalidModule,
    GateRefused,
    IdempotencyKeyReused,
    EventUnregistered,
    ModuleTrapped,
    ModuleBrokeContract,
    Internal,
    StoreUnavailable,
    OutcomeUnknown,
    Overloaded,
    Starting,
    Draining,
    ModuleDeadline,
    ModuleOutOfFuel,
    ModuleOutOfMemory,
}

impl Code {
    /// The code as clients see it, its status, and its title.
    fn row(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedRequest => (
                "malformed-request",
                S::BAD_REQUEST,
                "The request is malformed",
            ),
            Self::InvalidNamespace => (
                "invalid-namespace",
                S::BAD_REQUEST,
                "The namespace is malformed",
            ),
            Self::Unauthenticated => (
                "unauthenticated",
                S::UNAUTHORIZED,
                "No valid credential was given",
            ),
            Self::Forbidden => (
                "forbidden",
                S::FORBIDDEN,
                "The credential does not allow this",
            ),
            Self::NotFound => ("not-found", S::NOT_FOUND, "There is no such resource"),
            Self::DeciderNotFound => (
                "decider-not-found",
                S::NOT_FOUND,
                "The decider has no active module",
            ),
            Self::ModuleNotFound => ("module-not-found", S::NOT_FOUND, "There is no such module"),
            Self::StreamNotFound => (
                "stream-not-found",
                S::NOT_FOUND,
                "The stream has no event at that point",
            ),
            Self::CommandUnknown => (
                "command-unknown",
                S::NOT_FOUND,
                "The decider has no such command",
            ),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                S::METHOD_NOT_ALLOWED,
                "The resource has no such method",
            ),
            Self::RequestTimeout => (
                "request-timeout",
                S::REQUEST_TIMEOUT,
                "The request took too long to arrive",
            ),
            Self::VersionConflict => (
                "version-conflict",
                S::CONFLICT,
                "The stream is not at the expected version",
            ),
            Self::StreamFinal => ("stream-final", S::CONFLICT, "The stream has ended"),
            Self::DuplicateEventId => (
                "duplicate-event-id",
                S::CONFLICT,
                "The event id is already in use",
            ),
            Self::ModuleInUse => ("module-in-use", S::CONFLICT, "The module is or was active"),
            Self::NothingToRollBackTo => (
                "nothing-to-roll-back-to",
                S::CONFLICT,
                "The decider has no former module",
            ),
            Self::ActivationContended => (
                "activation-contended",
                S::CONFLICT,
                "Other activations came first",
            ),
            Self::TooLarge => (
                "too-large",
                S::PAYLOAD_TOO_LARGE,
                "The request is too large",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                S::UNSUPPORTED_MEDIA_TYPE,
                "The content type is not the expected one",
            ),
            Self::CommandRejected => (
                "command-rejected",
                S::UNPROCESSABLE_ENTITY,
                "The decider rejected the command",
            ),
            Self::InvalidCommandData => (
                "invalid-command-data",
                S::UNPROCESSABLE_ENTITY,
                "The data of the command breaks its schema",
            ),
            Self::InvalidModule => (
                "invalid-module",
                S::UNPROCESSABLE_ENTITY,
                "The module is invalid",
            ),
            Self::GateRefused => (
                "gate-refused",
                S::UNPROCESSABLE_ENTITY,
                "The gate refuses the module",
            ),
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                S::UNPROCESSABLE_ENTITY,
                "The key was used for another command",
            ),
            Self::EventUnregistered => (
                "event-unregistered",
                S::UNPROCESSABLE_ENTITY,
                "The decider has not registered the event",
            ),
            Self::ModuleTrapped => (
                "module-trapped",
                S::INTERNAL_SERVER_ERROR,
                "The module trapped",
            ),
            Self::ModuleBrokeContract => (
                "module-broke-contract",
                S::INTERNAL_SERVER_ERROR,
                "The module broke its contract",
            ),
            Self::Internal => (
                "internal",
                S::INTERNAL_SERVER_ERROR,
                "Something went wrong in the host",
            ),
            Self::StoreUnavailable => (
                "store-unavailable",
                S::SERVICE_UNAVAILABLE,
                "The store did not answer; nothing was written",
            ),
            Self::OutcomeUnknown => (
                "outcome-unknown",
                S::SERVICE_UNAVAILABLE,
                "It is not known whether the command was carried out",
            ),
            Self::Overloaded => (
                "overloaded",
                S::SERVICE_UNAVAILABLE,
                "The host has more work than it can take",
            ),
            Self::Starting => (
                "starting",
                S::SERVICE_UNAVAILABLE,
                "The host is not ready yet",
            ),
            Self::Draining => (
                "draining",
                S::SERVICE_UNAVAILABLE,
                "The host is shutting down",
            ),
            Self::ModuleDeadline => (
                "module-deadline",
                S::GATEWAY_TIMEOUT,
                "The module took too long",
            ),
            Self::ModuleOutOfFuel => (
                "module-out-of-fuel",
                S::GATEWAY_TIMEOUT,
                "The module used up its fuel",
            ),
            Self::ModuleOutOfMemory => (
                "module-out-of-memory",
                S::GATEWAY_TIMEOUT,
                "The module used up its memory",
            ),
        }
    }

    /// The code as clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The status that goes with it, always the same.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    /// One sentence about all problems with this code.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().2
    }
}

/// Why a client does not get what it asked for, in words and facts that are meant for it.
///
/// What is not meant for it travels as the `cause`, which is logged where the answer leaves the host.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    detail: String,
    facts: Map<String, Value>,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Problem {
    /// A problem, explained to a person in `detail`.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            facts: Map::new(),
            cause: None,
        }))
    }

    /// A bug or an outage: one opaque line for the client, the whole `cause` for the log.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let detail =
            "The host could not answer. Its log has the reason under the id in `instance`.";
        Self::new(Code::Internal, detail).caused_by(cause)
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn with(mut self, name: &str, fact: impl Serialize) -> Self {
        // Facts are numbers, texts and documents of ours: none of them fails to serialise.
        self.0.facts.insert(
            name.to_owned(),
            serde_json::to_value(fact).unwrap_or_default(),
        );
        self
    }

    /// Adds what the log should know and the client should not.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(Arc::from(cause.into()));
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    #[cfg(test)]
    pub(super) fn fact(&self, name: &str) -> &Value {
        &self.0.facts[name]
    }

    pub(super) fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    /// The document for the request `id`.
    pub(super) fn body(&self, id: &RequestId) -> ProblemBody {
        let Inner {
            code,
            detail,
            facts,
            cause: _,
        } = &*self.0;
        ProblemBody {
            type_url: format!("{TYPE_BASE}{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.clone(),
            instance: id.as_str().to_owned(),
            code: code.as_str().to_owned(),
            facts: facts.clone(),
        }
    }

    /// Writes the document into `response`, which keeps its other headers.
    pub(super) fn render(&self, response: &mut Response, id: &RequestId) {
        let body = serde_json::to_vec(&self.body(id)).unwrap_or_default();
        *response.body_mut() = body.into();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    }
}

impl IntoResponse for Problem {
    /// The document itself is written by the outermost layer, which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.code().status().into_response();
        let headers = response.headers_mut();
        match self.code() {
            Code::StoreUnavailable
            | Code::OutcomeUnknown
            | Code::Overloaded
            | Code::Starting
            | Code::Draining => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Code::Unauthenticated => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"gavel\""),
                );
            }
            Code::Forbidden => {
                let challenge = "Bearer realm=\"gavel\", error=\"insufficient_scope\"";
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static(challenge),
                );
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}
