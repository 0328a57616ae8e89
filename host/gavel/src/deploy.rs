//! `gavel deploy`: upload a module, take it through the gate, activate it.

use std::path::PathBuf;

use clap::Args;
use gavel_client::{Answer, Client};
use reqwest::Method;
use serde_json::json;

use super::answer::Activation;
use super::exit::{Failure, Result};
use super::module::Module;
use super::output::Output;
use super::rehearsal::{self, Candidate, Rehearsed};
use super::{modules, report};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel deploy account.wasm -m 'no overdrafts any more'\n  gavel deploy account.wasm --yes=schema,specs:'an overdraft is allowed'\n  gavel deploy account.wasm --dry-run\n\n\
        First it shows what would change. At a terminal it asks before it replaces a module, unless there is nothing to say.\n\
        Without a terminal, with -o json or with --yes nobody is asked: if recorded commands would be decided otherwise it refuses,\n\
        unless --yes names decisions, or stands without names."
)]
pub(super) struct Arguments {
    /// A component, built for wasm32-wasip2.
    module: PathBuf,
    /// The decider to activate it for [default: the name in the module's manifest].
    #[arg(long, value_name = "NAME")]
    decider: Option<String>,
    /// A description of the change, for the activation log.
    #[arg(short, long)]
    message: Option<String>,
    /// Show what would change, and whether the gate would refuse it; activate nothing.
    #[arg(long, conflicts_with = "message")]
    dry_run: bool,
    /// Do not ask: accept the named findings of the gate, or, without names, all it has.
    #[arg(long, value_name = "FINDING,…", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    yes: Option<Vec<String>>,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let module: Module = modules::upload(modules::read(&arguments.module)?, client)
        .await?
        .parse()?;
    output.note(&format!("uploaded {} {}", module.name, module.digest));

    let name = arguments.decider.as_ref().unwrap_or(&module.name);
    let named = arguments.yes.clone().unwrap_or_default();
    let candidate = Candidate {
        collection: module.collection()?,
        name,
        digest: &module.digest,
        accept: &named,
        shadow: false,
    };
    let rehearsed = rehearsal::run(&candidate, client, output).await?;
    if arguments.dry_run {
        rehearsed.show(output)?;
        let is_let_pass = rehearsed.has_passed()? || arguments.accepts_all();
        return is_let_pass.then_some(()).ok_or(Failure::Refused);
    }
    let more = confirm(arguments, &rehearsed, output)?;
    let accept = [named, more].concat();
    let answer = activate(name, &module, arguments, &accept, client).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    output.text(&now_runs(name, &answer.parse()?))
}

impl Arguments {
    /// Tells whether `--yes` was given without names. The gate takes names only, so the rehearsal
    /// has to find them first.
    fn accepts_all(&self) -> bool {
        self.yes.as_ref().is_some_and(Vec::is_empty)
    }

    /// Tells whether `--yes` names a finding, or was given without names.
    fn accepts(&self, finding: &str) -> bool {
        let named = self.yes.iter().flatten().any(|name| name == finding);
        named || self.accepts_all()
    }
}

/// Shows the plan, and gives the findings that are accepted now that they are known.
fn confirm(
    arguments: &Arguments,
    rehearsed: &Rehearsed,
    output: &mut Output<'_>,
) -> Result<Vec<String>> {
    let has_passed = rehearsed.has_passed()?;
    let blocking = report::blocking(rehearsed.report());
    let is_asked = arguments.yes.is_none()
        && output.can_ask()
        && report::is_worth_a_question(rehearsed.report());
    let is_unanswered = has_passed
        && !arguments.accepts(report::DECISIONS)
        && (arguments.yes.is_some() || !output.can_ask())
        && report::changes_decisions(rehearsed.report());
    if is_unanswered {
        rehearsed.show(output)?;
        output.note(
            "recorded commands would be decided differently, and there is no terminal to ask on: nothing has changed; \
             to deploy anyway, pass --yes=decisions, or --yes for all findings",
        );
        return Err(Failure::Refused);
    }
    let is_going_on = has_passed || is_asked || arguments.accepts_all();
    // What the gate refuses comes with its report anyway.
    if is_going_on && !output.is_json() {
        rehearsed.show(output)?;
    }
    if is_asked {
        let question = match blocking.as_slice() {
            [] => "Activate?".to_owned(),
            findings => format!("Accept {} and activate?", findings.join(", ")),
        };
        if !output.ask(&question) {
            output.note("nothing has changed");
            return Err(Failure::Refused);
        }
        return Ok(blocking);
    }
    if !arguments.accepts_all() || blocking.is_empty() {
        return Ok(Vec::new());
    }
    output.note(&format!("accepted: {}", blocking.join(", ")));
    Ok(blocking)
}

async fn activate(
    name: &str,
    module: &Module,
    arguments: &Arguments,
    accept: &[String],
    client: &Client,
) -> Result<Answer> {
    let request = client
        .request(
            Method::POST,
            &["v1", module.collection()?, name, "activations"],
        )?
        .json(&json!({ "digest": module.digest, "message": arguments.message, "accept": accept }));
    Ok(client.send(request).await?)
}

/// Describes the result of an activation or of a rollback.
pub(super) fn now_runs(name: &str, activation: &Activation) -> String {
    let mut words = format!(
        "{name} now runs {} (activation {})",
        activation.digest, activation.activation
    );
    if activation.activation > 1 {
        words.push_str(&format!("\nto go back: gavel rollback {name}"));
    }
    words
}

#[cfg(test)]
mod tests {
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
        let report =
            json!({"active": "sha256:old", "passed": true, "steps": steps, "findings": []});
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
}
