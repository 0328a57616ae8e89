//! Twin of a view: a hand-written projection of an event table, with axum and sqlx. What a good
//! engineer writes in a day: a page at a time, rows and progress in one transaction.
//!
//! Started as `<program> ADDRESS DATABASE_URL VARIANT`; the best variant has larger pages and pool.
//! `POST /fill?accounts=&each=` makes a history, `POST /rebuild` folds all of it into an empty
//! table, `GET /rows/{key}` reads a row.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::types::Json as Document;
use time::OffsetDateTime;

type Error = Box<dyn std::error::Error + Send + Sync>;

const SCHEMA: &[&str] = &[
    "CREATE TABLE events (
        position   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stream     TEXT NOT NULL,
        version    BIGINT NOT NULL,
        event      TEXT NOT NULL,
        data       JSONB NOT NULL,
        created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
        UNIQUE (stream, version)
    )",
    "CREATE TABLE balances (
        key        TEXT PRIMARY KEY,
        owner      TEXT NOT NULL,
        balance    BIGINT NOT NULL,
        changed_at TIMESTAMPTZ NOT NULL
    )",
    "CREATE INDEX ON balances (owner, changed_at)",
    "CREATE INDEX ON balances (balance)",
    "CREATE INDEX ON balances (changed_at)",
    "CREATE TABLE progress (position BIGINT NOT NULL)",
    "INSERT INTO progress VALUES (0)",
];

const FILL: &str = "INSERT INTO events (stream, version, event, data)
    SELECT 'acc-' || account, version, CASE version WHEN 1 THEN 'Opened' ELSE 'Deposited' END,
        CASE version WHEN 1 THEN '{\"owner\":\"ann\"}'::JSONB ELSE '{\"amount\":1}'::JSONB END
    FROM generate_series(1, $2) AS version, generate_series(0, $1 - 1) AS account ORDER BY version, account";

const UPSERT: &str = "INSERT INTO balances
    SELECT * FROM unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::TIMESTAMPTZ[])
    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, balance = excluded.balance, changed_at = excluded.changed_at";

struct Projection {
    pool: PgPool,
    page: i64,
}

#[derive(Deserialize)]
struct Size {
    accounts: i64,
    each: i64,
}

#[derive(Deserialize)]
struct Data {
    owner: Option<String>,
    amount: Option<i64>,
}

#[derive(Serialize)]
struct Balance {
    owner: String,
    balance: i64,
    #[serde(with = "time::serde::rfc3339")]
    changed_at: OffsetDateTime,
}

#[derive(Serialize)]
struct Rebuilt {
    events: i64,
}

impl Projection {
    async fn fill(&self, size: &Size) -> Result<(), Error> {
        let statement = sqlx::query(FILL).bind(size.accounts).bind(size.each);
        statement.execute(&self.pool).await?;
        sqlx::query("ANALYZE events").execute(&self.pool).await?;
        Ok(())
    }

    async fn rebuild(&self) -> Result<i64, Error> {
        sqlx::query("TRUNCATE balances").execute(&self.pool).await?;
        sqlx::query("UPDATE progress SET position = 0")
            .execute(&self.pool)
            .await?;
        let (mut position, mut all) = (0, 0);
        loop {
            let (end, events) = self.page(position).await?;
            if events == 0 {
                return Ok(all);
            }
            (position, all) = (end, all + events);
        }
    }

    /// Folds the page after a position. Where it ends, and how many events it has.
    async fn page(&self, after: i64) -> Result<(i64, i64), Error> {
        type Stored = (i64, String, String, Document<Data>, OffsetDateTime);
        let events: Vec<Stored> = sqlx::query_as("SELECT position, stream, event, data, created_at FROM events WHERE position > $1 ORDER BY position LIMIT $2")
            .bind(after)
            .bind(self.page)
            .fetch_all(&self.pool)
            .await?;
        let Some(end) = events.last().map(|event| event.0) else {
            return Ok((after, 0));
        };
        let keys: Vec<&str> = events.iter().map(|event| &*event.1).collect();
        let known: Vec<(String, String, i64, OffsetDateTime)> = sqlx::query_as(
            "SELECT key, owner, balance, changed_at FROM balances WHERE key = ANY($1)",
        )
        .bind(&keys)
        .fetch_all(&self.pool)
        .await?;
        let known = known.into_iter().map(|(key, owner, balance, changed_at)| {
            let row = Balance {
                owner,
                balance,
                changed_at,
            };
            (key, row)
        });
        let mut rows: HashMap<String, Balance> = known.collect();
        let count = events.len() as i64;
        for (_, stream, event, Document(data), created_at) in events {
            let row = rows.entry(stream).or_insert_with(|| Balance {
                owner: String::new(),
                balance: 0,
                changed_at: created_at,
            });
            row.changed_at = created_at;
            match &*event {
                "Opened" => row.owner = data.owner.unwrap_or_default(),
                _ => row.balance += data.amount.unwrap_or_default(),
            }
        }
        let (mut keys, mut owners, mut balances, mut times) = (vec![], vec![], vec![], vec![]);
        for (key, row) in rows {
            keys.push(key);
            owners.push(row.owner);
            balances.push(row.balance);
            times.push(row.changed_at);
        }
        let mut transaction = self.pool.begin().await?;
        sqlx::query(UPSERT)
            .bind(keys)
            .bind(owners)
            .bind(balances)
            .bind(times)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE progress SET position = $1")
            .bind(end)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok((end, count))
    }

    async fn row(&self, key: &str) -> Result<Option<Balance>, Error> {
        type Found = Option<(String, i64, OffsetDateTime)>;
        let found: Found =
            sqlx::query_as("SELECT owner, balance, changed_at FROM balances WHERE key = $1")
                .bind(key)
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.map(|(owner, balance, changed_at)| Balance {
            owner,
            balance,
            changed_at,
        }))
    }
}

fn failed(error: Error) -> StatusCode {
    eprintln!("{error}");
    StatusCode::INTERNAL_SERVER_ERROR
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, database_url, variant] = &arguments[..] else {
        return Err("usage: <program> ADDRESS DATABASE_URL VARIANT".into());
    };
    let is_best = variant == "best";
    let pool = PgPoolOptions::new()
        .max_connections(if is_best { 32 } else { 10 })
        .connect(database_url)
        .await?;
    for statement in SCHEMA {
        sqlx::query(statement).execute(&pool).await?;
    }
    let page = if is_best { 5_000 } else { 500 };
    let projection = Arc::new(Projection { pool, page });
    let router = Router::new()
        .route("/readyz", get(|| async { "ready" }))
        .route(
            "/fill",
            post(
                |State(projection): State<Arc<Projection>>, Query(size): Query<Size>| async move {
                    projection.fill(&size).await.map_err(failed)
                },
            ),
        )
        .route(
            "/rebuild",
            post(|State(projection): State<Arc<Projection>>| async move {
                let events = projection.rebuild().await.map_err(failed)?;
                Ok::<_, StatusCode>(Json(Rebuilt { events }))
            }),
        )
        .route(
            "/rows/{key}",
            get(
                |State(projection): State<Arc<Projection>>, Path(key): Path<String>| async move {
                    let row = projection.row(&key).await.map_err(failed)?;
                    row.map(Json).ok_or(StatusCode::NOT_FOUND)
                },
            ),
        )
        .with_state(projection);
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router).await?;
    Ok(())
}
