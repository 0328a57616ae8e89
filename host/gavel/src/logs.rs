//! `gavel logs`: what the modules of a decider or a view have written to stdout and stderr.

use anyhow::Context as _;
use clap::Args;
use gavel_client::Client;
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde::Deserialize;

use super::active;
use super::exit::Result;
use super::lines::{Lines, MEDIA_TYPE};
use super::output::Output;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel logs account\n  gavel logs account -f --tail 0\n\nA host keeps the newest in memory: ask each host for its own. With -o json each output takes one line."
)]
pub(super) struct Arguments {
    /// The decider or view.
    name: String,
    /// Continue with output that is written later, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// Show only so many of the lines that the host keeps: the newest.
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
}

/// The output of a module in one piece of work.
#[derive(Debug, Deserialize)]
struct Written {
    time: String,
    /// The stream; none of a view, which works on many at once.
    id: Option<String>,
    text: String,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    tokio::select! {
        shown = show_all(arguments, client, output) => shown,
        interrupted = tokio::signal::ctrl_c(), if arguments.follow => {
            Ok(interrupted.context("cannot listen for signals")?)
        }
    }
}

async fn show_all(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let tail = arguments.tail.map(|tail| tail.to_string());
    let parameters = [
        ("follow", arguments.follow.then_some("true")),
        ("tail", tail.as_deref()),
    ];
    let name = arguments.name.as_str();
    let response = active::of_any_kind(name, async |collection| {
        let path = ["v1", collection, name, "logs"];
        let request = client.request_with_query(Method::GET, &path, &parameters)?;
        client.open(request.header(ACCEPT, MEDIA_TYPE)).await
    });
    let mut lines = Lines::of(response.await?);
    while let Some(line) = lines.next().await? {
        if output.is_json() {
            output.received(&line)?;
            continue;
        }
        let written: Written = serde_json::from_str(&line)
            .context("the answer is not what this version of gavel knows")?;
        let id = written.id.map(|id| format!("  {id}")).unwrap_or_default();
        for line in written.text.lines() {
            output.text(&format!("{}{id}  {line}", written.time))?;
        }
    }
    if arguments.follow {
        output.note("the host has ended the connection");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Exit;
    use super::super::test_server::TestServer;

    #[test]
    fn each_line_stands_behind_its_time_and_stream_without_control_characters() {
        let written = json!({
            "time": "2026-11-21T10:00:00Z", "decider": "account", "id": "acc-1", "command_id": null, "module": "sha256:aa",
            "text": "one\n\u{1b}[2Jtwo\n",
        });
        let lines = format!("\n{written}\n");
        let server = TestServer::streaming([Ok(lines.as_str()), Ok(lines.as_str())]);
        let ran = server.run(&["logs", "account", "--tail", "5"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(
            ran.data,
            "2026-11-21T10:00:00Z  acc-1  one\n2026-11-21T10:00:00Z  acc-1  \\u{1b}[2Jtwo\n"
        );
        let ran = server.run(&["logs", "account", "-f", "-o", "json"]);
        assert_eq!(ran.data, format!("{written}\n"));
        let lines: Vec<_> = server.requests().into_iter().map(|it| it.line).collect();
        assert_eq!(
            lines,
            [
                "GET /v1/deciders/account/logs?tail=5",
                "GET /v1/deciders/account/logs?follow=true"
            ]
        );
    }
}
