//! The host as a process: started, killed, stopped, and started again on the same data.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

use crate::binary::gavel;
use crate::{Client, LIMIT, Store, eventually};

/// Settings of all hosts here, which a test can override.
///
/// The wall-clock guards are for a machine that has nothing else to do. Where several tests share
/// two cores, fuel alone is to decide.
const SETTINGS: [(&str, &str); 2] = [
    ("GAVEL_SANDBOX_DEADLINE_MS", "3000"),
    ("GAVEL_SANDBOX_COMPILE_SECONDS", "60"),
];

/// The number of lines of the log that are shown when a test fails.
const LOG_TAIL_LINES: usize = 40;

/// A `gavel serve` of our own. It is killed when this is dropped, and its files are removed.
#[derive(Debug)]
pub struct Host {
    process: Child,
    client: Client,
    address: String,
    starts: u32,
    store_url: String,
    settings: Vec<(String, String)>,
    home: TempDir,
}

impl Host {
    /// Starts a host on `store`, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not get ready in time; the message holds its log.
    pub async fn start(store: &Store) -> Self {
        Self::start_with(store, &[]).await
    }

    /// Starts a host with settings, as in `("GAVEL_SERVER_MAX_CONNECTIONS", "7")`.
    ///
    /// # Panics
    ///
    /// As [`Host::start`].
    pub async fn start_with(store: &Store, settings: &[(&str, &str)]) -> Self {
        Self::start_in(home(), store, settings).await
    }

    /// Starts a host with a `gavel.toml`.
    ///
    /// # Panics
    ///
    /// As [`Host::start`].
    pub async fn start_configured(store: &Store, text: &str) -> Self {
        let home = home();
        configure(&home, text);
        Self::start_in(home, store, &[]).await
    }

    async fn start_in(home: TempDir, store: &Store, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = SETTINGS
            .iter()
            .chain(settings)
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut host = Self {
            process: spawn(&home, 1, store.url(), &settings),
            client: Client::new("http://127.0.0.1:1"),
            address: String::new(),
            starts: 1,
            store_url: store.url().to_owned(),
            settings,
            home,
        };
        host.become_ready().await;
        host
    }

    /// Starts the host again on the same data, after it has ended.
    ///
    /// # Panics
    ///
    /// As [`Host::start`].
    pub async fn restart(&mut self) {
        assert!(
            self.process
                .try_wait()
                .expect("a child can be asked")
                .is_some(),
            "the host still runs"
        );
        self.starts += 1;
        self.process = spawn(&self.home, self.starts, &self.store_url, &self.settings);
        self.become_ready().await;
    }

    /// A client of the host. After a restart, ask for another one: the address has changed.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The address of the host, as in `http://127.0.0.1:4000`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the host with SIGKILL, in the middle of whatever it does.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        self.process.kill().expect("a child can be killed");
        self.process.wait().expect("a child can be waited for");
    }

    /// Asks the host to end, with SIGTERM.
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Gives the host another `gavel.toml`, and asks it to reload the file, with SIGHUP.
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub fn configure(&self, text: &str) {
        configure(&self.home, text);
        self.signal(Signal::HUP);
    }

    /// Suspends the host, with SIGSTOP, until it is [thawed](Self::thaw).
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes the host.
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until the host has ended.
    ///
    /// # Panics
    ///
    /// When it still runs after a while.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the host ends", LIMIT, async || {
            self.process.try_wait().expect("a child can be asked")
        })
        .await
    }

    /// The log of the host since its newest start.
    ///
    /// # Panics
    ///
    /// When its log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(&self.home, self.starts)).expect("the log can be read")
    }

    /// The memory that the host takes up right now, in bytes.
    ///
    /// # Panics
    ///
    /// When it is gone, or the system does not tell.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The address space that the host has reserved right now, in bytes, most of which is backed by
    /// no memory.
    ///
    /// # Panics
    ///
    /// When it is gone, or the system does not tell.
    #[must_use]
    pub fn address_space_bytes(&self) -> u64 {
        self.status_bytes("VmSize:")
    }

    /// The most address space that it has reserved so far, in bytes.
    ///
    /// # Panics
    ///
    /// When it is gone, or the system does not tell.
    #[must_use]
    pub fn peak_address_space_bytes(&self) -> u64 {
        self.status_bytes("VmPeak:")
    }

    /// Limits the address space that the host can reserve, in bytes; none takes the limit away.
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub fn limit_address_space(&self, bytes: Option<u64>) {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(self.pid()), Resource::As, limit).expect("a child can be limited");
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(path).expect("the system tells of a child");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("the system tells how much memory a child takes up")
            * 1024
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a child can be signalled");
    }

    fn pid(&self) -> Pid {
        let id = i32::try_from(self.process.id()).ok();
        id.and_then(Pid::from_raw).expect("a child has an id")
    }

    async fn become_ready(&mut self) {
        self.address = eventually("the host names its address", LIMIT, async || {
            self.assert_running();
            address(&self.log())
        })
        .await;
        let client = Client::new(&self.address);
        eventually("the host is ready", LIMIT, async || {
            self.assert_running();
            let answer = client.get("/readyz").try_send().await.ok()?;
            (answer.status() == 200).then_some(())
        })
        .await;
        self.client = client.watching().await;
    }

    fn assert_running(&mut self) {
        let ended = self.process.try_wait().expect("a child can be asked");
        assert!(
            ended.is_none(),
            "the host has ended with {ended:?}:\n{}",
            self.log()
        );
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(log_path(&self.home, self.starts)).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
            eprintln!(
                "The end of the log of the host at {}:\n{}",
                self.address,
                tail.join("\n")
            );
        }
    }
}

fn spawn(home: &TempDir, start: u32, store_url: &str, settings: &[(String, String)]) -> Child {
    let log = File::create(log_path(home, start)).expect("a log can be written");
    let mut command = Command::new(gavel());
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store",
            store_url,
            "--data-dir",
        ])
        .arg(home.path().join("data"))
        // Neither the `gavel.toml` nor a variable of whoever runs the tests is to have a say.
        .current_dir(home.path())
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log);
    command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", gavel().display()))
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Writes `gavel.toml`, at once.
fn configure(home: &TempDir, text: &str) {
    let (new, file) = (home.path().join("new.toml"), home.path().join("gavel.toml"));
    fs::write(&new, text).expect("settings can be written");
    fs::rename(new, file).expect("settings can be put in place");
}

fn log_path(home: &TempDir, start: u32) -> PathBuf {
    home.path().join(format!("serve-{start}.log"))
}

/// The address that the banner names; the port is a free one that the system has picked.
fn address(log: &str) -> Option<String> {
    const HOST: &str = "http://127.0.0.1:";
    let port: String = log
        .split_once(HOST)?
        .1
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    // The rest of the line may not be there yet.
    let is_whole = log.split_once(HOST)?.1.len() > port.len();
    (is_whole && !port.is_empty()).then(|| format!("{HOST}{port}"))
}
