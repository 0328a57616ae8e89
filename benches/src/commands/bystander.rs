//! The effect on one module's users of a neighbour that takes all the resources it can get.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::latency::{half_of, maximum};
use super::{accounts, hosts};
use crate::lab::{Installation, Lab, deposits, variant};
use crate::load::{Stop, Workload, closed, open};
use crate::report::{Report, Row, figure, median};

/// Events of one large write.
const WRITTEN_EVENTS: u64 = 1_000;
/// Events of the stream that is read again and again.
const READ_EVENTS: u64 = 20_000;
/// Streams that break their instances.
const SUSPECTS: u64 = 2_000;
/// Connections whose bodies do not come: more than the host has places for requests.
const TRICKLES: usize = 1_100;

/// The work of the neighbour.
#[derive(Debug, Clone, Copy)]
enum Neighbour {
    Spins,
    Writes,
    Reads,
    Trickles,
    Uploads,
    BreaksInstances,
}

pub(super) async fn beside_one_that_spins(lab: &Lab, report: &mut Report) -> Result<()> {
    beside(lab, report, Neighbour::Spins).await
}

pub(super) async fn beside_large_writes(lab: &Lab, report: &mut Report) -> Result<()> {
    beside(lab, report, Neighbour::Writes).await
}

pub(super) async fn beside_large_reads(lab: &Lab, report: &mut Report) -> Result<()> {
    beside(lab, report, Neighbour::Reads).await
}

pub(super) async fn beside_trickled_bodies(lab: &Lab, report: &mut Report) -> Result<()> {
    beside(lab, report, Neighbour::Trickles).await
}

pub(super) async fn beside_uploads(lab: &Lab, report: &mut Report) -> Result<()> {
    beside(lab, report, Neighbour::Uploads).await
}

pub(super) async fn beside_broken_instances(lab: &Lab, report: &mut Report) -> Result<()> {
    beside(lab, report, Neighbour::BreaksInstances).await
}

impl Neighbour {
    fn section(self) -> &'static str {
        match self {
            Self::Spins => "bystander-spins",
            Self::Writes => "bystander-writes",
            Self::Reads => "bystander-reads",
            Self::Trickles => "bystander-trickles",
            Self::Uploads => "bystander-uploads",
            Self::BreaksInstances => "bystander-breaks",
        }
    }

    fn about(self) -> String {
        match self {
            Self::Spins => {
                "4 clients whose every command loops until the sandbox stops it".to_owned()
            }
            Self::Writes => format!(
                "32 clients whose every command leaves {WRITTEN_EVENTS} events on a stream of its own"
            ),
            Self::Reads => format!(
                "16 clients that have a stream of {READ_EVENTS} events folded up to a version, and 8 that read pages of 1,000 events"
            ),
            Self::Trickles => {
                format!("{TRICKLES} connections that send one byte of a body, and nothing more")
            }
            Self::Uploads => "8 clients that upload one new module after the other".to_owned(),
            Self::BreaksInstances => {
                format!("16 clients whose commands trap, on {SUSPECTS} streams in turns")
            }
        }
    }

    async fn prepare(self, lab: &Lab, host: &Installation) -> Result<()> {
        let digest = host.upload(lab.module("hostile")?).await?;
        host.activate("default", "hostile", &digest).await?;
        if matches!(self, Self::Reads) {
            host.make_stream("long", READ_EVENTS).await?;
        }
        Ok(())
    }

    /// Puts load on the host for the length of a run, and describes the outcome. Each `run` has
    /// streams and modules of its own.
    async fn press(self, lab: &Lab, host: &Installation, run: usize) -> Result<String> {
        let (requests, length) = (host.requests(), lab.length());
        let commands = |body: String, streams: u64| {
            Workload::new(&requests, move |requests, number| {
                let stream = number % streams;
                let path = format!("/v1/deciders/hostile/{run}-{stream}/commands");
                requests.post(&path, body.clone())
            })
        };
        let command = |name, data| format!(r#"{{"command":"{name}","data":{data}}}"#);
        match self {
            Self::Spins => {
                // It is stopped by its fuel or by its deadline: 504 either way.
                let spin = commands(command("Loop", "{}"), u64::MAX);
                told(spin.expecting(StatusCode::GATEWAY_TIMEOUT), 4, length).await
            }
            Self::Writes => {
                let data = format!(r#"{{"number":{WRITTEN_EVENTS}}}"#);
                told(commands(command("Burst", &data), u64::MAX), 32, length).await
            }
            Self::Reads => {
                let states = Workload::new(&requests, |requests, number| {
                    let version = READ_EVENTS - number % 100;
                    requests.get(&format!("/v1/deciders/account/long?version={version}"))
                });
                let pages = Workload::new(&requests, |requests, _| {
                    requests.get("/v1/events?limit=1000")
                });
                let (states, pages) =
                    tokio::join!(told(states, 16, length), told(pages, 8, length));
                Ok(format!("states: {}; pages: {}", states?, pages?))
            }
            Self::Trickles => {
                let until = Instant::now() + length;
                let trickles = (0..TRICKLES).map(|_| trickle(host, until));
                let ended: usize = try_join_all(trickles).await?.into_iter().sum();
                Ok(format!("{ended} were ended by the host"))
            }
            Self::Uploads => {
                let (component, run) = (lab.module("account")?, u32::try_from(run)?);
                let upload = Workload::new(&requests, move |requests, number| {
                    let number = (run << 24) + u32::try_from(number).unwrap_or(0);
                    let component = variant(&component, number).into();
                    requests.request(Method::POST, "/v1/modules", "application/wasm", component)
                });
                told(upload.expecting(StatusCode::CREATED), 8, length).await
            }
            Self::BreaksInstances => {
                let trap = commands(command("Trap", "{}"), SUSPECTS);
                let trap = trap.expecting(StatusCode::INTERNAL_SERVER_ERROR);
                told(trap, 16, length).await
            }
        }
    }
}

/// Describes the outcome of a load: the number of requests that were answered as expected, and the
/// other answers.
async fn told(workload: Workload, connections: usize, length: Duration) -> Result<String> {
    let tally = closed(&workload, connections, Stop::After(length)).await?;
    let (expected, complaint) = (tally.commands, tally.complaint());
    Ok(format!("{expected} as expected {complaint}")
        .trim_end()
        .to_owned())
}

/// Keeps on sending the first byte of a body over one connection after the other. Says how many the
/// host has ended.
async fn trickle(host: &Installation, until: Instant) -> Result<usize> {
    let address = host.server().address();
    let head = format!(
        "POST /v1/deciders/account/acc-0/commands HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    );
    let mut ended = 0;
    while Instant::now() < until {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        let answered = timeout_at(until, stream.read_to_end(&mut answer)).await;
        ended += usize::from(answered.is_ok());
    }
    Ok(ended)
}

/// Deposits at half of the maximum, alone and next to a neighbour.
async fn beside(lab: &Lab, report: &mut Report, neighbour: Neighbour) -> Result<()> {
    let mut rows = Vec::new();
    for host in hosts(lab).await? {
        neighbour.prepare(lab, &host).await?;
        let workload = deposits(&host.requests(), accounts(lab));
        let maximum = maximum(&workload, lab.length() / 2).await?;
        let load = half_of(maximum, lab.length());
        let mut runs = [Vec::new(), Vec::new()];
        let mut notes = [String::new(), String::new()];
        for run in 0..lab.runs() {
            for beside in [0, 1] {
                let tally = if beside == 0 {
                    open(&workload, load).await?
                } else {
                    let pressing = neighbour.press(lab, &host, run);
                    let (tally, pressed) = tokio::join!(open(&workload, load), pressing);
                    notes[1] = format!("the neighbour: {}", pressed?);
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
        let runs = runs.map(|runs| median(&runs));
        let ratios =
            ["p50_ms", "p99_ms"].map(|name| figure(&runs[1], name) / figure(&runs[0], name));
        for ((index, figures), note) in runs.into_iter().enumerate().zip(notes) {
            let ratio = |of_beside| if index == 0 { 1.0 } else { of_beside };
            let ratios = vec![
                ("p50_ratio", ratio(ratios[0])),
                ("p99_ratio", ratio(ratios[1])),
            ];
            rows.push(Row {
                labels: vec![
                    ("store", host.backend.name().to_owned()),
                    ("bystander", ["alone", "beside"][index].to_owned()),
                ],
                figures: [ratios, figures].concat(),
                note,
            });
        }
    }
    let about = format!(
        "Open loop of Deposits at half of the maximum, alone and beside {}. Goal: p50 and p99 at most 2x.",
        neighbour.about()
    );
    report.section(neighbour.section(), about, rows);
    Ok(())
}
