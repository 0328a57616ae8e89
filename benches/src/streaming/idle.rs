//! Commands in the presence of consumers without work.

use std::time::Duration;

use anyhow::{Error, Result};
use serde_json::json;

use super::consumers::{self, Worker};
use crate::lab::{Installation, Lab, deposits, meters};
use crate::paired::{Case, Company, against_the_first};
use crate::report::Report;

/// Consumers during the load.
const CONSUMERS: u32 = 50;
/// Connections of the load.
const CONNECTIONS: usize = 64;

/// The same load without consumers, with some that have no workers, and with as many whose workers
/// wait for events that never come.
pub(super) async fn idle_consumers(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = lab.pick(10_000, 1_000);
    let mut hosts = Vec::new();
    for backend in lab.backends() {
        hosts.push(Installation::with_accounts(lab, backend, accounts).await?);
    }
    let meters = meters(&hosts).await?;
    let group = |(host, meter)| {
        let host: &Installation = host;
        let case = |consumers: String| {
            Case::new(meter, deposits(&host.requests(), accounts), CONNECTIONS)
                .label("store", host.backend.name())
                .label("consumers", consumers)
        };
        vec![
            case("none".to_owned()).beside(move || nobody(host)),
            case(format!("{CONSUMERS} idle")).beside(move || idle(host)),
            case(format!("{CONSUMERS} waiting")).beside(move || waiting(host)),
        ]
    };
    let groups = hosts.iter().zip(&meters).map(group).collect();
    let rows = against_the_first(lab, groups).await?;
    let about = format!(
        "Closed loop, {CONNECTIONS} connections, one Deposit per request, {accounts} open accounts; the same host and store in turns without consumers and with them. `idle`: they want every event, and nobody asks them. `waiting`: each has a worker that waits for events which never come (`wait_ms` 60000, again and again). Ratios are medians of those of adjacent runs."
    );
    report.section("idle-consumers", about, rows);
    Ok(())
}

fn names() -> impl Iterator<Item = String> {
    (0..CONSUMERS).map(|number| format!("bench-{number}"))
}

async fn nobody(host: &Installation) -> Result<Company> {
    for name in names() {
        consumers::delete(host, &name).await?;
    }
    Ok(Company::new())
}

async fn idle(host: &Installation) -> Result<Company> {
    let company = nobody(host).await?;
    for name in names() {
        consumers::put(host, &name, &json!({})).await?;
    }
    Ok(company)
}

async fn waiting(host: &Installation) -> Result<Company> {
    let mut company = nobody(host).await?;
    for name in names() {
        let body = json!({ "filter": { "events": ["Nothing"] }, "start": "now" });
        consumers::put(host, &name, &body).await?;
        let worker = Worker::connect(&host.requests(), &name).await?;
        company.spawn_local(wait_for_nothing(worker));
    }
    Ok(company)
}

/// Returns only a failure.
async fn wait_for_nothing(mut worker: Worker) -> Error {
    loop {
        match worker.lease(Duration::from_secs(60)).await {
            Ok((leases, _)) if leases.is_empty() => {}
            Ok(_) => return Error::msg("an event passed a filter that passes none"),
            Err(error) => return error,
        }
    }
}
