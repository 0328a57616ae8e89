//! Problem documents (RFC 9457).

use serde_json::{Map, Value};

/// A problem document from a host.
#[derive(Debug)]
pub struct Problem {
    body: String,
    members: Map<String, Value>,
    retry_after: Option<String>,
}

impl Problem {
    /// Reads `body`; none when it is not a problem document of a Gavel host.
    pub fn parse(body: String, retry_after: Option<String>) -> Option<Self> {
        let Value::Object(members) = serde_json::from_str(&body).ok()? else {
            return None;
        };
        members.get("code")?.as_str()?;
        Some(Self {
            body,
            members,
            retry_after,
        })
    }

    /// Gives the document as it was received.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Gives the code that programs match.
    pub fn code(&self) -> &str {
        self.text("code")
    }

    /// Gives the HTTP status.
    pub fn status(&self) -> u64 {
        self.members
            .get("status")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    /// Gives all members of the document.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// Gives a member that is a text, and an empty text when there is none.
    pub fn text(&self, member: &str) -> &str {
        self.members
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Gives the seconds after which to try again, as the host has said it.
    pub fn retry_after(&self) -> Option<&str> {
        self.retry_after.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_problem_document_is_not_taken_for_one() {
        for body in ["", "<html>", "[]", "{}", r#"{"code":7}"#] {
            assert!(Problem::parse(body.to_owned(), None).is_none(), "{body}");
        }
    }
}
