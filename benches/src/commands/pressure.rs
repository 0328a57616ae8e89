//! Loads beyond the capacity of the host.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::latency::{half_of, maximum};
use super::{accounts, hosts};
use crate::lab::{CommandKind, Installation, Lab, command, deposits};
use crate::load::{Connection, OpenLoop, open};
use crate::report::{Report, Row};

/// A load ten times the maximum that the host can sustain.
pub(super) async fn overload(lab: &Lab, report: &mut Report) -> Result<()> {
    /// The connections of the load: more than the requests that the host processes at one time by
    /// default.
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

/// The time until commands are answered as usual.
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
