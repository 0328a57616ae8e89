//! The limits of a module.

use super::area::area;
use super::{GIB, KIB, MIB};

area! {
    /// The limits of a module.
    pub struct Sandbox in "sandbox" {
        /// The fuel of one call, about one unit for each instruction.
        fuel: u64 = 500_000_000, within 1_000..=1_000_000_000_000;
        /// The longest time of one call, in milliseconds: a bound on work that costs no fuel.
        deadline_ms: u64 = 500, within 1..=600_000;
        /// The most linear memory of one instance, in bytes.
        memory_bytes: u64 = 64 * MIB, within MIB..=4 * GIB;
        /// The most elements in the tables of one instance.
        table_elements: u64 = 200_000, within 1..=10_000_000;
        /// The most core instances in one module.
        instances: u64 = 250, within 1..=10_000;
        /// The most live resource handles in one instance; each state is one.
        handles: u64 = 100_000, within 16..=10_000_000;
        /// The largest stack of one call, in bytes.
        stack_bytes: u64 = 512 * KIB, within 64 * KIB..=16 * MIB;
        /// The most bytes that the host allocates for the values that a module passes out in one
        /// call, before the host examines them.
        hostcall_bytes: u64 = 4 * MIB, within 64 * KIB..=GIB;
        /// The most events of one decision.
        events: u64 = 1_000, within 1..=100_000;
        /// The most text that one call returns, in bytes: the events of a decision, a rejection, or
        /// a snapshot.
        output_bytes: u64 = MIB, within KIB..=256 * MIB;
        /// The largest manifest, in bytes.
        manifest_bytes: u64 = MIB, within KIB..=64 * MIB;
        /// The most bytes that are kept of a module's output.
        log_bytes: u64 = 64 * KIB, within 0..=16 * MIB;
        /// The longest time to compile a module, in seconds, before the allowance for its size.
        compile_seconds: u64 = 10, within 1..=3_600;
        /// Further seconds to compile a module, for each MiB or part of a MiB.
        compile_seconds_per_mib: u64 = 2, within 0..=600;
        /// The most memory to compile a module, in bytes.
        compile_memory_bytes: u64 = GIB, within 64 * MIB..=64 * GIB;
        /// Threads that run modules. By default two for each core, so that a module that occupies
        /// some of them leaves threads for the others.
        guest_threads: u64 = threads(), within 1..=1_024;
        /// Calls that may wait for a thread; more are answered with 503.
        queue: u64 = 1_024, within 1..=1_000_000;
    }
}

fn threads() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    (2 * cores).min(1_024)
}
