//! `cargo xtask modules`: builds every guest into `target/modules/<name>.wasm`.
//!
//! A module has the name of its crate, or of the crate's example that it is. The folder holds what
//! the last build made and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use crate::cargo::{self, Component};
use crate::{target, toolchain};

/// The workspaces whose members become modules.
pub(crate) const WORKSPACES: [&str; 2] = ["examples", "tests/guests"];

/// Examples with a rule that a demo changes, and the feature that changes it.
pub(crate) const CHANGED_RULES: [(&str, &str); 2] =
    [("account", "overdraft"), ("restaurant", "check-menu")];

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
            &["--workspace", "--lib", "--examples"],
        )?;
        ensure!(
            !components.is_empty(),
            "{workspace} has nothing with `crate-type = [\"cdylib\"]`"
        );
        for component in components {
            add(&mut modules, &component, "")?;
        }
    }
    // Again, with the changed rule. The file has the same name, hence a build of its own.
    for (example, feature) in CHANGED_RULES {
        let manifest = format!("examples/{example}/Cargo.toml");
        for component in compile(sh, rustc.as_deref(), &manifest, &["--features", feature])? {
            add(&mut modules, &component, &format!("-{feature}"))?;
        }
    }
    replace_folder(&modules)
}

fn compile(
    sh: &Shell,
    rustc: Option<&Path>,
    manifest: &str,
    selection: &[&str],
) -> Result<Vec<Component>> {
    let target = toolchain::TARGET;
    // Not the target directory of the host: compilers of different versions would undo each other's
    // work.
    let guest_build = self::target().join("guest-build");
    let build = cmd!(
        sh,
        "cargo build --release --target {target} --target-dir {guest_build}"
    );
    let build = build.args(["--manifest-path", manifest]).args(selection);
    cargo::build_components(match rustc {
        Some(rustc) => build.env("RUSTC", rustc),
        None => build,
    })
}

/// Reads the component at once, since a later build may write another one to the same path.
fn add(modules: &mut BTreeMap<String, Vec<u8>>, component: &Component, suffix: &str) -> Result<()> {
    let name = format!("{}{suffix}", component.name);
    let path = &component.path;
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(!modules.contains_key(&name), "two guests are named {name}");
    modules.insert(name, bytes);
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
