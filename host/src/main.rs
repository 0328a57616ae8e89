//! The `gavel` binary: parses the command line, runs the command, ends with its code.

use std::process::ExitCode;

use clap::Parser as _;
use gavel_host::cli::{self, Arguments, Output};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let mut output = Output::new(arguments.output, &mut stdout, &mut stderr);
    cli::run(&arguments, &mut output).into()
}
