//! A setting, as `gavel config` shows it and as a flag gives it.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// A setting, its value, and the source of the value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The area and name, as in `server.listen`.
    pub key: String,
    /// The environment variable of the setting.
    pub variable: String,
    /// The value, without secrets.
    pub value: serde_json::Value,
    /// The source of the value.
    pub source: Source,
    /// The value in the absence of any source.
    pub default: serde_json::Value,
    /// The effect of the setting, with its unit.
    pub description: &'static str,
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The default: nothing sets the value.
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

/// A setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The area and name of the setting, as in `server.listen`.
    pub key: &'static str,
    /// The flag, as in `--listen`.
    pub flag: &'static str,
    /// The value, as text.
    pub value: String,
}
