//! Runs a program that cannot outlive us, and waits for it to be ready.
//!
//! The program's parent is a small shell whose standard input is a pipe from us. However we end (a
//! return, an error, Ctrl-C, SIGKILL), the pipe closes; the shell then signals the program, waits
//! for it and removes its scratch directory. So there is no signal handler to write, and nothing
//! stays behind.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Arguments: the signals that stop the program, the scratch directory or nothing, the program, its
/// arguments.
///
/// A shell gives its background jobs an empty standard input, hence the detour by descriptor 3, and
/// lets them ignore SIGINT until they say otherwise, hence SIGTERM as the first signal for all.
const KEEPER: &str = r#"
signals=$1 scratch=$2; shift 2
exec 3<&0
"$@" 3<&- & program=$!
{ read -r _; for signal in $signals; do kill -s "$signal" "$program"; sleep 1; done; } <&3 2>/dev/null & watcher=$!
wait "$program"; code=$?
kill "$watcher" 2>/dev/null
[ -z "$scratch" ] || rm -rf -- "$scratch"
exit "$code"
"#;

/// A running program that is stopped, at the latest, when this is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    keeper: Child,
}

impl Kept {
    /// The command to which the program and its arguments are to be added, then to be given to
    /// [`Kept::spawn`].
    ///
    /// The program runs as `user` if one is given, is stopped by `signals`, which are words with a
    /// second between them, and `scratch` is removed after it.
    pub(crate) fn command(user: Option<&str>, signals: &str, scratch: Option<&Path>) -> Command {
        let mut command = match user {
            None => Command::new("sh"),
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--", "sh"]);
                command
            }
        };
        command.args(["-c", KEEPER, "keeper", signals]);
        command.arg(scratch.unwrap_or(Path::new("")));
        command
    }

    /// Starts `command` in a process group of its own: Ctrl-C on the terminal reaches the program
    /// only through us.
    ///
    /// # Errors
    ///
    /// When the shell cannot be started. A program that cannot be started shows as one that ended.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let keeper = command.stdin(Stdio::piped()).process_group(0).spawn();
        Ok(Self {
            keeper: keeper
                .with_context(|| format!("cannot start {}", command.get_program().display()))?,
        })
    }

    /// Polls until `ready`, at most for `limit`.
    ///
    /// # Errors
    ///
    /// When the program ends, or the time is over.
    pub(crate) fn wait_until(
        &mut self,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !ready() {
            if let Some(status) = self.keeper.try_wait()? {
                bail!("it ended before it was ready: {status}");
            }
            if Instant::now() > deadline {
                bail!("it was not ready after {} s", limit.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until the program ends by itself.
    ///
    /// # Errors
    ///
    /// When the system cannot tell.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        let stdin = self.keeper.stdin.take();
        let status = self.keeper.wait()?;
        drop(stdin);
        Ok(status)
    }

    /// Signals the program and waits until it has ended.
    ///
    /// # Errors
    ///
    /// When the system cannot tell how it ended.
    pub(crate) fn stop(mut self) -> Result<ExitStatus> {
        // `Child::wait` closes standard input first, which is the sign to stop.
        Ok(self.keeper.wait()?)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // There is nobody left to tell if waiting fails; the pipe is closed all the same.
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn stopping_signals_the_program_and_removes_its_scratch() {
        let scratch = tempfile::tempdir().unwrap().keep();
        let started = scratch.join("started");
        let mut command = Kept::command(None, "TERM", Some(&scratch));
        command
            .args([
                "sh",
                "-c",
                "trap 'exit 7' TERM; touch \"$0\"; while :; do sleep 0.01; done",
            ])
            .arg(&started);
        let mut program = Kept::spawn(command).unwrap();

        program.wait_until(LIMIT, || started.exists()).unwrap();
        assert_eq!(program.stop().unwrap().code(), Some(7));
        assert!(!scratch.exists());
    }

    #[test]
    fn a_program_that_ends_by_itself_is_never_ready() {
        let mut command = Kept::command(None, "TERM", None);
        command.args(["sh", "-c", "exit 5"]);
        let error = Kept::spawn(command)
            .unwrap()
            .wait_until(LIMIT, || false)
            .unwrap_err();
        assert!(error.to_string().contains("exit status: 5"), "{error}");
    }
}
