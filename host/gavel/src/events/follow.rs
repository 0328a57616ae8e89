//! `gavel events --follow`: the log as it grows.

use anyhow::{Context as _, anyhow};
use gavel_client::{Client, Message};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;

use super::Arguments;
use crate::answer::Event;
use crate::exit::{Failure, Result};
use crate::following::{Followed, Following};
use crate::output::Output;

/// A stored event that the host cannot read.
#[derive(Debug, Deserialize)]
struct Malformed {
    position: String,
    stream: String,
    reason: String,
}

/// The events that are wanted.
struct LoggedEvents<'a>(&'a Arguments);

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let following = Following {
        followed: LoggedEvents(arguments),
        client,
        output,
        after: arguments.after.clone(),
        left: arguments.limit.unwrap_or(u64::MAX),
    };
    following.run().await
}

impl Followed for LoggedEvents<'_> {
    fn request(&self, client: &Client) -> gavel_client::Result<RequestBuilder> {
        let parameters = [
            ("decider", self.0.decider.as_deref()),
            ("id", self.0.id.as_deref()),
        ];
        client.request_with_query(Method::GET, &["v1", "events"], &parameters)
    }

    fn show(&mut self, message: &Message, output: &mut Output<'_>) -> Result<bool> {
        match serde_json::from_str::<Event>(&message.data) {
            Ok(_) if output.is_json() => output.received(&message.data)?,
            Ok(event) => output.text(&event.in_words_with_stream())?,
            // An event of the host's, not of a decider.
            Err(_) if message.event == "caught-up" => return Ok(false),
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
                output.note(&note);
                return Ok(false);
            }
            Err(error) => {
                let context = "an event is not what this version of gavel knows";
                return Err(Failure::Error(anyhow!(error).context(context)));
            }
        }
        Ok(true)
    }

    fn place<'p>(&self, id: Option<&'p str>) -> Option<&'p str> {
        id.or(Some("the beginning"))
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
