//! Loads that are measured in turns, so that what else the machine does hits all of them alike.

use anyhow::Result;

use crate::lab::{Lab, Meter};
use crate::load::{Stop, Workload, closed};
use crate::report::{Figures, Row, median};

/// A closed loop that is measured several times.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    row: Row,
    meter: &'a Meter<'a>,
    workload: Workload,
    connections: usize,
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
            runs,
        }
    }

    /// With a label of its row.
    pub(crate) fn label(mut self, name: &'static str, value: impl ToString) -> Self {
        self.row.labels.push((name, value.to_string()));
        self
    }
}

/// Runs the loads one after the other, and all of them again for each further run. A row for each, with the medians.
///
/// # Errors
///
/// When a server has gone.
pub(crate) async fn alternate(lab: &Lab, mut cases: Vec<Case<'_>>) -> Result<Vec<Row>> {
    for run in 1..=lab.runs() {
        for case in &mut cases {
            case.meter.settle().await?;
            let load =
                async |length| closed(&case.workload, case.connections, Stop::After(length)).await;
            load(lab.warm_up()).await?;
            let (tally, figures) = case
                .meter
                .measure(async || load(lab.length()).await)
                .await?;
            let labels: Vec<_> = case.row.labels.iter().map(|(_, value)| &**value).collect();
            let complaint = tally.complaint();
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
    let finish = |case: Case<'_>| Row {
        figures: median(&case.runs),
        ..case.row
    };
    Ok(cases.into_iter().map(finish).collect())
}
