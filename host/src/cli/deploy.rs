//! `gavel deploy`: upload a module, take it through the gate, activate it.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::answer::{Activation, Answer};
use super::arguments::SettingsArguments;
use super::client::Client;
use super::exit::{Failure, Result};
use super::logging::load_settings;
use super::module::Module;
use super::output::Output;
use super::{inspect, modules, report, test};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel deploy account.wasm -m 'no overdrafts any more'\n  gavel deploy account.wasm --yes=schema,specs:'an overdraft is allowed'"
)]
pub(super) struct Arguments {
    /// A component, built for wasm32-wasip2.
    module: PathBuf,
    /// The decider that shall run it [default: the name in the module's manifest].
    #[arg(long, value_name = "NAME")]
    decider: Option<String>,
    /// What has changed, for the activation log.
    #[arg(short, long)]
    message: Option<String>,
    /// Look at the module and run its specs on this machine; upload nothing.
    #[arg(long, conflicts_with_all = ["decider", "message", "yes"])]
    dry_run: bool,
    /// Accept the named findings of the gate, or, without names, all it has.
    #[arg(long, value_name = "FINDING,…", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    yes: Option<Vec<String>>,
}

pub(super) async fn run(
    arguments: &Arguments,
    settings: &SettingsArguments,
    client: &Client,
    output: &mut Output<'_>,
) -> Result {
    let wasm = modules::read(&arguments.module)?;
    if arguments.dry_run {
        output.note("dry run: on this machine only, nothing is uploaded");
        let config = load_settings(settings, [])?;
        inspect::show(wasm, &config, output).await?;
        return test::show(std::slice::from_ref(&arguments.module), &config, output).await;
    }
    let uploaded: Module = modules::upload(wasm, client).await?.parse()?;
    output.note(&format!("uploaded {} {}", uploaded.name, uploaded.digest));

    let decider = arguments.decider.as_ref().unwrap_or(&uploaded.name);
    let named = arguments.yes.clone().unwrap_or_default();
    let answer = match activate(decider, &uploaded, arguments, named, client).await {
        Err(Failure::Problem(problem)) if arguments.accepts_all() => {
            let findings = problem.report().map(report::blocking).unwrap_or_default();
            if findings.is_empty() {
                return Err(Failure::Problem(problem));
            }
            output.note(&format!("accepted: {}", findings.join(", ")));
            activate(decider, &uploaded, arguments, findings, client).await?
        }
        answer => answer?,
    };
    show_activation(decider, &answer, output)
}

impl Arguments {
    /// Whether `--yes` stands without names. The gate takes names only, so that the first refusal tells them.
    fn accepts_all(&self) -> bool {
        self.yes.as_ref().is_some_and(Vec::is_empty)
    }
}

async fn activate(
    decider: &str,
    module: &Module,
    arguments: &Arguments,
    accept: Vec<String>,
    client: &Client,
) -> Result<Answer> {
    let request = client
        .request(Method::POST, &["v1", "deciders", decider, "activations"])?
        .json(&json!({ "digest": module.digest, "message": arguments.message, "accept": accept }));
    client.send(request).await
}

/// Shows what an activation, or a rollback, has changed.
pub(super) fn show_activation(decider: &str, answer: &Answer, output: &mut Output<'_>) -> Result {
    if output.is_json() {
        return output.received(answer.body());
    }
    let activation: Activation = answer.parse()?;
    if !activation.report.is_null() {
        output.text(&report::in_words(&activation.report))?;
    }
    let mut words = format!(
        "{decider} now runs {} (activation {})",
        activation.digest, activation.activation
    );
    if activation.activation > 1 {
        words.push_str(&format!("\nto go back: gavel rollback {decider}"));
    }
    output.text(&words)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::test_server::{Ran, TestServer};
    use super::super::{Exit, report};

    fn module() -> (u16, Value) {
        let module = json!({
            "digest": "sha256:new", "kind": "decider", "name": "account", "size_bytes": 4, "imports": [], "sdk": "x",
            "commands": [], "events": [], "state_schema": {}, "specs": [],
        });
        (201, module)
    }

    fn activation() -> (u16, Value) {
        let steps = json!([{"step": "validate", "outcome": "passed", "summary": "4 bytes"}]);
        let report = json!({"steps": steps, "findings": []});
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

    fn deploy(server: &TestServer, arguments: &[&str]) -> Ran {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("account.wasm");
        std::fs::write(&file, b"\0asm").unwrap();
        server.run(&[&["deploy", file.to_str().unwrap()], arguments].concat())
    }

    #[test]
    fn a_module_is_uploaded_and_activated_under_its_own_name() {
        let server = TestServer::answering([module(), activation()]);
        let ran = deploy(&server, &["-m", "why"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(
            ran.data,
            "  passed   validate  4 bytes\naccount now runs sha256:new (activation 7)\nto go back: gavel rollback account\n"
        );
        let request = &server.requests()[1];
        assert_eq!(request.line, "POST /v1/deciders/account/activations");
        assert_eq!(
            request.json(),
            json!({"digest": "sha256:new", "message": "why", "accept": []})
        );
    }

    #[test]
    fn another_name_is_taken_and_findings_are_accepted_by_name() {
        let server = TestServer::answering([module(), activation()]);
        deploy(&server, &["--decider", "savings", "--yes=schema,cost"]);
        let request = &server.requests()[1];
        assert_eq!(request.line, "POST /v1/deciders/savings/activations");
        assert_eq!(request.json()["accept"], json!(["schema", "cost"]));
    }

    #[test]
    fn a_refusal_shows_the_report_and_ends_with_its_own_code() {
        let server = TestServer::answering([module(), refusal()]);
        let ran = deploy(&server, &[]);
        assert_eq!(ran.exit, Exit::Refused);
        assert!(
            ran.data.contains("blocks    specs:no overdraft"),
            "{}",
            ran.data
        );
    }

    #[test]
    fn a_bare_yes_accepts_what_the_gate_has_named() {
        let server = TestServer::answering([module(), refusal(), activation()]);
        let ran = deploy(&server, &["--yes"]);
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
    fn for_programs_the_answer_is_passed_on_as_it_is() {
        let server = TestServer::answering([module(), activation(), module(), refusal()]);
        let json = |ran: &Ran| serde_json::from_str::<Value>(&ran.data).unwrap();
        assert_eq!(json(&deploy(&server, &["-o", "json"])), activation().1);
        let refused = deploy(&server, &["-o", "json"]);
        assert_eq!((json(&refused), refused.exit), (refusal().1, Exit::Refused));
    }
}
