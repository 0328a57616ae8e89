//! A rehearsal at a host, watched from its beginning to its end.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gavel_client::{Answer, Client};
use gavel_model::{count_of, grouped};
use reqwest::Method;
use serde_json::{Value, json};

use super::answer::{self, Mode, Rehearsal, Status};
use super::exit::{Failure, Result};
use super::output::Output;
use super::progress::ProgressLine;
use super::report;

/// The pause before looking for the first time; doubles up to [`LONGEST_PAUSE`], so that a short
/// rehearsal is over at once.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A module to be rehearsed.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    /// The collection of modules of this kind, in the paths of the HTTP API.
    pub(super) collection: &'a str,
    /// The name that it would be activated under.
    pub(super) name: &'a str,
    pub(super) digest: &'a str,
    /// The findings to accept, by name.
    pub(super) accept: &'a [String],
    /// Rehearses on the commands that come from now on, instead of recorded ones.
    pub(super) shadow: bool,
}

/// A rehearsal as the host has answered.
#[derive(Debug)]
pub(super) struct Rehearsed {
    answer: Answer,
    rehearsal: Rehearsal,
}

/// Rehearses, and shows the progress until the end. Ctrl-C cancels the rehearsal; this is the usual
/// end of a shadow.
pub(super) async fn run(
    candidate: &Candidate<'_>,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<Rehearsed> {
    let begun = begin(candidate, client).await?;
    if candidate.shadow {
        output.note("the candidate decides every command too, without any effect, until Ctrl-C");
    }
    let over = watch(begun, tokio::signal::ctrl_c(), client, output).await;
    // A process that has listened for the signal once is not ended by it any more.
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(1);
        }
    });
    over
}

async fn begin(candidate: &Candidate<'_>, client: &Client) -> Result<Rehearsed> {
    let mode = if candidate.shadow {
        "shadow"
    } else {
        "history"
    };
    let request = client
        .request(
            Method::POST,
            &["v1", candidate.collection, candidate.name, "rehearsals"],
        )?
        .json(&json!({ "digest": candidate.digest, "mode": mode, "accept": candidate.accept }));
    Rehearsed::new(client.send(request).await?)
}

/// Waits for the end. A rehearsal that is interrupted is cancelled and nothing else must follow
/// from it, unless it is a shadow.
async fn watch(
    begun: Rehearsed,
    interrupted: impl Future<Output = std::io::Result<()>>,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<Rehearsed> {
    let Rehearsal {
        rehearsal: id,
        mode,
        ..
    } = &begun.rehearsal;
    let (id, mode) = (id.clone(), *mode);
    tokio::select! {
        over = until_over(begun, client, output) => over,
        interrupted = interrupted => {
            interrupted.context("cannot listen for signals")?;
            client.send(client.request(Method::DELETE, &["v1", "rehearsals", &id])?).await?;
            match mode {
                Mode::Shadow => look(&id, client).await,
                Mode::History => Err(anyhow!("interrupted; the rehearsal is cancelled").into()),
            }
        }
    }
}

async fn until_over(
    begun: Rehearsed,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<Rehearsed> {
    let mut progress = ProgressLine::new(output);
    let mut newest = begun;
    let mut pause = FIRST_PAUSE;
    while newest.rehearsal.status == Status::Running {
        let answer::Progress {
            step,
            events,
            events_total,
            ..
        } = &newest.rehearsal.progress;
        let step = step.as_deref().unwrap_or("rehearsal");
        let part = (*events_total > 0).then_some((*events, *events_total));
        progress.show(step, part, &in_words(&newest.rehearsal.progress), output);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        newest = look(&newest.rehearsal.rehearsal, client).await?;
    }
    Ok(newest)
}

async fn look(id: &str, client: &Client) -> Result<Rehearsed> {
    let request = client.request(Method::GET, &["v1", "rehearsals", id])?;
    Rehearsed::new(client.send(request).await?)
}

/// Describes the progress of a step, with the most important facts first, as lines are short; empty
/// if there is nothing to count.
fn in_words(progress: &answer::Progress) -> String {
    let mut words = Vec::new();
    if progress.events_total > 0 {
        let total = count_of(progress.events_total, "event");
        words.push(format!("{} of {total}", grouped(progress.events)));
    }
    if let Some(seconds) = progress.seconds_left {
        words.push(format!("{} s left", grouped(rounded(seconds))));
    }
    if progress.commands > 0 {
        words.push(count_of(progress.commands, "command"));
    }
    if progress.events_per_second >= 1.0 {
        let rate = count_of(rounded(progress.events_per_second), "event");
        words.push(format!("{rate} a second"));
    }
    words.join(", ")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast to an integer takes what is out of range to the nearest one, and NaN to 0"
)]
fn rounded(value: f64) -> u64 {
    value.round() as u64
}

impl Rehearsed {
    fn new(answer: Answer) -> Result<Self> {
        let rehearsal = answer.parse()?;
        Ok(Self { answer, rehearsal })
    }

    /// The report of the gate; null if there is none yet.
    pub(super) fn report(&self) -> &Value {
        self.rehearsal.report.as_ref().unwrap_or(&Value::Null)
    }

    /// Shows what the gate has found.
    pub(super) fn show(&self, output: &mut Output<'_>) -> Result {
        if output.is_json() {
            return output.received(self.answer.body());
        }
        match &self.rehearsal.report {
            Some(report) => output.text(&report::in_words(report)),
            None => {
                output.note("the gate has found nothing yet");
                Ok(())
            }
        }
    }

    /// Tells whether the gate would activate the candidate; for a shadow, whether it has no
    /// finding.
    ///
    /// Fails if that is unknown, because the rehearsal has failed or was cancelled.
    pub(super) fn has_passed(&self) -> Result<bool> {
        match self.rehearsal.status {
            Status::Passed => Ok(true),
            Status::Refused => Ok(false),
            Status::Cancelled if self.rehearsal.mode == Mode::Shadow => {
                Ok(self.report().get("passed") != Some(&Value::Bool(false)))
            }
            Status::Cancelled => Err(anyhow!("the rehearsal was cancelled").into()),
            Status::Failed => Err(match &self.rehearsal.error {
                Some(reason) => anyhow!("the rehearsal failed: {reason}"),
                None => anyhow!("the rehearsal failed"),
            }
            .into()),
            Status::Running => Err(anyhow!("the rehearsal is still running").into()),
        }
    }

    /// Ends a command that was about nothing else.
    pub(super) fn verdict(&self) -> Result {
        if self.has_passed()? {
            Ok(())
        } else {
            Err(Failure::Refused)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::future::{pending, ready};

    use super::super::test_server::TestServer;
    use super::super::{Exit, Format};
    use super::*;

    /// An answer about a rehearsal.
    pub(crate) fn rehearsal(status: &str, report: Value) -> (u16, Value) {
        let progress = json!({
            "step": "re-fold", "streams": 10, "events": 1_204, "events_total": 2_000, "commands": 1, "events_per_second": 99.6,
            "seconds_left": 8.2,
        });
        let rehearsal = json!({
            "rehearsal": "0199", "decider": "account", "digest": "sha256:new", "mode": "history", "status": status,
            "requested_by": null, "started_at": "2026-11-21T10:00:00Z", "ended_at": null, "progress": progress,
            "report": report, "error": null,
        });
        (if status == "running" { 202 } else { 200 }, rehearsal)
    }

    pub(crate) fn shadow(status: &str, report: Value) -> (u16, Value) {
        let (code, mut rehearsal) = rehearsal(status, report);
        rehearsal["mode"] = json!("shadow");
        (code, rehearsal)
    }

    fn begun((status, body): (u16, Value)) -> Rehearsed {
        Rehearsed::new(Answer::new(status, body.to_string())).unwrap()
    }

    /// Watches what has begun until it ends, or, if `is_interrupted`, until it is looked at for the
    /// first time.
    fn watched(
        server: &TestServer,
        first: (u16, Value),
        is_interrupted: bool,
    ) -> (Result<Rehearsed>, String) {
        let (mut data, mut notes) = (Vec::new(), Vec::new());
        let mut output = Output::new(Format::Text, &mut data, &mut notes);
        let client = server.client();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let watched = runtime.block_on(async {
            if is_interrupted {
                watch(begun(first), ready(Ok(())), &client, &mut output).await
            } else {
                watch(begun(first), pending(), &client, &mut output).await
            }
        });
        (watched, String::from_utf8(notes).unwrap())
    }

    #[test]
    fn a_rehearsal_is_looked_at_until_it_is_over() {
        let server = TestServer::answering([
            rehearsal("running", Value::Null),
            rehearsal("passed", json!({"passed": true})),
        ]);
        let (rehearsed, notes) = watched(&server, rehearsal("running", Value::Null), false);
        assert!(rehearsed.unwrap().has_passed().unwrap());
        assert_eq!(
            notes,
            "re-fold: 1,204 of 2,000 events, 8 s left, 1 command, 100 events a second\n"
        );
        let lines: Vec<_> = server
            .requests()
            .into_iter()
            .map(|request| request.line)
            .collect();
        assert_eq!(lines, ["GET /v1/rehearsals/0199"; 2]);
    }

    #[test]
    fn a_rehearsal_that_is_interrupted_is_cancelled_and_nothing_follows_from_it() {
        let server = TestServer::answering([(200, Value::Null), (200, Value::Null)]);
        let (rehearsed, _) = watched(&server, rehearsal("running", Value::Null), true);
        let failure = rehearsed.unwrap_err();
        assert_eq!(failure.exit(), Exit::Error);
        let requests = server.requests();
        let cancelled = requests
            .iter()
            .any(|request| request.line == "DELETE /v1/rehearsals/0199");
        assert!(cancelled, "{requests:?}");
    }

    #[test]
    fn a_shadow_ends_when_it_is_interrupted_and_says_what_came_up() {
        for passed in [true, false] {
            let report = json!({"passed": passed});
            let server = TestServer::answering([(200, Value::Null), shadow("cancelled", report)]);
            let (rehearsed, _) = watched(&server, shadow("running", Value::Null), true);
            assert_eq!(rehearsed.unwrap().has_passed().unwrap(), passed);
        }
    }

    #[test]
    fn what_did_not_come_to_its_end_has_no_verdict() {
        let (_, mut failed) = rehearsal("failed", Value::Null);
        failed["error"] = json!("the module traps");
        let failure = begun((200, failed)).has_passed().unwrap_err();
        let Failure::Error(error) = failure else {
            panic!("an error")
        };
        assert_eq!(error.to_string(), "the rehearsal failed: the module traps");
        // What was found until then is not all there is.
        let cancelled = begun(rehearsal("cancelled", json!({"passed": true})));
        assert!(cancelled.has_passed().is_err());
    }
}
