//! Tests that each limit has a fault of its own, which names the limit.

use std::time::{Duration, Instant};

use gavel_sandbox::{CompileError, Fault, Limits};

use crate::support::{
    Guest, assert_works, hostile, hostile_within, limits, prepare, try_prepare, wasm,
};

#[track_caller]
fn fault_within(limits: Limits, command: &str, data: &str) -> Fault {
    let module = hostile_within(limits);
    let fault = Guest::of(&module).decide(command, data).unwrap_err();
    assert_works(&module);
    fault
}

#[test]
fn a_loop_runs_out_of_fuel() {
    let fault = fault_within(limits(|limits| limits.fuel = 1_000_000), "Loop", "{}");
    assert_eq!(fault, Fault::OutOfFuel { limit: 1_000_000 });
}

#[test]
fn a_loop_with_fuel_for_ever_meets_the_deadline() {
    let limit = Duration::from_millis(50);
    let module = hostile_within(limits(|limits| {
        limits.fuel = u64::MAX;
        limits.deadline = limit;
    }));
    let mut guest = Guest::of(&module);
    let start = Instant::now();
    assert_eq!(guest.decide("Loop", "{}"), Err(Fault::Deadline { limit }));
    assert!(start.elapsed() >= limit, "{:?}", start.elapsed());
    assert_works(&module);
}

#[test]
fn instructions_that_do_the_work_of_many_cost_as_much() {
    let fault = fault_within(
        limits(|limits| limits.deadline = Duration::MAX),
        "FillMemory",
        "{}",
    );
    assert!(matches!(fault, Fault::OutOfFuel { .. }), "{fault:?}");
}

#[test]
fn evolve_has_the_limits_of_decide() {
    let module = hostile_within(limits(|limits| limits.fuel = 1_000_000));
    let mut guest = Guest::of(&module);
    let Ok(gavel_sandbox::Decision::Accepted(events)) = guest.decide("SlowEvent", "{}") else {
        panic!("the command is accepted");
    };
    assert_eq!(
        guest.instance.evolve(&guest.state, &events),
        Err(Fault::OutOfFuel { limit: 1_000_000 })
    );
}

#[test]
fn each_call_has_the_whole_of_its_limits() {
    let module = hostile_within(limits(|limits| limits.fuel = 1_000_000));
    let mut guest = Guest::of(&module);
    let mut used = 0;
    while used < 3_000_000 {
        guest.decide("Increment", "{}").unwrap();
        assert!(guest.instance.fuel_used() > 0);
        used += guest.instance.fuel_used();
    }
}

#[test]
fn memory_that_is_denied_is_told_as_such_and_not_as_the_abort_that_follows() {
    let out_of_memory = |limit| Fault::OutOfMemory {
        what: "bytes of memory",
        limit,
    };
    let fault = fault_within(Limits::default(), "EatMemory", "{}");
    assert_eq!(fault, out_of_memory(64 << 20));
    let fault = fault_within(
        limits(|limits| limits.memory_bytes = 4 << 20),
        "EatMemory",
        "{}",
    );
    assert_eq!(fault, out_of_memory(4 << 20));
    let fault = fault_within(Limits::default(), "HugeEvent", r#"{"number":1000000000}"#);
    assert_eq!(fault, out_of_memory(64 << 20));
    let fault = fault_within(Limits::default(), "ManyEvents", r#"{"number":10000000}"#);
    assert_eq!(fault, out_of_memory(64 << 20));
}

#[test]
fn recursion_ends_at_the_stack_limit() {
    let fault = fault_within(Limits::default(), "Recurse", "{}");
    assert_eq!(
        fault,
        Fault::StackOverflow {
            limit_bytes: 512 << 10
        }
    );
}

#[test]
fn states_that_are_never_let_go_of_are_counted() {
    let fault = fault_within(limits(|limits| limits.handles = 1_000), "LeakStates", "{}");
    assert_eq!(
        fault,
        Fault::OutOfMemory {
            what: "handles",
            limit: 1_000
        }
    );
}

#[test]
fn more_than_the_host_takes_is_refused() {
    let too_large = |what, limit| Fault::OutputTooLarge { what, limit };
    let default = Limits::default;
    let fault = fault_within(default(), "ManyEvents", r#"{"number":1001}"#);
    assert_eq!(fault, too_large("events", 1_000));
    let fault = fault_within(default(), "ManyEvents", r#"{"number":500000}"#);
    assert_eq!(fault, too_large("bytes of output", 4 << 20));
    let fault = fault_within(default(), "HugeEvent", r#"{"number":2000000}"#);
    assert_eq!(fault, too_large("bytes of output", 1 << 20));
    let fault = fault_within(default(), "HugeEvent", r#"{"number":8000000}"#);
    assert_eq!(fault, too_large("bytes of output", 4 << 20));
    let fault = fault_within(default(), "AliasedEvents", r#"{"number":1000}"#);
    assert_eq!(fault, too_large("bytes of output", 4 << 20));
    let fault = fault_within(default(), "HugeRejection", r#"{"number":2000000}"#);
    assert_eq!(fault, too_large("bytes of output", 1 << 20));
    let fault = fault_within(default(), "HugeTags", r#"{"number":150000}"#);
    assert_eq!(fault, too_large("bytes of output", 4 << 20));
}

#[test]
fn the_log_keeps_what_was_written_up_to_its_limit() {
    let module = hostile_within(limits(|limits| {
        limits.log_bytes = 100;
        limits.fuel = 10_000_000;
    }));
    let mut guest = Guest::of(&module);
    assert!(matches!(
        guest.decide("Print", "{}"),
        Err(Fault::OutOfFuel { .. })
    ));
    let log = guest.instance.take_output().unwrap();
    assert!(log.starts_with("all work and no play"), "{log:?}");
    assert!(log.len() < 200, "{log:?}");
    assert_eq!(guest.instance.take_output(), None);
}

#[tokio::test]
async fn a_module_that_never_starts_or_describes_itself_is_stopped() {
    let module = prepare(&wasm("loops_in_describe")).await.unwrap();
    let fault = module.instantiate().unwrap().describe().unwrap_err();
    assert!(
        matches!(fault, Fault::OutOfFuel { .. } | Fault::Deadline { .. }),
        "{fault:?}"
    );

    let error = prepare(&wasm("loops_at_start")).await.unwrap_err();
    assert!(
        matches!(
            error,
            CompileError::Start(Fault::OutOfFuel { .. } | Fault::Deadline { .. })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_manifest_must_be_json_of_a_bounded_size() {
    let describe = async |guest| {
        let module = prepare(&wasm(guest)).await.unwrap();
        module.instantiate().unwrap().describe()
    };
    assert!(matches!(
        describe("manifest_not_json").await,
        Err(Fault::BrokeContract { reason }) if reason.starts_with("the manifest: not a JSON document")
    ));
    assert_eq!(
        describe("manifest_too_large").await,
        Err(Fault::OutputTooLarge {
            what: "bytes of output",
            limit: 1 << 20
        })
    );
    // Whether it is a manifest is for those to say who know what one is.
    assert!(describe("manifest_wrong_shape").await.is_ok());
}

#[tokio::test]
async fn instances_memories_and_tables_are_counted() {
    let refusals = [
        ("instances", limits(|limits| limits.instances = 1)),
        ("memories", limits(|limits| limits.memories = 0)),
        ("tables", limits(|limits| limits.tables = 0)),
        ("table elements", limits(|limits| limits.table_elements = 1)),
        (
            "bytes of memory",
            limits(|limits| limits.memory_bytes = 1 << 16),
        ),
    ];
    for (what, limits) in refusals {
        let error = try_prepare(&wasm("hostile"), limits, None)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                CompileError::Start(Fault::OutOfMemory { what: exceeded, .. }) if exceeded == what
            ),
            "{what}: {error:?}"
        );
    }
}

#[test]
fn a_fault_that_only_this_machine_or_instance_has_is_worth_a_second_try() {
    let deadline = Fault::Deadline {
        limit: Duration::ZERO,
    };
    assert!(deadline.is_retryable());
    assert!(Fault::Spent.is_retryable());
    let fault = Guest::of(&hostile()).decide("Trap", "{}").unwrap_err();
    assert!(!fault.is_retryable());
}
