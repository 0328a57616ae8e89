//! Rehearsals on few streams with very many events.

use anyhow::Result;

use super::candidate;
use super::rehearsal::{REFOLD, measure};
use crate::lab::{Installation, Lab};
use crate::report::{Report, Row, median};

/// A tenth of the past first, then all of it: memory is not to grow with it.
pub(super) async fn of_long_streams(lab: &Lab, report: &mut Report) -> Result<()> {
    let length = lab.pick(50_000, 5_000);
    let events = lab
        .options
        .gate_events
        .unwrap_or(lab.pick(1_000_000, 50_000));
    let most = (events / length).max(2);
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let mut host = Installation::with_accounts(lab, backend, 0).await?;
        let candidate = candidate(lab, &host, 0).await?;
        let mut stored = 0;
        for streams in [most.div_ceil(10), most] {
            let name = format!("one-of-{streams}");
            host.make_streams(&name, streams - stored, length).await?;
            stored = streams;
            let mut runs = Vec::new();
            for _ in 0..lab.runs() {
                runs.push(measure(&mut host, &candidate, streams * length, &[REFOLD]).await?);
            }
            rows.push(Row {
                labels: vec![
                    ("store", backend.name().to_owned()),
                    ("events", format!("{streams} x {length}")),
                ],
                figures: median(&runs),
                note: String::new(),
            });
        }
    }
    let about = "As `rehearsal`, on streams whose events were imported: but for one command a stream there is nothing to decide again.";
    report.section("long-history", about, rows);
    Ok(())
}
