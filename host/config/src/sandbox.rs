//! What a module may use.

use super::area::area;
use super::{GIB, KIB, MIB};

area! {
    /// What a module may use.
    pub struct Sandbox in "sandbox" {
        /// Fuel of one call, about one unit for each instruction.
        fuel: u64 = 500_000_000, within 1_000..=1_000_000_000_000;
        /// Longest time of one call, in milliseconds: a guard for what fuel does not see.
        deadline_ms: u64 = 500, within 1..=600_000;
        /// Most linear memory of one instance, in bytes.
        memory_bytes: u64 = 64 * MIB, within MIB..=4 * GIB;
        /// Most elements in the tables of one instance.
        table_elements: u64 = 200_000, within 1..=10_000_000;
        /// Most core instances that one module is made of.
        instances: u64 = 250, within 1..=10_000;
        /// Most resource handles that are alive in one instance; each state is one.
        handles: u64 = 100_000, within 16..=10_000_000;
        /// Largest stack of one call, in bytes.
        stack_bytes: u64 = 512 * KIB, within 64 * KIB..=16 * MIB;
        /// Most bytes that the host allocates for what a module passes out in one call, before it looks at them.
        hostcall_bytes: u64 = 4 * MIB, within 64 * KIB..=GIB;
        /// Most events of one decision.
        events: u64 = 1_000, within 1..=100_000;
        /// Most text that one call gives back, in bytes: the events of a decision, a rejection, or a snapshot.
        output_bytes: u64 = MIB, within KIB..=256 * MIB;
        /// Largest manifest, in bytes.
        manifest_bytes: u64 = MIB, within KIB..=64 * MIB;
        /// Most bytes that are kept of what a module writes to its log.
        log_bytes: u64 = 64 * KIB, within 0..=16 * MIB;
        /// Longest time to compile a module, in seconds, to which its size adds.
        compile_seconds: u64 = 10, within 1..=3_600;
        /// What each MiB of the module that is begun adds to it, in seconds.
        compile_seconds_per_mib: u64 = 2, within 0..=600;
        /// Most memory to compile a module, in bytes.
        compile_memory_bytes: u64 = GIB, within 64 * MIB..=64 * GIB;
        /// Threads that run modules; by default two for each core, so that a module that holds some of them leaves the others theirs.
        guest_threads: u64 = threads(), within 1..=1_024;
        /// Calls that may wait for such a thread; more are answered with 503.
        queue: u64 = 1_024, within 1..=1_000_000;
    }
}

fn threads() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    (2 * cores).min(1_024)
}
