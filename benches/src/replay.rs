//! `replay`: folding history, through the HTTP API.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::lab::{self, CommandKind, Installation, Lab, command};
use crate::load::{Connection, Stop, Workload, closed};
use crate::report::{Report, Row, median};

/// Restarts a host, so that it knows no stream, and makes it fold.
///
/// # Errors
///
/// When a host cannot be started or refuses something.
pub async fn run(lab: &Lab) -> Result<Report> {
    let mut report = Report::new("replay");
    lab::describe(lab, &mut report).await?;
    if lab.wants("cold-stream") {
        cold_stream(lab, &mut report).await?;
    }
    if lab.wants("full-fold") {
        full_fold(lab, &mut report).await?;
    }
    Ok(report)
}

/// The first command on a stream of which the host has nothing in memory.
async fn cold_stream(lab: &Lab, report: &mut Report) -> Result<()> {
    let length = lab.pick(10_000, 2_000);
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let mut host = Installation::with_accounts(lab, backend, 0).await?;
        host.make_stream("other", 2).await?;
        let mut runs = [Vec::new(), Vec::new()];
        for run in 0..lab.runs().max(5) {
            // No command has folded it yet, so there is no snapshot.
            let cold = format!("cold-{run}");
            host.make_stream(&cold, length).await?;
            for runs in &mut runs {
                host.restart().await?;
                let mut connection = Connection::open(host.server().address()).await?;
                let mut time = async |id: &str| -> Result<f64> {
                    let request = command(&host.requests(), id, CommandKind::Deposit);
                    let start = Instant::now();
                    let (status, _) = connection.send(request).await?;
                    ensure!(status.is_success(), "a Deposit was answered with {status}");
                    Ok(start.elapsed().as_secs_f64() * 1000.0)
                };
                // The first commands after a start pay for more than their stream.
                let after_start = time("other").await?;
                for _ in 0..20 {
                    time("other").await?;
                }
                runs.push(vec![
                    ("first_ms", time(&cold).await?),
                    ("second_ms", time(&cold).await?),
                    ("other_ms", time("other").await?),
                    ("after_start_ms", after_start),
                ]);
                // Long enough for a snapshot that is taken beside the commands.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
        for (runs, label) in runs.iter().zip(["imported", "folded before the restart"]) {
            rows.push(Row {
                labels: vec![
                    ("store", backend.name().to_owned()),
                    ("stream length", length.to_string()),
                    ("stream", label.to_owned()),
                ],
                figures: median(runs),
                note: String::new(),
            });
        }
    }
    let about = "A Deposit to a stream after a restart of the host, and once more; twice for each stream, so that the second time finds a snapshot if the host takes any. `other` is a stream of few events that is in use, `after_start` the very first command. The pages of the database are in the file cache.";
    report.section("cold-stream", about, rows);
    Ok(())
}

/// The state of long streams, all of which have to be read and folded.
async fn full_fold(lab: &Lab, report: &mut Report) -> Result<()> {
    let (streams, length) = (lab.pick(50, 4), lab.pick(10_000, 5_000));
    let events = streams * length;
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let mut host = Installation::with_accounts(lab, backend, 0).await?;
        for number in 0..streams {
            host.make_stream(&lab::id(number), length).await?;
        }
        let mut runs = Vec::new();
        for _ in 0..lab.runs() {
            host.restart().await?;
            let (before, _) = host.resident_mb()?;
            let workload = Workload::new(&host.requests(), move |requests, number| {
                requests.get(&format!("/v1/deciders/account/{}", lab::id(number)))
            });
            let meter = host.meter().await?;
            let load = async || closed(&workload, 2, Stop::Count(streams)).await;
            let (tally, figures) = meter.measure(load).await?;
            ensure!(tally.complaint().is_empty(), "{}", tally.complaint());
            let (_, most) = host.resident_mb()?;
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 events")]
            let per_s = events as f64 / tally.elapsed.as_secs_f64();
            let mut all = vec![
                ("events_per_s", per_s),
                ("rss_before_mb", before),
                ("peak_rss_mb", most),
            ];
            let costs = ["app_cpu_us", "store_cpu_us"];
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 events")]
            let per_event = figures
                .into_iter()
                .filter(|(name, _)| costs.contains(name))
                .map(|(name, per_stream)| (name, per_stream / length as f64));
            all.extend(per_event);
            runs.push(all);
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
    let about = "After a restart, `GET /v1/deciders/account/{id}` of every stream, over 2 connections: reading, folding and one small answer for each stream. CPU per event.";
    report.section("full-fold", about, rows);
    Ok(())
}
