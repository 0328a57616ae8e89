//! `gavel send`: send one command.

use std::io::Read as _;

use anyhow::Context as _;
use clap::Args;
use gavel_client::Client;
use reqwest::Method;
use reqwest::header::{IF_MATCH, IF_NONE_MATCH};
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::{BehindView, CommandOutcome};
use super::exit::{Failure, Result};
use super::output::Output;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel send account acc-1 Deposit '{\"amount\":5}'\n  gavel send account acc-1 Import @history.json --expect 0 --key import-1"
)]
pub(super) struct Arguments {
    /// The decider.
    decider: String,
    /// The stream, by its id within the decider.
    id: String,
    /// The name of the command.
    command: String,
    /// The command's data as JSON; `@FILE` reads it from a file, `-` from standard input.
    #[arg(default_value = "{}", hide_default_value = true)]
    data: String,
    /// Decide only if the stream is at this version; 0 means that it must not exist.
    #[arg(long, value_name = "VERSION")]
    expect: Option<u64>,
    /// The idempotency key: the same key again gives the first outcome again.
    #[arg(long, value_parser = idempotency_key)]
    key: Option<String>,
    /// Decide, but append nothing.
    #[arg(long)]
    dry_run: bool,
    /// Wait until the rows of these views show the events.
    #[arg(long = "await", value_name = "VIEWS", value_delimiter = ',')]
    awaited: Vec<String>,
}

#[derive(Serialize)]
struct Command<'a> {
    command: &'a str,
    data: Box<RawValue>,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let command = Command {
        command: &arguments.command,
        data: json(&arguments.data)?,
    };
    let path = [
        "v1",
        "deciders",
        &arguments.decider,
        &arguments.id,
        "commands",
    ];
    let awaited = arguments.awaited.join(",");
    let parameters = [
        ("dry_run", arguments.dry_run.then_some("true")),
        (
            "await",
            Some(awaited.as_str()).filter(|views| !views.is_empty()),
        ),
    ];
    let mut request = client
        .request_with_query(Method::POST, &path, &parameters)?
        .json(&command);
    request = match arguments.expect {
        None => request,
        Some(0) => request.header(IF_NONE_MATCH, "*"),
        Some(version) => request.header(IF_MATCH, format!("\"{version}\"")),
    };
    if let Some(key) = &arguments.key {
        request = request.header("idempotency-key", key);
    }
    let answer = client.send(request).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    output.text(&in_words(&answer.parse()?, arguments.dry_run))
}

fn in_words(outcome: &CommandOutcome, dry_run: bool) -> String {
    let CommandOutcome {
        decider,
        id,
        version,
        ..
    } = outcome;
    let note = match (outcome.replayed, dry_run) {
        (true, _) => "  (the outcome of an earlier command with this key)",
        (false, true) => "  (dry run: nothing was appended)",
        (false, false) => "",
    };
    let mut words = format!("{decider}/{id} is at version {version}{note}");
    if outcome.events.is_empty() {
        words.push_str("\n  no events: the decider had nothing to record");
    }
    for event in &outcome.events {
        words.push_str("\n  ");
        words.push_str(&event.in_words());
    }
    for BehindView { view, reason } in &outcome.behind {
        words.push_str(&format!("\n  view {view} does not show it yet: {reason}"));
    }
    words
}

/// The data as it will be sent: what it means is the host's to judge.
fn json(argument: &str) -> Result<Box<RawValue>> {
    let text = if argument == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        text
    } else if let Some(file) = argument.strip_prefix('@') {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?
    } else {
        argument.to_owned()
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("the data is not JSON: {error}")))
}

fn idempotency_key(text: &str) -> std::result::Result<String, String> {
    if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 255 visible ASCII characters".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Exit;
    use super::super::test_server::{self, TestServer};

    fn outcome() -> Value {
        json!({
            "command_id": "0199", "decider": "account", "id": "acc/1", "version": 2, "replayed": false, "module": "sha256:aa",
            "events": [{
                "event_id": "0199", "previous_id": null, "event": "Deposited", "schema_version": 1, "decider": "account",
                "id": "acc/1", "version": 2, "position": "7", "data": {"amount": 5}, "final": true, "command_id": "0199",
                "metadata": {}, "created_at": "2026-11-21T10:00:00Z",
            }],
        })
    }

    #[test]
    fn a_command_is_sent_and_its_events_are_shown() {
        let server = TestServer::answering([(200, outcome())]);
        let ran = server.run(&["send", "account", "acc/1", "Deposit", r#"{"amount":5}"#]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(
            ran.data,
            "account/acc/1 is at version 2\n  v2  Deposited  {\"amount\":5}  (final)\n"
        );
        let request = &server.requests()[0];
        assert_eq!(request.line, "POST /v1/deciders/account/acc%2F1/commands");
        assert_eq!(
            request.json(),
            json!({"command": "Deposit", "data": {"amount": 5}})
        );
        assert!(!request.headers.contains_key("if-match"));
    }

    #[test]
    fn expectation_key_and_dry_run_become_what_the_api_has_for_them() {
        let server = TestServer::answering([(200, outcome()), (200, outcome())]);
        server.run(&[
            "send",
            "account",
            "1",
            "Close",
            "--expect",
            "3",
            "--key",
            "k-1",
            "--dry-run",
        ]);
        server.run(&["send", "account", "1", "Open", "--expect", "0"]);
        let [closed, opened] = &server.requests()[..] else {
            panic!("two requests")
        };
        assert_eq!(
            closed.line,
            "POST /v1/deciders/account/1/commands?dry_run=true"
        );
        assert_eq!(closed.headers["if-match"], "\"3\"");
        assert_eq!(closed.headers["idempotency-key"], "k-1");
        assert_eq!(closed.json()["data"], json!({}));
        assert_eq!(opened.headers["if-none-match"], "*");
    }

    #[test]
    fn views_that_were_awaited_and_do_not_show_the_events_are_named() {
        let mut late = outcome();
        late["behind"] = json!([{ "view": "orders", "reason": "paused" }]);
        let server = TestServer::answering([(200, late)]);
        let ran = server.run(&["send", "account", "1", "Open", "--await", "orders,totals"]);
        let words = "\n  view orders does not show it yet: paused\n";
        assert!(ran.data.ends_with(words), "{}", ran.data);
        let line = &server.requests()[0].line;
        assert_eq!(
            line,
            "POST /v1/deciders/account/1/commands?await=orders%2Ctotals"
        );
    }

    #[test]
    fn data_can_come_from_a_file_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("data.json");
        std::fs::write(&file, r#"{"b":1.50,"a":18446744073709551617}"#).unwrap();
        let server = TestServer::answering([(200, outcome())]);
        let ran = server.run(&[
            "send",
            "account",
            "1",
            "Deposit",
            &format!("@{}", file.display()),
        ]);
        assert_eq!(ran.exit, Exit::Done);
        let body = String::from_utf8(server.requests()[0].body.clone()).unwrap();
        assert!(
            body.contains(r#"{"b":1.50,"a":18446744073709551617}"#),
            "{body}"
        );
    }

    #[test]
    fn data_that_is_not_json_and_a_bad_key_are_usage_errors() {
        let server = TestServer::answering([]);
        let ran = server.run(&["send", "account", "1", "Deposit", "{amount:5}"]);
        assert_eq!(ran.exit, Exit::Usage);
        assert!(ran.notes.contains("the data is not JSON"), "{}", ran.notes);
        let ran = server.run(&["send", "account", "..", "Deposit"]);
        assert_eq!(ran.exit, Exit::Usage);
        assert!(test_server::parse(&["send", "a", "1", "Deposit", "--key", "a b"]).is_err());
        assert!(server.requests().is_empty());
    }

    #[test]
    fn a_rejection_is_an_answer_with_its_own_code() {
        let rejection = json!({
            "code": "command-rejected", "status": 422, "title": "Command rejected",
            "rejection": {"code": "insufficient_funds", "message": "the balance is 3", "data": null},
        });
        let server = TestServer::answering([(422, rejection.clone()), (422, rejection.clone())]);
        let ran = server.run(&["send", "account", "1", "Withdraw"]);
        assert_eq!((ran.exit, ran.notes.as_str()), (Exit::Refused, ""));
        assert_eq!(ran.data, "rejected: insufficient_funds: the balance is 3\n");
        let ran = server.run(&["send", "account", "1", "Withdraw", "-o", "json"]);
        assert_eq!(serde_json::from_str::<Value>(&ran.data).unwrap(), rejection);
    }

    #[test]
    fn a_conflict_is_an_error_with_its_own_code() {
        let conflict = json!({
            "code": "version-conflict", "status": 409, "title": "Version conflict", "expected_version": 3, "current_version": 5,
        });
        let server = TestServer::answering([(409, conflict)]);
        let ran = server.run(&["send", "account", "1", "Withdraw", "--expect", "3"]);
        assert_eq!((ran.exit, ran.data.as_str()), (Exit::Conflict, ""));
        assert_eq!(
            ran.notes,
            "error: Version conflict\n  current version: 5\n  expected version: 3\n"
        );
    }

    #[test]
    fn nobody_there_and_somebody_else_there_are_told_apart() {
        let ran = test_server::run(&["send", "a", "1", "B", "--server", "http://127.0.0.1:1"]);
        assert_eq!(ran.exit, Exit::Error);
        assert!(
            ran.notes.contains("no host answers at http://127.0.0.1:1:"),
            "{}",
            ran.notes
        );
        assert!(ran.notes.contains("gavel serve"), "{}", ran.notes);

        let server = TestServer::answering([(502, json!("<html>"))]);
        let ran = server.run(&["send", "a", "1", "B"]);
        assert_eq!(ran.exit, Exit::Error);
        assert!(
            ran.notes.contains("answered 502 Bad Gateway"),
            "{}",
            ran.notes
        );
        assert!(!ran.notes.contains("<html>"), "{}", ran.notes);
    }
}
