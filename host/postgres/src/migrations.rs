//! The schema: which migrations the database has had, and those that it lacks.

use gavel_store::OpenError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPool;

use super::error::is_undefined_table;

/// The schema's history, as it was when this program was built.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../migrations/postgres");
    // A newer host may have been here: every migration leaves the schema usable for the release before it.
    migrator.set_ignore_missing(true);
    migrator
}

/// Runs what the schema lacks.
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
