//! Builds the programs in `benches/peers`: each by itself and from public packages, with a lock
//! file of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::{cargo, root, target};

/// The part that the twins in Rust share; not a program.
const SHARED: &str = "twin";

/// A twin whose dependencies compile the definition of their protocol.
const NEEDS_PROTOC: &str = "umadb";

/// A twin of a view, which answers no commands.
pub(crate) const PROJECTION: &str = "projection";
/// The twins of a view.
pub(crate) const OF_VIEWS: [&str; 2] = ["emmett", PROJECTION];

/// A program that answers like the host does.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
}

/// Builds the peers whose name `is_wanted`. One that cannot be built is reported and left out.
///
/// # Errors
///
/// When the folder cannot be read.
pub(crate) fn build(sh: &Shell, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Peer>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("benches/peers"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && name != SHARED && is_wanted(&name) {
            names.push(name);
        }
    }
    names.sort();
    let mut peers = Vec::new();
    for name in names {
        match build_one(sh, &name) {
            Ok(program) => peers.push(Peer { name, program }),
            Err(error) => eprintln!("left out, because it cannot be built: {name}: {error:#}"),
        }
    }
    Ok(peers)
}

fn build_one(sh: &Shell, name: &str) -> Result<PathBuf> {
    let folder = root().join("benches/peers").join(name);
    let builds = target().join("peers");
    if folder.join("package.json").exists() {
        return install(sh, &folder, &builds.join(name));
    }
    if name == NEEDS_PROTOC {
        require_protoc(sh)?;
    }
    let manifest = folder.join("Cargo.toml");
    let build = cmd!(
        sh,
        "cargo build --release --locked --manifest-path {manifest} --target-dir {builds}"
    );
    cargo::build_binary(build, &format!("peer-{name}"))
}

/// Finds `protoc`, or installs Debian's if that is allowed, as for PostgreSQL.
fn require_protoc(sh: &Shell) -> Result<()> {
    if cmd!(sh, "protoc --version")
        .quiet()
        .ignore_stdout()
        .run()
        .is_ok()
    {
        return Ok(());
    }
    eprintln!("Installing Debian's protobuf-compiler");
    let installed = cmd!(sh, "apt-get --quiet=2 install --yes protobuf-compiler")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .quiet()
        .ignore_stdout()
        .run();
    installed
        .context("protoc is needed: install it (on Debian: `apt-get install protobuf-compiler`)")
}

/// Installs the packages next to a copy of the program, so that nothing is written into our
/// sources.
fn install(sh: &Shell, folder: &Path, place: &Path) -> Result<PathBuf> {
    fs::create_dir_all(place)?;
    for file in fs::read_dir(folder)? {
        let file = file?;
        fs::copy(file.path(), place.join(file.file_name()))?;
    }
    let _there = sh.push_dir(place);
    cmd!(sh, "npm ci --no-audit --no-fund --loglevel=error")
        .quiet()
        .ignore_stdout()
        .run()
        .context("Node.js with npm is needed")?;
    Ok(place.join("main.js"))
}
