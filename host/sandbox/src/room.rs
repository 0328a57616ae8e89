//! Memory and address space that the system refuses to the host: no fault of a module.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

/// The number of times that this process has had no room for an instance.
static REFUSALS: AtomicU64 = AtomicU64::new(0);

/// The number of times that this process has had no room for an instance, be it memory or address
/// space.
pub(super) fn times_refused() -> u64 {
    REFUSALS.load(Ordering::Relaxed)
}

/// Counts an instance for which there was no room.
pub(super) fn count_refusal() {
    REFUSALS.fetch_add(1, Ordering::Relaxed);
}

/// Tells whether the system has refused the host memory or address space. A system's limit on the
/// number of mappings has the same code.
pub(super) fn is_refused(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        let code = cause.downcast_ref::<io::Error>();
        code.and_then(io::Error::raw_os_error) == Some(Errno::NOMEM.raw_os_error())
            || cause.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
    })
}
