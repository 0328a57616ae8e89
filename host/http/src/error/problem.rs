//! Problem documents (RFC 9457): the answers to requests that were not fulfilled.

use std::error::Error as StdError;
use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use gavel_api::ProblemBody;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Code;
use crate::request_id::RequestId;

/// The media type of problem documents.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// The prefix of a code in the `type` of a problem. It is an identifier: the same from every host,
/// regardless of the host's address.
const TYPE_BASE: &str = "https://gavel.dev/problems/";

/// A reason why a request was not fulfilled, in words and facts for the client.
///
/// Text for the operator travels as the `cause`, which is logged where the answer leaves the host.
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
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    #[cfg(test)]
    pub(crate) fn fact(&self, name: &str) -> &Value {
        &self.0.facts[name]
    }

    pub(crate) fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    /// The document for the request `id`.
    pub(crate) fn body(&self, id: &RequestId) -> ProblemBody {
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
    pub(crate) fn render(&self, response: &mut Response, id: &RequestId) {
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
            // What is left of the body is not read, so that no other request can follow it: a
            // client that kept the connection for its next one would lose that one.
            Code::TooLarge | Code::RequestTimeout => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Code::Unauthenticated => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"gavel\""),
                );
            }
            Code::Forbidden if self.0.facts.contains_key("needed_scope") => {
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
