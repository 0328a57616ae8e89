//! `cargo xtask bench`: builds a host for release, the modules and the driver, and measures.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use xshell::{Shell, cmd};

use crate::postgres::Postgres;
use crate::{cargo, instructions, modules, peers, target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The benches to run; by default all.
    #[arg(value_enum)]
    bench: Vec<Bench>,

    /// Short runs on less data: shows that everything works, and little more.
    #[arg(long)]
    quick: bool,

    /// Only the parts whose name contains this; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// PostgreSQL to measure on, as a superuser. Without it a private server is started, with
    /// `fsync` on.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Replaces the recorded counts of `instructions`.
    #[arg(long)]
    record: bool,

    /// Arguments for `gavel-bench`, e.g. `-- --store sqlite --runs 5`; `-- --help` shows all.
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// The cost of sending commands.
    Commands,
    /// The time until a host with many modules is ready.
    Startup,
    /// The speed of folding history.
    Replay,
    /// The cost and the speed of subscribers and consumers.
    Streaming,
    /// The speed of rehearsing modules, and the cost of that for commands.
    Gate,
    /// The speed of building and reading rows, and their cost for commands.
    Views,
    /// The same load on other event stores; `--only` picks some of them by name.
    Peers,
    /// The instructions that commands cost, compared with those that were recorded: no timing.
    Instructions,
}

/// Builds the host and the benches, and runs the benches.
///
/// # Errors
///
/// When something does not compile, or a bench cannot be run.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<()> {
    let benches = match args.bench.as_slice() {
        [] => Bench::value_variants(),
        some => some,
    };
    let timed: Vec<_> = benches
        .iter()
        .filter(|bench| **bench != Bench::Instructions)
        .collect();
    if !timed.is_empty() {
        measure(sh, args, &timed)?;
    }
    if timed.len() < benches.len() {
        eprintln!("\n==> bench instructions");
        instructions::run(sh, args.record)?;
    }
    Ok(())
}

/// Runs benches of the driver.
fn measure(sh: &Shell, args: &Args, benches: &[&Bench]) -> Result<()> {
    let modules = modules::build(sh)?;
    let gavel = build(sh, "gavel", "gavel")?;
    let driver = build(sh, "gavel-benches", "gavel-bench")?;
    let private = match args.database_url {
        Some(_) => None,
        None => Some(Postgres::start(sh)?),
    };
    let url = args.database_url.as_deref();
    let url = url
        .or(private.as_ref().map(Postgres::url))
        .unwrap_or_default();
    let out = target().join("bench");
    let is_wanted = |name: &str| {
        args.only.is_empty() || args.only.iter().any(|part| name.contains(part.as_str()))
    };
    for bench in benches {
        let name = bench.to_possible_value().context("each bench has a name")?;
        let name = name.get_name();
        eprintln!("\n==> bench {name}");
        let (mut flags, options) = (Vec::new(), &args.options);
        flags.extend(args.quick.then(|| "--quick".to_owned()));
        for part in &args.only {
            flags.extend(["--only".to_owned(), part.clone()]);
        }
        if **bench == Bench::Commands && is_wanted("sandbox") {
            let native = build(sh, "gavel-bench-host", "gavel-native")?;
            flags.extend(["--native".to_owned(), native.display().to_string()]);
        }
        let is_peer = |name: &str| match bench {
            Bench::Peers => name != peers::PROJECTION && is_wanted(name),
            Bench::Views => peers::OF_VIEWS.contains(&name) && is_wanted("twins"),
            _ => false,
        };
        if [Bench::Peers, Bench::Views].contains(bench) {
            for peer in peers::build(sh, is_peer)? {
                let program = peer.program.display();
                flags.extend(["--peer".to_owned(), format!("{}={program}", peer.name)]);
            }
        }
        cmd!(
            sh,
            "{driver} {name} --gavel {gavel} --modules {modules} --out {out} {flags...} {options...}"
        )
        .env("DATABASE_URL", url)
        .quiet()
        .run()?;
    }
    Ok(())
}

/// Builds each package by itself, so that the host is compiled with the features that users get.
fn build(sh: &Shell, package: &str, binary: &str) -> Result<PathBuf> {
    cargo::build_binary(
        cmd!(
            sh,
            "cargo build --release --package {package} --bin {binary}"
        ),
        binary,
    )
}
