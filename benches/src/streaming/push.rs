//! A consumer whose events the host delivers by itself.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::consumers::{self, Lease};
use super::costs;
use crate::lab::{Installation, Lab};
use crate::load::Tally;
use crate::paired::Company;
use crate::report::{Figures, Report, Row, median};

/// The longest time that delivering everything may take.
const LIMIT: Duration = Duration::from_secs(600);

/// All events of many streams, to a receiver that takes them at once.
pub(super) async fn to_one_receiver(lab: &Lab, report: &mut Report) -> Result<()> {
    let (streams, length) = (lab.pick(2_000, 200), 20);
    let receiver = Receiver::start().await?;
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let host = Installation::with_accounts(lab, backend, 0).await?;
        let events = host.make_log(streams, length).await?;
        let mut runs = Vec::new();
        for run in 0..lab.runs() {
            let consumer = format!("push-{run}");
            runs.push(push(&host, &receiver, &consumer, events).await?);
        }
        rows.push(Row {
            labels: vec![("store", backend.name().to_owned())],
            figures: median(&runs),
            note: String::new(),
        });
    }
    let about = format!(
        "A new consumer is pushed all events of {streams} streams, about {length} each, signed, from when it is asked for until the last one has come. The receiver is in the driver and answers 204 at once. Costs per event."
    );
    report.section("push", about, rows);
    Ok(())
}

/// A run over all events.
async fn push(
    host: &Installation,
    receiver: &Receiver,
    consumer: &str,
    events: u64,
) -> Result<Figures> {
    let meter = host.meter().await?;
    meter.settle().await?;
    let received = &receiver.received;
    received.forget();
    let load = async || {
        let url = format!("http://{}/", receiver.address);
        let body = json!({ "push": { "url": url, "secret": "secret" } });
        let start = Instant::now();
        consumers::put(host, consumer, &body).await?;
        let all = timeout(LIMIT, received.wait_for(events)).await;
        all.with_context(|| format!("not all events were pushed within {LIMIT:?}"))?;
        Ok(Tally::untimed(received.events.get(), start.elapsed()))
    };
    let (tally, figures) = meter.measure(load).await?;
    consumers::delete(host, consumer).await?;
    eprintln!("  {}: {:.0}/s", host.backend.name(), tally.per_second());
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 deliveries")]
    let per_s = received.deliveries.get() as f64 / tally.elapsed.as_secs_f64();
    let mut all = vec![
        ("events_per_s", tally.per_second()),
        ("deliveries_per_s", per_s),
    ];
    all.extend(costs(figures));
    Ok(all)
}

/// An HTTP server that takes every delivery.
#[derive(Debug)]
struct Receiver {
    address: SocketAddr,
    received: Rc<Received>,
    _serving: Company,
}

#[derive(Debug, Default)]
struct Received {
    deliveries: Cell<u64>,
    events: Cell<u64>,
    changed: Notify,
}

impl Receiver {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let received = Rc::<Received>::default();
        let mut serving = Company::new();
        serving.spawn_local(serve(listener, received.clone()));
        Ok(Self {
            address,
            received,
            _serving: serving,
        })
    }
}

impl Received {
    fn forget(&self) {
        self.deliveries.set(0);
        self.events.set(0);
    }

    fn add(&self, events: u64) {
        self.deliveries.set(self.deliveries.get() + 1);
        self.events.set(self.events.get() + events);
        self.changed.notify_one();
    }

    async fn wait_for(&self, events: u64) {
        while self.events.get() < events {
            self.changed.notified().await;
        }
    }
}

/// Returns only a failure.
async fn serve(listener: TcpListener, received: Rc<Received>) -> Error {
    let mut connections = Company::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return error.into(),
        };
        let received = received.clone();
        let service = service_fn(move |request| take(request, received.clone()));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn_local(async move {
            match connection.await {
                Ok(()) => Error::msg("the host has closed it"),
                Err(error) => error.into(),
            }
        });
    }
}

async fn take(
    request: Request<Incoming>,
    received: Rc<Received>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    let body = request.into_body().collect().await.ok();
    let delivery = body.and_then(|body| serde_json::from_slice::<Lease>(&body.to_bytes()).ok());
    *response.status_mut() = match delivery {
        Some(delivery) => {
            received.add(delivery.len());
            StatusCode::NO_CONTENT
        }
        None => StatusCode::BAD_REQUEST,
    };
    Ok(response)
}
