//! The throughput as streams get longer and the store fuller.

use anyhow::Result;

use super::accounts;
use crate::lab::{CommandKind, Installation, Lab, command, deposits, meters};
use crate::load::{Stop, Workload, closed};
use crate::paired::{Case, against_the_first};
use crate::report::{Report, Row, median};

/// Deposits to a long stream and to a short one, in turns.
pub(super) async fn long_against_short(lab: &Lab, report: &mut Report) -> Result<()> {
    const SHORT: u64 = 10;
    let long = lab.pick(50_000, 5_000);
    // So few that the short stream stays short.
    let commands = lab.pick(200, 20);
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let host = Installation::with_accounts(lab, backend, 0).await?;
        host.make_stream("long", long).await?;
        let meter = host.meter().await?;
        let mut runs = [Vec::new(), Vec::new()];
        for run in 0..lab.runs().max(3) {
            // A new one for each run, so that it is short in each.
            let short = format!("short-{run}");
            host.make_stream(&short, SHORT).await?;
            for (id, runs) in ["long", &short].into_iter().zip(&mut runs) {
                let id = id.to_owned();
                let workload = Workload::new(&host.requests(), move |requests, _| {
                    command(requests, &id, CommandKind::Deposit)
                });
                closed(&workload, 1, Stop::Count(5)).await?;
                let load = async || closed(&workload, 1, Stop::Count(commands)).await;
                runs.push(meter.measure(load).await?.1);
            }
        }
        let (long_figures, short_figures) = (median(&runs[0]), median(&runs[1]));
        let p50 = |figures: &[(_, f64)]| figures[1].1;
        let ratio = p50(&long_figures) / p50(&short_figures);
        for (length, figures) in [(SHORT, short_figures), (long, long_figures)] {
            let ratio = if length == SHORT { 1.0 } else { ratio };
            rows.push(Row {
                labels: vec![
                    ("store", backend.name().to_owned()),
                    ("stream length", length.to_string()),
                ],
                figures: [vec![("p50_ratio", ratio)], figures].concat(),
                note: String::new(),
            });
        }
    }
    let about = format!(
        "One connection, {commands} Deposits to one stream after 5 that are not counted, in turns with one of the other length."
    );
    report.section("long-stream", about, rows);
    Ok(())
}

/// The same load on a store with few and with many events.
pub(super) async fn growth(lab: &Lab, report: &mut Report) -> Result<()> {
    /// Events of one imported stream.
    const STREAM: u64 = 1_000;
    let events = lab
        .options
        .growth_events
        .unwrap_or(lab.pick(1_000_000, 20_000));
    let (mut stores, mut hosts) = (Vec::new(), Vec::new());
    for backend in lab.backends() {
        for stored in [accounts(lab), events] {
            let host = Installation::with_accounts(lab, backend, accounts(lab)).await?;
            let old = stored.saturating_sub(accounts(lab));
            host.make_streams("old", old / STREAM, STREAM).await?;
            stores.push((backend, stored));
            hosts.push(host);
        }
    }
    let meters = meters(&hosts).await?;
    let measured: Vec<_> = stores.iter().zip(&hosts).zip(&meters).collect();
    let groups = measured.chunks(2).map(|pair| {
        let cases = pair.iter().map(|(((backend, stored), host), meter)| {
            Case::new(meter, deposits(&host.requests(), accounts(lab)), 64)
                .label("store", backend.name())
                .label("stored events, about", stored)
        });
        cases.collect()
    });
    let rows = against_the_first(lab, groups.collect()).await?;
    let about = format!(
        "Closed loop, 64 connections, one Deposit per request, to a store that has only its accounts at first, and to one into which streams of {STREAM} events were imported before."
    );
    report.section("growth", about, rows);
    Ok(())
}
