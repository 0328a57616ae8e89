//! A `rustc` for guests from Debian's packages, for machines where rustup can download nothing.
//!
//! Debian testing packages `rustc` with `wasm32-wasip2`. The packages are checked by apt against
//! the keys of this machine, unpacked into `target/wasm-toolchain` and run from there with their
//! own libraries: nothing is installed, and no root is needed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use super::TARGET;
use crate::target;

/// The first suite whose compiler is new enough for the guests' dependencies.
const SUITE: &str = "forky";

/// The packages that `rustc` needs at run time, by the start of their names. Compilers for C come
/// along and are left packed.
const NEEDED: [&str; 15] = [
    "rustc_",
    "libstd-rust-",
    "libllvm",
    "libc6_",
    "libgcc-s1_",
    "libstdc++6_",
    "libedit2_",
    "libffi8_",
    "libxml2-",
    "libz3-4_",
    "libzstd1_",
    "zlib1g_",
    "libtinfo6_",
    "libbsd0_",
    "libmd0_",
];

/// Linkers that Debian does not package. They come from the toolchain that compiles the host, and
/// fit any newer compiler.
const LINKERS: [&str; 3] = ["rust-lld", "wasm-component-ld", "gcc-ld"];

/// Starts the unpacked compiler with its own loader and libraries, since those of this machine may
/// be older.
const WRAPPER: &str = r#"#!/bin/sh
usr=${0%/*}/usr
lib=$usr/lib/x86_64-linux-gnu
exec "$lib/ld-linux-x86-64.so.2" --argv0 rustc --library-path "$lib" "$usr/bin/rustc" --sysroot "$usr" "$@"
"#;

/// The compiler, when it was installed before and the linkers it borrows are still there.
pub(crate) fn installed_rustc() -> Option<PathBuf> {
    let rustc = home().join("rustc");
    let linkers = super::linkers(&home().join("usr"));
    let complete = rustc.exists() && LINKERS.iter().all(|linker| linkers.join(linker).exists());
    complete.then_some(rustc)
}

/// Downloads and unpacks the compiler: 260 MB to fetch, 800 MB on disk.
///
/// It appears under its final name only when it is complete.
///
/// # Errors
///
/// When this is no Debian on x86-64, the suite cannot be fetched or verified, or the disk is full.
pub(crate) fn install_rustc(sh: &Shell, host_sysroot: &Path) -> Result<PathBuf> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "Debian's compiler is of use on Linux on x86-64 only; install the target {} for your rustc",
        TARGET
    );
    eprintln!(
        "Fetching rustc for {} from Debian {SUITE} into target/wasm-toolchain (260 MB, once)",
        TARGET
    );
    fs::create_dir_all(target())?;
    let work = tempfile::Builder::new()
        .prefix("wasm-toolchain-")
        .tempdir_in(target())?;
    let unpacked = work.path().join("unpacked");

    for package in download(sh, &work.path().join("apt"))? {
        cmd!(sh, "dpkg -x {package} {unpacked}").quiet().run()?;
    }
    borrow_linkers(
        &super::linkers(host_sysroot),
        &super::linkers(&unpacked.join("usr")),
    )?;
    let rustc = unpacked.join("rustc");
    fs::write(&rustc, WRAPPER)?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
    cmd!(sh, "{rustc} --version")
        .quiet()
        .ignore_stdout()
        .run()
        .context("the unpacked compiler does not start")?;

    if home().exists() {
        fs::remove_dir_all(home())?;
    }
    fs::rename(&unpacked, home())?;
    Ok(home().join("rustc"))
}

fn home() -> PathBuf {
    target().join("wasm-toolchain")
}

/// Fetches the packages with lists of their own, below `apt`, from the mirror that this machine
/// uses already.
fn download(sh: &Shell, apt: &Path) -> Result<Vec<PathBuf>> {
    let sites = cmd!(
        sh,
        "apt-get indextargets --format $(SITE) 'Created-By: Packages'"
    )
    .quiet()
    .read();
    let sites = sites.context("needs apt-get, which is a Debian's")?;
    let site = sites
        .lines()
        .find(|site| !site.contains("security"))
        .context("apt has no mirror configured")?;

    let archives = apt.join("cache/archives");
    fs::create_dir_all(apt.join("lists/partial"))?;
    fs::create_dir_all(archives.join("partial"))?;
    let sources = apt.join("sources.list");
    fs::write(&sources, format!("deb {site} {SUITE} main\n"))?;

    let options = [
        format!("-oDir::State::Lists={}", apt.join("lists").display()),
        format!("-oDir::Cache={}", apt.join("cache").display()),
        format!("-oDir::Etc::SourceList={}", sources.display()),
        "-oDir::Etc::SourceParts=/dev/null".to_owned(),
        "-oDir::State::status=/dev/null".to_owned(),
        "-oAPT::Install-Recommends=false".to_owned(),
        // The user that apt downloads as, when it runs as root, may have no access to our folder.
        "-oAPT::Sandbox::User=root".to_owned(),
    ];
    let options = &options;
    let failed =
        || format!("cannot fetch rustc from the suite {SUITE} of this machine's Debian mirror");
    cmd!(sh, "apt-get {options...} --quiet=2 update")
        .quiet()
        .run()
        .with_context(failed)?;
    cmd!(
        sh,
        "apt-get {options...} --quiet=2 --yes --download-only install rustc libstd-rust-dev-wasm32"
    )
    .quiet()
    .ignore_stdout()
    .run()
    .with_context(failed)?;

    let mut packages = sh.read_dir(&archives)?;
    packages.retain(|package| {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        NEEDED.iter().any(|needed| name.starts_with(needed))
    });
    Ok(packages)
}

fn borrow_linkers(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for linker in LINKERS {
        let original = from.join(linker);
        ensure!(
            original.exists(),
            "the Rust toolchain has no {}",
            original.display()
        );
        symlink(original, to.join(linker))?;
    }
    Ok(())
}
