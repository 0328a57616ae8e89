//! Twin: cqrs-es with postgres-es. Its tables are those of its documentation; a command's outcome
//! holds neither version nor events.

use std::fmt;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, AggregateError, DomainEvent};
use postgres_es::{PostgresCqrs, default_postgress_pool, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use twin::{Accounts, Arguments, Command, Error, Refusal, Stored};

const SCHEMA: &str = "CREATE TABLE events (
    aggregate_type TEXT   NOT NULL,
    aggregate_id   TEXT   NOT NULL,
    sequence       BIGINT NOT NULL CHECK (sequence >= 0),
    event_type     TEXT   NOT NULL,
    event_version  TEXT   NOT NULL,
    payload        JSON   NOT NULL,
    metadata       JSON   NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
)";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account(twin::Account);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Event(twin::Event);

#[derive(Debug)]
struct Rejection(&'static str);

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Rejection {}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        self.0.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Command;
    type Event = Event;
    type Error = Rejection;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Rejection> {
        let event = self.0.decide(&command).map_err(Rejection)?;
        sink.write(Event(event), self).await;
        Ok(())
    }

    fn apply(&mut self, Event(event): Event) {
        self.0.evolve(&event);
    }
}

struct CqrsEs(PostgresCqrs<Account>);

impl Accounts for CqrsEs {
    async fn attempt(&self, id: &str, command: &Command) -> Result<Stored, Refusal> {
        match self.0.execute(id, command.clone()).await {
            Ok(()) => Ok(Stored {
                version: None,
                event: None,
            }),
            Err(AggregateError::UserError(Rejection(code))) => {
                Err(Refusal::Rejected(code.to_owned()))
            }
            Err(AggregateError::AggregateConflict) => Err(Refusal::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse()?;
    let pool = if arguments.is_best {
        let options = PgPoolOptions::new().max_connections(32);
        options.connect(&arguments.database_url).await?
    } else {
        default_postgress_pool(&arguments.database_url).await
    };
    sqlx::query(SCHEMA).execute(&pool).await?;
    let cqrs = postgres_cqrs(pool, Vec::new(), ());
    twin::serve(arguments.address, CqrsEs(cqrs)).await
}
