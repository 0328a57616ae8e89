//! Compiling, in a process of its own.
//!
//! This program runs itself with [`COMPILE_ARGUMENT`]: the component goes in through stdin, machine code comes out of stdout. The child
//! gets nothing from the host's environment and bounds its own memory and processor time before it reads a byte; the parent bounds the wall-clock time.
//! Whatever a hostile component does to the compiler ends with that process.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Output, Stdio};

use rustix::process::{Resource, Rlimit, Signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::log::printable;
use super::{CompileError, Limits, engine};

/// The hidden first argument with which this program compiles instead of doing anything else.
pub const COMPILE_ARGUMENT: &str = "__compile";

/// The child's way to say that the component is not valid; why is on its stderr.
const INVALID: u8 = 65;
/// The child's way to say that its address space is used up.
const OUT_OF_MEMORY: u8 = 71;
/// As much of the child's stderr as is read.
const STDERR_BYTES: u64 = 4096;

/// Machine code that this program has made: [`compile`] or the cache vouch for it.
#[derive(Debug)]
pub(super) struct CompiledCode(pub(super) Vec<u8>);

impl CompiledCode {
    /// Makes the code executable.
    #[expect(unsafe_code, reason = "the one place where machine code is taken in")]
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes come from wasmtime's compiler in a child of this very program, through a pipe or through the cache,
        // which has checked an HMAC over them. Wasmtime itself refuses code of another version or configuration.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}

/// Compiles `wasm` by running `program`. Dropped midway, the child is killed.
pub(super) async fn compile(
    program: &Path,
    wasm: &[u8],
    limits: &Limits,
) -> Result<CompiledCode, CompileError> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let processor_seconds = (limits.compile_time.as_secs() + 1) * cores;
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

    let mut stdin = child.stdin.take().expect("stdin is piped");
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let feed = async move {
        // A child that is gone says why by its exit status.
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
    let output = tokio::time::timeout(limits.compile_time, output)
        .await
        .map_err(|_| timeout(limits))?
        .map_err(CompileError::Unavailable)?;
    if output.status.success() {
        Ok(CompiledCode(output.stdout))
    } else {
        Err(failure(
            output.status,
            &String::from_utf8_lossy(&output.stderr),
            limits,
        ))
    }
}

fn failure(status: ExitStatus, complaint: &str, limits: &Limits) -> CompileError {
    let exit = status.code().and_then(|code| u8::try_from(code).ok());
    let killed = |by: Signal| status.signal() == Some(by.as_raw());
    if exit == Some(INVALID) {
        CompileError::Invalid {
            reason: printable(complaint.trim()),
        }
    } else if exit == Some(OUT_OF_MEMORY) || complaint.contains("memory allocation of") {
        // The second is what Rust's allocator says before it aborts.
        CompileError::OutOfMemory {
            limit_bytes: limits.compile_memory_bytes,
        }
    } else if killed(Signal::XCPU) || killed(Signal::KILL) {
        timeout(limits)
    } else {
        CompileError::Invalid {
            reason: "the compiler crashed on it".to_owned(),
        }
    }
}

fn timeout(limits: &Limits) -> CompileError {
    CompileError::Timeout {
        limit: limits.compile_time,
    }
}

/// What `main` does when its first argument is [`COMPILE_ARGUMENT`].
#[must_use]
pub fn compile_child() -> ExitCode {
    match compile_stdin() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let out_of_memory = error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::OutOfMemory);
            // Without a reader there is nobody to tell.
            let _ = write!(std::io::stderr(), "{error:#}");
            ExitCode::from(if out_of_memory {
                OUT_OF_MEMORY
            } else {
                INVALID
            })
        }
    }
}

fn compile_stdin() -> wasmtime::Result<()> {
    let mut limits = std::env::args().skip(2).map(|limit| limit.parse::<u64>());
    let mut limit = |resource| -> wasmtime::Result<()> {
        if let Some(maximum) = limits.next().transpose()? {
            bound(resource, maximum)?;
        }
        Ok(())
    };
    limit(Resource::As)?;
    limit(Resource::Cpu)?;
    bound(Resource::Core, 0)?;
    // Commands that are being decided come first; but on a busy machine 19 would be next to nothing, and compiling has a deadline.
    rustix::process::nice(10)?;

    let mut wasm = Vec::new();
    std::io::stdin().read_to_end(&mut wasm)?;
    let code = engine::compiler()?.precompile_component(&wasm)?;
    std::io::stdout().write_all(&code)?;
    Ok(())
}

fn bound(resource: Resource, maximum: u64) -> wasmtime::Result<()> {
    let limit = Rlimit {
        current: Some(maximum),
        maximum: Some(maximum),
    };
    Ok(rustix::process::setrlimit(resource, limit)?)
}
