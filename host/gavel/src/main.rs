//! The `gavel` binary: parses the command line, runs the command, ends with its code.

use std::io::{BufReader, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use gavel_cli::{self as cli, Arguments, Output};
use gavel_sandbox::{COMPILE_ARGUMENT, compile_child};

/// A request is many small allocations that are freed on another thread, which costs the system's
/// allocator a third of the host's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Ahead of all else: the process that compiles a component reads no setting and starts no
    // thread before it has bound itself.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == COMPILE_ARGUMENT)
    {
        return compile_child();
    }
    let arguments = Arguments::parse();
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let (can_ask, can_draw) = (std::io::stdin().is_terminal(), stderr.is_terminal());
    let mut answers = BufReader::new(std::io::stdin());
    let mut output = Output::new(arguments.output, &mut stdout, &mut stderr);
    if can_ask {
        output = output.asking(&mut answers);
    }
    if can_draw {
        output = output.drawing();
    }
    cli::run(&arguments, &mut output).into()
}
