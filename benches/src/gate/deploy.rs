//! The duration of an activation.

use std::time::Instant;

use anyhow::Result;

use super::{DECIDER, Past, candidate};
use crate::lab::Lab;
use crate::rehearsals::Rehearsal;
use crate::report::{Report, Row, median};

/// Activations of modules that were rehearsed just before, and of modules that were not, in turns.
pub(super) async fn with_and_without_a_rehearsal(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let Past { host, events, .. } = Past::make(lab, backend).await?;
        let mut cases = [(false, Vec::new()), (true, Vec::new())];
        let mut number = 0;
        for _ in 0..lab.runs() {
            for (is_rehearsed, runs) in &mut cases {
                let candidate = candidate(lab, &host, number).await?;
                number += 1;
                if *is_rehearsed {
                    Rehearsal::start(&host, DECIDER, &candidate)
                        .await?
                        .end()
                        .await?;
                }
                let start = Instant::now();
                host.activate("default", "account", &candidate).await?;
                let took = start.elapsed().as_secs_f64() * 1000.0;
                let name = backend.name();
                eprintln!("  {name}, rehearsed: {is_rehearsed}: {took:.0} ms");
                runs.push(vec![("activation_ms", took)]);
            }
        }
        rows.extend(cases.map(|(is_rehearsed, runs)| Row {
            labels: vec![
                ("store", backend.name().to_owned()),
                ("events", events.to_string()),
                ("rehearsed", is_rehearsed.to_string()),
            ],
            figures: median(&runs),
            note: String::new(),
        }));
    }
    let about = "From the call of an activation until its answer. The module is another one each time, and compiled already. Nothing is written between its rehearsal and its activation.";
    report.section("deploy", about, rows);
    Ok(())
}
