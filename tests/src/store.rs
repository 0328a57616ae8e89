//! A store for one test: empty at first, and removed afterwards.

use std::env;

use reqwest::Url;
use rusqlite::{Connection as SqliteConnection, TransactionBehavior};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::postgres::{self, Session};

/// The kinds of store that survive their host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file of its own.
    Sqlite,
    /// A database of its own on the server that `DATABASE_URL` names.
    Postgres,
}

/// A fresh store, which is removed when this is dropped.
///
/// Keep it longer than the hosts that use it: declare it before them.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
    url: String,
    /// The folder of a SQLite store, which is removed with the store.
    _folder: Option<TempDir>,
    /// The database of a PostgreSQL store.
    database: Option<Database>,
}

#[derive(Debug, Clone)]
struct Database {
    server: Url,
    name: String,
}

impl Store {
    /// An empty store.
    ///
    /// # Panics
    ///
    /// When there is no server to make a database on: the message says how to get one.
    pub async fn new(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder can be made");
                let url = format!("sqlite://{}", folder.path().join("gavel.db").display());
                Self {
                    backend,
                    url,
                    _folder: Some(folder),
                    database: None,
                }
            }
            Backend::Postgres => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "tests are told here where the server is"
                )]
                let server = env::var("DATABASE_URL").expect(
                    "DATABASE_URL must name a PostgreSQL server, as a superuser; `cargo xtask test` starts one and sets it",
                );
                Self::on(&server).await
            }
        }
    }

    /// A database of its own on another server than the one that `DATABASE_URL` names; `server` is
    /// its superuser's URL.
    ///
    /// # Panics
    ///
    /// When the database cannot be made.
    pub async fn on(server: &str) -> Self {
        let server: Url = server.parse().expect("the server has a URL");
        let name = format!("gavel_e2e_{}", Uuid::new_v4().simple());
        execute(&server, format!("CREATE DATABASE {name}")).await;
        let mut url = server.clone();
        url.set_path(&name);
        Self {
            backend: Backend::Postgres,
            url: url.into(),
            _folder: None,
            database: Some(Database { server, name }),
        }
    }

    /// A JSON document as a value in a statement of this store.
    #[must_use]
    pub fn json_literal(&self, document: &serde_json::Value) -> String {
        let text = document.to_string().replace('\'', "''");
        match self.backend {
            Backend::Sqlite => format!("'{text}'"),
            Backend::Postgres => format!("CAST('{text}' AS JSON)"),
        }
    }

    /// The kind of store.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The URL of the store, as `gavel serve --store` takes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Begins a session of `psql` in this database.
    ///
    /// # Panics
    ///
    /// When `psql` is not installed. What it is told fails when the store is no database of a
    /// server.
    #[must_use]
    pub fn session(&self) -> Session {
        postgres::connect(&self.url, None)
    }

    /// Runs a statement as superuser, outside of this database. In it `{name}` stands for the name
    /// of the database.
    ///
    /// # Panics
    ///
    /// When the store is no database of a server, or the statement fails.
    pub async fn administer(&self, statement: &str) {
        let Database { server, name } = self
            .database
            .as_ref()
            .expect("only a server can be administered");
        execute(server, statement.replace("{name}", name)).await;
    }

    /// Adds a column with a default to each table of the store, as a later release may do while
    /// hosts of this one run. Gives back how many.
    ///
    /// # Panics
    ///
    /// When a table cannot be changed.
    pub async fn expand(&self) -> usize {
        let tables = self
            .texts(match self.backend {
                Backend::Sqlite => {
                    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%sqlx%' AND name NOT LIKE 'sqlite%'"
                }
                Backend::Postgres => {
                    "SELECT table_name::TEXT FROM information_schema.tables \
                     WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name NOT LIKE '%sqlx%'"
                }
            })
            .await;
        for table in &tables {
            let add = format!("ALTER TABLE {table} ADD COLUMN later INTEGER NOT NULL DEFAULT 7");
            self.execute(&add).await;
        }
        tables.len()
    }

    /// The texts that a query gives, run as this database's owner.
    ///
    /// # Panics
    ///
    /// When the query fails.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        let query = query.to_owned();
        match self.backend {
            Backend::Sqlite => {
                let work = move |connection: &mut SqliteConnection| texts_in(connection, &query);
                self.on_file(work).await.expect("the query succeeds")
            }
            Backend::Postgres => texts_in_postgres(&self.url, AssertSqlSafe(query))
                .await
                .expect("the query succeeds"),
        }
    }

    /// The texts that a query of `gavel_views` gives, run as the owner of the rows.
    ///
    /// # Panics
    ///
    /// When the query fails.
    pub async fn texts_of_rows(&self, query: &str) -> Vec<String> {
        match self.backend {
            Backend::Sqlite => {
                let (rows, query) = (self.rows_path(), query.to_owned());
                let work = move |connection: &mut SqliteConnection| {
                    connection.execute("ATTACH ?1 AS gavel_views", [rows])?;
                    texts_in(connection, &query)
                };
                self.on_file(work).await.expect("the query succeeds")
            }
            Backend::Postgres => self.texts(query).await,
        }
    }

    /// The path of the file with the rows of views, beside that of a store which is a file.
    #[must_use]
    pub fn rows_path(&self) -> String {
        let log = self.url.trim_start_matches("sqlite://");
        log.replace("gavel.db", "views.db")
    }

    /// Runs a statement in this database, as its owner.
    ///
    /// # Panics
    ///
    /// When the statement fails.
    pub async fn execute(&self, statement: &str) {
        let statement = statement.to_owned();
        match self.backend {
            Backend::Sqlite => {
                let work =
                    move |connection: &mut SqliteConnection| connection.execute_batch(&statement);
                self.on_file(work).await.expect("the statement succeeds");
            }
            Backend::Postgres => {
                let url = self.url.parse().expect("it was made of a URL");
                execute(&url, statement).await;
            }
        }
    }

    /// Runs a statement that changes rows of `table` which must never change: its triggers are away
    /// meanwhile.
    ///
    /// # Panics
    ///
    /// When the statement fails, or changes no row.
    pub async fn forge(&self, table: &str, statement: &str) {
        let changed = match self.backend {
            Backend::Sqlite => {
                let (table, statement) = (table.to_owned(), statement.to_owned());
                let work = move |connection: &mut SqliteConnection| {
                    forge_in(connection, &table, &statement)
                };
                let changed = self.on_file(work).await.map(|rows| rows as u64);
                changed.map_err(anyhow::Error::from)
            }
            Backend::Postgres => {
                let changed = forge_in_postgres(&self.url, table, statement).await;
                changed.map_err(anyhow::Error::from)
            }
        };
        let changed = changed.unwrap_or_else(|error| panic!("{statement}: {error:#}"));
        assert!(changed > 0, "{statement} changes no row");
    }

    /// Works on the file as any other program does, on a thread that may wait for the host.
    async fn on_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        let path = self.url.trim_start_matches("sqlite://").to_owned();
        let working = tokio::task::spawn_blocking(move || work(&mut SqliteConnection::open(path)?));
        working.await.expect("work on the file does not panic")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let Some(Database { server, name }) = self.database.take() else {
            return;
        };
        let statement = format!("DROP DATABASE {name} WITH (FORCE)");
        // A thread with a runtime of its own: one cannot wait within the runtime of the test.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .expect("a runtime can be made")
                .block_on(execute(&server, statement));
        });
        if dropped.join().is_err() {
            eprintln!("the database {name} is left behind");
        }
    }
}

async fn execute(server: &Url, statement: String) {
    let mut connection = PgConnection::connect(server.as_str())
        .await
        .expect("DATABASE_URL can be connected to");
    connection
        .execute(AssertSqlSafe(statement))
        .await
        .expect("the statement succeeds");
    connection
        .close()
        .await
        .expect("the connection can be closed");
}

fn texts_in(connection: &SqliteConnection, query: &str) -> rusqlite::Result<Vec<String>> {
    let mut select = connection.prepare(query)?;
    select.query_map([], |row| row.get(0))?.collect()
}

async fn texts_in_postgres(url: &str, query: AssertSqlSafe<String>) -> sqlx::Result<Vec<String>> {
    let mut connection = PgConnection::connect(url).await?;
    let texts = sqlx::query_scalar(query).fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(texts)
}

fn forge_in(
    connection: &mut SqliteConnection,
    table: &str,
    statement: &str,
) -> rusqlite::Result<usize> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let triggers: Vec<(String, String)> = tx
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1")?
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (name, _) in &triggers {
        tx.execute_batch(&format!("DROP TRIGGER {name}"))?;
    }
    let changed = tx.execute(statement, [])?;
    for (_, create) in triggers {
        tx.execute_batch(&create)?;
    }
    tx.commit()?;
    Ok(changed)
}

async fn forge_in_postgres(url: &str, table: &str, statement: &str) -> sqlx::Result<u64> {
    let mut connection = PgConnection::connect(url).await?;
    let mut tx = connection.begin().await?;
    let disable = format!("ALTER TABLE {table} DISABLE TRIGGER USER");
    tx.execute(AssertSqlSafe(disable)).await?;
    let statement = AssertSqlSafe(statement.to_owned());
    let changed = tx.execute(statement).await?.rows_affected();
    let enable = format!("ALTER TABLE {table} ENABLE TRIGGER USER");
    tx.execute(AssertSqlSafe(enable)).await?;
    tx.commit().await?;
    connection.close().await?;
    Ok(changed)
}
