//! Compiling, in a process of its own.
//!
//! This program runs itself with [`COMPILE_ARGUMENT`]: the component goes in through stdin, machine
//! code comes out of stdout. The child gets nothing from the host's environment and bounds its own
//! memory and processor time before it reads a byte; the parent bounds the wall-clock time.
//! Whatever a hostile component does to the compiler ends with that process. A component is refused
//! for the time that it takes only if the compiler had the processor for that time.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::log::printable;
use super::{CompileError, Limits, engine};

/// The hidden first argument with which this program compiles instead of doing anything else.
pub const COMPILE_ARGUMENT: &str = "__compile";

/// The exit code for a component that is not valid; the reason is on stderr.
const INVALID: u8 = 65;
/// The exit code for a child whose address space is used up.
const OUT_OF_MEMORY: u8 = 71;
/// The factor of its time limit that a child may take on the clock if it hardly gets the processor.
const MOST_WALL_TIMES: u32 = 4;
/// The shortest pause between two looks at the child's processor time.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
/// The part of the child's stderr that is read, in bytes.
const STDERR_BYTES: u64 = 4096;

/// The machine code that this program has made: [`compile`] or the cache vouch for it.
#[derive(Debug)]
pub(super) struct CompiledCode(pub(super) Vec<u8>);

impl CompiledCode {
    /// Makes the code executable.
    #[expect(unsafe_code, reason = "the one place where machine code is taken in")]
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes come from wasmtime's compiler in a child of this very program, through
        // a pipe or through the cache, which has checked an HMAC over them. Wasmtime itself refuses
        // code of another version or configuration.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}

/// Compiles `wasm` by running `program`. Dropped midway, the child is killed.
pub(super) async fn compile(
    program: &Path,
    wasm: &[u8],
    limits: &Limits,
) -> Result<CompiledCode, CompileError> {
    let limit = limits.compile_time_of(wasm.len());
    let processor_seconds = limit.as_secs().saturating_add(1);
    let mut child = Command::new(program)
        .arg(COMPILE_ARGUMENT)
        .arg(limits.compile_memory_bytes.to_string())
        .arg(processor_seconds.to_string())
        .env_clear()
        // The allocator would reserve as much address space as the child may have in all.
        .env("MIMALLOC_ARENA_RESERVE", "0")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(CompileError::Unavailable)?;

    let id = child.id();
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let feed = async move {
        // If the child has ended, its exit status says why.
        let _ = stdin.write_all(wasm).await;
    };
    let output = async {
        let (mut code, mut complaint) = (Vec::new(), Vec::new());
        let ((), code_read, complaint_read, status) = tokio::join!(
            feed,
            async {
                stdout
                    .take(limits.compile_memory_bytes)
                    .read_to_end(&mut code)
                    .await
            },
            async { stderr.take(STDERR_BYTES).read_to_end(&mut complaint).await },
            child.wait(),
        );
        code_read.and(complaint_read)?;
        Ok(Output {
            status: status?,
            stdout: code,
            stderr: complaint,
        })
    };
    let output = tokio::select! {
        output = output => output.map_err(CompileError::Unavailable)?,
        error = out_of_time(id, limit) => return Err(error),
    };
    if output.status.success() {
        Ok(CompiledCode(output.stdout))
    } else {
        Err(failure(
            output.status,
            &String::from_utf8_lossy(&output.stderr),
            limits.compile_memory_bytes,
            limit,
        ))
    }
}

/// Waits until the child `id` has had its time: `limit` by the clock and of a processor, or many
/// times that by the clock alone.
async fn out_of_time(id: Option<u32>, limit: Duration) -> CompileError {
    let begun = Instant::now();
    let mut used = Duration::ZERO;
    while used < limit {
        if begun.elapsed() >= limit.saturating_mul(MOST_WALL_TIMES) {
            return CompileError::Unavailable(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the compiler had the processor for {used:?} of {limit:?}"),
            ));
        }
        sleep((limit - used).max(SHORTEST_WAIT)).await;
        used = id.and_then(processor_time).unwrap_or(used);
    }
    CompileError::Timeout { limit }
}

/// The processor time that a process has used; none if the system does not report it.
fn processor_time(id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name, which may hold anything, from the third field on.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(
        ticks.saturating_mul(1_000) / per_second,
    ))
}

fn failure(status: ExitStatus, complaint: &str, limit_bytes: u64, limit: Duration) -> CompileError {
    let exit = status.code().and_then(|code| u8::try_from(code).ok());
    let killed = |by: Signal| status.signal() == Some(by.as_raw());
    if exit == Some(INVALID) {
        CompileError::Invalid {
            reason: printable(complaint.trim()),
        }
    } else if exit == Some(OUT_OF_MEMORY) || complaint.contains("memory allocation of") {
        // The second is what Rust's allocator says before it aborts.
        CompileError::OutOfMemory { limit_bytes }
    } else if killed(Signal::XCPU) {
        CompileError::Timeout { limit }
    } else if killed(Signal::KILL) {
        // By the system, which has run out of memory, or by a person.
        CompileError::Unavailable(io::Error::other("the compiler was killed"))
    } else {
        tracing::error!(%status, stderr = printable(complaint.trim()), "the compiler has crashed on a component");
        CompileError::Crashed
    }
}

/// Compiles a component in a child process: the `main` of a program whose first argument is
/// [`COMPILE_ARGUMENT`].
#[must_use]
pub fn compile_child() -> ExitCode {
    ended(bound_all().and_then(|()| compile_stdin()))
}

/// Compiles as [`compile_child`] does, but without bounds: for a program under valgrind, which
/// cannot lower the number of files that may be open.
#[cfg(feature = "native")]
#[must_use]
pub fn compile_unbounded() -> ExitCode {
    ended(compile_stdin())
}

fn ended(compiled: wasmtime::Result<()>) -> ExitCode {
    match compiled {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let out_of_memory = error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory);
            // Without a reader there is nobody to tell.
            let _ = write!(io::stderr(), "{error:#}");
            ExitCode::from(if out_of_memory {
                OUT_OF_MEMORY
            } else {
                INVALID
            })
        }
    }
}

/// Sets the bounds of this process, those of memory and processor time by its arguments.
fn bound_all() -> wasmtime::Result<()> {
    let mut limits = std::env::args().skip(2).map(|limit| limit.parse::<u64>());
    let mut limit = |resource, grace| -> wasmtime::Result<()> {
        if let Some(maximum) = limits.next().transpose()? {
            bound(resource, maximum, grace)?;
        }
        Ok(())
    };
    limit(Resource::As, 0)?;
    // Without a second more to the end, the system would kill the child as it does for reasons of
    // its own, rather than name this one.
    limit(Resource::Cpu, 1)?;
    bound(Resource::Core, 0, 0)?;
    // Nothing but the three pipes: no file, no socket. How many threads there may be is bounded for
    // a user, not for a process.
    bound(Resource::Nofile, 3, 0)?;
    // Commands that are being decided come first; but on a busy machine 19 would be next to
    // nothing, and compiling has a deadline.
    rustix::process::nice(10)?;
    Ok(())
}

fn compile_stdin() -> wasmtime::Result<()> {
    let mut wasm = Vec::new();
    io::stdin().read_to_end(&mut wasm)?;
    let code = engine::compiler()?.precompile_component(&wasm)?;
    io::stdout().write_all(&code)?;
    Ok(())
}

fn bound(resource: Resource, limit: u64, grace: u64) -> wasmtime::Result<()> {
    let limit = Rlimit {
        current: Some(limit),
        maximum: Some(limit.saturating_add(grace)),
    };
    Ok(rustix::process::setrlimit(resource, limit)?)
}
