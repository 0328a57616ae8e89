//! `gavel state`: show the state of a stream, now or earlier.

use anyhow::Context as _;
use clap::Args;
use gavel_client::Client;
use reqwest::Method;

use super::answer::State;
use super::exit::Result;
use super::output::Output;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel state account acc-1\n  gavel state account acc-1 --at 2026-11-01T00:00:00Z"
)]
pub(super) struct Arguments {
    /// The decider.
    decider: String,
    /// The stream, by its id within the decider.
    id: String,
    /// Show the state at this version.
    #[arg(long, conflicts_with = "at")]
    version: Option<u64>,
    /// Show the state at this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Fold with this module instead of the active one.
    #[arg(long, value_name = "DIGEST")]
    module: Option<String>,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let version = arguments.version.map(|version| version.to_string());
    let parameters = [
        ("version", version.as_deref()),
        ("at", arguments.at.as_deref()),
        ("module", arguments.module.as_deref()),
    ];
    let path = ["v1", "deciders", &arguments.decider, &arguments.id];
    let request = client.request_with_query(Method::GET, &path, &parameters)?;
    let answer = client.send(request).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    let state: State = answer.parse()?;
    let end = if state.is_final { " (final)" } else { "" };
    output.text(&format!(
        "{}/{} at version {}{end}, folded by {}\n{}",
        state.decider,
        state.id,
        state.version,
        state.module,
        serde_json::to_string_pretty(&state.state).context("cannot show the state")?
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Exit;
    use super::super::test_server::{self, TestServer};

    fn state() -> Value {
        json!({"decider": "account", "id": "acc-1", "version": 3, "final": false, "state": {"balance": 3}, "module": "sha256:aa"})
    }

    #[test]
    fn the_state_is_shown_with_its_version() {
        let server = TestServer::answering([(200, state())]);
        let ran = server.run(&["state", "account", "acc-1"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(
            ran.data,
            "account/acc-1 at version 3, folded by sha256:aa\n{\n  \"balance\": 3\n}\n"
        );
        assert_eq!(server.requests()[0].line, "GET /v1/deciders/account/acc-1");
    }

    #[test]
    fn time_travel_goes_into_the_query() {
        let server = TestServer::answering([(200, state()), (200, state())]);
        server.run(&[
            "state",
            "account",
            "acc-1",
            "--version",
            "2",
            "--module",
            "sha256:bb",
        ]);
        server.run(&[
            "state",
            "account",
            "acc-1",
            "--at",
            "2026-11-01T00:00:00+01:00",
        ]);
        let [by_version, by_time] = &server.requests()[..] else {
            panic!("two requests")
        };
        assert_eq!(
            by_version.line,
            "GET /v1/deciders/account/acc-1?version=2&module=sha256%3Abb"
        );
        assert_eq!(
            by_time.line,
            "GET /v1/deciders/account/acc-1?at=2026-11-01T00%3A00%3A00%2B01%3A00"
        );
        assert!(test_server::parse(&["state", "a", "1", "--version", "2", "--at", "x"]).is_err());
    }

    #[test]
    fn a_missing_stream_is_an_error() {
        let missing = json!({"code": "stream-not-found", "status": 404, "title": "Stream not found", "detail": "account/x has no events"});
        let server = TestServer::answering([(404, missing)]);
        let ran = server.run(&["state", "account", "x"]);
        assert_eq!(ran.exit, Exit::Error);
        assert_eq!(
            ran.notes,
            "error: Stream not found: account/x has no events\n"
        );
    }
}
