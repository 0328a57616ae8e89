//! Finds a `rustc` that compiles guest modules, which are `wasm32-wasip2` components.
//!
//! The normal way is `rustup target add`. Where rustup cannot download anything, Debian's package
//! of the same target serves.

mod debian;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

pub(crate) const TARGET: &str = "wasm32-wasip2";

/// The time that `rustup target add` may take: enough for its 25 MB on a slow line, and short
/// without a line.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// The `rustc` to compile guests with; none means the one that cargo takes by itself.
///
/// # Errors
///
/// When neither rustup nor Debian can provide the target; the message says what was tried.
pub(crate) fn guest_rustc(sh: &Shell) -> Result<Option<PathBuf>> {
    let sysroot = PathBuf::from(cmd!(sh, "rustc --print sysroot").quiet().read()?);
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(None);
    }
    if let Some(rustc) = debian::installed_rustc() {
        return Ok(Some(rustc));
    }
    eprintln!("Adding the Rust target {TARGET} with rustup");
    let Err(refusal) = add_target() else {
        return Ok(None);
    };
    eprintln!("rustup could not: {refusal:#}");
    let rustc = debian::install_rustc(sh, &sysroot);
    rustc.map(Some).with_context(|| {
        format!("cannot compile guests: `rustup target add {TARGET}` failed, and so did Debian's compiler")
    })
}

fn add_target() -> Result<()> {
    let mut rustup = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run rustup")?;
    let deadline = Instant::now() + RUSTUP_LIMIT;
    let status = loop {
        if let Some(status) = rustup.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            rustup.kill()?;
            rustup.wait()?;
            bail!("no answer within {} s", RUSTUP_LIMIT.as_secs());
        }
        thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        let mut said = String::new();
        rustup
            .stderr
            .take()
            .expect("stderr is piped")
            .read_to_string(&mut said)?;
        bail!("{}", said.lines().last().unwrap_or("no reason given"));
    }
    Ok(())
}

/// The folder below a sysroot where `rustc` looks for the linkers that Rust brings along.
fn linkers(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu/bin")
}
