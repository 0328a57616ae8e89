//! Twin: the schema of fstore-sql, through its functions `get_events` and `append_event`.
//!
//! The default variant has one view registered, without which nothing could follow the events. The
//! best one has none.

use sqlx::postgres::PgPoolOptions;
use sqlx::types::Json;
use sqlx::{PgPool, Row as _};
use twin::{Account, Accounts, Arguments, Command, Error, Event, Refusal, Stored};
use uuid::Uuid;

const SCHEMA: &str = include_str!("schema.sql");

struct FstoreSql(PgPool);

impl Accounts for FstoreSql {
    async fn attempt(&self, id: &str, command: &Command) -> Result<Stored, Refusal> {
        let rows = sqlx::query("SELECT event_id, data FROM get_events($1, 'account')")
            .bind(id)
            .fetch_all(&self.0)
            .await?;
        let version = rows.len() as u64 + 1;
        let (mut account, mut previous) = (Account::default(), None);
        for row in rows {
            previous = Some(row.try_get::<Uuid, _>(0)?);
            let Json(event) = row.try_get::<Json<Event>, _>(1)?;
            account.evolve(&event);
        }
        let event = account
            .decide(command)
            .map_err(|code| Refusal::Rejected(code.to_owned()))?;
        let appended = sqlx::query("SELECT * FROM append_event($1, $2, 'account', $3, $4, $5, $6)")
            .bind(event.name())
            .bind(Uuid::new_v4())
            .bind(id)
            .bind(Json(&event))
            .bind(Uuid::new_v4())
            .bind(previous)
            .fetch_one(&self.0)
            .await;
        match appended {
            Ok(_) => Ok(Stored {
                version: Some(version),
                event: Some(event),
            }),
            Err(sqlx::Error::Database(error))
                if error.constraint() == Some("events_previous_id_key") =>
            {
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
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
    if !arguments.is_best {
        sqlx::query("INSERT INTO views (view) VALUES ('balances')")
            .execute(&pool)
            .await?;
    }
    twin::serve(arguments.address, FstoreSql(pool)).await
}
