//! `gavel why`: show why an event is there, or why a command was decided as it was.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::Args;
use gavel_client::Client;
use gavel_model::count_of;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::Event;
use super::exit::Result;
use super::output::Output;
use super::problem::rejection_in_words;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel why 01997a3e-5f0c-7b1d-8c2e-9f4a6b8d0e12\n  gavel why --command 01997a3e-5f0c-7b1d-8c2e-9f4a6b8d0e11"
)]
pub(super) struct Arguments {
    /// The event.
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    event_id: Option<String>,
    /// The command, also one that was rejected.
    #[arg(long, value_name = "COMMAND_ID")]
    command: Option<String>,
}

/// A decision, and the same decision made again.
#[derive(Debug, Deserialize)]
struct Why {
    event: Option<Event>,
    command: Option<Command>,
    events: Vec<Event>,
    state_before: Option<Value>,
    again: Option<Again>,
    /// Hosts that did not know it leave it out.
    output: Option<String>,
    equal: Option<bool>,
    differences: Vec<String>,
}

/// A command as it is recorded.
#[derive(Debug, Deserialize)]
struct Command {
    command_id: String,
    decider: String,
    id: String,
    command: String,
    data: Box<RawValue>,
    /// Hosts that keep everything may not say so.
    ledger: Option<String>,
    actor: Option<String>,
    now: String,
    version: u64,
    module: String,
    rejection: Option<Value>,
    fuel: u64,
}

/// The decision made again.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Again {
    Events(Vec<Decided>),
    Rejected(Value),
    Failed(String),
}

#[derive(Debug, Deserialize)]
struct Decided {
    event: String,
    data: Value,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let (kind, id) = match (&arguments.event_id, &arguments.command) {
        (_, Some(id)) => ("commands", id.as_str()),
        (id, None) => ("events", id.as_deref().unwrap_or_default()),
    };
    let request = client.request(Method::GET, &["v1", kind, id, "why"])?;
    let answer = client.send(request).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    output.text(&in_words(&answer.parse()?)?)
}

fn in_words(why: &Why) -> Result<String> {
    let mut words = String::new();
    if let Some(event) = &why.event {
        row(&mut words, "event", &event.in_words_with_stream());
    }
    let Some(command) = &why.command else {
        row(&mut words, "command", "none: the event was imported");
        return Ok(words);
    };
    let stream = format!("{}/{}", command.decider, command.id);
    let data = match command.ledger.as_deref() {
        Some("keys") => "(payload not kept)",
        _ => command.data.get(),
    };
    let asked = format!("{} {data}", command.command);
    row(&mut words, "command", &asked);
    let sender = match &command.actor {
        Some(actor) => format!(", sent by {actor}"),
        None => String::new(),
    };
    row(&mut words, "", &format!("{}{sender}", command.command_id));
    if let Some(state) = &why.state_before {
        let text = serde_json::to_string_pretty(state).context("cannot show the state")?;
        row(&mut words, "state", &text);
    }
    let Command {
        version,
        now,
        module,
        ..
    } = command;
    let fuel = count_of(command.fuel, "unit");
    row(
        &mut words,
        "decided",
        &format!("{stream} at version {version}, {now}"),
    );
    row(&mut words, "", &format!("by {module}, {fuel} of fuel"));
    row(&mut words, "outcome", &outcome(why, command));
    row(&mut words, "again", &again(why));
    if let Some(output) = &why.output {
        row(&mut words, "output", output);
    }
    Ok(words)
}

fn outcome(why: &Why, command: &Command) -> String {
    if let Some(rejection) = &command.rejection {
        return rejection_in_words(rejection);
    }
    if why.events.is_empty() {
        return "accepted, without an event".to_owned();
    }
    let events: Vec<_> = why.events.iter().map(Event::in_words).collect();
    events.join("\n")
}

/// Describes the decision made again, as far as it differs.
fn again(why: &Why) -> String {
    if why.equal == Some(true) {
        return "the same, byte for byte".to_owned();
    }
    let mut lines = why.differences.clone();
    match &why.again {
        Some(Again::Events(events)) if events.is_empty() => {
            lines.push("now: accepted, without an event".to_owned());
        }
        Some(Again::Events(events)) => {
            let now = |decided: &Decided| format!("now: {}  {}", decided.event, decided.data);
            lines.extend(events.iter().map(now));
        }
        Some(Again::Rejected(rejection)) => {
            lines.push(format!("now: {}", rejection_in_words(rejection)));
        }
        Some(Again::Failed(reason)) => lines.push(format!("now: {reason}")),
        None => lines.push("not decided again: the ledger keeps no payload of it".to_owned()),
    }
    lines.join("\n")
}

/// A label, and the lines next to it.
fn row(words: &mut String, label: &str, text: &str) {
    for (index, line) in text.lines().enumerate() {
        let label = if index == 0 { label } else { "" };
        let _ = writeln!(words, "{label:<9}{line}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Exit;
    use super::super::test_server::{self, TestServer};

    fn event() -> Value {
        json!({
            "event_id": "0199", "previous_id": null, "event": "Withdrawn", "schema_version": 1, "decider": "account", "id": "acc-1",
            "version": 3, "position": "3", "data": {"amount": 5}, "final": false, "command_id": "0198", "metadata": {},
            "created_at": "2026-11-21T10:00:00Z",
        })
    }

    fn why() -> Value {
        let command = json!({
            "command_id": "0198", "decider": "account", "id": "acc-1", "command": "Withdraw", "data": {"amount": 5}, "metadata": {},
            "actor": "ann", "now": "2026-11-21T10:00:00Z", "seed": "7", "version": 2, "module": "sha256:aa", "outcome": "accepted",
            "rejection": null, "fuel": 1_234,
        });
        json!({
            "event": event(), "command": command, "events": [event()], "state_before": {"balance": 8},
            "again": {"events": [{"event": "Withdrawn", "schema_version": 1, "data": {"amount": 5}, "final": false, "tags": []}]},
            "output": "checking\n\u{1b}5\n", "equal": true, "differences": [],
        })
    }

    #[test]
    fn an_event_is_explained_from_its_command_to_the_decision_made_again() {
        let server = TestServer::answering([(200, why())]);
        let ran = server.run(&["why", "0199"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(
            ran.data,
            "event    2026-11-21T10:00:00Z  account/acc-1  v3  Withdrawn  {\"amount\":5}\n\
             command  Withdraw {\"amount\":5}\n\
             \x20        0198, sent by ann\n\
             state    {\n\
             \x20          \"balance\": 8\n\
             \x20        }\n\
             decided  account/acc-1 at version 2, 2026-11-21T10:00:00Z\n\
             \x20        by sha256:aa, 1,234 units of fuel\n\
             outcome  v3  Withdrawn  {\"amount\":5}\n\
             again    the same, byte for byte\n\
             output   checking\n\
             \x20        \\u{1b}5\n"
        );
        assert_eq!(server.requests()[0].line, "GET /v1/events/0199/why");
    }

    #[test]
    fn a_rejection_is_explained_by_its_command() {
        let rejection = json!({"code": "overdrawn", "message": "the balance is 3", "data": null});
        let mut why = why();
        why["event"] = Value::Null;
        why["output"] = Value::Null;
        why["events"] = json!([]);
        why["command"]["outcome"] = json!("rejected");
        why["command"]["rejection"] = rejection;
        why["equal"] = json!(false);
        why["differences"] = json!(["It is accepted now."]);
        let server = TestServer::answering([(200, why)]);
        let ran = server.run(&["why", "--command", "0198"]);
        assert_eq!(server.requests()[0].line, "GET /v1/commands/0198/why");
        assert!(
            ran.data.ends_with(
                "outcome  rejected: overdrawn: the balance is 3\n\
                 again    It is accepted now.\n\
                 \x20        now: Withdrawn  {\"amount\":5}\n"
            ),
            "{}",
            ran.data
        );
    }

    #[test]
    fn a_command_without_its_payload_is_not_decided_again() {
        let mut why = why();
        why["output"] = Value::Null;
        why["command"]["data"] = Value::Null;
        why["command"]["ledger"] = json!("keys");
        why["again"] = Value::Null;
        why["equal"] = Value::Null;
        let server = TestServer::answering([(200, why)]);
        let ran = server.run(&["why", "0199"]);
        let asked = "command  Withdraw (payload not kept)\n";
        assert!(ran.data.contains(asked), "{}", ran.data);
        assert!(
            ran.data.ends_with(
                "outcome  v3  Withdrawn  {\"amount\":5}\n\
                 again    not decided again: the ledger keeps no payload of it\n"
            ),
            "{}",
            ran.data
        );
    }

    #[test]
    fn an_imported_event_has_no_command() {
        let imported = json!({
            "event": event(), "command": null, "events": [event()], "state_before": null, "again": null, "equal": null,
            "differences": [],
        });
        let server = TestServer::answering([(200, imported.clone()), (200, imported.clone())]);
        let ran = server.run(&["why", "0199"]);
        assert!(
            ran.data
                .ends_with("command  none: the event was imported\n"),
            "{}",
            ran.data
        );
        let ran = server.run(&["why", "0199", "-o", "json"]);
        assert_eq!(serde_json::from_str::<Value>(&ran.data).unwrap(), imported);
    }

    #[test]
    fn either_an_event_or_a_command_is_asked_about() {
        assert!(test_server::parse(&["why"]).is_err());
        assert!(test_server::parse(&["why", "1", "--command", "2"]).is_err());
    }
}
