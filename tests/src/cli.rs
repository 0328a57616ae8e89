//! The `gavel` commands that are clients of a host, or need none.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::Host;
use crate::binary::gavel;

/// The output of a `gavel` command, and its exit status.
#[derive(Debug)]
pub struct CliOutput(Output);

impl CliOutput {
    /// Runs `gavel` in `folder`, talking to `host` if there is one.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn of(host: Option<&Host>, folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(gavel());
        command
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::null());
        if let Some(host) = host {
            command.env("GAVEL_SERVER", host.address());
        }
        Self(command.output().expect("gavel can be run"))
    }

    /// Checks the exit status.
    ///
    /// # Panics
    ///
    /// When the exit code is another one; the message holds what it printed.
    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(
            self.0.status.code(),
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout(),
            self.stderr()
        );
        self
    }

    /// The standard output, which holds the answer.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// The standard error, which holds everything else.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// The answer as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout()))
    }
}
