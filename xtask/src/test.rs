//! `cargo xtask test`: exactly what CI runs, in order, up to the first failure.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::postgres::Postgres;
use crate::{campaign, cargo, circles, modules, readme, words};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// PostgreSQL for the tests, as a superuser: each test makes a database of its own. Without it
    /// a private server is started.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Arguments for `cargo test`, e.g. `-- a_part_of_a_name` or `-- -p gavel-store`. Only the
    /// modules and these tests are run.
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

/// Runs the checks of CI, or the filtered tests.
///
/// # Errors
///
/// With the name of the step that failed.
pub(crate) fn run(sh: &Shell, args: Args) -> Result<()> {
    let mut report = Report::default();
    let database_url = args.database_url.as_deref();
    if args.filter.is_empty() {
        report.step("rustfmt", || check_format(sh))?;
        report.step("words", || words::check(sh))?;
        report.step("circles", || circles::check(sh))?;
        let modules = report.step("modules", || modules::build(sh))?;
        report.step("clippy", || check_lints(sh))?;
        report.step("doc", || check_docs(sh))?;
        report.step("examples", || test_examples(sh))?;
        report.step("tests", || {
            test_workspace(sh, &modules, database_url, &["--workspace".to_owned()])
        })?;
        report.step("campaign", || campaign::run_once(sh))?;
        report.step("readme", || readme::check(sh))?;
    } else {
        let modules = report.step("modules", || modules::build(sh))?;
        report.step("tests", || {
            test_workspace(sh, &modules, database_url, &args.filter)
        })?;
    }
    report.print();
    Ok(())
}

fn check_format(sh: &Shell) -> Result<()> {
    cmd!(sh, "cargo fmt --all --check").run()?;
    for workspace in modules::WORKSPACES {
        cmd!(
            sh,
            "cargo fmt --all --check --manifest-path {workspace}/Cargo.toml"
        )
        .run()?;
    }
    Ok(())
}

fn check_lints(sh: &Shell) -> Result<()> {
    let clippy = cmd!(sh, "cargo clippy --workspace --all-targets -- -D warnings");
    cargo::as_in_a_shell(clippy).run()?;
    let examples = cmd!(
        sh,
        "cargo clippy --workspace --all-targets --manifest-path examples/Cargo.toml -- -D warnings"
    );
    cargo::as_in_a_shell(examples).run()?;
    Ok(())
}

fn check_docs(sh: &Shell) -> Result<()> {
    cargo::as_in_a_shell(cmd!(sh, "cargo doc --workspace --no-deps"))
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    Ok(())
}

/// Tests the examples as ordinary programs, without a host. The changed rules of demos are tested
/// as well.
fn test_examples(sh: &Shell) -> Result<()> {
    let tests = cmd!(
        sh,
        "cargo test --workspace --manifest-path examples/Cargo.toml"
    );
    cargo::as_in_a_shell(tests).run()?;
    for (example, feature) in modules::CHANGED_RULES {
        let tests = cmd!(
            sh,
            "cargo test --features {feature} --manifest-path examples/{example}/Cargo.toml"
        );
        cargo::as_in_a_shell(tests).run()?;
    }
    Ok(())
}

fn test_workspace(
    sh: &Shell,
    modules: &Path,
    database_url: Option<&str>,
    selection: &[String],
) -> Result<()> {
    let private = match database_url {
        Some(_) => None,
        None => Some(Postgres::start(sh)?),
    };
    let url = database_url
        .or(private.as_ref().map(Postgres::url))
        .unwrap_or_default();
    cargo::as_in_a_shell(cmd!(sh, "cargo test {selection...}"))
        // Of a long output, what is kept is its end, which is to say why a test failed.
        .env("RUST_BACKTRACE", "0")
        .env("DATABASE_URL", url)
        .env("GAVEL_TEST_MODULES", modules)
        .run()?;
    Ok(())
}

/// The steps that passed, and what they took.
#[derive(Debug, Default)]
struct Report {
    passed: Vec<(&'static str, Duration)>,
}

impl Report {
    fn step<T>(&mut self, name: &'static str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n==> {name}");
        let start = Instant::now();
        let result = run();
        let elapsed = start.elapsed();
        self.passed.push((name, elapsed));
        result.with_context(|| format!("step `{name}` failed after {} s", elapsed.as_secs()))
    }

    fn print(&self) {
        let steps: Vec<_> = self
            .passed
            .iter()
            .map(|(name, took)| format!("{name} {} s", took.as_secs()))
            .collect();
        let total: Duration = self.passed.iter().map(|(_, took)| took).sum();
        eprintln!(
            "\nAll passed in {} s: {}",
            total.as_secs(),
            steps.join(", ")
        );
    }
}
