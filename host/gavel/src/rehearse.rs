//! `gavel rehearse`: take a module through the gate without activating it.

use std::path::PathBuf;

use clap::Args;
use gavel_client::Client;

use super::exit::Result;
use super::module::Module;
use super::modules;
use super::output::Output;
use super::rehearsal::{self, Candidate};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel rehearse account.wasm\n  gavel rehearse account.wasm --accept schema,cost\n  gavel rehearse account.wasm --shadow\n\nEnds with 3 if the gate would refuse the module. Ctrl-C cancels the rehearsal."
)]
pub(super) struct Arguments {
    /// A component, built for wasm32-wasip2.
    #[arg(value_name = "MODULE.wasm")]
    module: PathBuf,
    /// The decider that it would run for [default: the name in the module's manifest].
    #[arg(long, value_name = "NAME")]
    decider: Option<String>,
    /// Decide the commands that come from now on, without any effect, until Ctrl-C, and not the
    /// recorded ones.
    #[arg(long)]
    shadow: bool,
    /// Accept the named findings of the gate.
    #[arg(long, value_name = "FINDING,…", value_delimiter = ',')]
    accept: Vec<String>,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let module: Module = modules::upload(modules::read(&arguments.module)?, client)
        .await?
        .parse()?;
    output.note(&format!("uploaded {} {}", module.name, module.digest));
    let candidate = Candidate {
        collection: module.collection()?,
        name: arguments.decider.as_ref().unwrap_or(&module.name),
        digest: &module.digest,
        accept: &arguments.accept,
        shadow: arguments.shadow,
    };
    let rehearsed = rehearsal::run(&candidate, client, output).await?;
    rehearsed.show(output)?;
    rehearsed.verdict()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::rehearsal::tests::{rehearsal, shadow};
    use super::super::test_server::{Ran, TestServer};
    use super::super::{Exit, report};

    fn module() -> (u16, Value) {
        let module = json!({
            "digest": "sha256:new", "kind": "decider", "contract": "gavel:module@0.1.0", "name": "account", "size_bytes": 4, "imports": [], "sdk": "x",
            "commands": [], "events": [], "state_schema": {}, "specs": [],
        });
        (200, module)
    }

    fn rehearse(server: &TestServer, arguments: &[&str]) -> Ran {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("account.wasm");
        std::fs::write(&file, b"\0asm").unwrap();
        server.run(&[&["rehearse", file.to_str().unwrap()], arguments].concat())
    }

    #[test]
    fn what_the_gate_would_refuse_is_shown_and_has_its_own_code() {
        let running = rehearsal("running", Value::Null);
        let refused = rehearsal("refused", report::tests::refused());
        let server = TestServer::answering([module(), running, refused]);
        let ran = rehearse(&server, &["--accept", "schema,cost"]);
        assert_eq!(ran.exit, Exit::Refused);
        assert!(
            ran.data.contains("blocks      specs:no overdraft"),
            "{}",
            ran.data
        );
        let requests = server.requests();
        assert_eq!(requests[1].line, "POST /v1/deciders/account/rehearsals");
        assert_eq!(requests[1].json()["accept"], json!(["schema", "cost"]));
        assert_eq!(requests[2].line, "GET /v1/rehearsals/0199");
        assert_eq!(requests.len(), 3, "nothing is activated");
    }

    #[test]
    fn what_passes_is_done_and_told_to_programs_as_it_is() {
        let passed = rehearsal(
            "passed",
            json!({"passed": true, "steps": [], "findings": []}),
        );
        let server = TestServer::answering([module(), passed.clone()]);
        let ran = rehearse(&server, &["--decider", "savings", "-o", "json"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(serde_json::from_str::<Value>(&ran.data).unwrap(), passed.1);
        let request = &server.requests()[1];
        assert_eq!(request.line, "POST /v1/deciders/savings/rehearsals");
    }

    #[test]
    fn a_shadow_is_asked_for_by_its_mode() {
        let server = TestServer::answering([module(), shadow("cancelled", Value::Null)]);
        let ran = rehearse(&server, &["--shadow"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(server.requests()[1].json()["mode"], "shadow");
        assert!(ran.notes.contains("until Ctrl-C"), "{}", ran.notes);
    }
}
