//! Asks cargo what it built, instead of guessing where the files are.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

/// A call of cargo as it would be made in a shell, without the variables that `cargo run` sets for
/// this program.
///
/// Build scripts depend on variables of these names: a cargo that inherits ours, and a later one
/// that does not, would each compile again everything that depends on such a script.
pub(crate) fn as_in_a_shell(mut call: Cmd<'_>) -> Cmd<'_> {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_") {
            call = call.env_remove(&*name);
        }
    }
    call
}

/// Builds the `gavel` binary for development and returns its path.
///
/// The whole workspace is selected so that dependencies get the features they have in the tests,
/// and are compiled only once.
///
/// # Errors
///
/// When the build fails.
pub(crate) fn build_gavel(sh: &Shell) -> Result<PathBuf> {
    build_binary(cmd!(sh, "cargo build --workspace --bin gavel"), "gavel")
}

/// Runs a `cargo build` of the program `name` and returns its path.
///
/// # Errors
///
/// When the build fails.
pub(crate) fn build_binary(build: Cmd<'_>, name: &str) -> Result<PathBuf> {
    let messages = read_messages(build)?;
    let executable = messages
        .iter()
        .find_map(|message| message["executable"].as_str());
    Ok(executable
        .with_context(|| format!("cargo built no `{name}` binary"))?
        .into())
}

/// A component that cargo has made.
pub(crate) struct Component {
    /// The name of the target, as it is in `Cargo.toml`.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Runs a `cargo build` of guests and returns the components it made.
///
/// # Errors
///
/// When the build fails.
pub(crate) fn build_components(build: Cmd<'_>) -> Result<Vec<Component>> {
    let messages = read_messages(build)?;
    let component = |message: &Value| {
        let mut files = message["filenames"].as_array()?.iter();
        let path = files.find_map(|file| file.as_str().filter(|file| file.ends_with(".wasm")))?;
        Some(Component {
            name: message["target"]["name"].as_str()?.to_owned(),
            path: path.into(),
        })
    };
    Ok(messages.iter().filter_map(component).collect())
}

fn read_messages(build: Cmd<'_>) -> Result<Vec<Value>> {
    let messages = as_in_a_shell(build)
        .arg("--message-format=json-render-diagnostics")
        .quiet()
        .read()?;
    let parse = |line| serde_json::from_str(line).context("cargo's message is not JSON");
    messages.lines().map(parse).collect()
}
