//! Subscribers that are connected and receive nothing: their cost in memory, and the cost of
//! commands next to them.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::followers::{self, Idle};
use crate::lab::{Backend, Installation, Lab, Meter, deposits, meters};
use crate::load::Connection;
use crate::paired::{Case, Company, against_the_first};
use crate::report::{Report, Row};

/// Subscribers that never read.
const STUCK: usize = 10;
/// Connections of the load.
const CONNECTIONS: usize = 64;
/// The time until the system's buffers for subscribers that never read are full.
const UNTIL_STUCK: Duration = Duration::from_secs(2);

/// The memory with and without subscribers; then the same load in turns with and without them.
pub(super) async fn memory_and_commands(lab: &Lab, report: &mut Report) -> Result<()> {
    /// Events of one imported stream.
    const STREAM: u64 = 1_000;
    let (accounts, streams, count) = (
        lab.pick(10_000, 1_000),
        lab.pick(200, 20),
        lab.pick(1_000, 100),
    );
    let mut hosts = Vec::new();
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let mut host = Installation::with_accounts(lab, backend, accounts).await?;
        host.make_streams("old", streams, STREAM).await?;
        // What importing took is not what an idle host needs.
        host.restart().await?;
        rows.extend(memory(&host, backend, count).await?);
        hosts.push(host);
    }
    let stored = accounts + streams * STREAM;
    let about = format!(
        "Resident memory of the host process, from `/proc`, with {stored} stored events. `idle`: they follow a namespace in which nothing happens. `stuck`: they want all events from the first one, and never read. `subscriptions` is what the host counts."
    );
    report.section("subscribers", about, rows);

    let meters = meters(&hosts).await?;
    let group = |(host, meter)| cases(host, meter, accounts, count);
    let groups = hosts.iter().zip(&meters).map(group).collect();
    let rows = against_the_first(lab, groups).await?;
    let about = format!(
        "Closed loop, {CONNECTIONS} connections, one Deposit per request, {accounts} open accounts, on the same hosts in turns without subscribers and beside them. `filtered`: idle ones that follow the log which grows, with a filter that nothing passes. They are opened anew for each run, because the host cuts off those that take nothing for 30 s. Ratios are medians of those of adjacent runs."
    );
    report.section("commands beside subscribers", about, rows);
    Ok(())
}

async fn memory(host: &Installation, backend: Backend, count: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut add = async |subscribers: String| {
        let (now, most) = host.resident_mb()?;
        rows.push(Row {
            labels: vec![
                ("store", backend.name().to_owned()),
                ("subscribers", subscribers),
            ],
            figures: vec![
                ("rss_mb", now),
                ("peak_rss_mb", most),
                ("subscriptions", subscriptions(host).await?),
            ],
            note: String::new(),
        });
        anyhow::Ok(())
    };
    add("none".to_owned()).await?;
    let mut company = followers::idle(host, count, Idle::QuietNamespace).await?;
    add(format!("{count} idle")).await?;
    followers::add_stuck(&mut company, host, STUCK).await?;
    tokio::time::sleep(UNTIL_STUCK).await;
    add(format!("{count} idle, {STUCK} stuck")).await?;
    Ok(rows)
}

/// The number of subscriptions by server-sent events, as the host reports it.
async fn subscriptions(host: &Installation) -> Result<f64> {
    let mut connection = Connection::open(host.server().address()).await?;
    let (_, body) = connection.send(host.requests().get("/metrics")).await?;
    let text = String::from_utf8_lossy(&body);
    let line = text
        .lines()
        .find(|line| line.starts_with("gavel_subscriptions{") && line.contains("\"sse\""));
    // There is no line before the first subscription.
    let Some((_, value)) = line.and_then(|line| line.rsplit_once(' ')) else {
        return Ok(0.0);
    };
    value.parse().context("a metric is a number")
}

fn cases<'a>(
    host: &'a Installation,
    meter: &'a Meter<'a>,
    accounts: u64,
    count: usize,
) -> Vec<Case<'a>> {
    let case = |subscribers: String| {
        Case::new(meter, deposits(&host.requests(), accounts), CONNECTIONS)
            .label("store", host.backend.name())
            .label("subscribers", subscribers)
    };
    vec![
        case("none".to_owned()),
        case(format!("{count} idle"))
            .beside(move || followers::idle(host, count, Idle::QuietNamespace)),
        case(format!("{count} idle, {STUCK} stuck")).beside(move || idle_and_stuck(host, count)),
        case(format!("{count} filtered"))
            .beside(move || followers::idle(host, count, Idle::Filter)),
    ]
}

async fn idle_and_stuck(host: &Installation, count: usize) -> Result<Company> {
    let mut company = followers::idle(host, count, Idle::QuietNamespace).await?;
    followers::add_stuck(&mut company, host, STUCK).await?;
    Ok(company)
}
