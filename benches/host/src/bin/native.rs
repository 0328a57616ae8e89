//! `gavel-native`: a `gavel` in which the account of the examples is compiled in and runs in place
//! of the one that is uploaded: what a sandboxed account is compared with. All else is the same
//! host.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use gavel_bench_host::NativeAccount;
use gavel_cli::{self as cli, Arguments, Output};
use gavel_sandbox::{COMPILE_ARGUMENT, compile_child, replace_deciders};

/// The allocator of `gavel`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == COMPILE_ARGUMENT)
    {
        return compile_child();
    }
    replace_deciders(Arc::new(NativeAccount));
    let arguments = Arguments::parse();
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let mut output = Output::new(arguments.output, &mut stdout, &mut stderr);
    cli::run(&arguments, &mut output).into()
}
