//! The end of a command: exit codes and failures.

use std::process::ExitCode;

use anyhow::anyhow;
use gavel_client::{self as client, Problem};
use gavel_config as config;
use gavel_store::Outdated;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command did what it was asked for: 0.
    Done,
    /// The command failed: 1.
    Error,
    /// The command line, or a setting, makes no sense: 2.
    Usage,
    /// The decider rejected the command, or the gate refused the module: 3.
    Refused,
    /// A conflict with an earlier change: 4.
    Conflict,
    /// The store is for newer hosts: 5.
    Outdated,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Error => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Conflict => 4,
            Exit::Outdated => 5,
        })
    }
}

/// The result of a command.
pub(super) type Result<T = ()> = std::result::Result<T, Failure>;

/// The reason why a command did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// The arguments make no sense; says why.
    Usage(String),
    /// The settings make no sense.
    Settings(config::Error),
    /// The server answered with a problem.
    Problem(Box<Problem>),
    /// The gate, or the person who was asked, said no. What there is to say has been shown.
    Refused,
    /// The reader of standard output closed it, as `head` does. This needs no message.
    ReaderGone,
    /// The schema of the store asks for another program than this one.
    Outdated(Outdated),
    /// Any other failure.
    Error(anyhow::Error),
}

impl Failure {
    /// The code that the process ends with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Settings(_) => Exit::Usage,
            Self::Problem(problem) => exit_after(problem),
            Self::Refused => Exit::Refused,
            Self::ReaderGone => Exit::Done,
            Self::Outdated(_) => Exit::Outdated,
            Self::Error(_) => Exit::Error,
        }
    }
}

/// The code that a command ends with which met this problem.
fn exit_after(problem: &Problem) -> Exit {
    match problem.code() {
        "command-rejected" | "gate-refused" | "invalid-module" => Exit::Refused,
        _ if problem.status() == 409 => Exit::Conflict,
        _ => Exit::Error,
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Error(error)
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::Settings(error)
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Unusable(reason) => Self::Usage(reason),
            client::Error::Problem(problem) => Self::Problem(problem),
            client::Error::Unreachable { .. } => Self::Error(anyhow!(
                "{error}\n  start one with `gavel serve`, or name another with --server or GAVEL_SERVER"
            )),
            client::Error::Setup(_)
            | client::Error::Broken { .. }
            | client::Error::Foreign { .. }
            | client::Error::Unknown(_) => Self::Error(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn codes_and_status_decide_how_the_command_ends() {
        for (status, code, exit) in [
            (422, "command-rejected", Exit::Refused),
            (422, "gate-refused", Exit::Refused),
            (422, "invalid-module", Exit::Refused),
            (409, "version-conflict", Exit::Conflict),
            (409, "stream-final", Exit::Conflict),
            (422, "idempotency-key-reused", Exit::Error),
            (404, "stream-not-found", Exit::Error),
            (500, "module-trapped", Exit::Error),
            (503, "draining", Exit::Error),
        ] {
            let document = json!({"code": code, "status": status});
            let problem = Problem::parse(document.to_string(), None).unwrap();
            assert_eq!(exit_after(&problem), exit, "{code}");
        }
    }
}
