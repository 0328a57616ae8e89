//! Determinism and limits: how WebAssembly is compiled and run, one knob a line with its reason.

use std::time::{Duration, Instant};

use wasmtime::{Config, Engine, Strategy, WasmFeatures};

use super::Limits;
use super::scheduling::TICK;

/// The configuration of every engine; the process that compiles and the one that runs MUST agree on
/// it.
fn config(stack_bytes: usize) -> Config {
    let mut config = Config::new();

    // Determinism: the same component and inputs give the same bytes on every machine.
    config.cranelift_nan_canonicalization(true); // the bits of a NaN differ between processors
    config.wasm_relaxed_simd(false); // its results may differ between processors, by design
    config.wasm_features(WasmFeatures::THREADS, false); // no shared memory, hence no races
    config.shared_memory(false); // the same, for memories that a host would make
    config.wasm_shared_everything_threads(false); // the same, for its successor

    // Limits: whatever a guest does ends.
    config.consume_fuel(true); // the limit of record, since it is deterministic; it also measures cost
    config.epoch_interruption(true); // the wall-clock guard, for slow instructions and slow machines
    config.max_wasm_stack(stack_bytes); // recursion ends in a trap; guest threads have more stack than this
    config.async_stack_size(stack_bytes); // never made, but wasmtime wants it no smaller than the other
    config.memory_may_move(false); // growing never copies: a memory lives in its reservation

    // Surface: what deciders do not need is neither compiled nor a way in.
    config.strategy(Strategy::Cranelift); // the compiler that knows fuel and epochs
    config.wasm_memory64(false); // larger memories than any limit here, with slower bounds checks
    config.wasm_multi_memory(false); // one memory per core module is what languages make
    config.wasm_features(WasmFeatures::GC, false); // a host-side heap that the limiter would have to count
    config.wasm_features(WasmFeatures::EXCEPTIONS, false); // need that heap
    config.wasm_stack_switching(false); // deciders are synchronous
    config.wasm_custom_page_sizes(false); // the limiter counts pages of 64 KiB
    config.concurrency_support(false); // no async component model: no per-store state for it
    config.wasm_component_model(true); // a module is a component

    // Errors: a trap is reported in a sentence, never with a backtrace of ours.
    config.wasm_backtrace_max_frames(None); // collecting frames costs time on each trap and nobody is shown them
    config.generate_address_map(false); // only backtraces need it
    config.native_unwind_info(false); // native unwinders never walk guest frames

    config
}

/// The engine that compiles; it runs nothing and needs no clock.
pub(super) fn compiler() -> wasmtime::Result<Engine> {
    let mut config = config(Limits::default().stack_bytes);
    config.parallel_compilation(false); // one thread: commands that are being decided have the other cores to themselves
    Engine::new(&config)
}

/// The engine that runs guests, with a thread that ticks as long as the engine lives.
pub(super) fn runner(limits: &Limits) -> wasmtime::Result<Engine> {
    let engine = Engine::new(&config(limits.stack_bytes))?;
    let weak = engine.weak();
    std::thread::Builder::new()
        .name("gavel-epoch".to_owned())
        .spawn(move || {
            let mut next = Instant::now();
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                // From an absolute time, since the errors of many sleeps would add up; from now on
                // if the machine slept.
                next = (next + TICK).max(Instant::now());
                std::thread::sleep(next - Instant::now().min(next));
            }
        })?;
    Ok(engine)
}

/// The number of ticks after which a call that begins now has had at least `deadline`, or eight
/// months if that is longer.
pub(super) fn ticks(deadline: Duration) -> u64 {
    let whole = deadline.as_nanos().div_ceil(TICK.as_nanos());
    // The tick that is under way counts as one, however little of it is left. More would overflow
    // what wasmtime adds it to.
    u64::from(u32::try_from(whole).unwrap_or(u32::MAX)) + 1
}
