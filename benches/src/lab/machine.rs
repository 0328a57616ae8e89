//! The conditions of the figures: the machine, the programs and their settings.

use std::fs;
use std::process::Command;

use super::{Database, Lab};
use crate::report::Report;

/// Writes down machine, versions and settings.
///
/// # Errors
///
/// When PostgreSQL cannot be reached.
pub(crate) async fn describe(lab: &Lab, report: &mut Report) -> anyhow::Result<()> {
    let options = &lab.options;
    report.fact("machine", machine());
    report.fact("load average at the start", first_words("/proc/loadavg", 3));
    report.fact("kernel", first_words("/proc/sys/kernel/osrelease", 1));
    let version = Command::new(&options.gavel).arg("--version").output()?;
    report.fact("gavel", String::from_utf8_lossy(&version.stdout).trim());
    report.fact("commit", commit());
    let settings: Vec<_> = options
        .host_setting
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let settings = match settings.is_empty() {
        true => "all defaults".to_owned(),
        false => settings.join(" "),
    };
    report.fact("host settings", settings);
    report.fact(
        "runs",
        format!(
            "{} of {:?} each, after {:?} of warm-up; medians",
            lab.runs(),
            lab.length(),
            lab.warm_up()
        ),
    );
    report.fact("quick", options.quick.to_string());
    for (name, value) in Database::describe(&options.database_url).await? {
        report.fact(name, value);
    }
    Ok(())
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": "));
    let memory = first_words("/proc/meminfo", 3);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (_, model) = model.unwrap_or(("", "unknown processor"));
    format!("{cores} cores, {model}, {memory}")
}

fn first_words(file: &str, count: usize) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let words: Vec<_> = text.split_whitespace().take(count).collect();
    words.join(" ")
}

fn commit() -> String {
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    git.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
