//! `cargo xtask campaign`: tests that take long, need servers of their own, or depend on chance, in
//! rounds.

use std::fs::File;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::postgres::{self, Postgres};
use crate::{cargo, modules};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the cases whose name contains this; by default all.
    case: Option<String>,

    /// The number of runs of each case.
    #[arg(long, value_name = "N", default_value_t = 10)]
    rounds: u32,

    /// The size of the cases that have one, in rows or events. Without it each has the smallest
    /// that can fail.
    #[arg(long, value_name = "N")]
    size: Option<u64>,

    /// The seed of the first round; the rounds after it have the numbers after it. Without it one
    /// by chance, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Runs the cases in rounds, each with a seed of its own.
///
/// # Errors
///
/// When a case fails. The seed of its round is in what it printed.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<()> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => chance()?,
    };
    let size = args.size.map(|size| format!(" --size {size}"));
    let again = format!(
        "cargo xtask campaign {} --seed {seed} --rounds {}{}",
        args.case.as_deref().unwrap_or_default(),
        args.rounds,
        size.unwrap_or_default()
    );
    eprintln!("{again}");
    rounds(sh, args, seed).with_context(|| format!("the campaign failed; `{again}` runs it again"))
}

/// Runs the smallest campaign that can fail, as CI does: one round of each case, always the same.
///
/// # Errors
///
/// When a case fails.
pub(crate) fn run_once(sh: &Shell) -> Result<()> {
    let once = Args {
        case: None,
        rounds: 1,
        size: None,
        seed: None,
    };
    rounds(sh, &once, 1)
}

fn rounds(sh: &Shell, args: &Args, seed: u64) -> Result<()> {
    let modules = modules::build(sh)?;
    let shared = Postgres::start(sh)?;
    let (case, rounds) = (args.case.as_deref(), args.rounds);
    let tests = cmd!(
        sh,
        "cargo test --workspace --test campaign -- --nocapture {case...}"
    );
    let mut tests = cargo::as_in_a_shell(tests);
    if let Some(size) = args.size {
        tests = tests.env("GAVEL_CAMPAIGN_SIZE", size.to_string());
    }
    tests
        .env("DATABASE_URL", shared.url())
        .env("GAVEL_TEST_POSTGRES", postgres::binaries(sh)?)
        .env("GAVEL_TEST_MODULES", modules)
        .env("GAVEL_CAMPAIGN_SEED", seed.to_string())
        .env("GAVEL_CAMPAIGN_ROUNDS", rounds.to_string())
        .run()?;
    Ok(())
}

fn chance() -> Result<u64> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes).into())
}
