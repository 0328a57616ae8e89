//! An answer of the host, and what tests ask of it.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

use crate::Accepted;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The method and path of the request, for messages.
    pub(crate) request: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The value of a header, if there is one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, unchanged.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of the problem, if it is one.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body["code"].as_str()?.to_owned())
    }

    /// Checks the status.
    ///
    /// # Panics
    ///
    /// When it is another one; the message holds the body.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status(), status, "{}: {}", self.request, self.text());
        self
    }

    /// The JSON of a successful answer.
    ///
    /// # Panics
    ///
    /// When it has another status, or is no JSON.
    #[track_caller]
    pub fn json(&self, status: u16) -> Value {
        self.expect(status);
        let media_type = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        assert!(
            media_type.starts_with("application/json"),
            "{} answers with {media_type}",
            self.request
        );
        self.parse()
    }

    /// The answer to a command that was accepted.
    ///
    /// # Panics
    ///
    /// When it was not.
    #[track_caller]
    pub fn accepted(&self) -> Accepted {
        let body = self.json(200);
        serde_json::from_value(body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.request, self.text()))
    }

    /// The problem document, after a look at the members that each of them has.
    ///
    /// # Panics
    ///
    /// When it is no such document, or one with another status or code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        self.expect(status);
        assert_eq!(
            self.header(CONTENT_TYPE.as_str()),
            Some("application/problem+json"),
            "{}",
            self.request
        );
        let body = self.parse();
        assert_eq!(body["code"], code, "{}: {}", self.request, self.text());
        assert_eq!(body["status"], status, "{}: {body}", self.request);
        assert_eq!(
            body["instance"].as_str(),
            self.header("request-id"),
            "{}: {body}",
            self.request
        );
        for member in ["type", "title", "detail"] {
            let text = body[member].as_str().unwrap_or_default();
            assert!(
                !text.is_empty(),
                "{}: a problem has a {member}: {body}",
                self.request
            );
        }
        body
    }

    #[track_caller]
    fn parse(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.request, self.text()))
    }
}
