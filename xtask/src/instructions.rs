//! `cargo xtask bench instructions`: counts what a command costs in instructions, and compares with
//! what was recorded. A count is the same on a busy machine, as a time is not.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

use crate::{cargo, modules, root, target};

/// The file of the recorded counts.
const RECORD: &str = "benches/instructions.json";

/// The cases of `gavel-instructions`.
const CASES: [&str; 4] = ["append", "guest", "native", "json"];

/// The commands of a round of each case.
const COMMANDS: u64 = 100;

/// The rounds of the two runs of each case: the shorter one is for the start alone.
const ROUNDS: [u64; 2] = [20, 60];

/// The most by which a count may exceed the recorded one, in percent (inclusive). Ids, the seeds of
/// hash maps and the order of threads are left to chance, which makes half a percent of `json`.
const TOLERANCE_PERCENT: f64 = 2.0;

/// The counts, and the compiler that they depend on besides the code.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    rustc: String,
    instructions_per_command: BTreeMap<String, u64>,
}

/// Counts, and compares with the record, or replaces it.
///
/// # Errors
///
/// When valgrind is missing, a program does not compile or fails, or a count is above the recorded
/// one by more than the tolerance.
pub(crate) fn run(sh: &Shell, replaces_record: bool) -> Result<()> {
    cmd!(sh, "valgrind --version")
        .quiet()
        .ignore_stdout()
        .run()
        .context("valgrind is needed: install it (on Debian: `apt-get install valgrind`)")?;
    let rustc = cmd!(sh, "rustc --version").quiet().read()?;
    let counter = Counter::build(sh)?;
    let mut counts = BTreeMap::new();
    for case in CASES {
        counts.insert(case.to_owned(), counter.per_command(case)?);
    }
    let file = root().join(RECORD);
    if replaces_record {
        let record = Record {
            rustc,
            instructions_per_command: counts,
        };
        fs::write(&file, serde_json::to_string_pretty(&record)? + "\n")?;
        eprintln!("{RECORD}: {:?}", record.instructions_per_command);
        return Ok(());
    }
    let record = fs::read(&file).with_context(|| format!("cannot read {RECORD}"))?;
    let record: Record = serde_json::from_slice(&record)?;
    if record.rustc != rustc {
        eprintln!(
            "recorded with {}, counted with {rustc}: the difference may be the compiler's",
            record.rustc
        );
    }
    compare(&counts, &record.instructions_per_command)
}

/// Prints all counts beside those that were recorded.
fn compare(counts: &BTreeMap<String, u64>, recorded: &BTreeMap<String, u64>) -> Result<()> {
    eprintln!("| case | instructions per command | recorded | difference_% |");
    eprintln!("| --- | --- | --- | --- |");
    let mut above = Vec::new();
    for (case, count) in counts {
        let recorded = recorded.get(case);
        let recorded = *recorded.with_context(|| format!("{RECORD} has no count of `{case}`"))?;
        let percent = difference_percent(*count, recorded);
        eprintln!("| {case} | {count} | {recorded} | {percent:+.1} |");
        if percent > TOLERANCE_PERCENT {
            above.push(case.as_str());
        }
    }
    ensure!(
        above.is_empty(),
        "more instructions than recorded, by more than {TOLERANCE_PERCENT} %: {}. `--record` replaces the record",
        above.join(", ")
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 instructions")]
fn difference_percent(count: u64, recorded: u64) -> f64 {
    (count as f64 / recorded as f64 - 1.0) * 100.0
}

/// The program whose instructions are counted, and its files.
struct Counter<'s> {
    sh: &'s Shell,
    program: PathBuf,
    account: PathBuf,
    /// The folder of the profiles.
    profiles: PathBuf,
    /// The folder of compiled code, which the program makes: nobody else may write to it.
    compiled: PathBuf,
}

impl<'s> Counter<'s> {
    fn build(sh: &'s Shell) -> Result<Self> {
        let build = cmd!(
            sh,
            "cargo build --release --workspace --bin gavel-instructions"
        );
        let profiles = target().join("bench/instructions");
        let counter = Self {
            sh,
            account: modules::build(sh)?.join("account.wasm"),
            program: cargo::build_binary(build, "gavel-instructions")?,
            compiled: profiles.join("code"),
            profiles,
        };
        fs::create_dir_all(&counter.profiles)?;
        // No rounds: the module is compiled, and nothing else happens.
        counter.valgrind(&["--tool=none", "--trace-children=yes"], "guest", 0)?;
        Ok(counter)
    }

    fn per_command(&self, case: &str) -> Result<u64> {
        let [short, long] = ROUNDS;
        let difference = self
            .count(case, long)?
            .saturating_sub(self.count(case, short)?);
        Ok(difference / ((long - short) * COMMANDS))
    }

    /// The instructions of a whole run. Its profile stays, for `callgrind_annotate`.
    fn count(&self, case: &str, rounds: u64) -> Result<u64> {
        let profile = self.profiles.join(format!("{case}.callgrind"));
        let profile = format!("--callgrind-out-file={}", profile.display());
        let log = self.valgrind(&["--tool=callgrind", &profile], case, rounds)?;
        let count = log.lines().find_map(|line| line.split_once("Collected :"));
        let (_, count) = count.with_context(|| format!("callgrind counted nothing:\n{log}"))?;
        Ok(count.trim().parse()?)
    }

    /// Runs the program, and returns what valgrind says.
    fn valgrind(&self, options: &[&str], case: &str, rounds: u64) -> Result<String> {
        let Self {
            sh,
            program,
            account,
            compiled,
            ..
        } = self;
        let rounds = rounds.to_string();
        let output = cmd!(
            sh,
            "valgrind {options...} {program} {case} {rounds} {account} {compiled}"
        )
        .quiet()
        .ignore_status()
        .output()?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "`{case}` failed:\n{log}");
        Ok(log)
    }
}
