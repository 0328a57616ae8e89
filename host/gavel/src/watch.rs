//! `gavel rows --watch`: the rows of a query, and then what becomes of them.

use anyhow::Context as _;
use gavel_client::{Client, Message};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::exit::Result;
use super::following::{Followed, Following};
use super::output::Output;

/// The query to watch.
pub(super) struct WatchedRows<'a> {
    pub(super) view: &'a str,
    /// The parameters of the query.
    pub(super) parameters: Vec<(&'a str, Option<&'a str>)>,
}

#[derive(Debug, Deserialize)]
struct Change {
    key: String,
    row: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Resync {
    reason: String,
}

pub(super) async fn run(
    watched: WatchedRows<'_>,
    limit: Option<usize>,
    client: &Client,
    output: &mut Output<'_>,
) -> Result {
    let following = Following {
        followed: watched,
        client,
        output,
        after: None,
        left: limit.map_or(u64::MAX, |limit| limit as u64),
    };
    following.run().await
}

impl Followed for WatchedRows<'_> {
    fn request(&self, client: &Client) -> gavel_client::Result<RequestBuilder> {
        let path = ["v1", "views", self.view, "rows"];
        client.request_with_query(Method::GET, &path, &self.parameters)
    }

    fn show(&mut self, message: &Message, output: &mut Output<'_>) -> Result<bool> {
        let Message { event, data } = message;
        let is_change = ["upsert", "delete"].contains(&event.as_str());
        if output.is_json() {
            let name = serde_json::Value::from(event.as_str());
            output.received(&format!("{{{name}:{data}}}"))?;
            return Ok(is_change);
        }
        let unknown = "the host has sent what this version of gavel does not know";
        if is_change {
            let change: Change = serde_json::from_str(data).context(unknown)?;
            match change.row {
                Some(row) => output.text(&format!("{}  {row}", change.key))?,
                None => output.text(&format!("{}  deleted", change.key))?,
            }
        } else if event == "resync" {
            let resync: Resync = serde_json::from_str(data).context(unknown)?;
            let reason = match resync.reason.as_str() {
                "module" => "they are those of another module",
                "behind" => "there were too many changes to follow",
                "lost" => "the log was restored to an earlier state",
                _ => "rows were changed otherwise than by events",
            };
            output.note(&format!("all rows are sent again: {reason}"));
        }
        Ok(is_change)
    }

    fn place<'p>(&self, _: Option<&'p str>) -> Option<&'p str> {
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::Exit;
    use crate::test_server::TestServer;

    const TEXT: &str = "id: 1.1.7.0.0\nevent: upsert\ndata: {\"key\":\"o-1\",\"row\":{\"a\":1}}\n\n\
        id: 1.1.7.0\nevent: caught-up\ndata: {\"position\":\"1\"}\n\n\
        id: 1.1.8.0.0\nevent: resync\ndata: {\"reason\":\"module\",\"module\":\"sha256:aa\"}\n\n\
        id: 2.2.8.0\nevent: delete\ndata: {\"key\":\"o-2\"}\n\n";

    #[test]
    fn rows_are_shown_as_they_change_across_connections() {
        let again = "id: 3.3.8.0\nevent: delete\ndata: {\"key\":\"o-1\"}\n\n";
        let server = TestServer::streaming([Ok(TEXT), Ok(again)]);
        let ran = server.run(&[
            "rows", "orders", "--where", "a=1", "--watch", "--limit", "3",
        ]);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.notes);
        assert_eq!(ran.data, "o-1  {\"a\":1}\no-2  deleted\no-1  deleted\n");
        assert_eq!(
            ran.notes,
            "all rows are sent again: they are those of another module\n\
             the host has ended the connection; connecting again\nconnected again\n"
        );
        let requests = server.requests();
        assert_eq!(requests[0].line, "GET /v1/views/orders/rows?a=1");
        assert_eq!(requests[0].headers["accept"], "text/event-stream");
        assert_eq!(requests[1].headers["last-event-id"], "2.2.8.0");
    }

    #[test]
    fn for_programs_each_line_says_what_it_is() {
        let server = TestServer::streaming([Ok(TEXT)]);
        let ran = server.run(&["rows", "orders", "--watch", "--limit", "2", "-o", "json"]);
        let lines: Vec<_> = ran.data.lines().collect();
        assert_eq!(lines[0], r#"{"upsert":{"key":"o-1","row":{"a":1}}}"#);
        assert_eq!(lines[1], r#"{"caught-up":{"position":"1"}}"#);
        assert_eq!(lines[3], r#"{"delete":{"key":"o-2"}}"#);
    }
}
