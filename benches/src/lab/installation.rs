//! A host of our own with an empty store, and the calls that prepare it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request};
use serde_json::{Value, json};

use super::account::{self, CommandKind};
use super::{Build, Database, Lab, Meter, Server, free_address};
use crate::load::{Connection, Requests, Stop, Workload, closed};
use crate::processes;

/// The kind of store that events are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// The server of `--database-url`.
    Postgres,
    /// A file.
    Sqlite,
}

impl Backend {
    /// The store as a label of a row.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// Events that fit into the largest body that the host takes by default.
const IMPORT_EVENTS: u64 = 4000;

/// A host, its store and its files.
#[derive(Debug)]
pub(crate) struct Installation {
    // Before the database, so that it is gone when that is dropped.
    server: Option<Server>,
    gavel: PathBuf,
    settings: Vec<(String, String)>,
    folder: PathBuf,
    pub(crate) backend: Backend,
    database: Option<Database>,
}

impl Installation {
    /// A host on an empty store, without any module.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) async fn empty(lab: &Lab, backend: Backend) -> Result<Self> {
        Self::of(&lab.options.gavel, lab, backend).await
    }

    async fn of(gavel: &Path, lab: &Lab, backend: Backend) -> Result<Self> {
        let folder = lab.folder()?;
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(lab.database(&folder).await?),
        };
        let mut installation = Self {
            server: None,
            gavel: gavel.to_owned(),
            settings: lab.options.host_setting.clone(),
            folder,
            backend,
            database,
        };
        installation.start().await?;
        Ok(installation)
    }

    /// A host with the account module, and this many open accounts.
    ///
    /// # Errors
    ///
    /// When it does not start, or refuses the module or an account.
    pub(crate) async fn with_accounts(lab: &Lab, backend: Backend, accounts: u64) -> Result<Self> {
        Self::of_with_accounts(lab.build(), lab, backend, accounts).await
    }

    /// The same, of another `gavel` than the one that is measured.
    ///
    /// # Errors
    ///
    /// As [`Installation::with_accounts`].
    pub(crate) async fn of_with_accounts(
        build: Build<'_>,
        lab: &Lab,
        backend: Backend,
        accounts: u64,
    ) -> Result<Self> {
        let installation = Self::of(build.gavel, lab, backend).await?;
        let digest = installation.upload(build.module("account")?).await?;
        installation.activate("default", "account", &digest).await?;
        installation.open_accounts(0, accounts).await?;
        Ok(installation)
    }

    async fn start(&mut self) -> Result<()> {
        let server = self.serve("data", "serve.log").await;
        self.server = Some(server.context("the host did not start")?);
        Ok(())
    }

    /// Starts another host on the same store.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) async fn another_host(&self) -> Result<Server> {
        let server = self.serve("another-data", "another-serve.log").await;
        server.context("another host did not start")
    }

    async fn serve(&self, data: &str, log: &str) -> Result<Server> {
        let address = free_address()?;
        let store = match &self.database {
            Some(database) => database.url(),
            None => format!("sqlite://{}", self.folder.join("gavel.db").display()),
        };
        let mut command = Command::new(&self.gavel);
        command
            .args(["serve", "--listen", &address.to_string(), "--store", &store])
            .arg("--data-dir")
            .arg(self.folder.join(data))
            // Neither a `gavel.toml` nor a variable of whoever runs this is to have a say.
            .current_dir(&self.folder)
            .env_clear()
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        Server::start(command, address, "/readyz", self.folder.join(log)).await
    }

    /// Stops the host and starts it again on the same data.
    ///
    /// # Errors
    ///
    /// When it does not end or does not start.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            server.stop().await.context("the host does not stop")?;
        }
        self.start().await
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs between our methods")
    }

    /// Makes requests for it.
    pub(crate) fn requests(&self) -> Requests {
        Requests::new(self.server().address())
    }

    /// Reads what loads cost it.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub(crate) async fn meter(&self) -> Result<Meter<'_>> {
        let app = self.server().process();
        match &self.database {
            Some(database) => Meter::with_database(app, database).await,
            None => Ok(Meter::with_files(app)),
        }
    }

    /// The memory now and at most so far, in MB.
    ///
    /// # Errors
    ///
    /// An error when the host has ended.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 bytes")]
    pub(crate) fn resident_mb(&self) -> Result<(f64, f64)> {
        let (now, most) = processes::resident_bytes(self.server().process())?;
        Ok((now as f64 / 1e6, most as f64 / 1e6))
    }

    /// Sends one request over a connection of its own.
    ///
    /// # Errors
    ///
    /// When it is not answered with a status of success.
    pub(crate) async fn call(&self, request: Request<Full<Bytes>>) -> Result<Value> {
        let what = format!("{} {}", request.method(), request.uri());
        let mut connection = Connection::open(self.server().address()).await?;
        let (status, body) = connection.send(request).await?;
        ensure!(
            status.is_success(),
            "{what} was answered with {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Uploads a component and returns its digest.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub(crate) async fn upload(&self, component: Vec<u8>) -> Result<String> {
        let requests = self.requests();
        let request = requests.request(
            Method::POST,
            "/v1/modules",
            "application/wasm",
            component.into(),
        );
        let module = self.call(request).await?;
        let digest = module["digest"].as_str();
        Ok(digest.context("a module has a digest")?.to_owned())
    }

    /// Makes a module the one that decides.
    ///
    /// # Errors
    ///
    /// When the gate refuses it.
    pub(crate) async fn activate(
        &self,
        namespace: &str,
        decider: &str,
        digest: &str,
    ) -> Result<()> {
        let path = format!("/v1/deciders/{decider}/activations");
        let body = json!({ "digest": digest }).to_string();
        let mut request = self.requests().post(&path, body);
        let namespace = namespace.parse().context("a namespace is visible text")?;
        request.headers_mut().insert("gavel-namespace", namespace);
        self.call(request).await.map(drop)
    }

    /// Opens the accounts `first..end`.
    ///
    /// # Errors
    ///
    /// When one is refused.
    pub(crate) async fn open_accounts(&self, first: u64, end: u64) -> Result<()> {
        const SIZE: u64 = 100;
        ensure!(
            (end - first).is_multiple_of(SIZE),
            "accounts are opened by the {SIZE}"
        );
        let batches = (end - first) / SIZE;
        let workload = Workload::new(&self.requests(), move |requests, number| {
            let ids = first + number * SIZE..first + (number + 1) * SIZE;
            requests.post(
                "/v1/commands",
                account::batch(ids.map(account::id), CommandKind::Open),
            )
        });
        let workload = workload.of_batches(SIZE);
        let tally = closed(&workload, 4, Stop::Count(batches)).await?;
        ensure!(
            tally.complaint().is_empty(),
            "opening accounts: {}",
            tally.complaint()
        );
        Ok(())
    }

    /// Opens `streams` accounts and adds Deposits to them as if at random, until there are `length`
    /// times as many events. How many these are.
    ///
    /// # Errors
    ///
    /// When a command is refused.
    pub(crate) async fn make_log(&self, streams: u64, length: u64) -> Result<u64> {
        const BATCH: u64 = 100;
        self.open_accounts(0, streams).await?;
        let deposits = account::batch_of_deposits(&self.requests(), streams, BATCH);
        let batches = streams * (length - 1) / BATCH;
        let tally = closed(&deposits, 4, Stop::Count(batches)).await?;
        let complaint = tally.complaint();
        ensure!(complaint.is_empty(), "filling the log: {complaint}");
        Ok(streams + batches * BATCH)
    }

    /// Makes a stream of `length` events: the account is opened, the rest is imported, many events
    /// at a time.
    ///
    /// # Errors
    ///
    /// When the host refuses them.
    pub(crate) async fn make_stream(&self, id: &str, length: u64) -> Result<()> {
        let requests = self.requests();
        self.call(account::command(&requests, id, CommandKind::Open))
            .await?;
        let mut version = 1;
        while version < length {
            let count = IMPORT_EVENTS.min(length - version);
            let event = r#"{"event":"Deposited","data":{"amount":1}}"#;
            let events = vec![event; usize::try_from(count)?].join(",");
            let body = format!(r#"{{"expected_version":{version},"events":[{events}]}}"#);
            let path = format!("/v1/deciders/account/{id}/events");
            self.call(requests.post(&path, body)).await?;
            version += count;
        }
        Ok(())
    }

    /// Makes `count` streams of `length` events each, as [`make_stream`](Self::make_stream) does.
    ///
    /// # Errors
    ///
    /// When the host refuses them.
    pub(crate) async fn make_streams(&self, name: &str, count: u64, length: u64) -> Result<()> {
        let streams: Vec<_> = (0..count).collect();
        for four in streams.chunks(4) {
            let make = |number: &u64| {
                let id = format!("{name}-{number}");
                async move { self.make_stream(&id, length).await }
            };
            try_join_all(four.iter().map(make)).await?;
        }
        Ok(())
    }
}

/// Reads what loads cost each of these.
///
/// # Errors
///
/// When a database cannot be reached.
pub(crate) async fn meters(hosts: &[Installation]) -> Result<Vec<Meter<'_>>> {
    let mut meters = Vec::new();
    for host in hosts {
        meters.push(host.meter().await?);
    }
    Ok(meters)
}

/// The same component with another digest: a custom section with a number is added, which changes
/// nothing else.
pub(crate) fn variant(component: &[u8], number: u32) -> Vec<u8> {
    let name = b"bench";
    let mut content = vec![u8::try_from(name.len()).unwrap_or(0)];
    content.extend_from_slice(name);
    content.extend_from_slice(&number.to_le_bytes());
    let mut variant = component.to_vec();
    // Section 0 is custom; a length below 128 is one byte of LEB128.
    variant.extend([0, u8::try_from(content.len()).unwrap_or(0)]);
    variant.extend(content);
    variant
}
