//! Closed loops: how many commands a second, by store, connections and kind of request.

use anyhow::Result;
use hyper::StatusCode;

use super::{accounts, hosts};
use crate::lab::{
    CommandKind, Installation, Lab, Meter, batch_of_deposits, command, deposits, keyed_deposits,
};
use crate::load::Workload;
use crate::paired::{Case, alternate};
use crate::report::Report;

/// Commands of one request to the batch endpoint.
const BATCH: u64 = 100;

async fn meters(hosts: &[Installation]) -> Result<Vec<Meter<'_>>> {
    let mut meters = Vec::new();
    for host in hosts {
        meters.push(host.meter().await?);
    }
    Ok(meters)
}

/// Hosts and their meters make cases.
fn cases<'a>(
    hosts: &'a [Installation],
    meters: &'a [Meter<'a>],
    make: impl Fn(&Installation, &'a Meter<'a>) -> Vec<Case<'a>>,
) -> Vec<Case<'a>> {
    let pairs = hosts.iter().zip(meters);
    pairs
        .flat_map(|(host, meter)| {
            let cases = make(host, meter).into_iter();
            cases.map(|case| case.label("store", host.backend.name()))
        })
        .collect()
}

/// One command a request, spread over all accounts.
pub(super) async fn by_connections(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = accounts(lab);
    let hosts = hosts(lab).await?;
    let meters = meters(&hosts).await?;
    let cases = cases(&hosts, &meters, |host, meter| {
        let case = |connections| {
            let workload = deposits(&host.requests(), accounts);
            Case::new(meter, workload, connections).label("connections", connections)
        };
        [1, 8, 64, 256].map(case).into()
    });
    let rows = alternate(lab, cases).await?;
    let about = format!("Closed loop, one Deposit per request, {accounts} open accounts.");
    report.section("throughput", about, rows);
    Ok(())
}

/// Many commands a request.
pub(super) async fn in_batches(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = accounts(lab);
    let hosts = hosts(lab).await?;
    let meters = meters(&hosts).await?;
    let cases = cases(&hosts, &meters, |host, meter| {
        let case = |connections| {
            let workload = batch_of_deposits(&host.requests(), accounts, BATCH);
            Case::new(meter, workload, connections).label("connections", connections)
        };
        [1, 8].map(case).into()
    });
    let rows = alternate(lab, cases).await?;
    let about = format!(
        "Closed loop, {BATCH} Deposits per request to `POST /v1/commands`, not atomic. Latencies are those of requests; 207 in a note is a batch of which a part was refused."
    );
    report.section("batch", about, rows);
    Ok(())
}

/// One command a request, all to the same account.
pub(super) async fn on_one_stream(lab: &Lab, report: &mut Report) -> Result<()> {
    let hosts = hosts(lab).await?;
    let meters = meters(&hosts).await?;
    let cases = cases(&hosts, &meters, |host, meter| {
        let workload = Workload::new(&host.requests(), |requests, _| {
            command(requests, "acc-0", CommandKind::Deposit)
        });
        vec![Case::new(meter, workload, 64).label("connections", 64)]
    });
    let rows = alternate(lab, cases).await?;
    let about = "Closed loop, Deposits to one account, no expected version. A 409 in a note is a command that lost too many races.";
    report.section("hot", about, rows);
    Ok(())
}

/// The same load with an idempotency key, and one that is rejected, beside the plain one.
pub(super) async fn variants(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = accounts(lab);
    let hosts = hosts(lab).await?;
    let meters = meters(&hosts).await?;
    let cases = cases(&hosts, &meters, |host, meter| {
        let requests = host.requests();
        let rejected = Workload::new(&requests, move |requests, number| {
            let account = crate::lab::id(crate::load::scattered(number) % accounts);
            command(requests, &account, CommandKind::DepositNothing)
        });
        let variants = [
            ("plain", deposits(&requests, accounts)),
            ("keyed", keyed_deposits(&requests, accounts)),
            (
                "rejected",
                rejected.expecting(StatusCode::UNPROCESSABLE_ENTITY),
            ),
        ];
        let case = |(name, workload)| Case::new(meter, workload, 64).label("variant", name);
        variants.map(case).into()
    });
    let rows = alternate(lab, cases).await?;
    let about = "Closed loop, 64 connections. `keyed` has an Idempotency-Key of its own on each request; `rejected` deposits nothing, which the module refuses (422, in the ledger).";
    report.section("variants", about, rows);
    Ok(())
}
