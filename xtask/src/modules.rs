//! `cargo xtask modules`: builds every guest into `target/modules/<name>.wasm`.
//!
//! A module is named after its crate, with hyphens. The folder holds what the last build made and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use crate::cargo::{self, Artifact};
use crate::{target, toolchain};

/// The workspaces whose members become modules.
pub(crate) const WORKSPACES: [&str; 2] = ["examples", "tests/guests"];

/// Builds all modules and returns their folder.
///
/// # Errors
///
/// When there is no compiler for them, one does not compile, or two have the same name.
pub(crate) fn build(sh: &Shell) -> Result<PathBuf> {
    let rustc = toolchain::guest_rustc(sh)?;
    let mut modules = BTreeMap::new();
    for workspace in WORKSPACES {
        let components = compile(
            sh,
            rustc.as_deref(),
            &format!("{workspace}/Cargo.toml"),
            &["--workspace"],
        )?;
        ensure!(
            !components.is_empty(),
            "{workspace} has no member that is a component: is `crate-type` \"cdylib\"?"
        );
        for component in components {
            add(&mut modules, component.name, &component.path)?;
        }
    }
    // The restaurant again, with the rule that the demo changes. It goes by the same file name, hence its own build, at the end.
    let check_menu = compile(
        sh,
        rustc.as_deref(),
        "examples/restaurant/Cargo.toml",
        &["--features", "check-menu"],
    )?;
    for component in check_menu {
        add(
            &mut modules,
            format!("{}-check-menu", component.name),
            &component.path,
        )?;
    }
    replace_folder(&modules)
}

fn compile(
    sh: &Shell,
    rustc: Option<&std::path::Path>,
    manifest: &str,
    selection: &[&str],
) -> Result<Vec<Artifact>> {
    let target = toolchain::TARGET;
    // Not the target directory of the host: compilers of different versions would undo each other's work.
    let guest_build = self::target().join("guest-build");
    let mut build = cmd!(
        sh,
        "cargo build --release --target {target} --target-dir {guest_build} --manifest-path {manifest} {selection...}"
    );
    if let Some(rustc) = rustc {
        build = build.env("RUSTC", rustc);
    }
    cargo::build_components(build)
}

/// Reads the component at once: a later build may write another one to the same path.
fn add(
    modules: &mut BTreeMap<String, Vec<u8>>,
    name: String,
    path: &std::path::Path,
) -> Result<()> {
    let component = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let former = modules.insert(name.clone(), component);
    ensure!(former.is_none(), "two guests are named {name}");
    Ok(())
}

fn replace_folder(modules: &BTreeMap<String, Vec<u8>>) -> Result<PathBuf> {
    let folder = target().join("modules");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for (name, component) in modules {
        fs::write(folder.join(format!("{name}.wasm")), component)?;
    }
    eprintln!(
        "{} modules in target/modules: {}",
        modules.len(),
        modules.keys().cloned().collect::<Vec<_>>().join(", ")
    );
    Ok(folder)
}
