//! A private PostgreSQL for one test run.
//!
//! The server has the settings of a real one (`fsync` is on), lives in a fresh directory, listens
//! on a free port of 127.0.0.1 with a random password, and ends when this program ends.

use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use crate::kept::Kept;
use crate::net;

/// Arguments: the folder of the binaries, the scratch directory, the port.
///
/// Both steps in one, so that a directory that is half initialised is cleaned up as well. The
/// locale is fixed because sorting would differ from machine to machine; sockets are off because
/// their paths have a length limit that ours may pass.
const SERVE: &str = r#"
trap 'exit 1' TERM
"$1/initdb" --pgdata="$2/data" --username=postgres --pwfile="$2/password" --auth=scram-sha-256 \
    --encoding=UTF8 --no-locale --no-sync --no-instructions &&
exec "$1/postgres" -D "$2/data" -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300
"#;

/// Lets clients finish, then does not.
const STOP: &str = "TERM INT";

/// The time that a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    url: String,
    _server: Kept,
}

impl Postgres {
    /// Starts a server with the newest binaries of this machine; as root, installs Debian's package
    /// if there are none.
    ///
    /// # Errors
    ///
    /// When there are no binaries and none can be installed, or the server does not come up; the
    /// message holds its log.
    pub(crate) fn start(sh: &Shell) -> Result<Self> {
        let is_root = is_root(sh)?;
        let binaries = binaries(sh)?;
        let pg_isready = binaries.join("pg_isready");
        // It refuses to run as root, hence the user that Debian's package makes.
        let user = is_root.then_some("postgres");

        let scratch = tempfile::Builder::new()
            .prefix("gavel-postgres-")
            .tempdir()?;
        let password = random_hex()?;
        fs::write(scratch.path().join("password"), &password)?;
        if let Some(user) = user {
            let path = scratch.path();
            cmd!(sh, "chown -R {user} {path}").quiet().run()?;
        }
        let port = net::free_port()?;
        let mut log = tempfile::tempfile()?;

        let mut command = Kept::command(user, STOP, Some(scratch.path()));
        command
            .args(["sh", "-c", SERVE, "serve"])
            .arg(&binaries)
            .arg(scratch.path())
            .arg(port.to_string());
        command
            .current_dir(scratch.path())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?);
        let mut server = Kept::spawn(command)?;
        // From here on the keeper removes it.
        let _ = scratch.keep();

        let port_text = &port.to_string();
        let is_ready = || {
            let probe = cmd!(
                sh,
                "{pg_isready} --quiet --host 127.0.0.1 --port {port_text}"
            )
            .quiet()
            .ignore_stderr();
            probe.run().is_ok()
        };
        if let Err(error) = server.wait_until(START_LIMIT, is_ready) {
            drop(server);
            return Err(error.context(format!(
                "PostgreSQL did not start. Its log:\n{}",
                read_back(&mut log)?
            )));
        }
        eprintln!(
            "PostgreSQL from {} listens on port {port}",
            binaries.display()
        );
        Ok(Self {
            url: format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres"),
            _server: server,
        })
    }

    /// The superuser's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// The folder of the newest binaries of this machine; as root, installs Debian's package if there
/// are none.
///
/// # Errors
///
/// When there are none and none can be installed.
pub(crate) fn binaries(sh: &Shell) -> Result<PathBuf> {
    match find_binaries() {
        Some(binaries) => Ok(binaries),
        None => install(sh, is_root(sh)?),
    }
}

fn is_root(sh: &Shell) -> Result<bool> {
    Ok(cmd!(sh, "id -u").quiet().read()? == "0")
}

/// Finds PostgreSQL's programs: on Debian in folders outside the `PATH`, elsewhere on the `PATH`.
fn find_binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions.max_by_key(|version| {
        version
            .file_name()
            .to_string_lossy()
            .parse::<u32>()
            .unwrap_or(0)
    });
    let packaged = newest.map(|version| version.path().join("bin"));
    let on_path = env::var_os("PATH").unwrap_or_default();
    packaged
        .into_iter()
        .chain(env::split_paths(&on_path))
        .find(|folder| folder.join("initdb").exists())
}

fn install(sh: &Shell, is_root: bool) -> Result<PathBuf> {
    ensure!(
        is_root && Path::new("/usr/bin/apt-get").exists(),
        "the tests need PostgreSQL: install its server (on Debian: `apt-get install postgresql`), or set DATABASE_URL to a superuser's URL"
    );
    eprintln!("Installing Debian's postgresql");
    cmd!(sh, "apt-get --quiet=2 update").quiet().run()?;
    cmd!(sh, "apt-get --quiet=2 install --yes postgresql")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .quiet()
        .ignore_stdout()
        .run()?;
    find_binaries().context("Debian's postgresql brought no initdb")
}

/// A password for as long as the server runs: others on this machine can reach its port, and a
/// superuser can run programs.
fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn read_back(log: &mut File) -> Result<String> {
    let mut text = String::new();
    log.rewind()?;
    log.read_to_string(&mut text)?;
    Ok(text)
}
