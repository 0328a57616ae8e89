//! The `gavel` binary.

use std::process::ExitCode;

use gavel_host::runtime::{COMPILE_ARGUMENT, compile_child};

fn main() -> ExitCode {
    // Ahead of all else: the process that compiles a component reads no setting and starts no thread before it has bound itself.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == COMPILE_ARGUMENT)
    {
        return compile_child();
    }
    ExitCode::SUCCESS
}
