//! Twin: a hand-written event table. What a good engineer writes in a day: load the stream, fold,
//! decide, insert with the next version.

use sqlx::postgres::PgPoolOptions;
use sqlx::types::Json;
use sqlx::{PgPool, Row as _};
use twin::{Account, Accounts, Arguments, Command, Error, Event, Refusal, Stored};

const SCHEMA: &str = "CREATE TABLE events (
    stream     TEXT        NOT NULL,
    version    BIGINT      NOT NULL,
    event      TEXT        NOT NULL,
    data       JSONB       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, version)
)";

struct Plain(PgPool);

impl Accounts for Plain {
    async fn attempt(&self, id: &str, command: &Command) -> Result<Stored, Refusal> {
        let rows = sqlx::query("SELECT data FROM events WHERE stream = $1 ORDER BY version")
            .bind(id)
            .fetch_all(&self.0)
            .await?;
        let version = rows.len() as u64 + 1;
        let mut account = Account::default();
        for row in rows {
            let Json(event) = row.try_get::<Json<Event>, _>(0)?;
            account.evolve(&event);
        }
        let event = account
            .decide(command)
            .map_err(|code| Refusal::Rejected(code.to_owned()))?;
        let inserted = sqlx::query(
            "INSERT INTO events (stream, version, event, data) VALUES ($1, $2, $3, $4)",
        )
        .bind(id)
        .bind(version as i64)
        .bind(event.name())
        .bind(Json(&event))
        .execute(&self.0)
        .await;
        match inserted {
            Ok(_) => Ok(Stored {
                version: Some(version),
                event: Some(event),
            }),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(Refusal::Conflict)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse()?;
    let pool = PgPoolOptions::new()
        .max_connections(arguments.pick(10, 32))
        .connect(&arguments.database_url)
        .await?;
    sqlx::query(SCHEMA).execute(&pool).await?;
    twin::serve(arguments.address, Plain(pool)).await
}
