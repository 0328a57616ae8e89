//! One line of `gavel config`.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// What one setting is, and where that came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Area and name, as in `server.listen`.
    pub key: String,
    /// The environment variable that sets it.
    pub variable: String,
    /// The value, without secrets.
    pub value: serde_json::Value,
    /// Where the value came from.
    pub source: Source,
    /// What it would be if nothing set it.
    pub default: serde_json::Value,
    /// What it does, with its unit.
    pub description: &'static str,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing set it.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable, by name.
    Variable(String),
    /// A flag, as in `--listen`.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
