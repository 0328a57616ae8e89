//! The path of the `gavel` binary.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The binary under test: the one that `GAVEL_TEST_BIN` names, otherwise the one of this workspace,
/// built first with the profile of the tests.
///
/// # Panics
///
/// When it does not compile.
pub(crate) fn gavel() -> &'static Path {
    static GAVEL: OnceLock<PathBuf> = OnceLock::new();
    GAVEL.get_or_init(|| env::var_os("GAVEL_TEST_BIN").map_or_else(build, PathBuf::from))
}

/// The compiler of a host, which waits for a component that never comes. It ends when its input is
/// dropped.
///
/// # Panics
///
/// When it does not start.
#[must_use]
pub fn idle_compiler() -> Child {
    Command::new(gavel())
        .args(["__compile", "1073741824", "10"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the compiler starts")
}

/// Builds the binary, since cargo hands one only to the tests of its own package.
///
/// The whole workspace is selected so that dependencies get the features they have in its tests,
/// and are compiled only once.
fn build() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let mut build = Command::new(cargo);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        // What cargo tells this test of its package. Build scripts ask for variables of these
        // names, and all that depends on such a script would be compiled anew: for this build, and
        // again for the next one by hand.
        if text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_PKG_") {
            build.env_remove(&name);
        }
    }
    let output = build
        .args(["build", "--quiet", "--workspace", "--bin", "gavel"])
        .args([
            "--profile",
            profile,
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "gavel does not compile");
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.expect("cargo names the binary it has built")
}
