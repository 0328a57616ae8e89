//! The calls of the decider world.

use gavel_model::{Event, Json};
use gavel_sandbox::{Decision, Fault, Limits, Module, Restored, Runtime};

use crate::support::{Guest, assert_works, hostile, hostile_within, limits, runtime};

fn incremented() -> Event {
    Event {
        name: "Incremented".to_owned(),
        schema_version: 1,
        data: Json::empty_object(),
        is_final: false,
        tags: vec!["a".to_owned()],
    }
}

#[test]
fn a_module_describes_itself() {
    let manifest = hostile()
        .instantiate()
        .unwrap()
        .describe()
        .unwrap()
        .to_value();
    assert_eq!(manifest["name"], "hostile");
    assert_eq!(manifest["kind"], "decider");
}

#[test]
fn a_decision_leaves_the_state_as_it_is_until_its_events_are_folded() {
    let mut guest = Guest::of(&hostile());
    let Decision::Accepted(events) = guest.decide("Increment", "{}").unwrap() else {
        panic!("the command is accepted");
    };
    assert_eq!(guest.instance.snapshot(&guest.state).unwrap().as_str(), "0");
    guest.instance.evolve(&guest.state, &events).unwrap();
    assert_eq!(guest.instance.snapshot(&guest.state).unwrap().as_str(), "1");
}

#[test]
fn a_rejection_is_an_answer_and_the_instance_goes_on() {
    let mut guest = Guest::of(&hostile());
    let Ok(Decision::Rejected(rejection)) = guest.decide("Reject", "{}") else {
        panic!("the command is rejected");
    };
    assert_eq!(
        (rejection.code.as_str(), rejection.message.as_str()),
        ("no", "no")
    );
    assert_eq!(rejection.data, Some(Json::empty_object()));
    assert!(!guest.instance.is_spent());
}

#[test]
fn a_snapshot_restores_the_state_or_is_refused() {
    let mut instance = hostile().instantiate().unwrap();
    let Ok(Restored::State(state)) = instance.restore(&Json::parse("41").unwrap()) else {
        panic!("the snapshot is restored");
    };
    instance.evolve(&state, &[incremented()]).unwrap();
    assert_eq!(instance.snapshot(&state).unwrap().as_str(), "42");

    let foreign = instance.restore(&Json::empty_object()).unwrap();
    assert!(matches!(foreign, Restored::Refused(reason) if reason == "a snapshot is a number"));
}

#[test]
fn one_instance_holds_the_states_of_many_streams_and_lets_go_of_them() {
    let mut instance = hostile().instantiate().unwrap();
    // Many times more than what would fit if they were kept.
    for _ in 0..300_000 / 100 {
        let states: Vec<_> = (0..100).map(|_| instance.initial().unwrap()).collect();
        instance.evolve(&states[7], &[incremented()]).unwrap();
        assert_eq!(instance.snapshot(&states[7]).unwrap().as_str(), "1");
        assert_eq!(instance.snapshot(&states[8]).unwrap().as_str(), "0");
        for state in states {
            instance.release(state).unwrap();
        }
    }
}

#[test]
fn the_same_call_costs_the_same_fuel() {
    let cost = |guest: &mut Guest| {
        guest.decide("Increment", "{}").unwrap();
        guest.instance.fuel_used()
    };
    let mut guest = Guest::of(&hostile());
    let first = cost(&mut guest);
    assert_eq!(cost(&mut Guest::of(&hostile())), first);
    guest.decide("EatMemory", "{}").unwrap_err();
    assert!(guest.instance.fuel_used() > 0);
}

#[test]
fn instances_share_no_memory() {
    // A slot that is used again must not show what the former instance left in it.
    for _ in 0..200 {
        let mut guest = Guest::of(&hostile());
        guest.decide("Count", "{}").unwrap();
        let shown = guest.happened("Count", "{}", &crate::support::context(0, 0));
        assert_eq!(shown, 1);
    }
}

/// The name of the thread that a good call of `module` runs on.
async fn thread_of(runtime: &Runtime, module: &Module) -> String {
    let running = module.clone();
    let name = runtime
        .run(module, move || {
            assert_works(&running);
            std::thread::current().name().map(str::to_owned)
        })
        .await
        .unwrap();
    name.expect("guests' threads have names")
}

#[tokio::test]
async fn guests_run_on_their_own_threads() {
    let runtime = runtime(Limits::default(), None);
    assert!(
        thread_of(&runtime, &hostile())
            .await
            .starts_with("gavel-guest-")
    );
}

#[tokio::test]
async fn a_module_that_computes_without_end_moves_to_threads_that_give_way() {
    let runtime = runtime(Limits::default(), None);
    let [spinning, neighbour] = [(); 2].map(|()| hostile_within(Limits::default()));
    let running = spinning.clone();
    let fault = runtime
        .run(&spinning, move || Guest::of(&running).decide("Loop", "{}"))
        .await
        .unwrap();
    assert!(
        matches!(fault, Err(Fault::OutOfFuel { .. } | Fault::Deadline { .. })),
        "{:?}",
        fault.err()
    );

    assert!(
        thread_of(&runtime, &spinning)
            .await
            .starts_with("gavel-heavy-")
    );
    assert!(
        thread_of(&runtime, &neighbour)
            .await
            .starts_with("gavel-guest-")
    );
}

#[tokio::test]
async fn recursion_on_a_guests_thread_ends_that_call_alone() {
    // The largest stack that can be configured: the threads are made to have more.
    let largest = limits(|limits| limits.stack_bytes = 16 << 20);
    let runtime = runtime(largest.clone(), None);
    for _ in 0..10 {
        let module = hostile_within(largest.clone());
        let running = module.clone();
        let fault = runtime
            .run(&module, move || Guest::of(&running).decide("Recurse", "{}"))
            .await
            .unwrap();
        assert_eq!(
            fault,
            Err(Fault::StackOverflow {
                limit_bytes: 16 << 20
            })
        );
    }
}
