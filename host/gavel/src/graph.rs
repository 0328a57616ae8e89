//! `gavel graph`: who writes, who sends and who reads.

use std::collections::BTreeSet;

use clap::Args;
use gavel_client::Client;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::exit::Result;
use super::output::{Output, table};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  gavel graph\n  gavel graph -o json | jq '.modules[].writes'")]
pub(super) struct Arguments {}

/// A page of the graph.
#[derive(Debug, Deserialize)]
struct Page<M, C> {
    modules: Vec<M>,
    consumers: Vec<C>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct GraphModule {
    kind: String,
    name: String,
    writes: Vec<LinkedEvent>,
    reads: Vec<LinkedEvent>,
    sends: Vec<SentCommand>,
}

#[derive(Debug, Deserialize)]
struct LinkedEvent {
    /// The decider that writes it; none where that is the module itself.
    #[serde(default)]
    decider: Option<String>,
    event: String,
    schema_versions: BTreeSet<u32>,
}

#[derive(Debug, Deserialize)]
struct SentCommand {
    decider: String,
    command: String,
}

#[derive(Debug, Deserialize)]
struct GraphConsumer {
    name: String,
    filter: Filter,
}

/// The events that a consumer reads. An empty list is no condition.
#[derive(Debug, Deserialize)]
struct Filter {
    deciders: Vec<String>,
    events: Vec<String>,
    tags: Vec<String>,
}

pub(super) async fn run(_: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    if output.is_json() {
        let (modules, consumers) = all::<Value, Value>(client).await?;
        let graph = json!({ "modules": modules, "consumers": consumers, "next": null });
        return output.json(&graph);
    }
    let (modules, consumers) = all::<GraphModule, GraphConsumer>(client).await?;
    if modules.is_empty() && consumers.is_empty() {
        output.note("nothing is active yet, and nothing reads");
        return Ok(());
    }
    let rows = modules.iter().flat_map(GraphModule::rows);
    let rows = rows.chain(consumers.iter().map(GraphConsumer::row));
    output.text(&table(["KIND", "NAME", "DOES", "WHAT"], rows))
}

/// The modules and the consumers of all pages.
async fn all<M: DeserializeOwned, C: DeserializeOwned>(
    client: &Client,
) -> Result<(Vec<M>, Vec<C>)> {
    let (mut modules, mut consumers) = (Vec::new(), Vec::new());
    let mut next: Option<String> = None;
    loop {
        let request = client.request(Method::GET, &["v1", "graph"])?;
        let request = match &next {
            Some(after) => request.query(&[("after", after)]),
            None => request,
        };
        let page: Page<M, C> = client.send(request).await?.parse()?;
        modules.extend(page.modules);
        consumers.extend(page.consumers);
        next = page.next;
        if next.is_none() {
            return Ok((modules, consumers));
        }
    }
}

impl GraphModule {
    /// The lines of the table: one for each event and command.
    fn rows(&self) -> impl Iterator<Item = [String; 4]> {
        let row = |does: &str, what| [self.kind.clone(), self.name.clone(), does.to_owned(), what];
        let writes = self
            .writes
            .iter()
            .map(move |event| row("writes", event.in_words()));
        let reads = self
            .reads
            .iter()
            .map(move |event| row("reads", event.in_words()));
        let sends = self
            .sends
            .iter()
            .map(move |command| row("sends", format!("{} {}", command.decider, command.command)));
        writes.chain(reads).chain(sends)
    }
}

impl LinkedEvent {
    fn in_words(&self) -> String {
        let decider = self.decider.iter().map(|decider| format!("{decider} "));
        let versions: Vec<String> = self.schema_versions.iter().map(u32::to_string).collect();
        format!(
            "{}{} version {}",
            decider.collect::<String>(),
            self.event,
            versions.join(", ")
        )
    }
}

impl GraphConsumer {
    fn row(&self) -> [String; 4] {
        let Filter {
            deciders,
            events,
            tags,
        } = &self.filter;
        let one_of = |all: &str, names: &[String]| match names {
            [] => all.to_owned(),
            names => names.join(" or "),
        };
        let mut what = format!(
            "{} of {}",
            one_of("all events", events),
            one_of("all deciders", deciders)
        );
        if !tags.is_empty() {
            what.push_str(&format!(" with the tags {}", tags.join(" and ")));
        }
        let kind = "consumer".to_owned();
        [kind, self.name.clone(), "reads".to_owned(), what]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Exit;
    use super::super::test_server::TestServer;

    fn pages() -> [(u16, Value); 2] {
        let order = json!({
            "kind": "decider", "name": "order", "digest": "sha256:aa", "activation": 1,
            "writes": [{ "event": "Placed", "schema_versions": [1, 2] }], "reads": [], "sends": [],
        });
        let shipping = json!({
            "kind": "process", "name": "shipping", "digest": "sha256:bb", "activation": 2, "writes": [],
            "reads": [{ "decider": "order", "event": "Placed", "schema_versions": [1] }],
            "sends": [{ "decider": "parcel", "command": "Send" }],
        });
        let consumers = json!([
            { "name": "audit", "filter": { "deciders": [], "events": [], "tags": [] } },
            { "name": "mail", "filter": { "deciders": ["order"], "events": ["Placed", "Paid"], "tags": ["vip"] } },
        ]);
        [
            (
                200,
                json!({ "modules": [order], "consumers": [], "next": "decider/order" }),
            ),
            (
                200,
                json!({ "modules": [shipping], "consumers": consumers, "next": null }),
            ),
        ]
    }

    #[test]
    fn the_graph_is_shown_a_line_for_each_event_and_command() {
        let server = TestServer::answering(pages());
        let ran = server.run(&["graph"]);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.notes);
        let lines: Vec<Vec<&str>> = ran
            .data
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(
            lines,
            [
                vec!["KIND", "NAME", "DOES", "WHAT"],
                vec!["decider", "order", "writes", "Placed version 1, 2"],
                vec!["process", "shipping", "reads", "order Placed version 1"],
                vec!["process", "shipping", "sends", "parcel Send"],
                vec!["consumer", "audit", "reads", "all events of all deciders"],
                vec![
                    "consumer",
                    "mail",
                    "reads",
                    "Placed or Paid of order with the tags vip"
                ],
            ]
        );
        let requests = server.requests();
        assert_eq!(requests[0].line, "GET /v1/graph");
        assert_eq!(requests[1].line, "GET /v1/graph?after=decider%2Forder");
    }

    #[test]
    fn programs_get_all_pages_as_one() {
        let server = TestServer::answering(pages());
        let ran = server.run(&["graph", "-o", "json"]);
        let graph: Value = serde_json::from_str(&ran.data).unwrap();
        assert_eq!(graph["modules"].as_array().unwrap().len(), 2);
        assert_eq!(graph["consumers"][0]["name"], "audit");
        assert_eq!(graph["next"], Value::Null);
    }
}
