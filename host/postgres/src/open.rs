//! Opening: the checks of the server, its schema, and the pool.

use std::str::FromStr as _;
use std::sync::Arc;

use gavel_store::toolkit::group::{Group, GroupLimits};
use gavel_store::toolkit::lookup::Lookups;
use gavel_store::{Floor, OpenError};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Semaphore;

use super::PostgresStore;
use super::commit::PostgresDatabase;
use super::connect::{
    CONNECT_TIMEOUT, SESSION_SETTINGS, SETUP_SETTINGS, TRUSTED_IDLE, ignored_setting,
    require_primary,
};
use super::ledger::PostgresLedger;
use super::migrations;
use super::notify::Notices;

/// The number of batches of appends under way at the same time. A second one would make both
/// smaller, for the same work each.
const COMMITTERS: u32 = 1;
/// The time that a committer waits for any lock; an append that is blocked for longer waits on a
/// connection of its own. The locks that an append takes of tables and indexes are held for far
/// less.
const COMMITTER_LOCK_TIMEOUT: &str = "50ms";
/// The number of further committers, for large appends.
const BESIDE: u32 = 1;
/// The number of connections that listen to other hosts.
const LISTENERS: u32 = 1;

/// The address of the database, and the options of the store.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=…`, as libpq reads it. `options=-c
    /// search_path=…` chooses the schema.
    pub url: String,
    /// The largest number of connections at a time, two of them for appends and one to listen;
    /// never fewer than five.
    pub max_connections: u32,
    /// Brings the schema up to date if set; otherwise an outdated schema is an error.
    pub migrate: bool,
    /// Accepts a server that can lose acknowledged data if set. For tests of other things only.
    pub allow_unsafe_durability: bool,
}

/// Leaves out the URL, which may hold a password.
impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("max_connections", &self.max_connections)
            .field("migrate", &self.migrate)
            .field("allow_unsafe_durability", &self.allow_unsafe_durability)
            .finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects, checks that the server is the primary and durable, brings the schema up to date,
    /// and opens the pool.
    ///
    /// Several hosts may do so at the same time: one migrates, the others wait for it.
    ///
    /// # Errors
    ///
    /// - [`OpenError::Unreachable`]: no connection within 5 seconds, or the URL is not one.
    /// - [`OpenError::NotUtf8`]: the database has another encoding.
    /// - [`OpenError::NotDurable`]: `fsync`, `full_page_writes` or `synchronous_commit` is off.
    /// - [`OpenError::SettingIgnored`]: something between here and the server keeps what a session
    ///   asks for from it.
    /// - [`OpenError::Outdated`]: the schema asks for a newer program.
    /// - [`OpenError::NotMigrated`], [`OpenError::Migrate`]: the schema is outdated, and may not or
    ///   cannot be changed.
    pub async fn open(options: PostgresOptions) -> Result<Self, OpenError> {
        let connect =
            PgConnectOptions::from_str(&options.url).map_err(|source| OpenError::Unreachable {
                url: "(not a URL of PostgreSQL)".to_owned(),
                source: source.into(),
            })?;
        let unreachable = |source| OpenError::Unreachable {
            url: without_credentials(&connect),
            source,
        };
        let connect = connect.clone().application_name("gavel");

        // Before anything is prepared, which a pooler may keep for another session.
        match ignored_setting(connect.clone().options(SESSION_SETTINGS)).await {
            Ok(None) => {}
            Ok(Some(setting)) => return Err(OpenError::SettingIgnored { setting }),
            Err(error) => return Err(unreachable(error.into())),
        }
        let setup = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_with(connect.clone().options(SETUP_SETTINGS))
            .await
            .map_err(|error| unreachable(error.into()))?;
        let encoding: String = sqlx::query_scalar("SELECT current_setting('server_encoding')")
            .fetch_one(&setup)
            .await
            .map_err(|error| unreachable(error.into()))?;
        if encoding != "UTF8" {
            return Err(OpenError::NotUtf8 { encoding });
        }
        if !options.allow_unsafe_durability {
            require_durability(&setup)
                .await
                .map_err(|error| match error {
                    Durability::Unknown(error) => unreachable(error.into()),
                    Durability::Off(setting) => OpenError::NotDurable { setting },
                })?;
        }
        let floor = Arc::new(Floor::new(migrations::newest()));
        migrations::require_floor(&setup, &floor).await?;
        if options.migrate {
            migrations::run(&setup).await?;
        } else {
            migrations::require(&setup).await?;
        }
        // A newer host may have come in between.
        migrations::require_floor(&setup, &floor).await?;
        setup.close().await;

        let connect = connect.clone().options(SESSION_SETTINGS);
        // A pool tries again for as long as it may, and does not tell why.
        let first = async {
            let mut session = connect.connect().await?;
            require_primary(&mut session).await?;
            session.close().await
        };
        first.await.map_err(|error| unreachable(error.into()))?;
        let set_apart = COMMITTERS + BESIDE + LISTENERS;
        // While one holds a decider, what is stored has to be read.
        let pool_size = options.max_connections.saturating_sub(set_apart).max(2);
        let pool = PgPoolOptions::new()
            .max_connections(pool_size)
            .acquire_timeout(CONNECT_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| Box::pin(require_primary(connection)))
            .connect_with(connect.clone())
            .await
            .map_err(|error| unreachable(error.into()))?;
        let database = PostgresDatabase {
            connect: connect
                .clone()
                .options([("lock_timeout", COMMITTER_LOCK_TIMEOUT)]),
            pool: pool.clone(),
            floor: Arc::clone(&floor),
        };
        let group = Group::start(
            Arc::new(database),
            COMMITTERS as usize,
            GroupLimits::default(),
        );
        let notices = Notices::start(connect, pool.clone(), group.commits());
        Ok(Self {
            lookups: Lookups::start(PostgresLedger(pool.clone())),
            pool,
            group: Arc::new(group),
            notices: Arc::new(notices),
            claims: Arc::new(Semaphore::new(pool_size as usize / 4)),
            holds: Arc::default(),
            floor,
        })
    }

    /// Finishes the appends that are waiting, and closes all connections once they are idle. Calls
    /// that come later are answered with `Unavailable`.
    pub async fn close(&self) {
        self.group.close().await;
        self.notices.close().await;
        self.pool.close().await;
    }
}

pub(super) fn without_credentials(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    let database = options.get_database().unwrap_or(options.get_username());
    format!("postgres://{host}:{port}/{database}")
}

enum Durability {
    Off(&'static str),
    Unknown(sqlx::Error),
}

async fn require_durability(setup: &PgPool) -> Result<(), Durability> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(setup)
            .await
            .map_err(Durability::Unknown)?;
        if value == "off" {
            return Err(Durability::Off(setting));
        }
    }
    Ok(())
}
