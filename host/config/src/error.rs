//! The errors that keep a host from starting with its settings.

use std::fmt;
use std::path::PathBuf;

use super::Source;

/// The settings are invalid; the error lists all of their problems.
#[derive(Debug, PartialEq)]
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems of the settings; at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => problem.fmt(f),
            problems => {
                write!(f, "{} settings are wrong:", problems.len())?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

/// A problem of the settings.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// A value is not what the setting needs.
    #[error("`{key}` from {origin}: expected {expected}, found {found}")]
    BadValue {
        /// The setting.
        key: String,
        /// The source of the value.
        origin: Source,
        /// The kind of value that the setting needs.
        expected: String,
        /// The value; hidden when it may be secret.
        found: String,
    },
    /// No setting has this name.
    #[error("`{name}` {}: there is no such setting{}", place(.origin), hint(.did_you_mean))]
    Unknown {
        /// The name.
        name: String,
        /// The source of the name.
        origin: Source,
        /// The setting with the most similar name, if any is similar enough.
        did_you_mean: Option<String>,
    },
    /// The value of a variable is not UTF-8.
    #[error("`{variable}` from the environment: expected UTF-8 text")]
    NotText {
        /// The variable.
        variable: String,
    },
    /// The file could not be read.
    #[error("cannot read {}: {reason}", .path.display())]
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// The reason that the system gives.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {message}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line of the error, from 1.
        line: usize,
        /// The error in one sentence.
        message: String,
    },
}

/// The source for an error message. A variable is its own source and is not named twice.
fn place(origin: &Source) -> String {
    match origin {
        Source::Variable(_) => "in the environment".to_owned(),
        origin => format!("from {origin}"),
    }
}

fn hint(did_you_mean: &Option<String>) -> String {
    did_you_mean
        .as_ref()
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}
