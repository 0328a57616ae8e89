//! The parts that all twins in Rust share: the account's rules, and an HTTP server that understands
//! the requests that the driver sends to Gavel.
//!
//! A twin is started as `<program> ADDRESS DATABASE_URL VARIANT`. It creates its tables in an empty
//! database, then answers `GET /readyz` and `POST /v1/deciders/account/{id}/commands`. Twins differ
//! only in the way in which they load and store events.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// An error, as its text.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The number of times that a command is decided again after losing a race.
const ATTEMPTS: u32 = 10;

/// A command for an account.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "command", content = "data")]
pub enum Command {
    Open { owner: String },
    Deposit { amount: u64 },
}

/// An event of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Opened { owner: String },
    Deposited { amount: u64 },
}

impl Event {
    /// The name of the event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "Opened",
            Self::Deposited { .. } => "Deposited",
        }
    }
}

/// An account, folded from its events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    open: bool,
    balance: u64,
}

impl Account {
    /// The account after these events.
    pub fn fold(events: impl IntoIterator<Item = Event>) -> Self {
        let mut account = Self::default();
        for event in events {
            account.evolve(&event);
        }
        account
    }

    /// Decides a command; an error is the code of a rejection.
    pub fn decide(&self, command: &Command) -> Result<Event, &'static str> {
        match command {
            Command::Open { .. } if self.open => Err("already-open"),
            Command::Open { owner } => Ok(Event::Opened {
                owner: owner.clone(),
            }),
            Command::Deposit { .. } if !self.open => Err("not-open"),
            Command::Deposit { amount: 0 } => Err("amount-is-zero"),
            Command::Deposit { amount } => match self.balance.checked_add(*amount) {
                Some(_) => Ok(Event::Deposited { amount: *amount }),
                None => Err("balance-too-large"),
            },
        }
    }

    /// The account after one more event.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } => self.open = true,
            Event::Deposited { amount } => self.balance = self.balance.saturating_add(*amount),
        }
    }
}

/// A stored event.
#[derive(Debug)]
pub struct Stored {
    /// The version of the stream, if the store returns it.
    pub version: Option<u64>,
    /// The event, if the store returns it.
    pub event: Option<Event>,
}

/// The reason why nothing was stored.
#[derive(Debug)]
pub enum Refusal {
    /// The rules of the account reject the command.
    Rejected(String),
    /// Another command came first: the command is decided again.
    Conflict,
    /// The store failed.
    Failed(Error),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A way to keep accounts.
pub trait Accounts: Send + Sync + 'static {
    /// Loads the account, decides once, and stores what follows, if nothing has been stored
    /// meanwhile.
    fn attempt(
        &self,
        id: &str,
        command: &Command,
    ) -> impl Future<Output = Result<Stored, Refusal>> + Send;
}

/// The command line of a twin.
#[derive(Debug)]
pub struct Arguments {
    pub address: SocketAddr,
    pub database_url: String,
    /// `default`, or `best`: what a user would set after a day of measuring.
    pub is_best: bool,
}

impl Arguments {
    /// Reads the command line.
    pub fn parse() -> Result<Self, Error> {
        let words: Vec<_> = std::env::args().skip(1).collect();
        let [address, database_url, variant] = words.as_slice() else {
            return Err("usage: ADDRESS DATABASE_URL default|best".into());
        };
        Ok(Self {
            address: address.parse()?,
            database_url: database_url.clone(),
            is_best: variant == "best",
        })
    }

    /// The first in the default variant, the second in the best one.
    pub fn pick<T>(&self, default: T, best: T) -> T {
        if self.is_best { best } else { default }
    }
}

/// Serves until SIGTERM.
pub async fn serve(address: SocketAddr, accounts: impl Accounts) -> Result<(), Error> {
    let app = Router::new()
        .route("/readyz", get(async || "ready"))
        .route("/v1/deciders/account/{id}/commands", post(send_command))
        .with_state(Arc::new(accounts));
    let listener = TcpListener::bind(address).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, app) => Ok(served?),
        _ = terminate.recv() => Ok(()),
    }
}

async fn send_command<A: Accounts>(
    State(accounts): State<Arc<A>>,
    Path(id): Path<String>,
    Json(command): Json<Command>,
) -> (StatusCode, Json<Value>) {
    for _ in 0..ATTEMPTS {
        let refusal = match accounts.attempt(&id, &command).await {
            Ok(Stored { version, event }) => {
                let answer = json!({ "decider": "account", "id": id, "version": version, "events": [event] });
                return (StatusCode::OK, Json(answer));
            }
            Err(refusal) => refusal,
        };
        match refusal {
            Refusal::Conflict => {}
            Refusal::Rejected(code) => {
                let problem = json!({ "code": "command-rejected", "rejection": { "code": code } });
                return (StatusCode::UNPROCESSABLE_ENTITY, Json(problem));
            }
            Refusal::Failed(error) => {
                eprintln!("{error}");
                let problem = json!({ "code": "internal" });
                return (StatusCode::INTERNAL_SERVER_ERROR, Json(problem));
            }
        }
    }
    let problem = json!({ "code": "version-conflict" });
    (StatusCode::CONFLICT, Json(problem))
}
