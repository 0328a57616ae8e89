//! The successful answer of a host.

use serde::de::DeserializeOwned;

use super::{Error, Result};

/// A successful answer.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    /// Makes an answer as if a host had given it.
    pub fn new(status: u16, body: String) -> Self {
        Self { status, body }
    }

    /// Gives the HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Gives the document as it was received.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Reads the document's fields.
    ///
    /// # Errors
    ///
    /// When the document does not have the shape of `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.body).map_err(Error::Unknown)
    }
}
