//! Commands beside views that fold their events.

use anyhow::Result;

use super::deploy;
use crate::lab::{Installation, Lab, deposits, meters};
use crate::paired::{Case, against_the_first};
use crate::report::Report;

const CONNECTIONS: usize = 64;

/// The same load on a host without views, and on one with three.
pub(super) async fn without_and_with_views(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = lab.pick(10_000, 1_000);
    let views: [(&str, &[&str]); 2] =
        [("none", &[]), ("3", &["balance", "balance-2", "balance-3"])];
    let mut hosts = Vec::new();
    for backend in lab.backends() {
        for (_, names) in views {
            let host = Installation::with_accounts(lab, backend, accounts).await?;
            for name in names {
                deploy(lab, &host, name).await?;
            }
            hosts.push(host);
        }
    }
    let meters = meters(&hosts).await?;
    let measured: Vec<_> = hosts.iter().zip(&meters).collect();
    let groups = measured.chunks(views.len()).map(|pair| {
        let cases = pair.iter().zip(views).map(|((host, meter), (name, _))| {
            Case::new(meter, deposits(&host.requests(), accounts), CONNECTIONS)
                .label("store", host.backend.name())
                .label("active views", name)
        });
        cases.collect()
    });
    let rows = against_the_first(lab, groups.collect()).await?;
    let about = format!(
        "Closed loop, {CONNECTIONS} connections, one Deposit per request, {accounts} open accounts: a host without views beside one with three that fold each event, each on a store of its own. Goal: 0.8x."
    );
    report.section("commands", about, rows);
    Ok(())
}
