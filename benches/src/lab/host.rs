//! A program that listens on an address of this machine.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::load::{Connection, Requests};

/// The time that a start and an end may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    log: PathBuf,
    address: SocketAddr,
    /// The time from the start of the process until it was ready.
    pub(crate) took: Duration,
}

impl Server {
    /// Starts a program and waits until `GET ready` is answered with 200.
    ///
    /// # Errors
    ///
    /// When it ends, or is not ready in time; the message holds its log.
    pub(crate) async fn start(
        mut command: Command,
        address: SocketAddr,
        ready: &str,
        log: PathBuf,
    ) -> Result<Self> {
        let file = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let start = Instant::now();
        let process = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut server = Self {
            process,
            log,
            address,
            took: Duration::ZERO,
        };
        while !answers(address, ready).await {
            if let Some(status) = server.process.try_wait()? {
                bail!("it ended with {status}. Its log:\n{}", server.log());
            }
            if start.elapsed() > LIMIT {
                bail!(
                    "it is not ready after {LIMIT:?}. Its log:\n{}",
                    server.log()
                );
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.took = start.elapsed();
        Ok(server)
    }

    /// The address that the program listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of the process.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.process.id())?;
        kill_process(
            Pid::from_raw(pid).context("a child has an id")?,
            Signal::TERM,
        )?;
        let start = Instant::now();
        while self.process.try_wait()?.is_none() {
            if start.elapsed() > LIMIT {
                bail!("it does not end. Its log:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The log of the program so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it is gone, which is what we want.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn answers(address: SocketAddr, path: &str) -> bool {
    let Ok(mut connection) = Connection::open(address).await else {
        return false;
    };
    let answer = connection.send(Requests::new(address).get(path)).await;
    answer.is_ok_and(|(status, _)| status == 200)
}

/// A free address of this machine. Another program may take the port before it is used, which then
/// is an error of the user of the address.
///
/// # Errors
///
/// When there is none.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
