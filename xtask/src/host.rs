//! A `gavel serve` of our own on SQLite, and the `gavel` commands that we send it.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use xshell::Shell;

use crate::kept::Kept;
use crate::{cargo, net, root, target};

/// The address that a host listens on by default.
pub(crate) const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4000);

/// The time that a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running host.
#[derive(Debug)]
pub(crate) struct Host {
    // Before the folder, so that it is stopped before its files are removed.
    server: Kept,
    log: PathBuf,
    address: SocketAddr,
    search_path: OsString,
    _scratch: Option<TempDir>,
}

impl Host {
    /// Starts a host whose data is in `target/<name>` and stays there when it has stopped. Data of
    /// a former run is removed.
    ///
    /// # Errors
    ///
    /// When `gavel` does not compile or the host is not ready in time; the message holds its log.
    pub(crate) fn start(sh: &Shell, name: &str, address: SocketAddr) -> Result<Self> {
        // Asked before the data of a host that may be running there is removed.
        TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address}: is another host running?"))?;
        let data_dir = target().join(name);
        if data_dir.exists() {
            fs::remove_dir_all(&data_dir)?;
        }
        fs::create_dir_all(&data_dir)?;
        Self::start_in(sh, &data_dir, address, None)
    }

    /// Starts a host whose data goes when it does.
    ///
    /// # Errors
    ///
    /// See [`Host::start`].
    pub(crate) fn start_in_scratch(sh: &Shell, address: SocketAddr) -> Result<Self> {
        fs::create_dir_all(target())?;
        let scratch = tempfile::Builder::new()
            .prefix("host-")
            .tempdir_in(target())?;
        let data_dir = scratch.path().to_owned();
        Self::start_in(sh, &data_dir, address, Some(scratch))
    }

    fn start_in(
        sh: &Shell,
        data_dir: &Path,
        address: SocketAddr,
        scratch: Option<TempDir>,
    ) -> Result<Self> {
        let gavel = cargo::build_gavel(sh)?;
        let shown = data_dir.strip_prefix(root()).unwrap_or(data_dir).display();
        let serve = format!(
            "gavel serve --listen {address} --store sqlite://{shown}/gavel.db --data-dir {shown}"
        );
        // Our own words: there are no spaces in them.
        let serve: Vec<_> = serve.split(' ').collect();
        echo(&serve);

        let log = data_dir.join("serve.log");
        let file = File::create(&log)?;
        let mut command = Kept::command(None, "TERM", None);
        command
            .args(serve)
            .current_dir(root())
            .stdout(file.try_clone()?)
            .stderr(file);
        let search_path = search_path(&gavel)?;
        command.env("PATH", &search_path);
        let server = Kept::spawn(command)?;

        let mut host = Self {
            server,
            log,
            address,
            search_path,
            _scratch: scratch,
        };
        if let Err(error) = host
            .server
            .wait_until(START_LIMIT, || net::answers_ok(address, "/readyz"))
        {
            return Err(host.blame(error));
        }
        Ok(host)
    }

    /// A command, run where a reader would run it, whose `gavel` is ours and talks to this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(root())
            .stdin(Stdio::null())
            .env("PATH", &self.search_path)
            .env("GAVEL_SERVER", format!("http://{}", self.address));
        command
    }

    /// Shows a `gavel` command, then runs it.
    ///
    /// # Errors
    ///
    /// When its exit code is not `expected_code`.
    pub(crate) fn gavel(&self, expected_code: i32, args: &[&str]) -> Result<()> {
        echo(&[&["gavel"], args].concat());
        let status = self
            .command("gavel")
            .args(args)
            // Nobody is there to be asked, also where the demo runs at a terminal.
            .stdin(Stdio::null())
            .status()
            .context("cannot run gavel")?;
        ensure!(
            status.code() == Some(expected_code),
            "`gavel {}` ended with {status} instead of exit code {expected_code}",
            args.join(" ")
        );
        Ok(())
    }

    /// Runs a `gavel` command without showing it, and returns its JSON.
    ///
    /// # Errors
    ///
    /// When it fails; the message holds what it said.
    pub(crate) fn gavel_json(&self, args: &[&str]) -> Result<Value> {
        let output = self
            .command("gavel")
            .args(args)
            .args(["-o", "json"])
            .output()
            .context("cannot run gavel")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "`gavel {}` ended with {}: {said}",
                args.join(" "),
                output.status
            );
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`gavel {}` printed no JSON", args.join(" ")))
    }

    /// Serves until the host is stopped from outside.
    ///
    /// # Errors
    ///
    /// When it does not end well.
    pub(crate) fn serve_on(self) -> Result<()> {
        let status = self.server.wait()?;
        ensure!(
            status.success(),
            "the host ended with {status}; its log is {}",
            self.log.display()
        );
        Ok(())
    }

    /// Sends SIGTERM and waits until the host has ended.
    ///
    /// # Errors
    ///
    /// When it does not exit with 0; the message holds its log.
    pub(crate) fn stop(self) -> Result<()> {
        let status = self.server.stop()?;
        let log = fs::read_to_string(&self.log)?;
        ensure!(
            status.success(),
            "after SIGTERM the host ended with {status}. Its log:\n{log}"
        );
        Ok(())
    }

    fn blame(&self, error: anyhow::Error) -> anyhow::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string());
        error.context(format!("the host did not start. Its log:\n{log}"))
    }
}

/// The usual search path with the folder of our `gavel` before it.
fn search_path(gavel: &Path) -> Result<OsString> {
    let folder = gavel
        .parent()
        .context("the binary has no folder")?
        .to_owned();
    let usual = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(
        [folder].into_iter().chain(env::split_paths(&usual)),
    )?)
}

/// Prints a command the way a person would type it.
fn echo(words: &[&str]) {
    let is_plain = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:=@".contains(c))
    };
    let quoted = words.iter().map(|&word| {
        if !word.is_empty() && is_plain(word) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    eprintln!("\n$ {}", quoted.collect::<Vec<_>>().join(" "));
}
