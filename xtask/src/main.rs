//! `cargo xtask`: everything a person or CI runs, one file per command.
//!
//! Progress goes to stderr. Nothing is written outside `target/`, but for the private PostgreSQL,
//! which lives in the system's temporary directory and is removed with it.

mod bench;
mod campaign;
mod cargo;
mod circles;
mod demo;
mod host;
mod instructions;
mod kept;
mod modules;
mod net;
mod peers;
mod postgres;
mod readme;
mod test;
mod toolchain;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use xshell::Shell;

/// Runs the demo, the tests and the builds of this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// From nothing to a restaurant that takes orders, and a change of its rules while orders come
    /// in.
    Demo(demo::Args),
    /// Runs what CI runs, in the same order, up to the first failure.
    Test(test::Args),
    /// Runs tests that take long, need servers of their own, or depend on chance, in rounds.
    Campaign(campaign::Args),
    /// Measures the host in release, on PostgreSQL and SQLite, and writes JSON into `target/bench`.
    Bench(bench::Args),
    /// Builds the guest modules into `target/modules`.
    Modules,
    /// Checks how comments and names read, as far as that can be measured.
    Words,
    /// Checks that no files can only be read together.
    Circles,
}

fn main() -> ExitCode {
    let Err(error) = run(Command::parse()) else {
        return ExitCode::SUCCESS;
    };
    // Without the backtrace that `RUST_BACKTRACE` would add: the reader wants to know which step of
    // theirs failed.
    eprintln!("\nerror: {error:#}");
    ExitCode::FAILURE
}

fn run(command: Command) -> Result<()> {
    let sh = Shell::new().context("cannot tell the current directory")?;
    sh.change_dir(root());
    match command {
        Command::Demo(args) => demo::run(&sh, &args),
        Command::Test(args) => test::run(&sh, args),
        Command::Campaign(args) => campaign::run(&sh, &args),
        Command::Bench(args) => bench::run(&sh, &args),
        Command::Words => words::check(&sh),
        Command::Circles => circles::check(&sh),
        Command::Modules => modules::build(&sh).map(drop),
    }
}

/// The top of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
}

/// The folder of everything that we build, regardless of cargo's own target directory.
fn target() -> PathBuf {
    root().join("target")
}
