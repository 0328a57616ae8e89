//! `gavel events`: read the log, and follow it.

mod follow;

use anyhow::Context as _;
use clap::Args;
use gavel_client::Client;
use reqwest::Method;
use serde_json::value::RawValue;

use crate::answer::{Event, Page};
use crate::exit::Result;
use crate::output::Output;

/// The most events in one request.
const PAGE: u64 = 500;
/// The most events without `--limit`, unless the log is followed.
const DEFAULT_LIMIT: u64 = 100;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel events account acc-1\n  gavel events account --follow -o json | jq .event\n\nWith -o json each event takes one line."
)]
pub(super) struct Arguments {
    /// Only events of this decider.
    pub(super) decider: Option<String>,
    /// Only events of this stream; `*` stands for one dot-separated token, `>` for the rest.
    pub(super) id: Option<String>,
    /// Start after this position instead of at the beginning.
    #[arg(long, value_name = "POSITION")]
    pub(super) after: Option<String>,
    /// The most events to show [default: 100; without end when following].
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Continue with events that are appended later, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    if arguments.follow {
        return follow::run(arguments, client, output).await;
    }
    let mut left = arguments.limit.unwrap_or(DEFAULT_LIMIT);
    let mut after = arguments.after.clone();
    while left > 0 {
        let page = read(arguments, after.as_deref(), left.min(PAGE), client)
            .await
            .inspect_err(|_| {
                if let Some(after) = &after {
                    output.note(&format!("read so far; continue with --after {after}"));
                }
            })?;
        for event in &page.events {
            show(event, output)?;
        }
        left = left.saturating_sub(page.events.len() as u64);
        let before = after.clone();
        after = page.next.or(after);
        if page.caught_up {
            return Ok(());
        }
        if page.events.is_empty() && after == before {
            output.note("more is stored, which can be read once an older transaction has ended");
            return Ok(());
        }
    }
    if let Some(after) = after.filter(|_| arguments.limit.is_none()) {
        output.note(&format!("there is more: --after {after}"));
    }
    Ok(())
}

async fn read(
    arguments: &Arguments,
    after: Option<&str>,
    limit: u64,
    client: &Client,
) -> Result<Page> {
    let limit = limit.to_string();
    let parameters = [
        ("after", after),
        ("limit", Some(limit.as_str())),
        ("decider", arguments.decider.as_deref()),
        ("id", arguments.id.as_deref()),
    ];
    let request = client.request_with_query(Method::GET, &["v1", "events"], &parameters)?;
    Ok(client.send(request).await?.parse()?)
}

fn show(event: &RawValue, output: &mut Output<'_>) -> Result {
    if output.is_json() {
        return output.received(event.get());
    }
    let event: Event = serde_json::from_str(event.get())
        .context("an event is not what this version of gavel knows")?;
    output.text(&event.in_words_with_stream())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Exit;
    use super::super::test_server::TestServer;

    fn event(position: u64) -> Value {
        json!({
            "event_id": "0199", "previous_id": null, "event": "Deposited", "schema_version": 1, "decider": "account", "id": "acc-1",
            "version": position, "position": position.to_string(), "data": {"amount": 5}, "final": false, "command_id": "0199",
            "metadata": {}, "created_at": "2026-11-21T10:00:00Z",
        })
    }

    fn page(positions: &[u64], caught_up: bool) -> (u16, Value) {
        let events: Vec<_> = positions.iter().map(|position| event(*position)).collect();
        let next = positions.last().map(ToString::to_string);
        (
            200,
            json!({"events": events, "next": next, "caught_up": caught_up}),
        )
    }

    #[test]
    fn the_log_is_read_page_by_page_to_its_end() {
        let server = TestServer::answering([page(&[1, 2], false), page(&[3], true)]);
        let ran = server.run(&["events", "account", "acc-1", "--after", "0"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(ran.data.lines().count(), 3);
        assert_eq!(
            ran.data.lines().next().unwrap(),
            "2026-11-21T10:00:00Z  account/acc-1  v1  Deposited  {\"amount\":5}"
        );
        let [first, second] = &server.requests()[..] else {
            panic!("two requests")
        };
        assert_eq!(
            first.line,
            "GET /v1/events?after=0&limit=100&decider=account&id=acc-1"
        );
        assert_eq!(
            second.line,
            "GET /v1/events?after=2&limit=98&decider=account&id=acc-1"
        );
    }

    #[test]
    fn when_the_limit_cuts_the_log_the_place_to_go_on_is_told() {
        let positions: Vec<u64> = (1..=100).collect();
        let server = TestServer::answering([page(&positions, false)]);
        let ran = server.run(&["events"]);
        assert_eq!(ran.data.lines().count(), 100);
        assert_eq!(ran.notes, "there is more: --after 100\n");
    }

    #[test]
    fn what_is_withheld_is_told_and_not_waited_for() {
        let nothing = || (200, json!({"events": [], "next": "3", "caught_up": false}));
        let server = TestServer::answering([page(&[3], false), nothing()]);
        let ran = server.run(&["events"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(ran.data.lines().count(), 1);
        assert_eq!(
            ran.notes,
            "more is stored, which can be read once an older transaction has ended\n"
        );
    }

    #[test]
    fn for_programs_each_event_takes_one_line() {
        let server = TestServer::answering([page(&[1, 2], true)]);
        let ran = server.run(&["events", "-o", "json"]);
        let lines: Vec<Value> = ran
            .data
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines, [event(1), event(2)]);
    }
}
