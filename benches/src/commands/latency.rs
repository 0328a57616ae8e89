//! Open loops: the latency for a client when the host is not saturated, and while a module is
//! swapped.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{accounts, hosts};
use crate::lab::{Installation, Lab, deposits, variant};
use crate::load::{OpenLoop, Stop, Workload, closed, open, percentile_ms};
use crate::report::{Report, Row, median};

/// Connections that find the maximum.
const MAXIMUM: usize = 64;
/// Connections that an open loop may use at a time.
const OPEN: usize = 256;

/// The throughput that the host reaches at `MAXIMUM` connections just now, in commands per second,
/// over `length`, after half as long to warm up.
pub(crate) async fn maximum(workload: &Workload, length: Duration) -> Result<f64> {
    closed(workload, MAXIMUM, Stop::After(length / 2)).await?;
    let tally = closed(workload, MAXIMUM, Stop::After(length)).await?;
    Ok(tally.per_second())
}

/// An open loop at half of `maximum`.
pub(crate) fn half_of(maximum: f64, length: Duration) -> OpenLoop {
    OpenLoop {
        rate_per_s: maximum / 2.0,
        length,
        connections: OPEN,
        with_timeline: false,
    }
}

/// The latency since the due time of a request, at half of the maximum.
pub(super) async fn at_half_of_the_maximum(lab: &Lab, report: &mut Report) -> Result<()> {
    let hosts = hosts(lab).await?;
    let mut rows: Vec<_> = hosts.iter().map(row).collect();
    let mut runs = vec![Vec::new(); hosts.len()];
    for _ in 0..lab.runs() {
        for ((host, row), runs) in hosts.iter().zip(&mut rows).zip(&mut runs) {
            let meter = host.meter().await?;
            meter.settle().await?;
            let workload = deposits(&host.requests(), accounts(lab));
            let maximum = maximum(&workload, lab.length() / 2).await?;
            let load = half_of(maximum, lab.length());
            let (tally, figures) = meter.measure(async || open(&workload, load).await).await?;
            row.note = tally.complaint();
            let mut all = vec![("offered_per_s", load.rate_per_s)];
            all.extend(figures);
            runs.push(all);
        }
    }
    for (row, runs) in rows.iter_mut().zip(&runs) {
        row.figures = median(runs);
    }
    report.section(
        "latency",
        format!(
            "Open loop at half of what {MAXIMUM} connections reached just before; latency from when the request was due, up to {OPEN} at a time."
        ),
        rows,
    );
    Ok(())
}

fn row(host: &Installation) -> Row {
    Row {
        labels: vec![("store", host.backend.name().to_owned())],
        ..Row::default()
    }
}

/// Activations of other modules during an open loop.
pub(super) async fn around_a_swap(lab: &Lab, report: &mut Report) -> Result<()> {
    let hosts = hosts(lab).await?;
    let mut rows = Vec::new();
    for host in &hosts {
        rows.push(swap(lab, host).await?);
    }
    let about = "Open loop at half of the maximum; another module is activated every 3 s. `around`: requests answered within half a second before or after an activation was asked for and answered; `before`: in the second before that.";
    report.section("swap", about, rows);
    Ok(())
}

async fn swap(lab: &Lab, host: &Installation) -> Result<Row> {
    const EVERY: Duration = Duration::from_secs(3);
    const HALF: Duration = Duration::from_millis(500);
    const SECOND: Duration = Duration::from_secs(1);
    let swaps: u32 = lab.pick(6, 2);

    let mut digests = Vec::new();
    for number in 0..swaps {
        let component = variant(&lab.module("account")?, number);
        digests.push(host.upload(component).await?);
    }
    let workload = deposits(&host.requests(), accounts(lab));
    let maximum = maximum(&workload, lab.length() / 2).await?;
    let load = OpenLoop {
        with_timeline: true,
        ..half_of(maximum, EVERY * (swaps + 1))
    };
    let start = Instant::now();
    let activate = async {
        let mut times = Vec::new();
        for (number, digest) in (1..).zip(&digests) {
            tokio::time::sleep((EVERY * number).saturating_sub(start.elapsed())).await;
            let asked = start.elapsed();
            host.activate("default", "account", digest).await?;
            times.push((asked, start.elapsed()));
        }
        Ok::<_, anyhow::Error>(times)
    };
    let (tally, times) = tokio::join!(open(&workload, load), activate);
    let (tally, times) = (tally?, times?);

    let within = |from: Duration, to: Duration| {
        let hit = move |(at, _): &&(Duration, Duration)| (from..to).contains(at);
        tally.timeline.iter().filter(hit).map(|(_, took)| *took)
    };
    let (mut around, mut before) = (Vec::new(), Vec::new());
    for &(asked, answered) in &times {
        let from = asked.saturating_sub(HALF);
        around.extend(within(from, answered + HALF));
        before.extend(within(from.saturating_sub(SECOND), from));
    }
    let took = times
        .iter()
        .map(|(asked, answered)| *answered - *asked)
        .collect();
    let (around_p99, before_p99) = (
        percentile_ms(around.clone(), 99.0),
        percentile_ms(before, 99.0),
    );
    Ok(Row {
        figures: vec![
            ("offered_per_s", load.rate_per_s),
            ("p99_before_ms", before_p99),
            ("p99_around_ms", around_p99),
            ("ratio", around_p99 / before_p99),
            ("max_around_ms", percentile_ms(around, 100.0)),
            ("activation_ms", percentile_ms(took, 50.0)),
        ],
        note: tally.complaint(),
        ..row(host)
    })
}
