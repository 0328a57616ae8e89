//! Turns what wasmtime reports into faults.

use wasmtime::Trap;

use super::host::Host;
use super::limits::Denied;
use super::log::printable;
use super::{Fault, Limits};

/// The fault behind `error`, which ended a call on a store with `host`.
pub(super) fn fault(error: &wasmtime::Error, host: &Host, limits: &Limits) -> Fault {
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

/// A guest that is denied memory aborts, so that the growth that was denied is what really ended it.
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

/// Limits that wasmtime enforces and reports by nothing but a text. A release that words one differently is found by the tests, and
/// the fault is then told as a trap with that text.
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
