//! Tests of the problem that each error becomes.

use std::time::Duration;

use gavel_model::{ActivationKey, DeciderName, Json, Namespace, Position, StreamId, Version};
use uuid::Uuid;

use super::*;

fn key() -> ActivationKey {
    ActivationKey::of_decider(&Namespace::default(), &decider())
}

fn decider() -> DeciderName {
    DeciderName::new("counter").unwrap()
}

fn stream() -> StreamId {
    StreamId::new(Namespace::default(), decider(), "c-1").unwrap()
}

fn module() -> ModuleDigest {
    ModuleDigest::of(b"module")
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn secret() -> store::Error {
    store::Error::Unavailable("password=hunter2".into())
}

fn faulted(fault: Fault) -> command::Error {
    command::Error::Fault {
        module: module(),
        fault,
    }
}

#[track_caller]
fn assert_told(error: impl Into<Problem>, status: u16, code: &str, facts: &Value) {
    let problem: Problem = error.into();
    assert_eq!(
        (problem.code().status().as_u16(), problem.code().as_str()),
        (status, code)
    );
    for (name, fact) in facts.as_object().unwrap() {
        assert_eq!(problem.fact(name), fact, "{code}: {name}");
    }
    assert!(!problem.detail().is_empty(), "{code}");
    assert!(
        !problem.detail().contains("hunter2"),
        "{code} gives away what only the log should have"
    );
}

#[test]
fn what_the_sender_can_mend_is_told_with_its_facts() {
    use command::Error as E;
    assert_told(
        E::DeciderNotFound { decider: decider() },
        404,
        "decider-not-found",
        &json!({ "decider": "counter" }),
    );
    let unknown = E::CommandUnknown {
        decider: decider(),
        command: "Incremet".into(),
        did_you_mean: Some("Increment".into()),
    };
    assert_told(
        unknown,
        404,
        "command-unknown",
        &json!({ "did_you_mean": "Increment" }),
    );
    let violations = vec![SchemaViolation {
        pointer: "/by".into(),
        message: "too small".into(),
    }];
    let errors = json!({ "errors": [{ "pointer": "/data/by", "message": "too small" }] });
    assert_told(
        E::InvalidData { violations },
        422,
        "invalid-command-data",
        &errors,
    );
    let conflict = E::VersionConflict {
        stream: stream(),
        expected: version(2),
        current: version(5),
    };
    assert_told(
        conflict,
        409,
        "version-conflict",
        &json!({ "expected_version": 2, "current_version": 5 }),
    );
    let ended = E::StreamFinal {
        stream: stream(),
        version: version(5),
    };
    assert_told(ended, 409, "stream-final", &json!({ "current_version": 5 }));
    assert_told(
        E::BatchTooLarge { limit_bytes: 9 },
        413,
        "too-large",
        &json!({ "limit_bytes": 9 }),
    );
    let id = Uuid::from_u128(7);
    let reused = E::KeyReused { command_id: id };
    assert_told(
        reused,
        422,
        "idempotency-key-reused",
        &json!({ "command_id": id }),
    );
    assert_told(
        E::DuplicateEventId { event_id: id },
        409,
        "duplicate-event-id",
        &json!({ "event_id": id }),
    );
    let unregistered = E::EventUnregistered {
        decider: decider(),
        event: "Reset".into(),
        schema_version: 2,
    };
    assert_told(
        unregistered,
        422,
        "event-unregistered",
        &json!({ "event": "Reset", "schema_version": 2 }),
    );
    let unborn = E::StreamNotFound {
        stream: stream(),
        current: version(5),
    };
    assert_told(
        unborn,
        404,
        "stream-not-found",
        &json!({ "current_version": 5 }),
    );
}

#[test]
fn a_rejection_is_passed_on_as_the_decider_gave_it() {
    let data = Some(Json::parse(r#"{"balance":3}"#).unwrap());
    let rejection = Rejection {
        code: "insufficient-funds".into(),
        message: "The balance is 3.".into(),
        data,
    };
    let rejected = command::Error::Rejected {
        rejection,
        command_id: Uuid::from_u128(7),
        version: version(4),
        module: module(),
        replayed: true,
    };
    let facts = json!({
        "rejection": { "code": "insufficient-funds", "message": "The balance is 3.", "data": { "balance": 3 } },
        "version": 4, "replayed": true, "module": module().to_string(),
    });
    assert_told(rejected, 422, "command-rejected", &facts);
}

#[test]
fn a_fault_names_the_module_and_the_limit() {
    let limit = |limit: &str| json!({ "module": module().to_string(), "limit": limit });
    let deadline = Fault::Deadline {
        limit: Duration::from_millis(250),
    };
    assert_told(faulted(deadline), 504, "module-deadline", &limit("250 ms"));
    assert_told(
        faulted(Fault::OutOfFuel { limit: 9 }),
        504,
        "module-out-of-fuel",
        &limit("9 units of fuel"),
    );
    let memory = Fault::OutOfMemory {
        what: "bytes of memory",
        limit: 64,
    };
    assert_told(
        faulted(memory),
        504,
        "module-out-of-memory",
        &limit("64 bytes of memory"),
    );
    let module = json!({ "module": module().to_string() });
    assert_told(
        faulted(Fault::Trapped {
            reason: "unreachable".into(),
        }),
        500,
        "module-trapped",
        &module,
    );
    let stack = Fault::StackOverflow { limit_bytes: 1 };
    assert_told(faulted(stack), 500, "module-trapped", &module);
    let undeclared = Fault::BrokeContract {
        reason: "undeclared event".into(),
    };
    assert_told(faulted(undeclared), 500, "module-broke-contract", &module);
    let refused = Fault::EvolveRefused {
        index: 0,
        message: "no".into(),
    };
    assert_told(faulted(refused), 500, "module-broke-contract", &module);
}

#[test]
fn bugs_and_outages_are_one_opaque_line() {
    use command::Error as E;
    let none = json!({});
    assert_told(E::Store(secret()), 503, "store-unavailable", &none);
    assert_told(
        catalog::Error::Store(secret()),
        503,
        "store-unavailable",
        &none,
    );
    assert_told(
        gate::Error::Store(secret()),
        503,
        "store-unavailable",
        &none,
    );
    let corrupt = store::Error::Corrupt {
        what: "module",
        reason: "hunter2".into(),
    };
    assert_told(corrupt, 500, "internal", &none);
    let raw = "hunter2".to_owned();
    let malformed = store::Error::Malformed {
        stream: "s".into(),
        position: Position::BEGINNING,
        reason: raw.clone(),
        raw,
    };
    assert_told(malformed, 500, "internal", &none);
    assert_told(RunError::Panicked, 500, "internal", &none);
    assert_told(RunError::Overloaded { queue: 1 }, 503, "overloaded", &none);
    assert_told(RunError::NoRoom, 503, "overloaded", &none);
    let limit = store::QueueLimit::Appends(1);
    assert_told(E::StoreOverloaded { limit }, 503, "overloaded", &none);
    let unknown = E::OutcomeUnknown {
        command_id: Uuid::from_u128(7),
    };
    assert_told(
        unknown,
        503,
        "outcome-unknown",
        &json!({ "command_id": Uuid::from_u128(7) }),
    );
    // The sender of a command can do nothing about a stored module that has become invalid; the log
    // has the reasons.
    let rotten = E::Module(catalog::Error::Invalid {
        reasons: vec!["hunter2".into()],
    });
    assert_told(rotten, 500, "internal", &none);
}

#[test]
fn modules_and_activations_are_told_with_reasons_and_reports() {
    let digest = module();
    assert_told(
        catalog::Error::NotFound { digest },
        404,
        "module-not-found",
        &json!({}),
    );
    assert_told(
        catalog::Error::InUse { digest },
        409,
        "module-in-use",
        &json!({}),
    );
    let invalid = catalog::Error::Invalid {
        reasons: vec!["no memory".into()],
    };
    assert_told(
        invalid,
        422,
        "invalid-module",
        &json!({ "reasons": ["no memory"] }),
    );
    let refused = |reports: &[&str]| gate::Error::Refused {
        reports: reports
            .iter()
            .map(|report| Json::parse(report).unwrap())
            .collect(),
    };
    let report = json!({ "passed": false });
    assert_told(
        refused(&[r#"{"passed":false}"#]),
        422,
        "gate-refused",
        &json!({ "report": report }),
    );
    let together = refused(&[r#"{"passed":true}"#, r#"{"passed":false}"#]);
    assert_told(
        not_activated_together(together),
        422,
        "gate-refused",
        &json!({ "reports": [{ "passed": true }, report] }),
    );
    let first = gate::Error::NothingToRollBackTo { key: key() };
    assert_told(first, 409, "nothing-to-roll-back-to", &json!({}));
    assert_told(
        gate::Error::Contended { keys: vec![key()] },
        409,
        "activation-contended",
        &json!({}),
    );
}

#[test]
fn what_the_gate_does_not_know_is_not_found_by_its_id() {
    let id = Uuid::from_u128(7);
    assert_told(
        gate::Error::RehearsalNotFound { id },
        404,
        "rehearsal-not-found",
        &json!({ "rehearsal": id }),
    );
    assert_told(
        gate::Error::EventNotFound { event_id: id },
        404,
        "event-not-found",
        &json!({ "event_id": id }),
    );
    assert_told(
        gate::Error::CommandNotFound { command_id: id },
        404,
        "command-not-found",
        &json!({ "command_id": id }),
    );
}

#[test]
fn one_rehearsal_too_many_is_to_be_tried_again() {
    let busy = gate::Error::Busy { limit: 2 };
    assert_told(busy, 503, "overloaded", &json!({ "limit": 2 }));
}

#[test]
fn a_batch_names_the_command_that_stopped_it() {
    let stopped = BatchError::new(3, command::Error::DeciderNotFound { decider: decider() });
    assert_told(
        stopped,
        404,
        "decider-not-found",
        &json!({ "command_index": 3 }),
    );
}
