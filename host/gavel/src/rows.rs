//! `gavel rows`: the rows of a view, or one of them.

use anyhow::Context as _;
use clap::Args;
use gavel_client::Client;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::Event;
use super::exit::{Failure, Result};
use super::output::Output;
use super::watch::{self, WatchedRows};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel rows orders\n  gavel rows orders o-17\n  gavel rows orders o-17 --why\n  gavel rows orders o-17 --at 2026-11-01T00:00:00Z\n  gavel rows orders --where status=open --order -created_at\n  gavel rows orders --where status=open --watch\n\nConditions and orders are those that an index of the view answers: `gavel views VIEW` lists the indexes."
)]
pub(super) struct Arguments {
    /// The view.
    view: String,
    /// The key of a single row.
    key: Option<String>,
    /// A condition on a member: NAME=VALUE, NAME.gte=VALUE and so on (gt, gte, lt, lte).
    #[arg(long = "where", value_name = "CONDITION", conflicts_with = "key")]
    conditions: Vec<String>,
    /// The member that rows are ordered by, with - before it from the greatest on.
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "key",
        allow_hyphen_values = true
    )]
    order: Option<String>,
    /// The most rows to show, or events with --why [default: 100; without end when watching].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Continue with rows as they change, or are deleted, until Ctrl-C.
    #[arg(short, long, conflicts_with = "key")]
    watch: bool,
    /// Show the row with all that is stored, however far the view has come.
    #[arg(long, requires = "key", conflicts_with_all = ["at", "module"])]
    fresh: bool,
    /// Show the row at this time (RFC 3339).
    #[arg(long, value_name = "TIME", requires = "key")]
    at: Option<String>,
    /// Fold the row with this module instead of the active one.
    #[arg(long, value_name = "DIGEST", requires = "key")]
    module: Option<String>,
    /// Show the events of the row, and the row after each.
    #[arg(long, requires = "key", conflicts_with_all = ["fresh", "at", "module"])]
    why: bool,
}

/// The most rows without `--limit`, unless they are watched.
const DEFAULT_LIMIT: usize = 100;

#[derive(Debug, Deserialize)]
struct Page {
    rows: Vec<Row>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Row {
    key: String,
    row: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
struct Steps {
    steps: Vec<Box<RawValue>>,
    parked: Option<Parked>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Step {
    event: Event,
    row: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Parked {
    reason: String,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    match &arguments.key {
        Some(key) if arguments.why => explain(arguments, key, client, output).await,
        Some(key) => show(arguments, key, client, output).await,
        None => list(arguments, client, output).await,
    }
}

async fn show(
    arguments: &Arguments,
    key: &str,
    client: &Client,
    output: &mut Output<'_>,
) -> Result {
    let parameters = [
        ("_at", arguments.at.as_deref()),
        ("_module", arguments.module.as_deref()),
        ("_fresh", arguments.fresh.then_some("true")),
    ];
    let path = ["v1", "views", &arguments.view, "rows", key];
    let request = client.request_with_query(Method::GET, &path, &parameters)?;
    let answer = client.send(request).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    let row: Value = answer.parse()?;
    output.text(&serde_json::to_string_pretty(&row).context("cannot show the row")?)
}

async fn explain(
    arguments: &Arguments,
    key: &str,
    client: &Client,
    output: &mut Output<'_>,
) -> Result {
    let path = ["v1", "views", &arguments.view, "rows", key, "why"];
    let (mut left, mut next) = (arguments.limit.unwrap_or(DEFAULT_LIMIT), None::<String>);
    while left > 0 {
        let limit = left.min(1_000).to_string();
        let query = [("limit", Some(&*limit)), ("after", next.as_deref())];
        let request = client.request_with_query(Method::GET, &path, &query)?;
        let answer = client.send(request).await?;
        let page: Steps = answer.parse()?;
        for step in &page.steps {
            if output.is_json() {
                output.received(step.get())?;
                continue;
            }
            let Step { event, row } =
                serde_json::from_str(step.get()).context("cannot read a step")?;
            let row = row.as_ref().map_or("no row", |row| row.get());
            output.text(&format!("{}\n  -> {row}", event.in_words_with_stream()))?;
        }
        if let Some(Parked { reason }) = page.parked {
            output.note(&format!("the row cannot fold the last event: {reason}"));
        }
        left = left.saturating_sub(page.steps.len());
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
    output.note("there are more: --limit shows them");
    Ok(())
}

async fn list(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    let path = ["v1", "views", &arguments.view, "rows"];
    let mut conditions = Vec::with_capacity(arguments.conditions.len());
    for condition in &arguments.conditions {
        let (name, value) = condition.split_once('=').ok_or_else(|| {
            Failure::Usage(format!(
                "--where {condition} is no condition: give NAME=VALUE"
            ))
        })?;
        conditions.push((name, Some(value)));
    }
    if arguments.watch {
        conditions.push(("_order", arguments.order.as_deref()));
        let watched = WatchedRows {
            view: &arguments.view,
            parameters: conditions,
        };
        return watch::run(watched, arguments.limit, client, output).await;
    }
    let (mut left, mut next) = (arguments.limit.unwrap_or(DEFAULT_LIMIT), None::<String>);
    let mut shown = false;
    while left > 0 {
        let limit = left.min(1_000).to_string();
        let mut query = conditions.clone();
        query.push(("_order", arguments.order.as_deref()));
        query.push(("_limit", Some(&limit)));
        query.push(("_after", next.as_deref()));
        let request = client.request_with_query(Method::GET, &path, &query)?;
        let answer = client.send(request).await?;
        let page: Page = answer.parse()?;
        for Row { key, row } in &page.rows {
            shown = true;
            match output.is_json() {
                true => output.json(&serde_json::json!({ "key": key, "row": row }))?,
                false => output.text(&format!("{key}  {row}"))?,
            }
        }
        left = left.saturating_sub(page.rows.len());
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    if !shown && !output.is_json() {
        output.note("no rows");
    }
    if next.is_some() {
        output.note("there are more: --limit shows them");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Exit;
    use super::super::test_server::TestServer;

    #[test]
    fn one_row_is_shown_whole() {
        let server = TestServer::answering([(200, json!({ "status": "open" }))]);
        let ran = server.run(&["rows", "orders", "o 1"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(ran.data, "{\n  \"status\": \"open\"\n}\n");
        assert_eq!(server.requests()[0].line, "GET /v1/views/orders/rows/o%201");
    }

    #[test]
    fn a_row_is_asked_for_as_it_was_or_as_it_is_right_now() {
        for (arguments, query) in [
            (
                ["--at", "2026-11-01T00:00:00Z"].as_slice(),
                "_at=2026-11-01T00%3A00%3A00Z",
            ),
            (&["--module", "sha256:aa"], "_module=sha256%3Aaa"),
            (&["--fresh"], "_fresh=true"),
        ] {
            let server = TestServer::answering([(200, json!({ "status": "open" }))]);
            let ran = server.run(&[["rows", "orders", "o-1"].as_slice(), arguments].concat());
            assert_eq!(ran.exit, Exit::Done);
            let line = format!("GET /v1/views/orders/rows/o-1?{query}");
            assert_eq!(server.requests()[0].line, line);
        }
    }

    #[test]
    fn the_events_of_a_row_are_shown_with_the_row_after_each() {
        let page = |number: u64, row: serde_json::Value, next: Option<&str>| {
            let event = json!({
                "event": "Opened", "decider": "order", "id": "o-1", "version": number, "data": {},
                "created_at": "2026-11-21T10:00:00Z",
            });
            let steps = json!([{ "event": event, "row": row }]);
            let parked = next.is_none().then(|| json!({ "reason": "why not" }));
            (
                200,
                json!({ "key": "o-1", "steps": steps, "parked": parked, "next": next }),
            )
        };
        let row = json!({ "a": 1 });
        let server = TestServer::answering([page(1, row, Some("7b")), page(2, json!(null), None)]);
        let ran = server.run(&["rows", "orders", "o-1", "--why"]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(
            ran.data,
            "2026-11-21T10:00:00Z  order/o-1  v1  Opened  {}\n  -> {\"a\":1}\n\
             2026-11-21T10:00:00Z  order/o-1  v2  Opened  {}\n  -> no row\n"
        );
        assert!(ran.notes.contains("why not"), "{}", ran.notes);
        let lines = server.requests().into_iter().map(|request| request.line);
        let path = "GET /v1/views/orders/rows/o-1/why";
        let expected = [
            format!("{path}?limit=100"),
            format!("{path}?limit=99&after=7b"),
        ];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn rows_are_read_page_by_page_up_to_the_limit() {
        let page = |key: &str, next: Option<&str>| {
            (
                200,
                json!({ "rows": [{ "key": key, "row": { "a": 1 } }], "next": next }),
            )
        };
        let server = TestServer::answering([page("o-1", Some("7b")), page("o-2", Some("7c"))]);
        let ran = server.run(&[
            "rows", "orders", "--where", "a.gte=1", "--order", "-a", "--limit", "2",
        ]);
        assert_eq!(ran.exit, Exit::Done);
        assert_eq!(ran.data, "o-1  {\"a\":1}\no-2  {\"a\":1}\n");
        assert!(ran.notes.contains("there are more"), "{}", ran.notes);
        let lines: Vec<_> = server
            .requests()
            .iter()
            .map(|request| request.line.clone())
            .collect();
        assert_eq!(
            lines[0],
            "GET /v1/views/orders/rows?a.gte=1&_order=-a&_limit=2"
        );
        assert_eq!(
            lines[1],
            "GET /v1/views/orders/rows?a.gte=1&_order=-a&_limit=1&_after=7b"
        );
    }

    #[test]
    fn a_condition_without_a_value_is_a_usage_error() {
        let server = TestServer::answering([]);
        assert_eq!(
            server.run(&["rows", "orders", "--where", "a"]).exit,
            Exit::Usage
        );
    }
}
