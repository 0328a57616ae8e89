//! Tests that the host's memory stays bounded under hostile guests and uploads. They are alone in
//! their process, since they measure all of its memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "runtime/support.rs"]
#[expect(dead_code, reason = "the other tests of the runtime use more of it")]
mod support;

use gavel_sandbox::{CompileError, Limits, Module};

use support::{Guest, assert_works, hostile_within, limits, prepare};

/// The most memory that this process ever had resident, in bytes.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

/// Asserts that `work` adds at most `megabytes` to the peak.
#[track_caller]
fn assert_adds_at_most(megabytes: usize, what: &str, work: impl FnOnce()) {
    let before = peak_bytes();
    work();
    let added = peak_bytes().saturating_sub(before);
    assert!(added <= megabytes << 20, "{what}: {} KiB", added >> 10);
}

fn faults(module: &Module, command: &str, number: u32) {
    for _ in 0..20 {
        let mut guest = Guest::of(module);
        let data = format!(r#"{{"number":{number}}}"#);
        guest.decide(command, &data).unwrap_err();
    }
}

#[test]
fn the_hosts_memory_stays_bounded() {
    // What the guest itself may have is the first and largest part; it is given back each time.
    let module = hostile_within(Limits::default());
    assert_works(&module);
    assert_adds_at_most(64 + 8, "a guest that eats memory", || {
        faults(&module, "EatMemory", 0)
    });

    // From here on the guest's own memory is in the peak already: what is added is the host's.
    assert_adds_at_most(16, "many events", || faults(&module, "ManyEvents", 500_000));
    assert_adds_at_most(16, "a huge event", || {
        faults(&module, "HugeEvent", 8_000_000)
    });
    assert_adds_at_most(16, "aliased events", || {
        faults(&module, "AliasedEvents", 100_000)
    });
    assert_adds_at_most(16, "deep JSON", || faults(&module, "DeepJson", 1_000_000));
    assert_adds_at_most(16, "leaked states", || faults(&module, "LeakStates", 0));
    let short = hostile_within(limits(|limits| limits.fuel = 50_000_000));
    assert_adds_at_most(16, "endless output", || faults(&short, "Print", 0));

    let bomb = support::compile_bomb();
    assert_adds_at_most(50, "a component that takes compilers down", || {
        let error = support::block_on(prepare(&bomb)).unwrap_err();
        assert!(
            matches!(
                error,
                CompileError::OutOfMemory { .. } | CompileError::Timeout { .. }
            ),
            "{error:?}"
        );
    });
}
