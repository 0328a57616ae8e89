//! The same build and reads on projections that others would write.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::deploy;
use crate::lab::{self, Backend, Database, Installation, Lab, Meter, Server, free_address};
use crate::load::{Connection, Requests, Workload, scattered};
use crate::paired::{Case, alternate};
use crate::report::{Report, Row, median};

/// The most events: the slowest folds a thousand in a second.
const MOST_EVENTS: u64 = 20_000;
/// Events of a row.
const EACH: u64 = 10;
/// The settings that a twin's packages come with, and those of a user who has measured for a day.
const VARIANTS: [&str; 2] = ["default", "best"];

/// A running twin with a history of its own.
#[derive(Debug)]
struct Twin {
    name: String,
    variant: &'static str,
    // Before the database, so that it is gone when that is dropped.
    server: Server,
    database: Database,
}

/// Rebuilds of twins, and reads of their rows beside those of a view.
pub(super) async fn rebuilds_and_reads(lab: &Lab, report: &mut Report) -> Result<()> {
    let accounts = super::build::events(lab).min(MOST_EVENTS) / EACH;
    let host = Installation::with_accounts(lab, Backend::Postgres, 0).await?;
    host.make_log(accounts, EACH).await?;
    deploy(lab, &host, "balance").await?;
    let mut twins = Vec::new();
    for (name, program) in &lab.options.peer {
        for variant in VARIANTS {
            let twin = start(lab, (name, program), variant, accounts).await;
            match twin {
                Ok(twin) => twins.push(twin),
                // One that does not work is no reason not to measure the others.
                Err(error) => {
                    report.fact(format!("left out: {name}, {variant}"), format!("{error:#}"))
                }
            }
        }
    }
    let mut runs = vec![Vec::new(); twins.len()];
    for _ in 0..lab.runs() {
        for (twin, runs) in twins.iter().zip(&mut runs) {
            let start = Instant::now();
            let events = twin.post("/rebuild").await?["events"].as_u64();
            let events = events.context("a rebuild says how many events there were")?;
            ensure!(events == accounts * EACH, "{events} events were folded");
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 events")]
            let speed = events as f64 / start.elapsed().as_secs_f64();
            eprintln!("  {}, {}: {speed:.0} events/s", twin.name, twin.variant);
            runs.push(vec![("events_per_s", speed)]);
        }
    }
    let rebuilt = twins.iter().zip(&runs).map(|(twin, runs)| Row {
        labels: vec![
            ("server", twin.name.clone()),
            ("variant", twin.variant.to_owned()),
        ],
        figures: median(runs),
        note: String::new(),
    });
    let about = format!(
        "Projections of {accounts} rows fold {EACH} events for each, from their own events in PostgreSQL: a hand-written one with three indexes, and Emmett's, whose documents have none. To be read beside `build`."
    );
    report.section("twins, rebuild", about, rebuilt.collect());

    let gavel = host.meter().await?;
    let mut meters = Vec::new();
    for twin in &twins {
        meters.push(Meter::with_database(twin.server.process(), &twin.database).await?);
    }
    let mut cases = vec![
        Case::new(
            &gavel,
            reads(&host.requests(), "/v1/views/balance/rows", accounts),
            64,
        )
        .label("server", "gavel")
        .label("variant", "default"),
    ];
    for (twin, meter) in twins.iter().zip(&meters) {
        let workload = reads(&twin.requests(), "/rows", accounts);
        let case = Case::new(meter, workload, 64)
            .label("server", &twin.name)
            .label("variant", twin.variant);
        cases.push(case);
    }
    let rows = alternate(lab, cases).await?;
    let about = format!("Closed loop, 64 connections, one row per request out of {accounts}.");
    report.section("twins, reads", about, rows);
    Ok(())
}

fn reads(requests: &Requests, path: &'static str, accounts: u64) -> Workload {
    Workload::new(requests, move |requests, number| {
        let account = lab::id(scattered(number) % accounts);
        requests.get(&format!("{path}/{account}"))
    })
}

async fn start(
    lab: &Lab,
    (name, program): (&str, &str),
    variant: &'static str,
    accounts: u64,
) -> Result<Twin> {
    let folder = lab.folder()?;
    let database = lab.database(&folder).await?;
    let address = free_address()?;
    let mut command = Command::new(std::path::absolute(program)?);
    command
        .args([&address.to_string(), &database.url(), variant])
        .current_dir(&folder);
    let server = Server::start(command, address, "/readyz", folder.join("twin.log")).await?;
    let twin = Twin {
        name: name.to_owned(),
        variant,
        server,
        database,
    };
    twin.post(&format!("/fill?accounts={accounts}&each={EACH}"))
        .await?;
    Ok(twin)
}

impl Twin {
    fn requests(&self) -> Requests {
        Requests::new(self.server.address())
    }

    async fn post(&self, path: &str) -> Result<Value> {
        let request = self.requests().post(path, "");
        let mut connection = Connection::open(self.server.address()).await?;
        let (status, body) = connection.send(request).await?;
        ensure!(
            status.is_success(),
            "{path} was answered with {status}: {}",
            self.server.log()
        );
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }
}
