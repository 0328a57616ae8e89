//! `peers`: twins of the account on other event stores, and Gavel, with the same requests in the
//! same run.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::lab::{
    self, Backend, CommandKind, Database, Installation, Lab, Meter, Server, command, deposits,
    free_address,
};
use crate::load::{Requests, Stop, Workload, closed};
use crate::paired::{Case, alternate};
use crate::report::Report;

/// The variants of each twin: with the settings that its packages come with, and with those that a
/// user would choose after a day of measuring.
const VARIANTS: [&str; 2] = ["default", "best"];

/// Twins whose store is a child of theirs.
const NOT_ON_POSTGRES: [&str; 1] = ["umadb"];

/// A running twin and the database that it may use.
#[derive(Debug)]
struct Twin {
    name: String,
    variant: &'static str,
    // Before the database, so that it is gone when that is dropped.
    server: Server,
    database: Database,
}

/// Measures Gavel on PostgreSQL and every twin that was given, alternating.
///
/// # Errors
///
/// When a server does not start or refuses to open an account.
pub async fn run(lab: &Lab) -> Result<Report> {
    let mut report = Report::new("peers");
    lab::describe(lab, &mut report).await?;
    let accounts = lab.pick(10_000, 1_000);
    let gavel = Installation::with_accounts(lab, Backend::Postgres, accounts).await?;
    let mut twins = Vec::new();
    for (name, program) in &lab.options.peer {
        if !lab.wants(name) {
            continue;
        }
        for variant in VARIANTS {
            match start(lab, name, program, variant, accounts).await {
                Ok(twin) => twins.push(twin),
                // One that does not work is no reason not to measure the others.
                Err(error) => {
                    report.fact(format!("left out: {name}, {variant}"), format!("{error:#}"))
                }
            }
        }
    }

    let mut servers = vec![(
        "gavel".to_owned(),
        "default",
        gavel.requests(),
        gavel.meter().await?,
    )];
    for twin in &twins {
        let process = twin.server.process();
        let meter = match NOT_ON_POSTGRES.contains(&&*twin.name) {
            true => Meter::with_files(process),
            false => Meter::with_database(process, &twin.database).await?,
        };
        let requests = Requests::new(twin.server.address());
        servers.push((twin.name.clone(), twin.variant, requests, meter));
    }
    for (name, connections) in [("one connection", 1), ("64 connections", 64)] {
        let cases = servers.iter().map(|(name, variant, requests, meter)| {
            Case::new(meter, deposits(requests, accounts), connections)
                .label("server", name)
                .label("variant", variant)
        });
        let mut rows = alternate(lab, cases.collect()).await?;
        for (row, twin) in rows.iter_mut().skip(1).zip(&twins) {
            if !row.note.is_empty() {
                let log = twin.server.log();
                if let Some(last) = log.lines().next_back() {
                    row.note = format!("{}; its log ends with: {last}", row.note);
                }
            }
        }
        let about = format!(
            "Closed loop, one Deposit per request, {accounts} open accounts, all servers running and measured in turns. UmaDB's server is a child of its twin, so its processor time is within `app_cpu_us`."
        );
        report.section(name, about, rows);
    }
    Ok(report)
}

async fn start(
    lab: &Lab,
    name: &str,
    program: &str,
    variant: &'static str,
    accounts: u64,
) -> Result<Twin> {
    let folder = lab.folder()?;
    let database = lab.database(&folder).await?;
    let address = free_address()?;
    let program = std::path::absolute(program)?;
    let mut command_line = Command::new(program);
    command_line
        .args([&address.to_string(), &database.url(), variant])
        .current_dir(&folder);
    let log = folder.join("twin.log");
    let server = Server::start(command_line, address, "/readyz", log).await;
    let server = server.with_context(|| format!("{name} did not start"))?;

    let open = Workload::new(&Requests::new(address), move |requests, number| {
        command(requests, &lab::id(number % accounts), CommandKind::Open)
    });
    let tally = closed(&open, 8, Stop::Count(accounts)).await?;
    if tally.commands < accounts {
        // Some lost too many races. Alone there are none; those that are open already are rejected.
        let again = closed(&open, 1, Stop::Count(accounts)).await?;
        let rejected = again.others.get(&422).copied().unwrap_or(0);
        ensure!(
            again.commands + rejected == accounts,
            "{name} did not open all accounts: {}. Its log:\n{}",
            again.complaint(),
            server.log()
        );
    }
    Ok(Twin {
        name: name.to_owned(),
        variant,
        server,
        database,
    })
}
