//! `gavel views`: the views of a namespace, how far each is, and what one of them cannot fold.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use gavel_client::Client;
use gavel_model::{count_of, grouped};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::exit::Result;
use super::output::{Output, table};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel views\n  gavel views orders\n  gavel views pause orders",
    args_conflicts_with_subcommands = true
)]
pub(super) struct Arguments {
    /// The view to show in full; without it, all are listed.
    view: Option<String>,
    #[command(subcommand)]
    change: Option<Change>,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Pause a view: its rows stay as they are until it is resumed.
    Pause {
        /// The view.
        view: String,
    },
    /// Resume a view: it folds what came meanwhile.
    Resume {
        /// The view.
        view: String,
    },
}

#[derive(Debug, Deserialize)]
struct Page<V> {
    views: Vec<V>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct View {
    view: String,
    active: Option<Active>,
    #[serde(default)]
    paused: bool,
    rows: Option<Rows>,
    candidate: Option<Rows>,
}

#[derive(Debug, Deserialize)]
struct Active {
    digest: String,
    activation: u64,
}

#[derive(Debug, Deserialize)]
struct Rows {
    digest: String,
    position: String,
    lag: Lag,
    rows: u64,
    parked: Parked,
    built: bool,
    stalled: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Lag {
    events: u64,
    seconds: f64,
}

#[derive(Debug, Deserialize)]
struct Parked {
    rows: u64,
    events: u64,
}

#[derive(Debug, Deserialize)]
struct Details {
    #[serde(flatten)]
    view: View,
    columns: Vec<Column>,
    indexes: Vec<Vec<String>>,
    former: Vec<Rows>,
    parked_rows: Vec<ParkedRow>,
    parked_events: Vec<ParkedEvent>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct ParkedRow {
    key: String,
    event_id: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct ParkedEvent {
    event_id: String,
    reason: String,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    match (&arguments.change, &arguments.view) {
        (Some(Change::Pause { view }), _) => set_paused(view, "pause", client, output).await,
        (Some(Change::Resume { view }), _) => set_paused(view, "resume", client, output).await,
        (None, Some(view)) => show(view, client, output).await,
        (None, None) => list(client, output).await,
    }
}

async fn set_paused(view: &str, how: &str, client: &Client, output: &mut Output<'_>) -> Result {
    let request = client.request(Method::POST, &["v1", "views", view, how])?;
    let answer = client.send(request).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    let view: View = answer.parse()?;
    let state = if view.paused { "paused" } else { "not paused" };
    output.text(&format!("{} is {state}", view.view))
}

async fn show(view: &str, client: &Client, output: &mut Output<'_>) -> Result {
    let request = client.request(Method::GET, &["v1", "views", view])?;
    let answer = client.send(request).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    output.text(answer.parse::<Details>()?.in_words().trim_end())
}

async fn list(client: &Client, output: &mut Output<'_>) -> Result {
    if output.is_json() {
        let views = all::<Value>(client).await?;
        return output.json(&json!({ "views": views, "next": null }));
    }
    let views = all::<View>(client).await?;
    if views.is_empty() {
        output.note("no view is active yet");
        return Ok(());
    }
    let rows = views.iter().map(View::row);
    output.text(&table(["VIEW", "ROWS", "BEHIND", "PARKED", "MODULE"], rows))
}

/// The views of all pages.
async fn all<V: serde::de::DeserializeOwned>(client: &Client) -> Result<Vec<V>> {
    let (mut views, mut next) = (Vec::new(), None::<String>);
    loop {
        let query = [("after", next.as_deref())];
        let request = client.request_with_query(Method::GET, &["v1", "views"], &query)?;
        let page: Page<V> = client.send(request).await?.parse()?;
        views.extend(page.views);
        next = page.next;
        if next.is_none() {
            return Ok(views);
        }
    }
}

impl View {
    fn row(&self) -> [String; 5] {
        let of = |what: fn(&Rows) -> String| self.rows.as_ref().map(what).unwrap_or_default();
        let module = self.active.as_ref();
        [
            self.view.clone(),
            of(|rows| grouped(rows.rows)),
            self.behind(),
            of(|rows| grouped(rows.parked.rows + rows.parked.events)),
            module.map_or_else(|| "deactivated".to_owned(), |active| active.digest.clone()),
        ]
    }

    fn behind(&self) -> String {
        let behind = self.rows.as_ref().map(Rows::behind).unwrap_or_default();
        match self.paused {
            true => format!("{behind} (paused)"),
            false => behind,
        }
    }
}

impl Rows {
    fn behind(&self) -> String {
        match (self.lag.events, &self.stalled) {
            (0, None) => "-".to_owned(),
            (events, None) => format!("{}, {:.0} s", count_of(events, "event"), self.lag.seconds),
            (events, Some(reason)) => format!("{}: {reason}", count_of(events, "event")),
        }
    }

    fn in_words(&self) -> String {
        let state = if self.built { "" } else { ", being built" };
        format!(
            "{}  {}{state}, behind: {}, at {}",
            self.digest,
            count_of(self.rows, "row"),
            self.behind(),
            self.position
        )
    }
}

impl Details {
    fn in_words(&self) -> String {
        let View {
            view,
            active,
            paused,
            rows,
            candidate,
        } = &self.view;
        let paused = if *paused { ", paused" } else { "" };
        let mut words = match active {
            Some(active) => format!("{view} (activation {}{paused})\n", active.activation),
            None => format!("{view} (deactivated)\n"),
        };
        for (title, rows) in [("active", rows), ("candidate", candidate)] {
            if let Some(rows) = rows {
                let _ = writeln!(words, "{title:<10} {}", rows.in_words());
            }
        }
        for rows in &self.former {
            let _ = writeln!(words, "former     {}", rows.in_words());
        }
        let columns = self.columns.iter();
        let columns: Vec<_> = columns
            .map(|column| format!("{} {}", column.name, column.kind))
            .collect();
        let _ = writeln!(words, "columns    {}", columns.join(", "));
        for index in &self.indexes {
            let _ = writeln!(words, "index      {}", index.join(", "));
        }
        for row in &self.parked_rows {
            let ParkedRow {
                key,
                event_id,
                reason,
            } = row;
            let _ = writeln!(words, "parked     row {key} at event {event_id}: {reason}");
        }
        for ParkedEvent { event_id, reason } in &self.parked_events {
            let _ = writeln!(words, "parked     event {event_id}: {reason}");
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Exit;
    use super::super::test_server::TestServer;

    fn rows(events: u64, stalled: Value) -> Value {
        json!({
            "digest": "sha256:aa", "position": "032ff15", "lag": { "events": events, "seconds": 2.4 }, "rows": 1_204,
            "parked": { "rows": 1, "events": 0 }, "built": true, "stalled": stalled,
        })
    }

    fn orders() -> Value {
        json!({
            "view": "orders", "active": { "digest": "sha256:aa", "activation": 3 },
            "rows": rows(7, Value::Null), "candidate": null,
        })
    }

    #[test]
    fn views_are_listed_with_how_far_they_are() {
        let first = json!({ "views": [orders()], "next": "orders" });
        let gone = json!({ "view": "totals", "active": null, "rows": null, "candidate": null });
        let second = json!({ "views": [gone], "next": null });
        let server = TestServer::answering([(200, first), (200, second)]);
        let ran = server.run(&["views"]);
        assert_eq!(ran.exit, Exit::Done);
        for shown in [
            "orders",
            "1,204",
            "7 events, 2 s",
            "sha256:aa",
            "totals",
            "deactivated",
        ] {
            assert!(ran.data.contains(shown), "{shown}: {}", ran.data);
        }
        assert_eq!(server.requests()[1].line, "GET /v1/views?after=orders");
    }

    #[test]
    fn a_view_is_paused_and_resumed() {
        let mut paused = orders();
        paused["paused"] = true.into();
        let list = json!({ "views": [paused.clone()], "next": null });
        let server = TestServer::answering([(200, paused), (200, list), (200, orders())]);
        let ran = server.run(&["views", "pause", "orders"]);
        assert_eq!(ran.data, "orders is paused\n", "{}", ran.notes);
        let ran = server.run(&["views"]);
        assert!(ran.data.contains("7 events, 2 s (paused)"), "{}", ran.data);
        let ran = server.run(&["views", "resume", "orders"]);
        assert_eq!(ran.data, "orders is not paused\n");
        let requests = server.requests();
        assert_eq!(requests[0].line, "POST /v1/views/orders/pause");
        assert_eq!(requests[2].line, "POST /v1/views/orders/resume");
    }

    #[test]
    fn a_view_is_shown_with_what_it_cannot_fold_and_why_it_does_not_move() {
        let mut view = orders();
        view["rows"] = rows(3, "the store of rows is away".into());
        view["columns"] = json!([{ "name": "status", "type": "text" }]);
        view["indexes"] = json!([["status", "created_at"]]);
        view["former"] = json!([]);
        view["parked_rows"] = json!([{ "key": "o-1", "event_id": "e-1", "reason": "it trapped" }]);
        view["parked_events"] = json!([]);
        let server = TestServer::answering([(200, view)]);
        let ran = server.run(&["views", "orders"]);
        assert_eq!(ran.exit, Exit::Done);
        for shown in [
            "orders (activation 3)",
            "the store of rows is away",
            "status text",
            "status, created_at",
            "row o-1 at event e-1: it trapped",
        ] {
            assert!(ran.data.contains(shown), "{shown}: {}", ran.data);
        }
        assert_eq!(server.requests()[0].line, "GET /v1/views/orders");
    }
}
