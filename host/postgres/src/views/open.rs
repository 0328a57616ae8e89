//! Opening: the schemas, what the host's role may do there, and the pool.

use std::str::FromStr as _;
use std::sync::Arc;

use gavel_store::OpenError;
use gavel_store::toolkit::view_names::quoted;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use uuid::Uuid;

use super::names::RowsSchemas;
use super::{PostgresViews, Rights};
use crate::connect::{
    CONNECT_TIMEOUT, SESSION_SETTINGS, SETUP_SETTINGS, TRUSTED_IDLE, ignored_setting,
    require_writable,
};
use crate::error::INSUFFICIENT_PRIVILEGE;
use crate::open::{PostgresOptions, without_credentials};

/// The settings of sessions besides those of all: a page of rows comes in the order of its parts.
const VIEWS_SETTINGS: [(&str, &str); 1] = [("max_parallel_workers_per_gather", "0")];

/// The number of statements that a session keeps prepared: some for each table.
const PREPARED: usize = 256;

/// The lock of a host that makes the schemas; others wait for it.
const LOCK_SETUP: &str = "SELECT pg_advisory_lock(hashtext('gavel_rows'), 0)";

const SCHEMA: &str = "SELECT coalesce(current_schema()::TEXT, 'public'), hashtext('gavel_rows of ' || coalesce(current_schema()::TEXT, 'public'))";

const PLACE: &str =
    "SELECT system_identifier || '/' || current_database() FROM pg_control_system()";

const RIGHTS: &str = "\
SELECT has_schema_privilege(r.oid, 'USAGE') AS uses_rows, has_schema_privilege(r.oid, 'CREATE') AS makes_tables, \
    EXISTS (SELECT FROM pg_namespace AS v WHERE v.nspname = $2 AND has_schema_privilege(v.oid, 'USAGE') \
        AND has_schema_privilege(v.oid, 'CREATE')) AS makes_views \
FROM pg_namespace AS r WHERE r.nspname = $1";

impl PostgresViews {
    /// Connects to the database of `options`, which may be that of the log. With `migrate`, the two
    /// schemas are made when they are not there, and brought up to date; several hosts may do so at
    /// the same time.
    ///
    /// A role that may make no schema is no error, so that a host without views runs: each call is
    /// refused then, and names the missing right. One that may make no tables has all rows in one
    /// table without columns.
    ///
    /// # Errors
    ///
    /// - [`OpenError::Unreachable`]: no connection within 5 seconds, or the URL is not one.
    /// - [`OpenError::NotUtf8`]: the database has another encoding.
    /// - [`OpenError::SettingIgnored`]: something between here and the server keeps what a session
    ///   asks for from it.
    /// - [`OpenError::NotMigrated`], [`OpenError::Migrate`]: the rows' schema is outdated, and
    ///   may not or cannot be changed.
    pub async fn open(options: PostgresOptions) -> Result<Self, OpenError> {
        let connect =
            PgConnectOptions::from_str(&options.url).map_err(|source| OpenError::Unreachable {
                url: "(not a URL of PostgreSQL)".to_owned(),
                source: source.into(),
            })?;
        let connect = connect.application_name("gavel");
        let unreachable = |source: sqlx::Error| OpenError::Unreachable {
            url: without_credentials(&connect),
            source: source.into(),
        };
        // Before anything is prepared, which a pooler may keep for another session.
        let ignored = ignored_setting(connect.clone().options(SESSION_SETTINGS)).await;
        if let Some(setting) = ignored.map_err(unreachable)? {
            return Err(OpenError::SettingIgnored { setting });
        }
        let setup = connect.clone().options(SETUP_SETTINGS);
        let mut session = setup_session(&setup).await.map_err(unreachable)?;
        let encoding: String = sqlx::query_scalar("SELECT current_setting('server_encoding')")
            .fetch_one(&mut session)
            .await
            .map_err(unreachable)?;
        if encoding != "UTF8" {
            return Err(OpenError::NotUtf8 { encoding });
        }
        let schema = sqlx::query(SCHEMA).fetch_one(&mut session).await;
        let schema = schema.map_err(unreachable)?;
        let name: String = schema.try_get(0).map_err(unreachable)?;
        let lock_class = schema.try_get(1).map_err(unreachable)?;
        let (schemas, rights) = match RowsSchemas::beside(&name) {
            Some(schemas) => {
                let rights = set_up(&mut session, &setup, &schemas, options.migrate).await?;
                (schemas, rights)
            }
            None => {
                let missing =
                    format!("the name of the schema `{name}` is too long for the ones beside it");
                (RowsSchemas::none(), Rights::none(missing))
            }
        };
        // Without the right to ask, the host shares its tables with no other one.
        let place = sqlx::query_scalar(PLACE).fetch_one(&mut session).await;
        let place: String = place.unwrap_or_else(|_| Uuid::new_v4().to_string());
        let place = format!("{place}/{}", schemas.rows);
        // What it holds ends with it in any case.
        let _ = session.close().await;
        let pool = open_pool(connect.clone(), options.max_connections).await;
        Ok(Self {
            pool: pool.map_err(unreachable)?,
            setup,
            schemas: Arc::new(schemas),
            rights: Arc::new(rights),
            lock_class,
            known: Arc::default(),
            place: place.into(),
        })
    }

    /// Closes all connections once they are idle. Calls that come later are answered with
    /// `Unavailable`.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn setup_session(setup: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, setup.connect());
    let connected = connecting.await.map_err(|_| sqlx::Error::PoolTimedOut)?;
    let mut session = connected?;
    require_writable(&mut session).await?;
    Ok(session)
}

async fn open_pool(connect: PgConnectOptions, connections: u32) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new()
        // While one holds tables, they are read.
        .max_connections(connections.max(2))
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
        .after_connect(|connection, _| Box::pin(require_writable(connection)))
        .connect_with(
            connect
                .statement_cache_capacity(PREPARED)
                .options(SESSION_SETTINGS)
                .options(VIEWS_SETTINGS),
        )
        .await
}

/// Makes the schemas if it may, and finds out what else the role may do.
async fn set_up(
    session: &mut PgConnection,
    setup: &PgConnectOptions,
    schemas: &RowsSchemas,
    migrate: bool,
) -> Result<Rights, OpenError> {
    let failed = |error: sqlx::Error| OpenError::Migrate(MigrateError::from(error).into());
    sqlx::query(LOCK_SETUP)
        .execute(&mut *session)
        .await
        .map_err(failed)?;
    let mut found = rights(session, schemas).await.map_err(failed)?;
    let is_whole = matches!(
        found,
        Some(Rights {
            makes_views: true,
            ..
        })
    );
    if migrate && !is_whole {
        for schema in [&schemas.rows, &schemas.views] {
            let create = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
            match session.execute(AssertSqlSafe(create)).await {
                Ok(_) => {}
                Err(error) if lacks_privilege(&error) => break,
                Err(error) => return Err(failed(error)),
            }
        }
        found = rights(session, schemas).await.map_err(failed)?;
    }
    let Some(rights) = found else {
        let reason = format!(
            "the schema `{}` is not there, and the host's role may not make it: it lacks CREATE on the database, or runs without migrating",
            schemas.rows
        );
        return Ok(Rights::none(reason));
    };
    if rights.missing.is_none() {
        let options = setup
            .clone()
            .options([("search_path", quoted(&schemas.rows))]);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT);
        let pool = pool.connect_with(options).await.map_err(failed)?;
        bring_up_to_date(&pool, migrate && rights.makes_tables).await?;
        pool.close().await;
    }
    Ok(rights)
}

async fn bring_up_to_date(setup: &PgPool, migrate: bool) -> Result<(), OpenError> {
    let mut migrator: Migrator = sqlx::migrate!("../../migrations/postgres_views");
    migrator.set_ignore_missing(true);
    if migrate {
        let migrated = migrator.run(setup).await;
        return migrated.map_err(|error| OpenError::Migrate(error.into()));
    }
    let applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success");
    let applied: Vec<i64> = applied.fetch_all(setup).await.unwrap_or_default();
    let is_applied = |version| applied.contains(&version);
    match migrator.iter().all(|known| is_applied(known.version)) {
        true => Ok(()),
        false => Err(OpenError::NotMigrated),
    }
}

/// The rights of the role; none when there is no schema of rows.
async fn rights(
    session: &mut PgConnection,
    schemas: &RowsSchemas,
) -> Result<Option<Rights>, sqlx::Error> {
    let found = sqlx::query(RIGHTS)
        .bind(&schemas.rows)
        .bind(&schemas.views)
        .fetch_optional(session)
        .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let uses_rows: bool = found.try_get("uses_rows")?;
    let missing = format!(
        "the host's role lacks USAGE on the schema `{}`",
        schemas.rows
    );
    Ok(Some(Rights {
        missing: (!uses_rows).then_some(missing),
        makes_tables: found.try_get("makes_tables")?,
        makes_views: found.try_get("makes_views")?,
    }))
}

fn lacks_privilege(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == INSUFFICIENT_PRIVILEGE)
}

impl Rights {
    fn none(missing: String) -> Self {
        Self {
            missing: Some(missing),
            makes_tables: false,
            makes_views: false,
        }
    }
}
