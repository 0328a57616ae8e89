//! `gavel events --follow`: the log as it grows, across connections that break.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gavel_client::{Client, EventStream, Message};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response};
use serde::Deserialize;

use super::Arguments;
use crate::answer::Event;
use crate::exit::{Failure, Result};
use crate::lines::LONGEST_SILENCE;
use crate::output::Output;

const MEDIA_TYPE: &str = "text/event-stream";
/// The pause before connecting again; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A stored event that the host cannot read.
#[derive(Debug, Deserialize)]
struct Malformed {
    position: String,
    stream: String,
    reason: String,
}

/// The rest of the log to show.
struct Follower<'a, 'b> {
    arguments: &'a Arguments,
    client: &'a Client,
    output: &'a mut Output<'b>,
    after: Option<String>,
    left: u64,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let mut follower = Follower {
        arguments,
        client,
        output,
        after: arguments.after.clone(),
        left: arguments.limit.unwrap_or(u64::MAX),
    };
    tokio::select! {
        followed = follower.follow() => followed,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot listen for signals")?;
            if let Some(after) = follower.after {
                output.note(&format!("read so far; continue with --after {after}"));
            }
            Ok(())
        }
    }
}

impl Follower<'_, '_> {
    /// Shows events until there were as many as are wanted. What fails at first is an error, later
    /// it is tried again.
    async fn follow(&mut self) -> Result {
        if self.left == 0 {
            return Ok(());
        }
        let mut response = self.connect().await?;
        loop {
            let ended = self.show_all(response).await?;
            if self.left == 0 {
                return Ok(());
            }
            let place = self.after.as_deref().unwrap_or("the beginning");
            let note = format!("{ended}; connecting again, to continue after {place}");
            self.output.note(&note);
            response = self.reconnect().await?;
            self.output.note("connected again");
        }
    }

    async fn connect(&self) -> Result<Response> {
        let parameters = [
            ("decider", self.arguments.decider.as_deref()),
            ("id", self.arguments.id.as_deref()),
        ];
        let mut request = self
            .client
            .request_with_query(Method::GET, &["v1", "events"], &parameters)?
            .header(ACCEPT, MEDIA_TYPE);
        if let Some(after) = &self.after {
            request = request.header("last-event-id", after);
        }
        let response = self.client.open(request).await?;
        let media_type = response.headers().get(CONTENT_TYPE);
        if media_type.is_none_or(|value| !value.as_bytes().starts_with(MEDIA_TYPE.as_bytes())) {
            return Err(
                anyhow!("the host cannot be followed: it does not answer with events").into(),
            );
        }
        Ok(response)
    }

    /// Connects as soon as a host answers.
    async fn reconnect(&self) -> Result<Response> {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.connect().await {
                Ok(response) => return Ok(response),
                Err(Failure::Error(_)) => {}
                Err(Failure::Problem(problem)) if problem.status() == 503 => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Shows what comes, until there is enough or the connection has ended; then says how.
    async fn show_all(&mut self, mut response: Response) -> Result<&'static str> {
        let mut stream = EventStream::default();
        loop {
            let piece = match tokio::time::timeout(LONGEST_SILENCE, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Ok("the host has ended the connection"),
                Ok(Err(_)) => return Ok("the connection has broken"),
                Err(_) => return Ok("the host has sent nothing for too long"),
            };
            for message in stream.push(&piece) {
                self.show(&message)?;
                if self.left == 0 {
                    return Ok("all that was wanted has come");
                }
            }
            if let Some(id) = stream.last_id() {
                self.after = Some(id.to_owned());
            }
        }
    }

    fn show(&mut self, message: &Message) -> Result {
        match serde_json::from_str::<Event>(&message.data) {
            Ok(_) if self.output.is_json() => self.output.received(&message.data)?,
            Ok(event) => self.output.text(&event.in_words_with_stream())?,
            // An event of the host's, not of a decider.
            Err(_) if message.event == "caught-up" => return Ok(()),
            Err(_) if message.event == "malformed" => {
                let malformed: Malformed = serde_json::from_str(&message.data)
                    .context("the host has reported an event in a way that is not known")?;
                let Malformed {
                    position,
                    stream,
                    reason,
                } = malformed;
                let note = format!(
                    "warning: the event at {position} of {stream} cannot be read: {reason}"
                );
                self.output.note(&note);
                return Ok(());
            }
            Err(error) => {
                let context = "an event is not what this version of gavel knows";
                return Err(Failure::Error(anyhow!(error).context(context)));
            }
        }
        self.left = self.left.saturating_sub(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Exit;
    use crate::test_server::TestServer;

    fn event(position: u64) -> Value {
        json!({
            "event_id": "0199", "event": "Deposited", "decider": "account", "id": "acc-1", "version": position,
            "position": position.to_string(), "data": {"amount": 5}, "created_at": "2026-11-21T10:00:00Z",
        })
    }

    fn message(position: u64) -> String {
        format!(
            "id: {position}\nevent: Deposited\ndata: {}\n\n",
            event(position)
        )
    }

    const CAUGHT_UP: &str = "id: 7\nevent: caught-up\ndata: {\"position\":\"7\"}\n\n";

    #[test]
    fn events_are_shown_as_they_come() {
        let text = message(1) + &message(2) + CAUGHT_UP + ":\nid: 8\n\n" + &message(9);
        let server = TestServer::streaming([Ok(text.as_str())]);
        let ran = server.run(&["events", "account", "a.>", "--follow", "--limit", "3"]);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.notes);
        assert_eq!(
            ran.data.lines().next().unwrap(),
            "2026-11-21T10:00:00Z  account/acc-1  v1  Deposited  {\"amount\":5}"
        );
        assert_eq!(ran.data.lines().count(), 3);
        assert_eq!(ran.notes, "");
        let request = &server.requests()[0];
        assert_eq!(request.line, "GET /v1/events?decider=account&id=a.%3E");
        assert_eq!(request.headers["accept"], "text/event-stream");
        assert!(!request.headers.contains_key("last-event-id"));
    }

    #[test]
    fn a_connection_that_ends_is_made_again_behind_what_has_come_in_full() {
        let cut = message(1) + CAUGHT_UP + ":\nid: 8\n\nid: 9\nevent: Deposited\ndata: {\"eve";
        let draining = json!({"code": "draining", "status": 503});
        let server = TestServer::streaming([Ok(cut.as_str()), Err(draining), Ok(&message(9))]);
        let ran = server.run(&[
            "events", "--follow", "--limit", "2", "--after", "0", "-o", "json",
        ]);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.notes);
        let shown: Vec<Value> = ran
            .data
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(shown, [event(1), event(9)]);
        assert_eq!(
            ran.notes,
            "the host has ended the connection; connecting again, to continue after 8\nconnected again\n"
        );
        let requests = server.requests();
        let places: Vec<_> = requests
            .iter()
            .map(|request| request.headers["last-event-id"].to_str().unwrap())
            .collect();
        assert_eq!(places, ["0", "8", "8"]);
    }

    #[test]
    fn what_is_wrong_from_the_beginning_or_for_good_is_not_tried_again() {
        let refused =
            json!({"code": "malformed-request", "status": 400, "detail": "it is no position"});
        let server = TestServer::streaming([Err(refused.clone())]);
        let ran = server.run(&["events", "--follow", "--after", "x"]);
        assert_eq!(ran.exit, Exit::Error);
        assert_eq!(ran.notes, "error: it is no position\n");
        let server = TestServer::streaming([Ok(CAUGHT_UP), Err(refused)]);
        let ran = server.run(&["events", "--follow"]);
        assert_eq!(ran.exit, Exit::Error);
        assert_eq!(server.requests().len(), 2);
    }

    #[test]
    fn an_event_that_the_host_cannot_read_is_told_beside_the_others() {
        let sent = "id: 1\nevent: malformed\ndata: {\"position\":\"1\",\"stream\":\"account/a\",\"reason\":\"no\",\"raw\":\"\"}\n\n";
        let text = sent.to_owned() + &message(2);
        let server = TestServer::streaming([Ok(text.as_str())]);
        let ran = server.run(&["events", "--follow", "--limit", "1"]);
        assert_eq!(
            ran.notes,
            "warning: the event at 1 of account/a cannot be read: no\n"
        );
        assert_eq!(ran.data.lines().count(), 1);
    }
}
