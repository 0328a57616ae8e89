//! A reader that follows a log with many stored events.

use std::time::Instant;

use anyhow::Result;

use super::costs;
use super::followers::follow;
use crate::lab::{Installation, Lab};
use crate::load::{Feed, Requests, Tally};
use crate::report::{Report, Row, median};

/// Reads all of a log until its last event.
pub(super) async fn one_reader(lab: &Lab, report: &mut Report) -> Result<()> {
    /// Events of one imported stream.
    const STREAM: u64 = 1_000;
    let streams = lab.pick(200, 20);
    let events = streams * STREAM;
    let mut hosts = Vec::new();
    for backend in lab.backends() {
        let host = Installation::with_accounts(lab, backend, 0).await?;
        host.make_streams("old", streams, STREAM).await?;
        hosts.push(host);
    }
    let mut runs = vec![Vec::new(); hosts.len()];
    for _ in 0..lab.runs() {
        for (host, runs) in hosts.iter().zip(&mut runs) {
            let (meter, requests) = (host.meter().await?, host.requests());
            meter.settle().await?;
            let mut bytes = 0;
            let load = async || {
                let (tally, read) = read(&requests, events).await?;
                bytes = read;
                Ok(tally)
            };
            let (tally, figures) = meter.measure(load).await?;
            eprintln!("  {}: {:.0}/s", host.backend.name(), tally.per_second());
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 bytes")]
            let per_event = bytes as f64 / events as f64;
            let mut all = vec![
                ("events_per_s", tally.per_second()),
                ("answer_bytes", per_event),
            ];
            all.extend(costs(figures));
            runs.push(all);
        }
    }
    let row = |(host, runs): (&Installation, &Vec<_>)| Row {
        labels: vec![
            ("store", host.backend.name().to_owned()),
            ("events", events.to_string()),
        ],
        figures: median(runs),
        note: String::new(),
    };
    let rows = hosts.iter().zip(&runs).map(row).collect();
    let about = "One reader with `Accept: application/x-ndjson` and `follow=true`, from before the first event until the last stored one has come. Costs per event. The driver takes the lines apart by counting their ends.";
    report.section("catch-up", about, rows);
    Ok(())
}

/// Reads so many lines with an event each. How many bytes that were, too.
async fn read(requests: &Requests, events: u64) -> Result<(Tally, usize)> {
    let request = follow(requests, "application/x-ndjson", "");
    let mut lines = Lines::default();
    let start = Instant::now();
    let mut feed = Feed::open(requests.address(), request).await?;
    while lines.events < events {
        lines.add(&feed.chunk().await?);
    }
    let tally = Tally::untimed(lines.events, start.elapsed());
    Ok((tally, lines.bytes))
}

/// Counts lines that are not empty: an empty one is a sign of life.
#[derive(Debug, Default)]
struct Lines {
    events: u64,
    bytes: usize,
    is_within: bool,
}

impl Lines {
    fn add(&mut self, chunk: &[u8]) {
        let ends = chunk.iter().filter(|byte| **byte == b'\n').count();
        let empty = chunk.windows(2).filter(|pair| *pair == b"\n\n").count();
        let begins_empty = !self.is_within && chunk.first() == Some(&b'\n');
        self.events += (ends - empty - usize::from(begins_empty)) as u64;
        self.bytes += chunk.len();
        self.is_within = chunk.last().map_or(self.is_within, |last| *last != b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_once_wherever_its_line_is_cut() {
        let text = b"\n{\"a\":1}\n\n\n{\"b\":2}\n{\"c\":3}\n";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            text.chunks(size).for_each(|chunk| lines.add(chunk));
            assert_eq!((lines.events, lines.bytes), (3, text.len()), "by {size}");
        }
    }
}
