//! `gavel rollback`: activate the module that was active before.

use clap::Args;
use gavel_client::Client;
use serde_json::json;

use super::active;
use super::answer::Activation;
use super::deploy::now_runs;
use super::exit::Result;
use super::output::Output;
use super::report;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gavel rollback account -m 'fees were charged twice'")]
pub(super) struct Arguments {
    /// The decider or the view.
    name: String,
    /// The reason, for the activation log.
    #[arg(short, long)]
    message: Option<String>,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let body = json!({ "message": arguments.message });
    let answer = active::post(client, &arguments.name, "rollback", &body).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    let activation: Activation = answer.parse()?;
    if !activation.report.is_null() {
        output.text(&report::in_words(&activation.report))?;
    }
    output.text(&now_runs(&arguments.name, &activation))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Exit;
    use super::super::test_server::TestServer;

    #[test]
    fn rolling_back_names_the_module_that_is_active_now() {
        let server =
            TestServer::answering([(201, json!({"digest": "sha256:old", "activation": 8}))]);
        let ran = server.run(&["rollback", "account", "-m", "why"]);
        assert_eq!(ran.exit, Exit::Done);
        assert!(
            ran.data
                .contains("account now runs sha256:old (activation 8)"),
            "{}",
            ran.data
        );
        let request = &server.requests()[0];
        assert_eq!(request.line, "POST /v1/deciders/account/rollback");
        assert_eq!(request.json(), json!({"message": "why"}));
    }

    #[test]
    fn a_view_is_rolled_back_by_its_name() {
        let missing = json!({"code": "decider-not-found", "status": 404, "title": "none"});
        let rolled_back = json!({"digest": "sha256:old", "activation": 3});
        let server = TestServer::answering([(404, missing), (201, rolled_back)]);
        let ran = server.run(&["rollback", "orders"]);
        assert_eq!(ran.exit, Exit::Done);
        assert!(
            ran.data.contains("orders now runs sha256:old"),
            "{}",
            ran.data
        );
        assert_eq!(server.requests()[1].line, "POST /v1/views/orders/rollback");
    }
}
