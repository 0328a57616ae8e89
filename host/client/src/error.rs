//! Why there is no successful answer.

use thiserror::Error;

use super::Problem;

/// What asking a host gives back.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a host has not done what it was asked for.
#[derive(Debug, Error)]
pub enum Error {
    /// The request cannot be sent as it is; says why.
    #[error("{0}")]
    Unusable(String),
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No host answers.
    #[error("no host answers at {server}: {reason}")]
    Unreachable {
        /// The address that was tried.
        server: String,
        /// What the system says.
        reason: String,
    },
    /// The host may or may not have done it.
    #[error(
        "the connection to {server} broke before the answer came, so that the outcome is not known: {reason}"
    )]
    Broken {
        /// The address that was asked.
        server: String,
        /// What the system says.
        reason: String,
    },
    /// Something answers that is no host.
    #[error("{server} answered {status}, but not in the way of a Gavel host; is this its address?")]
    Foreign {
        /// The address that was asked.
        server: String,
        /// The status and its name.
        status: String,
    },
    /// The host answered with a problem.
    #[error("{}", .0.code())]
    Problem(Box<Problem>),
    /// The host's version is another one.
    #[error("the answer is not what this version of gavel knows")]
    Unknown(#[source] serde_json::Error),
}
