//! A PostgreSQL database for one measurement, and the statistics of its server.

use std::fs;
use std::str::FromStr as _;
use std::thread;

use anyhow::{Context as _, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, query_scalar};

use crate::processes;

/// Settings that decide what a commit costs.
const SETTINGS: [&str; 7] = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
];

/// An empty database, dropped when this is.
#[derive(Debug)]
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes one on the server.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses.
    pub(crate) async fn create(server: &str, name: String) -> Result<Self> {
        execute(
            server,
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        )
        .await?;
        execute(server, format!("CREATE DATABASE {name}")).await?;
        let server = server.to_owned();
        Ok(Self { server, name })
    }

    /// The URL of the database.
    pub(crate) fn url(&self) -> String {
        with_database(&self.server, &self.name)
    }

    /// A connection to it.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        connect(&self.url()).await
    }

    /// Bytes of write-ahead log that the server has written since it was made.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub(crate) async fn wal_bytes(&self) -> Result<i64> {
        let query = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
        Ok(query_scalar(query)
            .fetch_one(&mut self.connect().await?)
            .await?)
    }

    /// The first process of the server, if it runs on this machine.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub(crate) async fn process(&self) -> Result<Option<u32>> {
        let mut connection = self.connect().await?;
        let backend: i32 = query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await?;
        let backend = u32::try_from(backend)?;
        let name = fs::read_to_string(format!("/proc/{backend}/comm")).unwrap_or_default();
        Ok(match name.trim() {
            "postgres" => processes::parent(backend).ok(),
            _ => None,
        })
    }

    /// Brings the server into a state that does not depend on what was measured before: what is due
    /// is written out, and autovacuum, which comes once a minute, has nothing left to do in this
    /// database that would fall into one of two measurements.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses.
    pub(crate) async fn settle(&self) -> Result<()> {
        execute(&self.url(), "VACUUM (ANALYZE)".to_owned()).await?;
        execute(&self.url(), "CHECKPOINT".to_owned()).await
    }

    /// The version and settings of the server.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached.
    pub(crate) async fn describe(server: &str) -> Result<Vec<(String, String)>> {
        let mut connection = connect(server).await?;
        let mut facts = Vec::new();
        for name in SETTINGS {
            let value = query_scalar("SELECT current_setting($1)")
                .bind(name)
                .fetch_one(&mut connection)
                .await?;
            facts.push((format!("postgres {name}"), value));
        }
        Ok(facts)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // A thread with a runtime of its own: one cannot wait within a runtime.
        let dropped = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(execute(&server, drop))
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the database {} is left behind", self.name);
        }
    }
}

async fn connect(url: &str) -> Result<PgConnection> {
    PgConnectOptions::from_str(url)?
        .connect()
        .await
        .context("cannot connect to PostgreSQL")
}

async fn execute(url: &str, statement: String) -> Result<()> {
    let mut connection = connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

/// The same URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    let authority = place.find("://").map_or(0, |at| at + 3);
    let end = place[authority..]
        .find('/')
        .map_or(place.len(), |at| authority + at);
    let question = if parameters.is_empty() { "" } else { "?" };
    format!("{}/{name}{question}{parameters}", &place[..end])
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        let cases = [
            ("postgres://u:p@h:1/old", "postgres://u:p@h:1/new"),
            ("postgres://h", "postgres://h/new"),
            ("postgres://h/?host=/tmp/x", "postgres://h/new?host=/tmp/x"),
        ];
        for (url, expected) in cases {
            assert_eq!(with_database(url, "new"), expected);
        }
    }
}
