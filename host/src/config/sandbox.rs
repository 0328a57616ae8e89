//! What a module may use.

use super::area::area;
use super::{GIB, KIB, MIB};

area! {
    /// What a module may use.
    pub struct Sandbox in "sandbox" {
        /// Fuel of one call; a simple instruction costs one.
        fuel_per_call: u64 = 1_000_000_000, within 1_000..=1_000_000_000_000;
        /// Longest time of one call, in milliseconds.
        call_deadline_ms: u64 = 1_000, within 1..=600_000;
        /// Most memory of one instance, in bytes.
        memory_bytes: u64 = 64 * MIB, within MIB..=4 * GIB;
        /// Most elements in the tables of one instance.
        table_elements: u64 = 20_000, within 1..=10_000_000;
        /// Most core instances that a module may be made of.
        instances: u64 = 32, within 1..=1_000;
        /// Largest stack of a module, in bytes.
        stack_bytes: u64 = 512 * KIB, within 64 * KIB..=16 * MIB;
        /// Most bytes that the arguments and results of one call may take in the host.
        hostcall_fuel: u64 = 32 * MIB, within 64 * KIB..=GIB;
        /// Most events from one decision.
        max_events_out: u64 = 1_000, within 1..=100_000;
        /// Most bytes from one decision, all its events together.
        max_output_bytes: u64 = 4 * MIB, within KIB..=256 * MIB;
        /// Largest manifest, in bytes.
        manifest_bytes: u64 = MIB, within KIB..=64 * MIB;
        /// Most bytes of a module's own log lines that are kept from one call.
        log_bytes: u64 = 16 * KIB, within 0..=16 * MIB;
        /// Longest time to compile a module, in seconds.
        compile_seconds: u64 = 30, within 1..=3_600;
        /// Most memory to compile a module, in bytes.
        compile_memory_bytes: u64 = 2 * GIB, within 64 * MIB..=64 * GIB;
        /// Threads that run modules; by default one for each core.
        guest_threads: u64 = cores(), within 1..=1_024;
        /// Calls that may wait for such a thread before more are answered with 503.
        queue: u64 = 1_024, within 1..=1_000_000;
    }
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}
