//! `gavel inspect`: show what is in a module, without a host.

use std::iter::once;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use clap::Args;
use gavel_config::Config;
use gavel_engine::catalog::{Ready, declared, examine};
use gavel_sandbox::CONTRACT;
use gavel_store::views::Column;
use serde::Serialize;

use super::exit::Result;
use super::logging::load_settings;
use super::module::{Module, section};
use super::options::SettingsArguments;
use super::output::Output;
use super::{modules, wiring};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gavel inspect account.wasm")]
pub(super) struct Arguments {
    /// A component, built for wasm32-wasip2.
    #[arg(value_name = "MODULE.wasm")]
    module: PathBuf,
}

/// The findings in a file.
#[derive(Debug, Serialize)]
struct Inspection {
    #[serde(flatten)]
    module: Module,
    /// The interfaces of the contract that it exports.
    exports: Vec<&'static str>,
    /// The columns of the rows of a view, which can be read in SQL and have an index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<Column>,
    /// The members of rows that are no columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uncolumned: Vec<String>,
    /// The imports that a host would not link; with any, the module cannot be uploaded.
    refused_imports: Vec<String>,
    /// The time that the compilation took, in milliseconds.
    compile_ms: u64,
}

pub(super) async fn run(
    arguments: &Arguments,
    settings: &SettingsArguments,
    output: &mut Output<'_>,
) -> Result {
    let config = load_settings(settings, [])?;
    show(modules::read(&arguments.module)?, &config, output).await
}

/// Shows what is in `wasm`.
async fn show(wasm: Vec<u8>, config: &Config, output: &mut Output<'_>) -> Result {
    let inspection = inspect(wasm, config).await?;
    if output.is_json() {
        return output.json(&inspection);
    }
    let refused = |import: &str| {
        inspection
            .refused_imports
            .iter()
            .any(|other| other == import)
    };
    let mut words = inspection.module.in_words(refused);
    let columns = inspection.columns.iter();
    section(
        &mut words,
        "columns",
        columns.map(|column| format!("{} {}", column.name, column.kind.in_words())),
    );
    section(
        &mut words,
        "only in the row",
        inspection.uncolumned.iter().cloned(),
    );
    output.text(&format!(
        "{words}\nexports {} of {}, compiled in {} ms",
        inspection.exports.join(", "),
        inspection.module.contract,
        inspection.compile_ms
    ))
}

/// Compiles `wasm` as a host would at upload, and reads its manifest, be its imports such that no
/// host takes it or not.
async fn inspect(wasm: Vec<u8>, config: &Config) -> anyhow::Result<Inspection> {
    let runtime = wiring::inspecting_runtime(config)?;
    let size_bytes = wasm.len() as u64;
    let started = Instant::now();
    let (ready, manifest) = examine(&runtime, wasm).await?;
    let found = ready.module();
    let compile_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    // As the host reads it: what the manifest leaves out has its default.
    let declared = declared(found.kind(), &manifest);
    let mut module = declared.map_err(|reasons| anyhow!(reasons.join("; ")))?;
    module["digest"] = found.digest().to_string().into();
    module["contract"] = CONTRACT.into();
    module["size_bytes"] = size_bytes.into();
    module["imports"] = found.imports().into();
    let optional = found.optional_interfaces();
    let (columns, uncolumned) = match &ready {
        Ready::View(view) => (view.shape().columns.clone(), view.uncolumned().to_vec()),
        Ready::Decider(_) | Ready::Process(_) => (Vec::new(), Vec::new()),
    };
    Ok(Inspection {
        module: serde_json::from_value(module).context("cannot show the manifest")?,
        exports: once(found.kind().as_str())
            .chain(optional.iter().map(|interface| interface.as_str()))
            .collect(),
        columns,
        uncolumned,
        refused_imports: found.refused_imports().map(str::to_owned).collect(),
        compile_ms,
    })
}
