//! The schema: the migrations that the database has had, and those that it lacks.

use gavel_store::{Floor, OpenError};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPool;

use super::error::{is_undefined_function, is_undefined_table};

/// The schema's history at the time when this program was built.
pub(super) fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../migrations/postgres");
    // A newer host may have been here: a migration leaves the schema usable for the release before
    // it, or raises the floor.
    migrator.set_ignore_missing(true);
    migrator
}

/// The number of the newest migration that this program knows.
pub(super) fn newest() -> i64 {
    let numbers = migrator().iter().map(|known| known.version).max();
    numbers.unwrap_or_default()
}

/// Refuses a schema that asks for a newer program. One that has no floor yet is older than all
/// programs that know of it.
pub(super) async fn require_floor(setup: &PgPool, floor: &Floor) -> Result<(), OpenError> {
    let found: Result<i64, _> = sqlx::query_scalar("SELECT gavel_schema_floor()")
        .fetch_one(setup)
        .await;
    match found {
        Ok(found) => floor.check(found).map_err(OpenError::Outdated),
        Err(sqlx::Error::Database(error)) if is_undefined_function(&*error) => Ok(()),
        Err(error) => Err(OpenError::Migrate(MigrateError::from(error).into())),
    }
}

/// Runs the migrations that the schema lacks.
pub(super) async fn run(setup: &PgPool) -> Result<(), OpenError> {
    let migrated = migrator().run(setup).await;
    migrated.map_err(|error| OpenError::Migrate(error.into()))
}

/// Checks that the schema lacks nothing.
pub(super) async fn require(setup: &PgPool) -> Result<(), OpenError> {
    let applied: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(setup)
            .await
            .or_else(|error| match error {
                sqlx::Error::Database(error) if is_undefined_table(&*error) => Ok(Vec::new()),
                error => Err(OpenError::Migrate(MigrateError::from(error).into())),
            })?;
    let is_applied = |version| applied.contains(&version);
    if migrator().iter().all(|known| is_applied(known.version)) {
        Ok(())
    } else {
        Err(OpenError::NotMigrated)
    }
}
