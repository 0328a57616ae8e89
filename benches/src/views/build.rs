//! Rows of a new module from all stored events, compared with those of the active one.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::{VIEW, candidate, deploy};
use crate::lab::{Backend, Installation, Lab};
use crate::load::Tally;
use crate::rehearsals::Rehearsal;
use crate::report::{Figures, Report, Row, median};

/// Events of an account where rows have many.
const MANY: u64 = 10;
/// The interval between two looks at the step that a rehearsal is at.
const LOOK: Duration = Duration::from_millis(20);

/// Builds ten events a row, and one.
pub(super) async fn of_both_shapes(lab: &Lab, report: &mut Report) -> Result<()> {
    let events = events(lab);
    let mut rows = Vec::new();
    for backend in lab.backends() {
        for (shape, accounts) in [("10 events", events / MANY), ("1 event", events)] {
            let host = Installation::with_accounts(lab, backend, 0).await?;
            let each = events / accounts;
            let events = match each {
                1 => {
                    host.open_accounts(0, accounts).await?;
                    accounts
                }
                _ => host.make_log(accounts, each).await?,
            };
            deploy(lab, &host, "balance").await?;
            let mut runs = Vec::new();
            for number in 0..u32::try_from(lab.runs())? {
                runs.push(measure(lab, &host, number, (events, accounts)).await?);
            }
            rows.push(row(backend, shape, events, &runs));
        }
    }
    let about = "A module that does what the active one does is rehearsed: it folds all that is stored into a table of its own with three indexes, and is compared with the rows of the active one. Seconds of steps are exact to 20 ms. CPU per event, of the whole.";
    report.section("build", about, rows);
    Ok(())
}

/// The events that are stored, a multiple of 1,000.
pub(super) fn events(lab: &Lab) -> u64 {
    let asked = lab.options.gate_events;
    let events = asked.unwrap_or(lab.pick(200_000, 10_000));
    events.next_multiple_of(1_000)
}

fn row(backend: Backend, shape: &str, events: u64, runs: &[Figures]) -> Row {
    Row {
        labels: vec![
            ("store", backend.name().to_owned()),
            ("a row", shape.to_owned()),
            ("events", events.to_string()),
        ],
        figures: median(runs),
        note: String::new(),
    }
}

async fn measure(
    lab: &Lab,
    host: &Installation,
    number: u32,
    (events, accounts): (u64, u64),
) -> Result<Figures> {
    let candidate = candidate(lab, host, number).await?;
    let (before, _) = host.resident_mb()?;
    let meter = host.meter().await?;
    meter.settle().await?;
    let (mut build, mut compare) = (Duration::ZERO, Duration::ZERO);
    let load = async || {
        let start = Instant::now();
        let rehearsal = Rehearsal::start(host, VIEW, &candidate).await?;
        let mut last = start;
        while rehearsal.report().await?.is_none() {
            let step = rehearsal.step().await?;
            let now = Instant::now();
            match &*step {
                "build" => build += now - last,
                "compare" => compare += now - last,
                _ => {}
            }
            last = now;
            sleep(LOOK).await;
        }
        Ok(Tally::untimed(events, start.elapsed()))
    };
    let (tally, costs) = meter.measure(load).await?;
    let (_, most) = host.resident_mb()?;
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 events")]
    let per_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
    let mut figures = vec![
        ("events_per_s", per_second(events, build)),
        ("rows_per_s", per_second(accounts, build)),
        ("build_s", build.as_secs_f64()),
        ("compare_s", compare.as_secs_f64()),
        ("whole_s", tally.elapsed.as_secs_f64()),
        ("rss_before_mb", before),
        ("peak_rss_mb", most),
    ];
    eprintln!(
        "  {}: {:.0} events/s, {:.0} rows/s, compared in {:.2} s",
        host.backend.name(),
        figures[0].1,
        figures[1].1,
        compare.as_secs_f64()
    );
    let wanted = ["app_cpu_us", "store_cpu_us"];
    figures.extend(costs.into_iter().filter(|(name, _)| wanted.contains(name)));
    Ok(figures)
}
