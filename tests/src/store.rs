//! A store for one test: empty at first, and gone afterwards.

use std::env;

use reqwest::Url;
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
    /// Where a SQLite store is; gone with it.
    _folder: Option<TempDir>,
    /// What a PostgreSQL store is.
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
                let server: Url = server.parse().expect("DATABASE_URL is a URL");
                let name = format!("gavel_e2e_{}", Uuid::new_v4().simple());
                execute(&server, format!("CREATE DATABASE {name}")).await;
                let mut url = server.clone();
                url.set_path(&name);
                Self {
                    backend,
                    url: url.into(),
                    _folder: None,
                    database: Some(Database { server, name }),
                }
            }
        }
    }

    /// The kind of store.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// As `gavel serve --store` takes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Begins a session of `psql` in this database.
    ///
    /// # Panics
    ///
    /// When `psql` is not installed. What it is told fails when the store is no database of a server.
    #[must_use]
    pub fn session(&self) -> Session {
        postgres::connect(&self.url, None)
    }

    /// Runs a statement as superuser, outside of this database. In it `{name}` stands for the name of the database.
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
