//! Workers of one consumer, until nothing is left to do.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use hyper::StatusCode;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::consumers::{self, Worker};
use super::costs;
use crate::lab::{Installation, Lab};
use crate::load::{Requests, Tally};
use crate::report::{Figures, Report, Row, median};

const CONSUMER: &str = "bench";
/// The numbers of workers that share the work.
const WORKERS: [usize; 2] = [1, 8];
/// The longest time that all workers may take.
const LIMIT: Duration = Duration::from_secs(600);
/// The pause of a worker that finds nothing: the others have the rest.
const PAUSE: Duration = Duration::from_millis(10);

/// All events of many streams, leased and acknowledged.
pub(super) async fn leases_and_acks(lab: &Lab, report: &mut Report) -> Result<()> {
    let (streams, length) = (lab.pick(2_000, 200), 20);
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let host = Installation::with_accounts(lab, backend, 0).await?;
        let events = host.make_log(streams, length).await?;
        consumers::put(&host, CONSUMER, &json!({})).await?;
        let mut cases = WORKERS.map(|workers| (workers, Vec::new(), String::new()));
        for _ in 0..lab.runs() {
            for (workers, runs, note) in &mut cases {
                let (acks, figures) = consume(&host, *workers, events).await?;
                runs.push(figures);
                if !acks.complaint().is_empty() {
                    *note = acks.complaint();
                }
            }
        }
        rows.extend(cases.into_iter().map(|(workers, runs, note)| Row {
            labels: vec![
                ("store", backend.name().to_owned()),
                ("workers", workers.to_string()),
            ],
            figures: median(&runs),
            note,
        }));
    }
    let about = format!(
        "Workers of one consumer take all events of {streams} streams, about {length} each, in the order in which they came to all streams by turns. A worker leases (16 streams and 100 events at most, the default), then acknowledges each lease by a call of its own. `lease_`: calls that found something. Costs per event."
    );
    report.section("consume", about, rows);
    Ok(())
}

/// A run over all events.
async fn consume(host: &Installation, workers: usize, events: u64) -> Result<(Tally, Figures)> {
    consumers::reset(host, CONSUMER).await?;
    let (meter, requests) = (host.meter().await?, host.requests());
    meter.settle().await?;
    let (leases, acks) = (RefCell::default(), RefCell::default());
    let load = async || {
        let work = (0..workers).map(|_| work(&requests, events, &leases, &acks));
        let done = timeout(LIMIT, try_join_all(work)).await;
        done.with_context(|| format!("not all events were acknowledged within {LIMIT:?}"))??;
        Ok(acks.borrow().clone())
    };
    let (acks, figures) = meter.measure(load).await?;
    let leases = leases.into_inner();
    let name = host.backend.name();
    eprintln!("  {name}, {workers}: {:.0}/s", acks.per_second());
    let mut all = vec![
        ("events_per_s", acks.per_second()),
        ("lease_p50_ms", leases.percentile_ms(50.0)),
        ("lease_p99_ms", leases.percentile_ms(99.0)),
        ("ack_p50_ms", acks.percentile_ms(50.0)),
        ("ack_p99_ms", acks.percentile_ms(99.0)),
    ];
    all.extend(costs(figures));
    Ok((acks, all))
}

/// The work of one worker, until all together have acknowledged so many events.
async fn work(
    requests: &Requests,
    events: u64,
    leases: &RefCell<Tally>,
    acks: &RefCell<Tally>,
) -> Result<()> {
    let mut worker = Worker::connect(requests, CONSUMER).await?;
    let start = Instant::now();
    while acks.borrow().commands < events {
        let (leased, took) = worker.lease(Duration::ZERO).await?;
        if leased.is_empty() {
            sleep(PAUSE).await;
            continue;
        }
        leases.borrow_mut().accept(took, 1);
        for lease in &leased {
            let (status, took) = worker.acknowledge(lease).await?;
            let mut acks = acks.borrow_mut();
            match status {
                StatusCode::OK => acks.accept(took, lease.len()),
                other => acks.refuse(other),
            }
            acks.elapsed = start.elapsed();
        }
    }
    Ok(())
}
