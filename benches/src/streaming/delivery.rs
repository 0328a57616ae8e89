//! The latency of an event to a subscriber of an otherwise idle host.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, ensure};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::followers::follow;
use crate::lab::{self, Backend, CommandKind, Installation, Lab, command};
use crate::load::{Connection, Feed, Requests, percentile_ms, scattered};
use crate::paired::Company;
use crate::report::{Figures, Report, Row, median};

const ACCOUNTS: u64 = 100;
/// The longest time that an event may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The latency for one subscriber, with one command after the other; on PostgreSQL also with the
/// subscriber at another host.
pub(super) async fn one_by_one(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let host = Installation::with_accounts(lab, backend, ACCOUNTS).await?;
        let another = match backend {
            Backend::Postgres => Some(host.another_host().await?),
            Backend::Sqlite => None,
        };
        let another = another.as_ref().map(|host| Requests::new(host.address()));
        let mut places = vec![("the same host", host.requests(), Vec::new())];
        places.extend(another.map(|requests| ("another host", requests, Vec::new())));
        for _ in 0..lab.runs() {
            for (_, subscriber, runs) in &mut places {
                runs.push(deliver(lab, &host.requests(), subscriber).await?);
            }
        }
        rows.extend(places.into_iter().map(|(place, _, runs)| Row {
            labels: vec![
                ("store", backend.name().to_owned()),
                ("subscriber", format!("at {place}")),
            ],
            figures: median(&runs),
            note: String::new(),
        }));
    }
    let about = "One subscriber (`text/event-stream`) and nothing else; Deposits one after the other, each 10 to 30 ms after the event of the one before has come. Latency from the answer to the command, which comes after the commit, until the event is there; 0 if the event came first. `sent_`: from the sending of the command. `command_`: from there to the answer.";
    report.section("delivery", about, rows);
    Ok(())
}

/// Sends commands to the one and awaits their events from the other, for the length of a run.
async fn deliver(lab: &Lab, commands: &Requests, subscriber: &Requests) -> Result<Figures> {
    let request = follow(subscriber, "text/event-stream", "");
    let mut feed = Feed::open(subscriber.address(), request).await?;
    feed.catch_up().await?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let mut company = Company::new();
    // Of its own, so that an event that overtakes the answer is seen when it comes.
    company.spawn_local(async move {
        loop {
            match note_arrival(&mut feed, &arrived).await {
                Ok(()) => {}
                Err(error) => return error,
            }
        }
    });

    let mut connection = Connection::open(commands.address()).await?;
    let (mut from_answer, mut from_sending, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < lab.warm_up() + lab.length() {
        // Not in step with anything that the host does at intervals.
        tokio::time::sleep(Duration::from_micros(10_000 + scattered(number) % 20_000)).await;
        let account = lab::id(scattered(number) % ACCOUNTS);
        number += 1;
        let request = command(commands, &account, CommandKind::Deposit);
        let sent = Instant::now();
        let (status, body) = connection.send(request).await?;
        let answered = Instant::now();
        ensure!(status.is_success(), "a Deposit was answered with {status}");
        let answer: Value = serde_json::from_slice(&body)?;
        let position = answer["events"][0]["position"].as_str();
        let arrival = timeout(LIMIT, arrivals.recv()).await;
        let (event, arrived) = arrival
            .with_context(|| format!("no event within {LIMIT:?}"))?
            .context("the subscription has ended")?;
        ensure!(Some(&*event) == position, "another event came first");
        if start.elapsed() > lab.warm_up() {
            from_answer.push(arrived.saturating_duration_since(answered));
            from_sending.push(arrived - sent);
            answers.push(answered - sent);
        }
    }
    Ok(vec![
        ("p50_ms", percentile_ms(from_answer.clone(), 50.0)),
        ("p99_ms", percentile_ms(from_answer.clone(), 99.0)),
        ("max_ms", percentile_ms(from_answer, 100.0)),
        ("sent_p50_ms", percentile_ms(from_sending.clone(), 50.0)),
        ("sent_p99_ms", percentile_ms(from_sending, 99.0)),
        ("command_p50_ms", percentile_ms(answers.clone(), 50.0)),
        ("command_p99_ms", percentile_ms(answers, 99.0)),
    ])
}

/// Notes the time at which the next event arrives.
async fn note_arrival(
    feed: &mut Feed,
    arrived: &mpsc::UnboundedSender<(String, Instant)>,
) -> Result<(), Error> {
    let message = feed.message().await?;
    let is_event = !matches!(&*message.event, "" | "caught-up");
    if is_event {
        arrived.send((message.id, Instant::now()))?;
    }
    Ok(())
}
