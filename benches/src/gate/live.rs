//! The latency of commands while a module is rehearsed.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::{DECIDER, Past, candidate};
use crate::commands::{half_of, maximum};
use crate::lab::{Installation, Lab, deposits};
use crate::load::{OpenLoop, Workload, open};
use crate::rehearsals::{GLANCE, Rehearsal};
use crate::report::{Figures, Report, Row, figure, median};

/// The longest time for which the maximum is measured: its events make the rehearsals longer, and
/// these have to end within a run.
const MAXIMUM_LENGTH: Duration = Duration::from_secs(2);

/// Deposits in an open loop, in turns without and with rehearsals.
pub(super) async fn commands_beside_rehearsals(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let past = Past::make(lab, backend).await?;
        let host = &past.host;
        let candidate = candidate(lab, host, 0).await?;
        let workload = deposits(&host.requests(), past.accounts);
        let row = |rehearsals: &str| Row {
            labels: vec![
                ("store", backend.name().to_owned()),
                ("rehearsals", rehearsals.to_owned()),
            ],
            ..Row::default()
        };
        let mut cases = [
            (None, row("none"), Vec::new()),
            (Some(&*candidate), row("again and again"), Vec::new()),
        ];
        let length = MAXIMUM_LENGTH.min(lab.length() / 2);
        for run in 1..=lab.runs() {
            let load = half_of(maximum(&workload, length).await?, lab.length());
            let mut turns: Vec<_> = cases.iter_mut().collect();
            // What is stored grows, and neither is to have more of it than the other. Rehearsals
            // come first where there is least of it.
            if run % 2 == 1 {
                turns.reverse();
            }
            for (rehearsed, row, runs) in turns {
                let (complaint, figures) = measure(host, &workload, load, *rehearsed).await?;
                if !complaint.is_empty() {
                    row.note = complaint;
                }
                runs.push(figures);
            }
            let mut alone = None;
            for figures in cases.iter_mut().filter_map(|(_, _, runs)| runs.last_mut()) {
                let p99 = figure(figures, "p99_ms");
                let ratio = p99 / *alone.get_or_insert(p99);
                eprintln!("  {}: p99 {p99:.2} ms, {ratio:.2}x", backend.name());
                figures.insert(0, ("p99_ratio", ratio));
            }
        }
        rows.extend(cases.map(|(_, row, runs)| Row {
            figures: median(&runs),
            ..row
        }));
    }
    let about = "Open loop of Deposits at half of what 64 connections reached just before, without a rehearsal, and while rehearsals of all that is stored, and that the load adds to, follow each other. `p99_ratio`: the median of the ratios of adjacent runs. `ended`: rehearsals that came to their end within the run; the last one is cancelled. Costs per command are those of the rehearsals, too.";
    report.section("live", about, rows);
    Ok(())
}

/// One run, with rehearsals of that module if one is given. Returns the unexpected outcomes, and
/// the figures.
async fn measure(
    host: &Installation,
    workload: &Workload,
    load: OpenLoop,
    rehearsed: Option<&str>,
) -> Result<(String, Figures)> {
    let meter = host.meter().await?;
    meter.settle().await?;
    let mut ended = 0;
    let both = async || {
        let is_over = Cell::new(false);
        let commands = async {
            let tally = open(workload, load).await?;
            is_over.set(true);
            Ok(tally)
        };
        let rehearsals = async {
            match rehearsed {
                Some(candidate) => rehearse_until(host, candidate, &is_over).await,
                None => Ok(0),
            }
        };
        let (tally, count) = tokio::try_join!(commands, rehearsals)?;
        ended = count;
        Ok(tally)
    };
    let (tally, costs) = meter.measure(both).await?;
    let mut figures = Figures::from([("offered_per_s", load.rate_per_s)]);
    let mut complaint = tally.complaint();
    if rehearsed.is_some() {
        figures.push(("ended", f64::from(ended)));
        if ended == 0 {
            complaint.push_str(" No rehearsal came to its end, so some steps were not seen.");
        }
    }
    figures.extend(costs);
    Ok((complaint.trim().to_owned(), figures))
}

/// Rehearses again and again until `is_over`, then cancels the running rehearsal. Returns the
/// number of finished rehearsals.
async fn rehearse_until(host: &Installation, candidate: &str, is_over: &Cell<bool>) -> Result<u32> {
    let mut ended = 0;
    while !is_over.get() {
        let rehearsal = Rehearsal::start(host, DECIDER, candidate).await?;
        while rehearsal.report().await?.is_none() {
            if is_over.get() {
                rehearsal.cancel().await?;
                return Ok(ended);
            }
            sleep(GLANCE).await;
        }
        ended += 1;
    }
    Ok(ended)
}
