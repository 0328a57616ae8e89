//! Turns what wasmtime reports into faults.

use std::error::Error;

use wasmtime::Trap;

use super::host::Host;
use super::limits::Denied;
use super::log::printable;
use super::{Fault, Limits, room};

/// The fault behind `error`, which ended a call on a store with `host`.
pub(super) fn fault(error: &wasmtime::Error, host: &Host, limits: &Limits) -> Fault {
    if room::is_refused(error) {
        room::count_refusal();
        tracing::error!(
            error = error.as_ref() as &dyn Error,
            "the system has no memory or address space for an instance"
        );
        return Fault::NoRoom;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Fault::OutOfFuel { limit: limits.fuel },
        Some(Trap::Interrupt) => Fault::Deadline {
            limit: limits.deadline,
        },
        Some(Trap::StackOverflow) => Fault::StackOverflow {
            limit_bytes: limits.stack_bytes,
        },
        Some(trap) => denied(host, limits).unwrap_or_else(|| trapped(&trap.to_string(), host)),
        None => exceeded(&error.root_cause().to_string(), limits)
            .or_else(|| denied(host, limits))
            .unwrap_or_else(|| trapped(&error.root_cause().to_string(), host)),
    }
}

/// A guest that is denied memory aborts, so that the growth that was denied is what really ended
/// it.
fn denied(host: &Host, limits: &Limits) -> Option<Fault> {
    host.limiter().denied().map(|denied| match denied {
        Denied::Memory => Fault::OutOfMemory {
            what: "bytes of memory",
            limit: limits.memory_bytes,
        },
        Denied::TableElements => Fault::OutOfMemory {
            what: "table elements",
            limit: limits.table_elements,
        },
    })
}

/// Finds a limit that wasmtime enforces and reports by a text only. A release that words one
/// differently is found by the tests, and the fault is then reported as a trap with that text.
fn exceeded(text: &str, limits: &Limits) -> Option<Fault> {
    let out_of = |what, limit| Some(Fault::OutOfMemory { what, limit });
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        Some(Fault::OutputTooLarge {
            what: "bytes of output",
            limit: limits.hostcall_bytes,
        })
    } else if text.contains("store handle limit exceeded") {
        out_of("handles", limits.handles)
    } else if text.starts_with("resource limit exceeded: instance") {
        out_of("instances", limits.instances)
    } else if text.starts_with("resource limit exceeded: table") {
        out_of("tables", limits.tables)
    } else if text.starts_with("resource limit exceeded: memory") {
        out_of("memories", limits.memories)
    } else {
        None
    }
}

fn trapped(text: &str, host: &Host) -> Fault {
    Fault::Trapped {
        reason: host.log().reason().unwrap_or_else(|| printable(text)),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;
    use wasmtime::error::Context as _;

    use super::*;

    #[test]
    fn memory_that_the_system_refuses_is_no_fault_of_the_module() {
        let limits = Limits::default();
        let host = Host::new(&limits);
        let refused = [
            wasmtime::Error::from(io::Error::from_raw_os_error(12)),
            wasmtime::Error::from(Errno::NOMEM),
        ];
        for error in refused {
            let before = room::times_refused();
            let error = Err::<(), _>(error).context("mmap failed to reserve 0x104000000 bytes");
            let error = error.context("failed to create memory").unwrap_err();
            assert_eq!(fault(&error, &host, &limits), Fault::NoRoom);
            assert!(room::times_refused() > before);
        }
        let error = wasmtime::Error::from(io::Error::from_raw_os_error(13));
        let fault = fault(&error, &host, &limits);
        assert!(matches!(fault, Fault::Trapped { .. }), "{fault:?}");
    }
}
