//! The names of findings that a person accepts.

use gavel_gate as gate;
use serde::Deserialize;

/// The name of a finding to accept, or `rows:` and the most rows that may be others.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct AcceptedName(String);

impl AcceptedName {
    /// The names as the gate takes them.
    #[must_use]
    pub fn into_names(names: Vec<Self>) -> Vec<String> {
        names.into_iter().map(|name| name.0).collect()
    }
}

impl TryFrom<String> for AcceptedName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match gate::accepted_rows(&name) {
            Ok(_) => Ok(Self(name)),
            Err(error) => Err(format!("`rows:` is followed by a number of rows: {error}")),
        }
    }
}
