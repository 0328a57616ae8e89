//! Closed loops: commands per second, by store, connections and kind of request.

use anyhow::Result;
use hyper::StatusCode;

use super::{accounts, hosts};
use crate::lab::{
    self, Backend, Build, CommandKind, Installation, Lab, Meter, batch_of_deposits, command,
    deposits, keyed_deposits, meters,
};
use crate::load::{Workload, scattered};
use crate::paired::{Case, against_the_first, alternate};
use crate::report::{Report, Row};

/// Commands of one request to the batch endpoint.
const BATCH: u64 = 100;

/// The cases of all hosts, as many for each, in an order in which the stores alternate.
fn cases<'a, const N: usize>(
    hosts: &'a [Installation],
    meters: &'a [Meter<'a>],
    make: impl Fn(&Installation, &dyn Fn(Workload, usize) -> Case<'a>) -> [Case<'a>; N],
) -> Vec<Case<'a>> {
    let mut by_host: Vec<_> = hosts
        .iter()
        .zip(meters)
        .map(|(host, meter)| {
            let case = |workload, connections| {
                Case::new(meter, workload, connections)
                    .label("store", host.backend.name())
                    .label("connections", connections)
            };
            make(host, &case).into_iter()
        })
        .collect();
    (0..N)
        .flat_map(|_| {
            by_host
                .iter_mut()
                .filter_map(Iterator::next)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Requests of one command each, spread over all accounts.
pub(super) async fn by_connections(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = accounts(lab);
    let hosts = hosts(lab).await?;
    let meters = meters(&hosts).await?;
    let cases = cases(&hosts, &meters, |host, case| {
        let workload = || deposits(&host.requests(), accounts);
        [1, 8, 64, 256].map(|connections| case(workload(), connections))
    });
    let rows = alternate(lab, cases).await?;
    let about = format!("Closed loop, one Deposit per request, {accounts} open accounts.");
    report.section("throughput", about, rows);
    Ok(())
}

/// The same load on another `gavel`, in pairs.
pub(super) async fn against_another(lab: &Lab, report: &mut Report) -> Result<()> {
    let Some(another) = lab.against() else {
        return Ok(());
    };
    let rows = in_pairs(lab, [("against", another), ("this", lab.build())]).await?;
    let about = format!(
        "Closed loop, one Deposit per request or {BATCH}, {} open accounts: this `gavel` beside another one, each on a store of its own.",
        accounts(lab)
    );
    report.section("against", about, rows);
    Ok(())
}

/// The same load on a host with the account compiled in, in pairs.
pub(super) async fn sandbox_tax(lab: &Lab, report: &mut Report) -> Result<()> {
    let Some(native) = lab.native() else {
        return Ok(());
    };
    let rows = in_pairs(lab, [("native", native), ("sandboxed", lab.build())]).await?;
    let about = format!(
        "Closed loop, one Deposit per request or {BATCH}, {} open accounts: the account in its sandbox beside the same one compiled into the host, each on a store of its own.",
        accounts(lab)
    );
    report.section("sandbox", about, rows);
    Ok(())
}

/// Deposits to each of two `gavel`s in turns, and the ratios to the first one.
async fn in_pairs(lab: &Lab, gavels: [(&str, Build<'_>); 2]) -> Result<Vec<Row>> {
    let accounts = accounts(lab);
    let mut hosts = Vec::new();
    for backend in lab.backends() {
        for (_, build) in gavels {
            hosts.push(Installation::of_with_accounts(build, lab, backend, accounts).await?);
        }
    }
    let meters = meters(&hosts).await?;
    let mut groups = Vec::new();
    for (hosts, meters) in hosts.chunks(gavels.len()).zip(meters.chunks(gavels.len())) {
        for (connections, batch) in [(8, 1), (64, 1), (8, BATCH)] {
            let pair = hosts.iter().zip(meters).zip(gavels);
            let pair = pair.map(|((host, meter), (name, _))| {
                let workload = match batch {
                    1 => deposits(&host.requests(), accounts),
                    _ => batch_of_deposits(&host.requests(), accounts, batch),
                };
                Case::new(meter, workload, connections)
                    .label("store", host.backend.name())
                    .label("connections", connections)
                    .label("batch", batch)
                    .label("gavel", name)
            });
            groups.push(pair.collect());
        }
    }
    against_the_first(lab, groups).await
}

/// The same load on two hosts of each `gavel`, in pairs.
pub(super) async fn two_hosts(lab: &Lab, report: &mut Report) -> Result<()> {
    let Some(another) = lab.against() else {
        return Ok(());
    };
    let accounts = accounts(lab);
    let gavels = [("against", another), ("this", lab.build())];
    let (mut hosts, mut beside) = (Vec::new(), Vec::new());
    for (_, build) in gavels {
        let host = Installation::of_with_accounts(build, lab, Backend::Postgres, accounts).await?;
        beside.push(host.another_host().await?);
        hosts.push(host);
    }
    let meters = meters(&hosts).await?;
    let groups = [8, 64].map(|connections| {
        let hosts = hosts.iter().zip(&beside).zip(&meters).zip(gavels);
        let pair = hosts.map(|(((host, beside), meter), (name, _))| {
            let workload = deposits(&host.requests(), accounts).and_to(beside.address());
            Case::new(meter, workload, connections)
                .label("connections", connections)
                .label("gavel", name)
        });
        pair.collect()
    });
    let rows = against_the_first(lab, groups.into()).await?;
    let about = format!(
        "Closed loop, one Deposit per request, {accounts} open accounts: two hosts of this `gavel` on one database beside two of another one, each connection to one of the two, all accounts to both. The `app_` columns are those of the first host."
    );
    report.section("two-hosts", about, rows);
    Ok(())
}

/// Requests of many commands each.
pub(super) async fn in_batches(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = accounts(lab);
    let hosts = hosts(lab).await?;
    let meters = meters(&hosts).await?;
    let cases = cases(&hosts, &meters, |host, case| {
        let workload = || batch_of_deposits(&host.requests(), accounts, BATCH);
        [1, 8, 32].map(|connections| case(workload(), connections))
    });
    let rows = alternate(lab, cases).await?;
    let about = format!(
        "Closed loop, {BATCH} Deposits per request to `POST /v1/commands`, not atomic. Latencies are those of requests; 207 in a note is a batch of which a part was refused."
    );
    report.section("batch", about, rows);
    Ok(())
}

/// Requests of one command each, all to the same account.
pub(super) async fn on_one_stream(lab: &Lab, report: &mut Report) -> Result<()> {
    let hosts = hosts(lab).await?;
    let meters = meters(&hosts).await?;
    let cases = cases(&hosts, &meters, |host, case| {
        let workload = Workload::new(&host.requests(), |requests, _| {
            command(requests, "acc-0", CommandKind::Deposit)
        });
        [case(workload, 64)]
    });
    let rows = alternate(lab, cases).await?;
    let about = "Closed loop, Deposits to one account, no expected version. A 409 in a note is a command that lost too many races.";
    report.section("hot", about, rows);
    Ok(())
}

/// The same load with an idempotency key, and a rejected one, next to the plain one.
pub(super) async fn variants(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = accounts(lab);
    let hosts = hosts(lab).await?;
    let meters = meters(&hosts).await?;
    let cases = cases(&hosts, &meters, |host, case| {
        let requests = host.requests();
        let rejected = Workload::new(&requests, move |requests, number| {
            let account = lab::id(scattered(number) % accounts);
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
        variants.map(|(name, workload)| case(workload, 64).label("variant", name))
    });
    let rows = alternate(lab, cases).await?;
    let about = "Closed loop. `keyed` has an Idempotency-Key of its own on each request; `rejected` deposits nothing, which the module refuses (422, in the ledger).";
    report.section("variants", about, rows);
    Ok(())
}
