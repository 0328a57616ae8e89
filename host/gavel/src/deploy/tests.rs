//! Tests of `gavel deploy` against prepared answers.

use serde_json::{Value, json};

use super::super::rehearsal::tests::rehearsal;
use super::super::test_server::{Ran, TestServer};
use super::super::{Exit, report};

fn module() -> (u16, Value) {
    let module = json!({
        "digest": "sha256:new", "kind": "decider", "contract": "gavel:module@0.1.0", "name": "account", "size_bytes": 4, "imports": [], "sdk": "x",
        "commands": [], "events": [], "state_schema": {}, "specs": [],
    });
    (201, module)
}

fn passed() -> (u16, Value) {
    let steps = json!([{"step": "validate", "outcome": "passed", "summary": "4 bytes"}]);
    let report = json!({"active": "sha256:old", "passed": true, "steps": steps, "findings": []});
    rehearsal("passed", report)
}

/// A report that passes, but with a finding.
fn remarked() -> (u16, Value) {
    let mut report = report::tests::refused();
    report["passed"] = json!(true);
    report["findings"].as_array_mut().unwrap().pop();
    rehearsal("passed", report)
}

fn refused() -> (u16, Value) {
    rehearsal("refused", report::tests::refused())
}

fn activation() -> (u16, Value) {
    let report = json!({"steps": [], "findings": []});
    (
        201,
        json!({"digest": "sha256:new", "activation": 7, "report": report}),
    )
}

fn refusal() -> (u16, Value) {
    let report = report::tests::refused();
    (
        422,
        json!({"code": "gate-refused", "status": 422, "title": "The gate refused it", "report": report}),
    )
}

fn deploy_with(arguments: &[&str], run: impl Fn(&[&str]) -> Ran) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("account.wasm");
    std::fs::write(&file, b"\0asm").unwrap();
    run(&[&["deploy", file.to_str().unwrap()], arguments].concat())
}

fn deploy(server: &TestServer, arguments: &[&str]) -> Ran {
    deploy_with(arguments, |arguments| server.run(arguments))
}

fn deploy_at_terminal(server: &TestServer, arguments: &[&str], answers: &str) -> Ran {
    deploy_with(arguments, |arguments| server.run_asking(arguments, answers))
}

#[test]
fn a_module_is_uploaded_rehearsed_and_activated_under_its_own_name() {
    let server = TestServer::answering([module(), passed(), activation()]);
    let ran = deploy(&server, &["-m", "why"]);
    assert_eq!(ran.exit, Exit::Done);
    assert_eq!(
        ran.data,
        "  passed   validate    4 bytes\naccount now runs sha256:new (activation 7)\nto go back: gavel rollback account\n"
    );
    let requests = server.requests();
    assert_eq!(requests[1].line, "POST /v1/deciders/account/rehearsals");
    assert_eq!(
        requests[1].json(),
        json!({"digest": "sha256:new", "mode": "history", "accept": []})
    );
    assert_eq!(requests[2].line, "POST /v1/deciders/account/activations");
    assert_eq!(
        requests[2].json(),
        json!({"digest": "sha256:new", "message": "why", "accept": []})
    );
}

#[test]
fn another_name_is_taken_and_findings_are_accepted_by_name() {
    let server = TestServer::answering([module(), passed(), activation()]);
    deploy(&server, &["--decider", "savings", "--yes=schema,cost"]);
    let requests = server.requests();
    assert_eq!(requests[1].line, "POST /v1/deciders/savings/rehearsals");
    assert_eq!(requests[2].line, "POST /v1/deciders/savings/activations");
    for request in &requests[1..] {
        assert_eq!(request.json()["accept"], json!(["schema", "cost"]));
    }
}

#[test]
fn a_refusal_shows_the_report_once_and_ends_with_its_own_code() {
    let server = TestServer::answering([module(), refused(), refusal()]);
    let ran = deploy(&server, &[]);
    assert_eq!(ran.exit, Exit::Refused);
    let blocking = "blocks      specs:no overdraft";
    assert_eq!(ran.data.matches(blocking).count(), 1, "{}", ran.data);
}

#[test]
fn a_bare_yes_accepts_what_the_gate_has_named() {
    let server = TestServer::answering([module(), refused(), activation()]);
    let ran = deploy_at_terminal(&server, &["--yes"], "");
    assert_eq!(ran.exit, Exit::Done);
    assert!(
        ran.notes.contains("accepted: specs:no overdraft"),
        "{}",
        ran.notes
    );
    assert_eq!(
        server.requests()[2].json()["accept"],
        json!(["specs:no overdraft"])
    );
}

#[test]
fn a_person_is_shown_the_plan_and_asked() {
    let server = TestServer::answering([module(), remarked(), activation()]);
    let ran = deploy_at_terminal(&server, &[], "y\n");
    assert_eq!(ran.exit, Exit::Done);
    assert!(ran.notes.ends_with("Activate? [y/N] "), "{}", ran.notes);
    assert!(ran.data.contains("note        schema"), "{}", ran.data);

    let server = TestServer::answering([module(), refused(), activation()]);
    let ran = deploy_at_terminal(&server, &[], "y\n");
    assert!(
        ran.notes
            .ends_with("Accept specs:no overdraft and activate? [y/N] "),
        "{}",
        ran.notes
    );
    let accepted = json!(["specs:no overdraft"]);
    assert_eq!(server.requests()[2].json()["accept"], accepted);
}

#[test]
fn without_a_clear_yes_nothing_is_activated() {
    for answers in ["n\n", "\n", ""] {
        let server = TestServer::answering([module(), refused()]);
        let ran = deploy_at_terminal(&server, &[], answers);
        assert_eq!(ran.exit, Exit::Refused);
        assert!(
            ran.notes.ends_with("nothing has changed\n"),
            "{}",
            ran.notes
        );
    }
}

#[test]
fn changed_decisions_are_not_activated_when_nobody_can_be_asked() {
    let mut report = report::tests::refused();
    report["passed"] = json!(true);
    let mut finding = report["findings"][0].clone();
    finding["name"] = json!("decisions");
    report["findings"] = json!([finding]);
    let changed = || rehearsal("passed", report.clone());

    let server = TestServer::answering([module(), changed()]);
    let ran = deploy(&server, &[]);
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.data.contains("note        decisions"), "{}", ran.data);
    assert!(ran.notes.contains("--yes=decisions"), "{}", ran.notes);
    assert_eq!(server.requests().len(), 2);

    let server = TestServer::answering([module(), changed()]);
    let ran = deploy_at_terminal(&server, &["-o", "json"], "y\n");
    assert_eq!(ran.exit, Exit::Refused);
    let shown: Value = serde_json::from_str(&ran.data).unwrap();
    assert_eq!(shown, changed().1);

    // What is accepted by name is not more than it says.
    let server = TestServer::answering([module(), changed()]);
    let ran = deploy_at_terminal(&server, &["--yes=schema"], "y\n");
    assert_eq!(ran.exit, Exit::Refused);

    for yes in ["--yes", "--yes=schema,decisions"] {
        let server = TestServer::answering([module(), changed(), activation()]);
        assert_eq!(deploy(&server, &[yes]).exit, Exit::Done);
    }
}

#[test]
fn nobody_is_asked_when_there_is_nothing_to_say() {
    let server = TestServer::answering([module(), passed(), activation()]);
    let ran = deploy_at_terminal(&server, &[], "");
    assert_eq!(ran.exit, Exit::Done);
    assert!(!ran.notes.contains('?'), "{}", ran.notes);
}

#[test]
fn a_dry_run_activates_nothing() {
    let server = TestServer::answering([module(), remarked()]);
    let ran = deploy_at_terminal(&server, &["--dry-run"], "");
    assert_eq!(ran.exit, Exit::Done);
    assert!(ran.data.contains("note        schema"), "{}", ran.data);

    let server = TestServer::answering([module(), refused(), module(), refused()]);
    let ran = deploy(&server, &["--dry-run"]);
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.data.contains("blocks      specs"), "{}", ran.data);
    assert_eq!(deploy(&server, &["--dry-run", "--yes"]).exit, Exit::Done);
}

#[test]
fn a_rehearsal_that_fails_is_an_error_and_nothing_is_activated() {
    let server = TestServer::answering([module(), rehearsal("failed", Value::Null)]);
    let ran = deploy(&server, &[]);
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.notes.contains("the rehearsal failed"), "{}", ran.notes);
}

#[test]
fn for_programs_the_answer_is_passed_on_as_it_is() {
    let server = TestServer::answering([
        module(),
        passed(),
        activation(),
        module(),
        refused(),
        refusal(),
        module(),
        refused(),
    ]);
    let json = |ran: &Ran| serde_json::from_str::<Value>(&ran.data).unwrap();
    let programs = ["-o", "json"];
    assert_eq!(json(&deploy(&server, &programs)), activation().1);
    let ran = deploy_at_terminal(&server, &programs, "y\n");
    assert_eq!((json(&ran), ran.exit), (refusal().1, Exit::Refused));
    let ran = deploy(&server, &["-o", "json", "--dry-run"]);
    assert_eq!((json(&ran), ran.exit), (refused().1, Exit::Refused));
}

/// Deploys the modules `account` and `meter`.
fn deploy_two(server: &TestServer, arguments: &[&str]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("meter.wasm");
    std::fs::write(&other, b"\0asm").unwrap();
    deploy(server, &[&[other.to_str().unwrap()], arguments].concat())
}

fn meter() -> (u16, Value) {
    let (status, mut meter) = module();
    meter["name"] = json!("meter");
    meter["digest"] = json!("sha256:other");
    (status, meter)
}

#[test]
fn several_modules_are_rehearsed_one_by_one_and_activated_together() {
    let both = json!({ "activations": [activation().1, activation().1] });
    let server = TestServer::answering([module(), meter(), passed(), remarked(), (201, both)]);
    let ran = deploy_two(&server, &["-m", "why", "--yes=schema"]);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.notes);
    assert!(
        ran.data
            .starts_with("account\n  passed   validate    4 bytes\nmeter\n"),
        "{}",
        ran.data
    );
    for shown in [
        "account now runs sha256:new (activation 7)",
        "meter now runs sha256:new (activation 7)",
    ] {
        assert!(ran.data.contains(shown), "{}", ran.data);
    }
    let requests = server.requests();
    assert_eq!(requests[2].line, "POST /v1/deciders/account/rehearsals");
    assert_eq!(requests[3].line, "POST /v1/deciders/meter/rehearsals");
    for (request, other) in requests[2..4].iter().zip(["meter", "account"]) {
        let replaced = format!("dependents:decider/{other}");
        assert_eq!(request.json()["accept"], json!(["schema", replaced]));
    }
    assert_eq!(requests[4].line, "POST /v1/activations");
    let activations = json!([
        {"kind": "decider", "name": "account", "digest": "sha256:new"},
        {"kind": "decider", "name": "meter", "digest": "sha256:other"},
    ]);
    assert_eq!(
        requests[4].json(),
        json!({"activations": activations, "message": "why", "accept": ["schema"]})
    );
}

#[test]
fn a_refusal_of_several_modules_shows_the_report_about_each() {
    let refusal = json!({
        "code": "gate-refused", "status": 422, "title": "The gate refused it",
        "reports": [passed().1["report"], report::tests::refused()],
    });
    let server = TestServer::answering([module(), meter(), passed(), refused(), (422, refusal)]);
    let ran = deploy_two(&server, &[]);
    assert_eq!(ran.exit, Exit::Refused);
    assert!(
        ran.data.contains("  passed   validate    4 bytes"),
        "{}",
        ran.data
    );
    assert!(
        ran.data.contains("blocks      specs:no overdraft"),
        "{}",
        ran.data
    );
    let server = TestServer::answering([module(), meter(), passed(), refused()]);
    let ran = deploy_two(&server, &["--dry-run"]);
    assert_eq!(ran.exit, Exit::Refused);
}

#[test]
fn a_name_is_given_to_one_module() {
    let server = TestServer::answering([module(), module()]);
    let ran = deploy_two(&server, &[]);
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.notes.contains("are named account"), "{}", ran.notes);

    let server = TestServer::answering([]);
    let ran = deploy_two(&server, &["--decider", "savings"]);
    assert_eq!(ran.exit, Exit::Usage);
    assert!(
        ran.notes.contains("--decider names a single"),
        "{}",
        ran.notes
    );
    assert!(server.requests().is_empty());
}
