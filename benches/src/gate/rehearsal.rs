//! Rehearsals on a host that does nothing else.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{DECIDER, Past, candidate};
use crate::lab::{Installation, Lab};
use crate::load::Tally;
use crate::rehearsals::Rehearsal;
use crate::report::{Figures, Report, Row, median};

/// A step of the gate that reports its speed, and the figure for it.
#[derive(Debug)]
pub(super) struct Speed {
    figure: &'static str,
    step: &'static str,
    /// The fact that it counts.
    counts: &'static str,
}

pub(super) const REFOLD: Speed = Speed {
    figure: "events_per_s",
    step: "re-fold",
    counts: "events",
};

const REDECIDE: Speed = Speed {
    figure: "commands_per_s",
    step: "re-decide",
    counts: "commands",
};

/// A past of many short streams, made by commands: its events are folded, and its commands decided
/// again.
pub(super) async fn of_many_streams(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let mut past = Past::make(lab, backend).await?;
        let candidate = candidate(lab, &past.host, 0).await?;
        let mut runs = Vec::new();
        for _ in 0..lab.runs() {
            let speeds = [REFOLD, REDECIDE];
            runs.push(measure(&mut past.host, &candidate, past.events, &speeds).await?);
        }
        rows.push(Row {
            labels: vec![
                ("store", backend.name().to_owned()),
                ("streams", past.accounts.to_string()),
                ("events", past.events.to_string()),
            ],
            figures: median(&runs),
            note: String::new(),
        });
    }
    let about = "After a restart, a module that does what the active one does is rehearsed. Each event follows from a command. `events_per_s`: as step `re-fold` says, which folds each event twice, with the candidate and with the active module; `commands_per_s`: as step `re-decide` says, which folds each event once more. `whole_s`: from the call until the report of all steps is there, asked for every 50 ms. CPU of the whole per event.";
    report.section("rehearsal", about, rows);
    Ok(())
}

/// Measures a rehearsal after a restart of the host, with so many stored events.
pub(super) async fn measure(
    host: &mut Installation,
    candidate: &str,
    events: u64,
    speeds: &[Speed],
) -> Result<Figures> {
    host.restart().await?;
    let (before, _) = host.resident_mb()?;
    let meter = host.meter().await?;
    meter.settle().await?;
    let mut report = Value::Null;
    let load = async || {
        let start = Instant::now();
        report = Rehearsal::start(host, DECIDER, candidate)
            .await?
            .end()
            .await?;
        Ok(Tally::untimed(events, start.elapsed()))
    };
    let (tally, costs) = meter.measure(load).await?;
    let (_, most) = host.resident_mb()?;
    let folded = fact(&report, "re-fold", "events")?;
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 events")]
    let is_whole = folded == events as f64;
    ensure!(is_whole, "{folded} events were folded instead of {events}");

    let mut figures = Figures::new();
    for speed in speeds {
        let count = fact(&report, speed.step, speed.counts)?;
        let seconds = fact(&report, speed.step, "seconds")?;
        figures.push((speed.figure, count / seconds));
    }
    let shown: Vec<_> = figures
        .iter()
        .map(|(name, value)| format!("{value:.0} {name}"))
        .collect();
    eprintln!("  {}: {}", host.backend.name(), shown.join(", "));
    figures.extend([
        ("whole_s", tally.elapsed.as_secs_f64()),
        ("rss_before_mb", before),
        ("peak_rss_mb", most),
    ]);
    let wanted = ["app_cpu_us", "store_cpu_us"];
    figures.extend(costs.into_iter().filter(|(name, _)| wanted.contains(name)));
    Ok(figures)
}

/// A number that a step of the gate has put into the report.
fn fact(report: &Value, step: &str, name: &str) -> Result<f64> {
    let mut steps = report["steps"].as_array().into_iter().flatten();
    let found = steps.find(|entered| entered["step"] == step);
    let number = found.and_then(|entered| entered["facts"][name].as_f64());
    number.with_context(|| format!("step `{step}` does not say how many {name}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fact_is_that_of_its_step() {
        let report = json!({ "steps": [
            { "step": "validate", "facts": {} },
            { "step": "re-fold", "facts": { "events": 20, "seconds": 0.5 } },
            { "step": "re-decide", "facts": { "events": 30 } },
        ] });
        assert_eq!(fact(&report, "re-fold", "events").unwrap(), 20.0);
        assert_eq!(fact(&report, "re-fold", "seconds").unwrap(), 0.5);
        fact(&report, "re-decide", "seconds").unwrap_err();
        fact(&report, "cost", "seconds").unwrap_err();
    }
}
