//! Stand-ins for the WASI imports that Rust's standard library brings along, even in pure code.
//!
//! They are harmless and deterministic: nothing of the host or of other modules is seen through
//! them, and the same call sees the same. There is no environment, no argument, no file; stdin is
//! at its end; stdout and stderr go to the module's log; time stands still at the command's `now`,
//! and random numbers follow from the command's `seed`. A function of these interfaces that has no
//! stand-in, such as those on files (which no guest can have), traps when it is called.
//!
//! **Invariant:** there is no stand-in for anything else. A component with another import is
//! refused.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{
    Component, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, Type,
    Val,
};
use wasmtime::{Result, StoreContextMut, bail};

use super::host::Host;

/// The largest number of random bytes that one call may ask for (inclusive): the host allocates
/// them.
const RANDOM_BYTES_LIMIT: u64 = 64 << 10;

/// The number of bytes that a stream's `check-write` permits; there is no back-pressure.
const WRITE_PERMIT_BYTES: u64 = 64 << 10;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

const PREOPENS: &str = "wasi:filesystem/preopens";
/// The one stand-in whose type wasmtime does not check.
const GET_DIRECTORIES: &str = "get-directories";

type Define = fn(&mut LinkerInstance<'_, Host>) -> Result<()>;

/// The interfaces of WASI 0.2 that are tolerated.
const STAND_INS: &[(&str, Define)] = &[
    ("wasi:cli/environment", environment),
    ("wasi:cli/exit", exit),
    ("wasi:cli/stdin", stdin),
    ("wasi:cli/stdout", stdout),
    ("wasi:cli/stderr", stderr),
    ("wasi:cli/terminal-input", nothing),
    ("wasi:cli/terminal-output", nothing),
    ("wasi:cli/terminal-stdin", terminal_stdin),
    ("wasi:cli/terminal-stdout", terminal_stdout),
    ("wasi:cli/terminal-stderr", terminal_stderr),
    ("wasi:clocks/monotonic-clock", monotonic_clock),
    ("wasi:clocks/wall-clock", wall_clock),
    (PREOPENS, preopens),
    ("wasi:filesystem/types", nothing),
    ("wasi:io/error", nothing),
    ("wasi:io/poll", poll),
    ("wasi:io/streams", streams),
    ("wasi:random/insecure-seed", insecure_seed),
    ("wasi:random/random", random),
];

/// The stand-in for an import such as `wasi:io/poll@0.2.9`: by semver, every release 0.2 is
/// compatible with the first.
fn stand_in(import: &str) -> Option<Define> {
    let (interface, version) = import.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    if patch.is_empty() || !patch.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    STAND_INS
        .iter()
        .find_map(|(name, define)| (*name == interface).then_some(*define))
}

/// Tells whether a component may have this import.
pub(super) fn is_allowed(import: &str) -> bool {
    stand_in(import).is_some()
}

/// Links the stand-ins for the imports of `component`, each under the very version that the
/// component names.
pub(super) fn link(linker: &mut Linker<Host>, component: &Component) -> Result<()> {
    let engine = component.engine();
    for (import, item) in component.component_type().imports(engine) {
        // An import that has the name of an interface and is none finds nothing to match with.
        let ComponentItem::ComponentInstance(interface) = item.ty else {
            continue;
        };
        let mut instance = linker.instance(import)?;
        for (name, export) in interface.exports(engine) {
            if let ComponentItem::ComponentFunc(function) = export.ty
                && name == GET_DIRECTORIES
                && import.starts_with(PREOPENS)
                && !gives_a_list(&function)
            {
                bail!("function `{name}` of the import `{import}` has another type than in WASI");
            }
            // Interfaces name the resources of others that they use: each must be the same wherever
            // it is named.
            if let Some(resource) = resource(name) {
                // Resources carry no state, so that dropping one is nothing.
                instance.resource(name, resource, |_, _| Ok(()))?;
            }
        }
        if let Some(define) = stand_in(import) {
            define(&mut instance)?;
        }
    }
    // What is left are functions on things that nobody can have, and the contract's own types.
    linker.define_unknown_imports_as_traps(component)
}

fn resource(name: &str) -> Option<ResourceType> {
    match name {
        "error" => Some(ResourceType::host::<IoError>()),
        "input-stream" => Some(ResourceType::host::<InputStream>()),
        "output-stream" => Some(ResourceType::host::<OutputStream>()),
        "pollable" => Some(ResourceType::host::<Pollable>()),
        "terminal-input" => Some(ResourceType::host::<TerminalInput>()),
        "terminal-output" => Some(ResourceType::host::<TerminalOutput>()),
        _ => None,
    }
}

struct InputStream;
struct OutputStream;
struct Pollable;
struct IoError;
struct TerminalInput;
struct TerminalOutput;

type HostStore<'a> = StoreContextMut<'a, Host>;

#[derive(ComponentType, Lower, Lift)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lower, Lift)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

fn nothing(_: &mut LinkerInstance<'_, Host>) -> Result<()> {
    Ok(())
}

fn environment(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("get-environment", |_: HostStore<'_>, ()| {
        Ok((Vec::<(String, String)>::new(),))
    })?;
    instance.func_wrap("get-arguments", |_: HostStore<'_>, ()| {
        Ok((Vec::<String>::new(),))
    })?;
    instance.func_wrap("initial-cwd", |_: HostStore<'_>, ()| Ok((None::<String>,)))
}

fn exit(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap(
        "exit",
        |_: HostStore<'_>, (_status,): (std::result::Result<(), ()>,)| -> Result<()> {
            bail!("the module called exit")
        },
    )
}

fn stdin(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("get-stdin", |_: HostStore<'_>, ()| {
        Ok((Resource::<InputStream>::new_own(0),))
    })
}

fn stdout(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("get-stdout", |_: HostStore<'_>, ()| {
        Ok((Resource::<OutputStream>::new_own(STDOUT),))
    })
}

fn stderr(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("get-stderr", |_: HostStore<'_>, ()| {
        Ok((Resource::<OutputStream>::new_own(STDERR),))
    })
}

fn terminal_stdin(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("get-terminal-stdin", |_: HostStore<'_>, ()| {
        Ok((None::<Resource<TerminalInput>>,))
    })
}

fn terminal_stdout(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("get-terminal-stdout", |_: HostStore<'_>, ()| {
        Ok((None::<Resource<TerminalOutput>>,))
    })
}

fn terminal_stderr(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("get-terminal-stderr", |_: HostStore<'_>, ()| {
        Ok((None::<Resource<TerminalOutput>>,))
    })
}

fn monotonic_clock(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("now", |store: HostStore<'_>, ()| {
        Ok((store.data().now_ms().saturating_mul(1_000_000),))
    })?;
    instance.func_wrap("resolution", |_: HostStore<'_>, ()| Ok((1_000_000_u64,)))?;
    // Waiting ends at once, and no time has passed.
    let subscribe = |_: HostStore<'_>, (_when,): (u64,)| Ok((Resource::<Pollable>::new_own(0),));
    instance.func_wrap("subscribe-instant", subscribe)?;
    instance.func_wrap("subscribe-duration", subscribe)
}

fn wall_clock(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    let datetime = |ms: u64| {
        (Datetime {
            seconds: ms / 1000,
            nanoseconds: u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000,
        },)
    };
    instance.func_wrap("now", move |store: HostStore<'_>, ()| {
        Ok(datetime(store.data().now_ms()))
    })?;
    instance.func_wrap("resolution", move |_: HostStore<'_>, ()| Ok(datetime(1)))
}

fn preopens(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    // Untyped, since the type of descriptors is the component's to name; `link` has checked what
    // can be.
    instance.func_new(GET_DIRECTORIES, |_, _, _, results| {
        results.fill(Val::List(Vec::new()));
        Ok(())
    })
}

/// Tells whether the type is `func() -> list<...>`.
fn gives_a_list(function: &ComponentFunc) -> bool {
    let is_list = |result| matches!(result, Type::List(_));
    function.params().len() == 0 && function.results().len() == 1 && function.results().all(is_list)
}

fn poll(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap(
        "[method]pollable.ready",
        |_: HostStore<'_>, (_pollable,): (Resource<Pollable>,)| Ok((true,)),
    )?;
    instance.func_wrap(
        "[method]pollable.block",
        |_: HostStore<'_>, (_pollable,): (Resource<Pollable>,)| Ok(()),
    )?;
    instance.func_wrap(
        "poll",
        |_: HostStore<'_>, (pollables,): (Vec<Resource<Pollable>>,)| {
            let all_ready: Vec<u32> = (0_u32..).take(pollables.len()).collect();
            Ok((all_ready,))
        },
    )
}

fn streams(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    for name in ["read", "blocking-read"] {
        instance.func_wrap(
            &format!("[method]input-stream.{name}"),
            |_: HostStore<'_>, (_stream, _length): (Resource<InputStream>, u64)| {
                Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
            },
        )?;
    }
    instance.func_wrap(
        "[method]input-stream.subscribe",
        |_: HostStore<'_>, (_stream,): (Resource<InputStream>,)| {
            Ok((Resource::<Pollable>::new_own(0),))
        },
    )?;

    instance.func_wrap(
        "[method]output-stream.check-write",
        |_: HostStore<'_>, (_stream,): (Resource<OutputStream>,)| {
            Ok((Ok::<_, StreamError>(WRITE_PERMIT_BYTES),))
        },
    )?;
    for name in ["write", "blocking-write-and-flush"] {
        instance.func_wrap(
            &format!("[method]output-stream.{name}"),
            |mut store: HostStore<'_>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                let log = store.data_mut().log_mut();
                if stream.rep() == STDERR {
                    log.write_error(&bytes);
                } else {
                    log.write(&bytes);
                }
                Ok((Ok::<(), StreamError>(()),))
            },
        )?;
    }
    for name in ["flush", "blocking-flush"] {
        instance.func_wrap(
            &format!("[method]output-stream.{name}"),
            |_: HostStore<'_>, (_stream,): (Resource<OutputStream>,)| {
                Ok((Ok::<(), StreamError>(()),))
            },
        )?;
    }
    instance.func_wrap(
        "[method]output-stream.subscribe",
        |_: HostStore<'_>, (_stream,): (Resource<OutputStream>,)| {
            Ok((Resource::<Pollable>::new_own(0),))
        },
    )
}

/// Links the seed of hash maps, which an instance asks for once, in the first call that makes one.
/// The order of a `HashMap` is not among the things that a decider may let show: it also depends on
/// how many were made before.
fn insecure_seed(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("insecure-seed", |mut store: HostStore<'_>, ()| {
        let host = store.data_mut();
        Ok(((host.next_random(), host.next_random()),))
    })
}

fn random(instance: &mut LinkerInstance<'_, Host>) -> Result<()> {
    instance.func_wrap("get-random-u64", |mut store: HostStore<'_>, ()| {
        Ok((store.data_mut().next_random(),))
    })?;
    instance.func_wrap(
        "get-random-bytes",
        |mut store: HostStore<'_>, (length,): (u64,)| {
            if length > RANDOM_BYTES_LIMIT {
                bail!("the module asked for more than {RANDOM_BYTES_LIMIT} random bytes at once");
            }
            let host = store.data_mut();
            let words = (0..length.div_ceil(8)).flat_map(|_| host.next_random().to_le_bytes());
            let bytes: Vec<u8> = words.take(usize::try_from(length)?).collect();
            Ok((bytes,))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_allowed_by_interface_and_compatible_version() {
        for allowed in ["wasi:cli/exit@0.2.0", "wasi:random/random@0.2.12"] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in [
            "wasi:cli/exit",
            "wasi:cli/exit@0.2",
            "wasi:cli/exit@0.2.",
            "wasi:cli/exit@0.2.0-rc-2023-11-10",
            "wasi:cli/exit@0.3.0",
            "wasi:cli/exit@1.0.0",
            "wasi:cli/run@0.2.0",
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/outgoing-handler@0.2.0",
            "env",
            "",
        ] {
            assert!(!is_allowed(refused), "{refused}");
        }
    }
}
