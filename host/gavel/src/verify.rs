//! `gavel verify`: make recorded decisions again and compare them with what is recorded.

use anyhow::{Context as _, anyhow};
use clap::Args;
use gavel_client::{Client, Problem};
use gavel_model::count_of;
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::difference;
use super::exit::{Failure, Result};
use super::lines::{Lines, MEDIA_TYPE};
use super::output::Output;
use super::progress::ProgressLine;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel verify\n  gavel verify account acc-1\n\nEnds with 1 if anything differs. With -o json each difference takes one line, and the sum the last."
)]
pub(super) struct Arguments {
    /// Only the streams of this decider.
    decider: Option<String>,
    /// Only this stream, by its id within the decider.
    id: Option<String>,
}

/// A line of a verification, with exactly one member. Unknown members of a newer host are ignored.
#[derive(Debug, Deserialize)]
struct VerificationLine {
    progress: Option<Verified>,
    difference: Option<Difference>,
    done: Option<Verified>,
    failed: Option<Box<RawValue>>,
}

/// The totals of a verification so far.
#[derive(Debug, Deserialize)]
struct Verified {
    streams: u64,
    commands: u64,
    #[serde(default)]
    keys_only: u64,
    #[serde(default)]
    outdated: u64,
    differences: u64,
}

/// A difference from what was recorded.
#[derive(Debug, Deserialize)]
struct Difference {
    decider: String,
    id: String,
    version: u64,
    command_id: Option<String>,
    reason: String,
    recorded: Value,
    again: Value,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let parameters = [
        ("decider", arguments.decider.as_deref()),
        ("id", arguments.id.as_deref()),
    ];
    let request = client
        .request_with_query(Method::GET, &["v1", "verify"], &parameters)?
        .header(ACCEPT, MEDIA_TYPE);
    let mut lines = Lines::of(client.open(request).await?);
    let mut progress = ProgressLine::new(output);
    loop {
        let line = lines.next().await?;
        let line = line.context("the host has broken off")?;
        let said: VerificationLine = serde_json::from_str(&line)
            .context("the answer is not what this version of gavel knows")?;
        if let Some(verified) = said.progress {
            progress.show("verified", None, &verified.in_words(), output);
        }
        if let Some(difference) = said.difference {
            show(&line, &difference.in_words(), output)?;
        }
        if let Some(problem) = said.failed {
            return Err(failure(&problem));
        }
        if let Some(verified) = said.done {
            drop(progress);
            show(&line, &verified.sum(), output)?;
            return verified.verdict();
        }
    }
}

fn show(line: &str, words: &str, output: &mut Output<'_>) -> Result {
    if output.is_json() {
        return output.received(line);
    }
    output.text(words)
}

fn failure(problem: &RawValue) -> Failure {
    match Problem::parse(problem.get().to_owned(), None) {
        Some(problem) => Failure::Problem(Box::new(problem)),
        None => anyhow!("the host has failed in a way that is not known").into(),
    }
}

impl Verified {
    fn in_words(&self) -> String {
        let mut words = self.looked_at();
        if self.differences > 0 {
            words.push_str(&format!(", {}", count_of(self.differences, "difference")));
        }
        words
    }

    fn looked_at(&self) -> String {
        let (streams, commands) = (
            count_of(self.streams, "stream"),
            count_of(self.commands, "command"),
        );
        let mut words = format!("{streams}, {commands}");
        for (unseen, why) in [
            (self.keys_only, "by their keys only"),
            (self.outdated, "by modules of a former contract"),
        ] {
            if unseen > 0 {
                words.push_str(&format!("; {} more {why}", count_of(unseen, "command")));
            }
        }
        words
    }

    /// Describes the totals.
    fn sum(&self) -> String {
        let found = match self.differences {
            0 => "nothing differs".to_owned(),
            differences => count_of(differences, "difference"),
        };
        format!("verified {}: {found}", self.looked_at())
    }

    fn verdict(&self) -> Result {
        match self.differences {
            0 => Ok(()),
            _ => Err(anyhow!("what is recorded is not what the modules decide").into()),
        }
    }
}

impl Difference {
    fn in_words(&self) -> String {
        let mut words = format!("{}/{} version {}", self.decider, self.id, self.version);
        if let Some(command_id) = &self.command_id {
            words.push_str(&format!(", command {command_id}"));
        }
        words.push_str(&format!(": {}", self.reason));
        for line in difference::between(&self.recorded, &self.again) {
            words.push_str(&format!("\n  {line}"));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Exit;
    use super::super::test_server::{self, TestServer};

    fn verified(differences: u64) -> Value {
        json!({"streams": 10_000, "events": 99_999, "commands": 52_113, "differences": differences})
    }

    fn difference() -> Value {
        json!({"difference": {
            "decider": "account", "id": "acc-1", "version": 9, "command_id": "0199", "reason": "the events differ",
            "recorded": {"events": [{"data": {"amount": 5}}]}, "again": {"events": [{"data": {"amount": 4}}]},
        }})
    }

    fn said(lines: &[Value]) -> String {
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn what_is_as_it_was_recorded_is_one_line() {
        let lines = said(&[json!({"progress": verified(0)})])
            + "\n"
            + &said(&[json!({"done": verified(0)})]);
        let server = TestServer::streaming([Ok(lines.as_str())]);
        let ran = server.run(&["verify", "account", "acc-1"]);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.notes);
        assert_eq!(
            ran.data,
            "verified 10,000 streams, 52,113 commands: nothing differs\n"
        );
        assert_eq!(ran.notes, "verified: 10,000 streams, 52,113 commands\n");
        let request = &server.requests()[0];
        assert_eq!(request.line, "GET /v1/verify?decider=account&id=acc-1");
        assert_eq!(request.headers["accept"], "application/x-ndjson");
    }

    #[test]
    fn what_differs_is_shown_place_by_place_and_is_an_error() {
        let lines = said(&[difference(), json!({"done": verified(1)})]);
        let server = TestServer::streaming([Ok(lines.as_str()), Ok(lines.as_str())]);
        let ran = server.run(&["verify"]);
        assert_eq!(ran.exit, Exit::Error);
        assert_eq!(
            ran.data,
            "account/acc-1 version 9, command 0199: the events differ\n  \
             /events/0/data/amount: expected 5, got 4\n\
             verified 10,000 streams, 52,113 commands: 1 difference\n"
        );
        let ran = server.run(&["verify", "-o", "json"]);
        assert_eq!((ran.exit, ran.data), (Exit::Error, lines));
    }

    #[test]
    fn what_cannot_be_decided_again_is_counted_by_itself() {
        let mut verified = verified(0);
        verified["keys_only"] = json!(1_200);
        verified["outdated"] = json!(1);
        let server = TestServer::streaming([Ok(said(&[json!({"done": verified})]).as_str())]);
        let ran = server.run(&["verify"]);
        assert_eq!(
            ran.data,
            "verified 10,000 streams, 52,113 commands; 1,200 commands more by their keys only; 1 command more by modules of a former contract: nothing differs\n"
        );
    }

    #[test]
    fn what_goes_wrong_on_the_way_is_told() {
        let problem = json!({"code": "draining", "status": 503, "title": "Draining"});
        let lines = said(&[json!({"failed": problem})]);
        let cut = said(&[json!({"progress": verified(0)})]) + "{\"done\"";
        for (lines, told) in [
            (lines.as_str(), "error: Draining"),
            (cut.as_str(), "error: the answer is not what"),
            ("", "error: the host has broken off"),
        ] {
            let server = TestServer::streaming([Ok(lines)]);
            let ran = server.run(&["verify"]);
            assert_eq!(ran.exit, Exit::Error);
            assert!(ran.notes.contains(told), "{}", ran.notes);
        }
    }

    #[test]
    fn a_stream_is_named_with_its_decider() {
        assert!(test_server::parse(&["verify", "account", "acc-1"]).is_ok());
        assert!(test_server::parse(&["verify", "account", "acc-1", "x"]).is_err());
    }
}
