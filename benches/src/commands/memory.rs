//! The memory of the host.

use anyhow::Result;

use crate::lab::{CommandKind, Installation, Lab, command};
use crate::load::{Stop, Workload, closed};
use crate::report::{Report, Row};

/// An idle host, and one that has just served many streams.
pub(super) async fn memory(lab: &Lab, report: &mut Report) -> Result<()> {
    let streams = lab.pick(100_000, 2_000);
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let mut host = Installation::with_accounts(lab, backend, 0).await?;
        // What compiling took is not what an idle host needs.
        host.restart().await?;
        let mut add = |what: String, (now, most): (f64, f64)| {
            rows.push(Row {
                labels: vec![("store", backend.name().to_owned()), ("host", what)],
                figures: vec![("rss_mb", now), ("peak_rss_mb", most)],
                note: String::new(),
            });
        };
        add("idle, one module".to_owned(), host.resident_mb()?);
        host.open_accounts(0, streams).await?;
        add(
            format!("{streams} streams, opened in batches"),
            host.resident_mb()?,
        );
        let workload = Workload::new(&host.requests(), move |requests, number| {
            let id = crate::lab::id(number % streams);
            command(requests, &id, CommandKind::Deposit)
        });
        let tally = closed(&workload, 64, Stop::Count(streams)).await?;
        anyhow::ensure!(tally.commands > 0, "no deposit went through");
        add(
            format!("{streams} streams, then a Deposit to each"),
            host.resident_mb()?,
        );
    }
    let about = "Resident memory of the host process, from `/proc`.";
    report.section("memory", about, rows);
    Ok(())
}
