//! `gavel test`: run the specs inside modules, in the production sandbox, without a host.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use gavel_config::Config;
use gavel_engine::catalog::examine;
use gavel_gate::{self as gate, SpecRun};
use serde::Serialize;
use serde_json::Value;

use super::exit::Result;
use super::logging::load_settings;
use super::options::SettingsArguments;
use super::output::Output;
use super::{difference, modules, wiring};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gavel test target/wasm32-wasip2/release/*.wasm")]
pub(super) struct Arguments {
    /// Components, built for wasm32-wasip2.
    #[arg(required = true, value_name = "MODULE.wasm")]
    modules: Vec<PathBuf>,
}

/// The results of the specs of one module.
#[derive(Debug, Default, Serialize)]
struct Tested {
    /// All specs in the module.
    specs: usize,
    /// The specs that do not hold.
    failures: Vec<SpecFailure>,
    /// The module's output to stdout and stderr in specs that hold.
    outputs: Vec<SpecOutput>,
}

/// A specification that does not hold.
#[derive(Debug, Serialize)]
struct SpecFailure {
    title: String,
    /// The reason for people, in one sentence.
    reason: String,
    expected: Value,
    actual: Value,
    /// The module's output to stdout and stderr; null if there is none.
    output: Option<String>,
}

/// A module's output in a spec that holds.
#[derive(Debug, Serialize)]
struct SpecOutput {
    title: String,
    output: String,
}

pub(super) async fn run(
    arguments: &Arguments,
    settings: &SettingsArguments,
    output: &mut Output<'_>,
) -> Result {
    let config = load_settings(settings, [])?;
    show(&arguments.modules, &config, output).await
}

/// Runs the specs of all `modules` and shows how they went. Fails when one does not hold.
async fn show(modules: &[PathBuf], config: &Config, output: &mut Output<'_>) -> Result {
    let mut failures = 0_usize;
    for file in modules {
        let tested = run_specs(modules::read(file)?, config).await?;
        failures = failures.saturating_add(tested.failures.len());
        let file = file.display().to_string();
        if output.is_json() {
            #[derive(Serialize)]
            struct Line<'a> {
                module: &'a str,
                #[serde(flatten)]
                tested: &'a Tested,
            }
            let (module, tested) = (file.as_str(), &tested);
            output.json(&Line { module, tested })?;
        } else {
            output.text(&in_words(&file, &tested))?;
        }
    }
    match failures {
        0 => Ok(()),
        1 => Err(anyhow!("1 spec fails").into()),
        failures => Err(anyhow!("{failures} specs fail").into()),
    }
}

fn in_words(file: &str, tested: &Tested) -> String {
    let held = tested.specs.saturating_sub(tested.failures.len());
    let mut words = format!("{file}: {held} of {} specs hold", tested.specs);
    for failure in &tested.failures {
        let _ = write!(words, "\n\n  {}\n    {}", failure.title, failure.reason);
        for line in difference::between(&failure.expected, &failure.actual) {
            let _ = write!(words, "\n    {line}");
        }
        if let Some(output) = &failure.output {
            push_output(&mut words, output);
        }
    }
    for SpecOutput { title, output } in &tested.outputs {
        let _ = write!(words, "\n\n  {title}");
        push_output(&mut words, output);
    }
    words
}

fn push_output(words: &mut String, output: &str) {
    for line in output.lines() {
        let _ = write!(words, "\n    | {line}");
    }
}

/// Compiles `wasm` and runs the specs in its manifest, as a host would at activation.
async fn run_specs(wasm: Vec<u8>, config: &Config) -> anyhow::Result<Tested> {
    let runtime = wiring::passing_runtime(config)?;
    let (ready, _) = examine(&runtime, wasm).await?;
    let module = ready.module().clone();
    let limits = wiring::views(config).limits;
    let runs = runtime
        .run(&module, move || gate::run_specs(&ready, limits))
        .await?;
    let mut tested = Tested {
        specs: runs.len(),
        ..Tested::default()
    };
    for run in runs {
        tested.add(run);
    }
    Ok(tested)
}

impl Tested {
    fn add(&mut self, run: SpecRun) {
        let SpecRun {
            title,
            failure,
            output,
        } = run;
        match (failure, output) {
            (Some(failure), output) => self.failures.push(SpecFailure {
                title,
                reason: failure.reason,
                expected: failure.expected,
                actual: failure.actual,
                output,
            }),
            (None, Some(output)) => self.outputs.push(SpecOutput { title, output }),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_reads_as_what_was_expected_and_what_came_and_what_was_written_stands_below() {
        let tested = Tested {
            specs: 12,
            failures: vec![SpecFailure {
                title: "a deposit is recorded".to_owned(),
                reason: "the events are others".to_owned(),
                expected: json!({"events": [{"event": "Deposited", "data": {"amount": 5}}]}),
                actual: json!({"events": [{"event": "Deposited", "data": {"amount": 4}}]}),
                output: Some("depositing\n4\n".to_owned()),
            }],
            outputs: vec![SpecOutput {
                title: "an account is opened".to_owned(),
                output: "opening".to_owned(),
            }],
        };
        assert_eq!(
            in_words("account.wasm", &tested),
            "account.wasm: 11 of 12 specs hold\n\n  a deposit is recorded\n    the events are others\n    \
             /events/0/data/amount: expected 5, got 4\n    | depositing\n    | 4\n\n  an account is opened\n    | opening"
        );
    }
}
