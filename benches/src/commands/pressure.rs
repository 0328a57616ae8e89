//! More than the host can do, and a module that burns all it is given.

use std::time::{Duration, Instant};

use anyhow::Result;
use hyper::StatusCode;

use super::latency::{half_of, maximum};
use super::{accounts, hosts};
use crate::lab::{CommandKind, Installation, Lab, command, deposits};
use crate::load::{Connection, OpenLoop, Stop, Workload, closed, open};
use crate::report::{Report, Row, median};

/// Ten times what the host can sustain.
pub(super) async fn overload(lab: &Lab, report: &mut Report) -> Result<()> {
    /// More than the host works on at a time by default.
    const CONNECTIONS: usize = 2_000;
    let length = Duration::from_secs(lab.pick(30, 3));
    let mut rows = Vec::new();
    for host in hosts(lab).await? {
        let workload = deposits(&host.requests(), accounts(lab));
        let sustained = maximum(&workload, lab.length() / 2).await?;
        let calm = open(&workload, half_of(sustained, lab.length())).await?;
        let limit = Duration::from_secs_f64(calm.percentile_ms(99.0) * 2.0 / 1000.0);
        let (idle_rss, _) = host.resident_mb()?;
        let load = OpenLoop {
            rate_per_s: sustained * 10.0,
            length,
            connections: CONNECTIONS,
            with_timeline: false,
        };
        let tally = open(&workload, load).await?;
        let recovered = recover(&host, limit).await?;
        let (_, peak_rss) = host.resident_mb()?;
        let count = |status| tally.others.get(&status).copied().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 requests")]
        let figures = vec![
            ("offered_per_s", load.rate_per_s),
            ("accepted_per_s", tally.per_second()),
            ("200", tally.commands as f64),
            ("503", count(503) as f64),
            ("broken", tally.broken as f64),
            ("unsent", tally.unsent as f64),
            ("p50_ms", tally.percentile_ms(50.0)),
            ("p99_ms", tally.percentile_ms(99.0)),
            ("rss_before_mb", idle_rss),
            ("peak_rss_mb", peak_rss),
            ("recovery_ms", recovered.as_secs_f64() * 1000.0),
        ];
        let mut others = tally.others.clone();
        others.remove(&503);
        rows.push(Row {
            labels: vec![("store", host.backend.name().to_owned())],
            figures,
            note: match others.is_empty() {
                true => String::new(),
                false => format!("other answers: {others:?}"),
            },
        });
    }
    let about = format!(
        "Open loop at ten times the measured maximum for {length:?}, {CONNECTIONS} connections; latency counts from when the request was due. `unsent` found no free connection: the driver shares the machine. `recovery_ms`: from the end until 20 commands in a row are answered with 200 within twice the p99 of before."
    );
    report.section("overload", about, rows);
    Ok(())
}

/// How long it takes until commands are answered as usual.
async fn recover(host: &Installation, limit: Duration) -> Result<Duration> {
    let start = Instant::now();
    let mut connection = Connection::open(host.server().address()).await?;
    let (mut good, mut since) = (0, start);
    while good < 20 && start.elapsed() < Duration::from_secs(60) {
        let sent = Instant::now();
        let request = command(&host.requests(), "acc-0", CommandKind::Deposit);
        let answer = connection.send(request).await;
        if answer.is_ok_and(|(status, _)| status == 200) && sent.elapsed() <= limit {
            good += 1;
        } else {
            good = 0;
            since = Instant::now();
        }
    }
    Ok(since - start)
}

/// A module's load alone, and beside another module whose every call runs until it is stopped.
pub(super) async fn beside_a_spinning_module(lab: &Lab, report: &mut Report) -> Result<()> {
    /// Clients that make it spin.
    const SPINNERS: usize = 4;
    let mut rows = Vec::new();
    for host in hosts(lab).await? {
        let digest = host.upload(lab.module("hostile")?).await?;
        host.activate("default", "hostile", &digest).await?;
        let workload = deposits(&host.requests(), accounts(lab));
        let maximum = maximum(&workload, lab.length() / 2).await?;
        let load = half_of(maximum, lab.length());
        let mut runs = [Vec::new(), Vec::new()];
        let mut notes = [String::new(), String::new()];
        for _ in 0..lab.runs() {
            for beside in [0, 1] {
                let tally = if beside == 0 {
                    open(&workload, load).await?
                } else {
                    // It is stopped by its fuel or by its deadline: 504 either way.
                    let spin = Workload::new(&host.requests(), |requests, number| {
                        let path = format!("/v1/deciders/hostile/spin-{number}/commands");
                        requests.post(&path, r#"{"command":"Loop","data":{}}"#)
                    });
                    let spin = spin.expecting(StatusCode::GATEWAY_TIMEOUT);
                    let spinning = closed(&spin, SPINNERS, Stop::After(load.length));
                    let (tally, spun) = tokio::join!(open(&workload, load), spinning);
                    let spun = spun?;
                    notes[1] = format!("{} calls spun {}", spun.commands, spun.complaint());
                    tally?
                };
                if !tally.complaint().is_empty() {
                    notes[beside] = format!("{} {}", tally.complaint(), notes[beside]);
                }
                runs[beside].push(vec![
                    ("p99_ms", tally.percentile_ms(99.0)),
                    ("p50_ms", tally.percentile_ms(50.0)),
                    ("max_ms", tally.max_ms()),
                    ("offered_per_s", load.rate_per_s),
                    ("answered_per_s", tally.per_second()),
                ]);
            }
        }
        let figures = runs.map(|runs| median(&runs));
        let alone = figures[0][0].1;
        let labels = ["alone", "beside"];
        for ((figures, label), note) in figures.into_iter().zip(labels).zip(notes) {
            rows.push(Row {
                labels: vec![
                    ("store", host.backend.name().to_owned()),
                    ("bystander", label.to_owned()),
                ],
                figures: [vec![("p99_ratio", figures[0].1 / alone)], figures].concat(),
                note,
            });
        }
    }
    let about = format!(
        "Open loop of Deposits at half of the maximum, alone and beside {SPINNERS} clients whose every command loops until the sandbox stops it."
    );
    report.section("bystander", about, rows);
    Ok(())
}
