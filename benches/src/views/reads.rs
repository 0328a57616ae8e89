//! Reads of rows by key.

use anyhow::Result;

use super::deploy;
use crate::lab::{self, Installation, Lab, meters};
use crate::load::{Workload, scattered};
use crate::paired::{Case, alternate};
use crate::report::Report;

/// Reads over one connection and over many, plain and fresh.
pub(super) async fn one_and_many(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = lab.pick(10_000, 1_000);
    let mut hosts = Vec::new();
    for backend in lab.backends() {
        let host = Installation::with_accounts(lab, backend, accounts).await?;
        deploy(lab, &host, "balance").await?;
        hosts.push(host);
    }
    let meters = meters(&hosts).await?;
    let mut cases = Vec::new();
    for (host, meter) in hosts.iter().zip(&meters) {
        for (kind, query) in [("plain", ""), ("fresh", "?_fresh=true")] {
            for connections in [1, 64] {
                let workload = Workload::new(&host.requests(), move |requests, number| {
                    let account = lab::id(scattered(number) % accounts);
                    requests.get(&format!("/v1/views/balance/rows/{account}{query}"))
                });
                let case = Case::new(meter, workload, connections)
                    .label("store", host.backend.name())
                    .label("read", kind)
                    .label("connections", connections);
                cases.push(case);
            }
        }
    }
    let rows = alternate(lab, cases).await?;
    let about = format!(
        "Closed loop, one row per request out of {accounts}, beside nothing else. Goals: plain p99 1 ms and fresh p99 3 ms over one connection, 20,000 plain reads/s over 64."
    );
    report.section("reads", about, rows);
    Ok(())
}
