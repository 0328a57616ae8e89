//! The errors of a request: no successful answer has come.

use thiserror::Error;

use super::Problem;

/// The result of a request to a host.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why a host has not done what the request asked for.
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
        /// The reason that the system gives.
        reason: String,
    },
    /// The host may or may not have done it.
    #[error(
        "the connection to {server} broke before the answer came, so that the outcome is not known: {reason}"
    )]
    Broken {
        /// The address that was asked.
        server: String,
        /// The reason that the system gives.
        reason: String,
    },
    /// The answer is not one of a host.
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
