//! Tests that each way to misbehave has a fault of its own, and that the next command is answered
//! as if nothing had happened.

use gavel_sandbox::{Decision, Fault};

use crate::support::{Guest, assert_works, hostile};

/// Sends one command to a fresh instance, which then must be spent or whole as `spent` says; the
/// next instance works.
#[track_caller]
fn fault_of(command: &str, data: &str) -> Fault {
    let module = hostile();
    let mut guest = Guest::of(&module);
    let fault = guest.decide(command, data).unwrap_err();
    if guest.instance.is_spent() {
        assert_eq!(guest.decide("Ok", "{}"), Err(Fault::Spent));
    } else {
        assert_eq!(guest.decide("Ok", "{}"), Ok(Decision::Accepted(vec![])));
    }
    assert_works(&module);
    fault
}

#[track_caller]
fn assert_trapped(command: &str, data: &str, expected: &str) {
    match fault_of(command, data) {
        Fault::Trapped { reason } => assert!(reason.contains(expected), "{reason:?}"),
        other => panic!("not a trap: {other:?}"),
    }
}

#[track_caller]
fn assert_broke_contract(command: &str, expected: &str) {
    match fault_of(command, r#"{"number":200}"#) {
        Fault::BrokeContract { reason } => assert!(reason.contains(expected), "{reason:?}"),
        other => panic!("not a broken contract: {other:?}"),
    }
}

#[test]
fn a_trap_is_told_by_its_kind() {
    assert_trapped("Trap", "{}", "unreachable");
    assert_trapped("Abort", "{}", "unreachable");
    assert_trapped("Exit", "{}", "exit");
}

#[test]
fn a_panic_is_told_with_its_message_and_nothing_of_the_host() {
    let data = r#"{"text":"the \u001b[31mbook\u007fkeeping\nis off"}"#;
    let Fault::Trapped { reason } = fault_of("Panic", data) else {
        panic!("a panic is a trap");
    };
    assert!(
        reason.contains(r"the \u{1b}[31mbook\u{7f}keeping is off"),
        "{reason:?}"
    );
    assert!(!reason.chars().any(char::is_control), "{reason:?}");
    for of_the_host in ["wasmtime", "backtrace", "host/src"] {
        assert!(!reason.contains(of_the_host), "{reason:?}");
    }
}

#[test]
fn a_long_panic_message_is_cut() {
    let data = format!(r#"{{"text":"{}"}}"#, "ä".repeat(10_000));
    let Fault::Trapped { reason } = fault_of("Panic", &data) else {
        panic!("a panic is a trap");
    };
    assert!(reason.len() < 2_000);
}

#[test]
fn text_that_is_not_unicode_is_a_trap() {
    assert_trapped("InvalidUtf8", "{}", "utf-8");
}

#[test]
fn an_answer_that_no_store_can_hold_breaks_the_contract() {
    assert_broke_contract("InvalidJson", "event 0: the data: not a JSON document");
    assert_broke_contract("DeepJson", "event 0: the data: not a JSON document");
    assert_broke_contract("NulCharacter", "event 0: the data: the character U+0000");
    assert_broke_contract("NulInName", "event 0: the name holds the character U+0000");
    assert_broke_contract("NulInTag", "event 0: a tag holds the character U+0000");
    assert_broke_contract("TwiceTagged", "event 0: the tag `a` is there twice");
    assert_broke_contract(
        "NulInRejection",
        "the rejection: the message holds the character U+0000",
    );
    assert_broke_contract(
        "InvalidRejectionData",
        "the rejection: the data: not a JSON document",
    );
}

#[test]
fn a_module_that_refuses_its_own_event_is_caught_before_anything_is_stored() {
    let module = hostile();
    let mut guest = Guest::of(&module);
    let Ok(Decision::Accepted(events)) = guest.decide("RefusedEvent", "{}") else {
        panic!("the command is accepted");
    };
    assert_eq!(
        guest.instance.evolve(&guest.state, &events),
        Err(Fault::EvolveRefused {
            index: 1,
            message: "I never wanted this event".to_owned()
        })
    );
    // The guest returned in good order: other streams' states in the instance live on.
    assert!(!guest.instance.is_spent());
    assert_works(&module);
}

#[test]
fn a_trap_in_evolve_ends_the_instance_and_no_other() {
    let module = hostile();
    let mut bystander = Guest::of(&module);
    let mut guest = Guest::of(&module);
    let Ok(Decision::Accepted(events)) = guest.decide("PoisonedEvent", "{}") else {
        panic!("the command is accepted");
    };
    let fault = guest.instance.evolve(&guest.state, &events).unwrap_err();
    assert!(
        matches!(&fault, Fault::Trapped { reason } if reason.contains("evolve cannot stand")),
        "{fault:?}"
    );
    assert_eq!(guest.instance.snapshot(&guest.state), Err(Fault::Spent));
    assert_eq!(bystander.decide("Ok", "{}"), Ok(Decision::Accepted(vec![])));
}

#[test]
fn a_state_that_traps_when_it_is_let_go_of_is_a_fault_like_any_other() {
    use gavel_model::Json;
    use gavel_sandbox::Restored;

    let mut instance = hostile().instantiate().unwrap();
    let trapping = Json::parse("666").unwrap();
    let Ok(Restored::State(state)) = instance.restore(&trapping) else {
        panic!("the snapshot is restored");
    };
    assert!(matches!(
        instance.release(state),
        Err(Fault::Trapped { .. })
    ));
    assert!(instance.is_spent());
}

#[test]
fn what_is_undeclared_is_passed_on_for_those_who_know_the_manifest() {
    let mut guest = Guest::of(&hostile());
    for command in ["UndeclaredEvent", "UndeclaredVersion"] {
        assert!(matches!(
            guest.decide(command, "{}"),
            Ok(Decision::Accepted(events)) if events.len() == 1
        ));
    }
    assert!(matches!(
        guest.decide("UndeclaredRejection", "{}"),
        Ok(Decision::Rejected(rejection)) if rejection.code == "undeclared"
    ));
}
