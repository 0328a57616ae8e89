//! Loads that are measured in turns, so that what else the machine does hits all of them alike.

use anyhow::{Error, Result};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use tokio::task::JoinSet;

use crate::lab::{Lab, Meter};
use crate::load::{Stop, Workload, closed};
use crate::report::{Figures, Row, figure, median};

/// Background tasks that run during a load, until this is dropped. A task that ends has failed.
pub(crate) type Company = JoinSet<Error>;

/// A closed loop that is measured several times.
pub(crate) struct Case<'a> {
    row: Row,
    meter: &'a Meter<'a>,
    workload: Workload,
    connections: usize,
    company: Box<dyn Fn() -> LocalBoxFuture<'a, Result<Company>> + 'a>,
    runs: Vec<Figures>,
}

impl<'a> Case<'a> {
    /// A load over `connections`, whose costs the meter reads.
    pub(crate) fn new(meter: &'a Meter<'a>, workload: Workload, connections: usize) -> Self {
        let (row, runs) = (Row::default(), Vec::new());
        Self {
            row,
            meter,
            workload,
            connections,
            company: Box::new(|| async { Ok(Company::new()) }.boxed_local()),
            runs,
        }
    }

    /// Adds a label to the row.
    pub(crate) fn label(mut self, name: &'static str, value: impl ToString) -> Self {
        self.row.labels.push((name, value.to_string()));
        self
    }

    /// Adds background tasks, which are started before each run and last until its end.
    pub(crate) fn beside<F>(self, company: impl Fn() -> F + 'a) -> Self
    where
        F: Future<Output = Result<Company>> + 'a,
    {
        let company = Box::new(move || company().boxed_local());
        Self { company, ..self }
    }
}

/// Runs the loads one after the other, then all of them again for each further run, every second
/// time in reverse order: the stored data grows, and no load is to meet more of it than the others.
/// Returns a row for each load, with the medians.
///
/// # Errors
///
/// An error when a server has ended.
pub(crate) async fn alternate(lab: &Lab, cases: Vec<Case<'_>>) -> Result<Vec<Row>> {
    let mut groups = [cases];
    take_turns(lab, &mut groups).await?;
    Ok(rows(groups))
}

/// Runs loads in turns as [`alternate`] does, but in groups that keep their order: each load leaves
/// work for its server, and all loads of a group are to meet that work equally often. Each run is
/// compared with the run of the group's first load in the same turn, in throughput and p99; the
/// medians of these ratios come first in the rows.
///
/// # Errors
///
/// An error when a server has ended, or when background tasks cannot be started.
pub(crate) async fn against_the_first(
    lab: &Lab,
    mut groups: Vec<Vec<Case<'_>>>,
) -> Result<Vec<Row>> {
    take_turns(lab, &mut groups).await?;
    for group in &mut groups {
        let first = group.first().map(|case| case.runs.clone());
        for case in group {
            for (run, first) in case.runs.iter_mut().zip(first.iter().flatten()) {
                let ratio = |name| figure(run, name) / figure(first, name);
                let ratios = [
                    ("ratio", ratio("commands_per_s")),
                    ("p99_ratio", ratio("p99_ms")),
                ];
                run.splice(..0, ratios);
            }
            let pairs = case
                .runs
                .iter()
                .map(|run| format!("{:.3}", figure(run, "ratio")));
            let labels: Vec<_> = case.row.labels.iter().map(|(_, value)| &**value).collect();
            eprintln!(
                "  {}: ratios of the runs: {}",
                labels.join(", "),
                pairs.collect::<Vec<_>>().join(" ")
            );
        }
    }
    Ok(rows(groups))
}

async fn take_turns(lab: &Lab, groups: &mut [Vec<Case<'_>>]) -> Result<()> {
    for run in 1..=lab.runs() {
        let cases = groups.iter_mut().flat_map(|group| {
            let mut cases: Vec<_> = group.iter_mut().collect();
            if run % 2 == 0 {
                cases.reverse();
            }
            cases
        });
        for case in cases {
            case.meter.settle().await?;
            let mut company = (case.company)().await?;
            let load =
                async |length| closed(&case.workload, case.connections, Stop::After(length)).await;
            load(lab.warm_up()).await?;
            let (tally, figures) = case
                .meter
                .measure(async || load(lab.length()).await)
                .await?;
            let complaints = [tally.complaint(), failures(&mut company)?];
            let complaint = complaints.join(" ").trim().to_owned();
            let labels: Vec<_> = case.row.labels.iter().map(|(_, value)| &**value).collect();
            eprintln!(
                "  run {run}: {}: {:.0}/s {complaint}",
                labels.join(", "),
                tally.per_second()
            );
            case.runs.push(figures);
            if !complaint.is_empty() {
                case.row.note = complaint;
            }
        }
    }
    Ok(())
}

/// Describes the background tasks that have ended; empty if none has.
fn failures(company: &mut Company) -> Result<String> {
    let mut failures = Vec::new();
    while let Some(failure) = company.try_join_next() {
        failures.push(failure?);
    }
    Ok(match failures.first() {
        Some(first) => format!("{} beside it ended: {first:#}", failures.len()),
        None => String::new(),
    })
}

fn rows<'a>(groups: impl IntoIterator<Item = Vec<Case<'a>>>) -> Vec<Row> {
    let finish = |case: Case<'_>| Row {
        figures: median(&case.runs),
        ..case.row
    };
    groups.into_iter().flatten().map(finish).collect()
}
