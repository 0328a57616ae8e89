//! `gavel rows`: the rows of a view, or one of them.

use anyhow::Context as _;
use clap::Args;
use gavel_client::Client;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::exit::{Failure, Result};
use super::output::Output;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel rows orders\n  gavel rows orders o-17\n  gavel rows orders --where status=open --order -created_at\n\nConditions and orders are those that an index of the view answers: `gavel views VIEW` lists the indexes."
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
    /// The most rows to show.
    #[arg(long, default_value_t = 100, conflicts_with = "key")]
    limit: usize,
}

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

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    match &arguments.key {
        Some(key) => show(&arguments.view, key, client, output).await,
        None => list(arguments, client, output).await,
    }
}

async fn show(view: &str, key: &str, client: &Client, output: &mut Output<'_>) -> Result {
    let request = client.request(Method::GET, &["v1", "views", view, "rows", key])?;
    let answer = client.send(request).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    let row: Value = answer.parse()?;
    output.text(&serde_json::to_string_pretty(&row).context("cannot show the row")?)
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
    let (mut left, mut next) = (arguments.limit, None::<String>);
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
