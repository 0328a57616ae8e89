//! `gavel deactivate`: end a module's work.

use clap::Args;
use gavel_client::Client;
use serde_json::json;

use super::active;
use super::answer::Deactivation;
use super::exit::Result;
use super::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gavel deactivate account -m 'moved to the new ledger'")]
pub(super) struct Arguments {
    /// The decider or the view.
    name: String,
    /// The reason, for the activation log.
    #[arg(short, long)]
    message: Option<String>,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let name = &arguments.name;
    let body = json!({ "message": arguments.message });
    let answer = active::post(client, name, "deactivations", &body).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    let Deactivation {
        activation,
        replaces,
    } = answer.parse()?;
    output.text(&format!(
        "{name} runs no module any more (activation {activation}); until now it was {replaces}\n\
         to begin again: gavel rollback {name}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Exit;
    use super::super::test_server::TestServer;

    #[test]
    fn deactivating_names_the_module_that_worked_until_then() {
        let entry = json!({"digest": null, "replaces": "sha256:old", "activation": 8});
        let server = TestServer::answering([(201, entry)]);
        let ran = server.run(&["deactivate", "account", "-m", "why"]);
        assert_eq!(ran.exit, Exit::Done);
        for said in ["activation 8", "sha256:old", "gavel rollback account"] {
            assert!(ran.data.contains(said), "{}", ran.data);
        }
        let request = &server.requests()[0];
        assert_eq!(request.line, "POST /v1/deciders/account/deactivations");
        assert_eq!(request.json(), json!({"message": "why"}));
    }

    #[test]
    fn a_decider_without_an_active_module_cannot_be_deactivated() {
        let problem = json!({"code": "decider-not-found", "status": 404, "title": "none"});
        let no_view = json!({"code": "view-not-found", "status": 404, "title": "none"});
        let server = TestServer::answering([(404, problem), (404, no_view)]);
        let ran = server.run(&["deactivate", "account"]);
        assert_eq!(ran.exit, Exit::Error);
        assert_eq!(
            server.requests()[1].line,
            "POST /v1/views/account/deactivations"
        );
    }
}
