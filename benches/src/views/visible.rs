//! The time from the answer to a command until its row is there.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{VIEW, candidate, deploy};
use crate::commands::{half_of, maximum};
use crate::lab::{self, CommandKind, Installation, Lab, command, deposits};
use crate::load::{Connection, Workload, open, percentile_ms, scattered};
use crate::rehearsals::Rehearsal;
use crate::report::{Figures, Report, Row, median};

/// The longest time for which the maximum is measured.
const MAXIMUM_LENGTH: Duration = Duration::from_secs(4);

/// The longest time for which rows may be behind after that.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Another namespace, in which other people send commands and have a view.
const NEIGHBOUR: HeaderValue = HeaderValue::from_static("neighbour");

/// More accounts than a neighbour opens in a run.
const OPENED: u64 = 1_000_000_000;

/// The most rehearsals of a run.
const MOST: u32 = 1_000;

/// Commands one after the other whose rows are asked for at once: with nothing beside them, and
/// beside a load of half of the maximum, also in another namespace, and beside tables that are
/// built.
pub(super) async fn idle_and_under_load(lab: &Lab, report: &mut Report) -> Result<()> {
    let asked = lab.options.gate_events;
    let accounts = asked.unwrap_or(lab.pick(10_000, 1_000));
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let host = Installation::with_accounts(lab, backend, accounts).await?;
        deploy(lab, &host, "balance").await?;
        move_in(lab, &host).await?;
        let mut cases = [
            ("nothing", Vec::new()),
            ("half of the maximum", Vec::new()),
            ("half of the maximum in another namespace", Vec::new()),
            ("rehearsals of other modules", Vec::new()),
        ];
        for run in 0..u32::try_from(lab.runs())? {
            cases[0].1.push(probe(lab, &host, accounts).await?);
            let workload = deposits(&host.requests(), accounts);
            let length = MAXIMUM_LENGTH.min(lab.length() / 2);
            let load = half_of(maximum(&workload, length).await?, lab.length());
            // What the rows are behind by then is no part of the load that is measured.
            show_all(&host).await?;
            let probes = probe(lab, &host, accounts);
            let (tally, figures) = tokio::try_join!(open(&workload, load), probes)?;
            ensure!(tally.complaint().is_empty(), "{}", tally.complaint());
            cases[1].1.push(figures);
            show_all(&host).await?;
            let neighbour = accounts_of_the_neighbour(&host, u64::from(run) * OPENED);
            let probes = probe(lab, &host, accounts);
            let (tally, figures) = tokio::try_join!(open(&neighbour, load), probes)?;
            ensure!(tally.complaint().is_empty(), "{}", tally.complaint());
            cases[2].1.push(figures);
            let is_over = Cell::new(false);
            let probes = async {
                let figures = probe(lab, &host, accounts).await?;
                is_over.set(true);
                Ok(figures)
            };
            let rehearsals = rehearse_until(lab, &host, run * MOST, &is_over);
            let (figures, ()) = tokio::try_join!(probes, rehearsals)?;
            cases[3].1.push(figures);
        }
        rows.extend(cases.map(|(load, runs)| Row {
            labels: vec![
                ("store", backend.name().to_owned()),
                ("beside", load.to_owned()),
            ],
            figures: median(&runs),
            note: String::new(),
        }));
    }
    let about = "Deposits one after the other, each followed by a read of its row with `Gavel-After`: the time from the answer to the command until the row is there. Goals: p99 20 ms beside nothing, 250 ms beside an open loop at half of what 64 connections reached just before, no more than 2x of nothing while such a load is in another namespace, and no more than 1.5x while tables of other modules are built and compared.";
    report.section("visible", about, rows);
    Ok(())
}

/// Lets the neighbour have the same decider and view.
async fn move_in(lab: &Lab, host: &Installation) -> Result<()> {
    for (kind, name) in [("deciders", "account"), ("views", "balance")] {
        let digest = host.upload(lab.module(name)?).await?;
        let path = format!("/v1/{kind}/{name}/activations");
        let body = json!({ "digest": digest }).to_string();
        let activation = in_the_neighbourhood(host.requests().post(&path, body));
        host.call(activation).await?;
    }
    Ok(())
}

/// Opens accounts of the neighbour.
fn accounts_of_the_neighbour(host: &Installation, first: u64) -> Workload {
    Workload::new(&host.requests(), move |requests, number| {
        let account = lab::id(first + number);
        in_the_neighbourhood(command(requests, &account, CommandKind::Open))
    })
}

fn in_the_neighbourhood(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().insert("gavel-namespace", NEIGHBOUR);
    request
}

/// Waits until the rows hold all that is stored.
async fn show_all(host: &Installation) -> Result<()> {
    let deadline = Instant::now() + CATCH_UP;
    loop {
        let status = host.call(host.requests().get("/v1/views/balance")).await?;
        let lag = &status["rows"]["lag"];
        if lag["events"] == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the rows stay behind: {status}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Rehearses one module after the other, each of which builds a table.
async fn rehearse_until(
    lab: &Lab,
    host: &Installation,
    first: u32,
    is_over: &Cell<bool>,
) -> Result<()> {
    let mut numbers = first..first + MOST;
    while !is_over.get() {
        let number = numbers.next().context("a run has fewer rehearsals")?;
        let candidate = candidate(lab, host, number).await?;
        let rehearsal = Rehearsal::start(host, VIEW, &candidate).await?;
        rehearsal.end().await?;
    }
    Ok(())
}

/// Deposits and reads their rows for the length of a run.
async fn probe(lab: &Lab, host: &Installation, accounts: u64) -> Result<Figures> {
    let requests = host.requests();
    let mut connection = Connection::open(requests.address()).await?;
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < lab.length() {
        // Not in step with anything that the host does at intervals.
        sleep(Duration::from_micros(5_000 + scattered(number) % 10_000)).await;
        let account = lab::id(scattered(number) % accounts);
        number += 1;
        let (status, body) = connection
            .send(command(&requests, &account, CommandKind::Deposit))
            .await?;
        ensure!(status.is_success(), "a Deposit was answered with {status}");
        let answered = Instant::now();
        let answer: Value = serde_json::from_slice(&body)?;
        let position = answer["events"][0]["position"].as_str();
        let position = HeaderValue::from_str(position.context("an event has a position")?)?;
        let mut read = requests.get(&format!("/v1/views/balance/rows/{account}"));
        read.headers_mut().insert("gavel-after", position);
        let (status, _) = connection.send(read).await?;
        ensure!(status.is_success(), "a read was answered with {status}");
        latencies.push(answered.elapsed());
    }
    Ok(vec![
        ("p50_ms", percentile_ms(latencies.clone(), 50.0)),
        ("p99_ms", percentile_ms(latencies.clone(), 99.0)),
        ("max_ms", percentile_ms(latencies, 100.0)),
    ])
}
