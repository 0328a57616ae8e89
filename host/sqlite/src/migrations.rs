//! The schemas: the migrations that a file has had, and those that it lacks.
//!
//! The history is in the table that `sqlx` kept it in when it ran them, and holds what it held: by
//! that, either finds what the other has done.

use gavel_store::{Floor, OpenError};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use sha2::{Digest as _, Sha384};

/// A file of one of the folders of migrations.
#[derive(Debug)]
struct Migration {
    number: i64,
    words: &'static str,
    sql: &'static str,
}

impl Migration {
    fn checksum(&self) -> Vec<u8> {
        Sha384::digest(self.sql).to_vec()
    }
}

/// A schema: its migrations by number.
#[derive(Debug)]
pub(super) struct FileSchema(&'static [Migration]);

/// The schema of the store's file: `migrations/sqlite`.
pub(super) static STORE: FileSchema = FileSchema(include!(concat!(env!("OUT_DIR"), "/sqlite.rs")));

/// The schema of the file with the tables of views: `migrations/sqlite_views`.
pub(super) static VIEWS: FileSchema =
    FileSchema(include!(concat!(env!("OUT_DIR"), "/sqlite_views.rs")));

const CREATE_HISTORY: &str = "
CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)";

const HAS_HISTORY: &str = "SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations'";

const UNFINISHED: &str =
    "SELECT version FROM _sqlx_migrations WHERE NOT success ORDER BY version LIMIT 1";

const CHECKSUM: &str = "SELECT checksum FROM _sqlx_migrations WHERE version = ?1";

/// Records a migration without its execution time, which nothing reads.
const RECORD: &str = "
INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (?1, ?2, TRUE, ?3, -1)";

/// The reason for which the schema cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
enum MigrationError {
    #[error(
        "migration {0} is not the one that was run on this database: it has been changed since"
    )]
    Changed(i64),
    #[error("migration {0} has not come to its end on this database")]
    Unfinished(i64),
    #[error("migration {number} fails")]
    Failed {
        number: i64,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the history of the schema cannot be read or written")]
    History(#[from] rusqlite::Error),
}

/// The floor of the schema: the number of the migration that a program must know.
pub(super) fn floor(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Refuses a file whose schema asks for a newer program.
///
/// # Errors
///
/// [`OpenError::Outdated`] when it does.
pub(super) fn require_floor(connection: &Connection, known: &Floor) -> Result<(), OpenError> {
    let found = floor(connection).map_err(|error| OpenError::Migrate(error.into()))?;
    known.check(found).map_err(OpenError::Outdated)
}

impl FileSchema {
    /// The number of the newest migration that this program knows.
    pub(super) fn newest(&self) -> i64 {
        let numbers = self.0.iter().map(|known| known.number);
        numbers.max().unwrap_or_default()
    }

    /// Runs what the file lacks, all of it or nothing. What it has had and this program does not
    /// know is of a newer one.
    ///
    /// # Errors
    ///
    /// [`OpenError::Migrate`] when the history is not that of these migrations, or when one fails.
    pub(super) fn run(&self, connection: &mut Connection) -> Result<(), OpenError> {
        let ran = self.run_missing(connection, i64::MAX);
        ran.map_err(|refused| OpenError::Migrate(refused.into()))
    }

    /// Checks that the file lacks none of them.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotMigrated`] when it does, and [`OpenError::Migrate`] as for [`Self::run`].
    pub(super) fn require(&self, connection: &Connection) -> Result<(), OpenError> {
        let missing = self.find_missing(connection);
        match missing.map_err(|refused| OpenError::Migrate(refused.into()))? {
            missing if missing.is_empty() => Ok(()),
            _ => Err(OpenError::NotMigrated),
        }
    }

    /// Brings a file to where programs have left it that knew no migration from `number` on.
    #[cfg(test)]
    pub(super) fn run_before(&self, connection: &mut Connection, number: i64) {
        self.run_missing(connection, number).unwrap();
    }

    fn run_missing(&self, connection: &mut Connection, before: i64) -> Result<(), MigrationError> {
        // The write lock around all of it: of two processes that start together, one migrates and
        // the other finds it done.
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute(CREATE_HISTORY, [])?;
        let missing = self.find_missing(&tx)?.into_iter();
        for migration in missing.filter(|missing| missing.number < before) {
            let number = migration.number;
            tx.execute_batch(migration.sql)
                .map_err(|source| MigrationError::Failed { number, source })?;
            tx.execute(
                RECORD,
                params![number, migration.words, migration.checksum()],
            )?;
        }
        Ok(tx.commit()?)
    }

    /// The migrations that the file has not had, by number. They may be older than some that it has
    /// had.
    fn find_missing(
        &self,
        connection: &Connection,
    ) -> Result<Vec<&'static Migration>, MigrationError> {
        if !connection.prepare(HAS_HISTORY)?.exists([])? {
            return Ok(self.0.iter().collect());
        }
        let unfinished = connection.query_row(UNFINISHED, [], |row| row.get(0));
        if let Some(number) = unfinished.optional()? {
            return Err(MigrationError::Unfinished(number));
        }
        let mut checksum = connection.prepare(CHECKSUM)?;
        let mut missing = Vec::new();
        for migration in self.0 {
            let recorded = checksum.query_row([migration.number], |row| row.get::<_, Vec<u8>>(0));
            match recorded.optional()? {
                None => missing.push(migration),
                Some(recorded) if recorded == migration.checksum() => {}
                Some(_) => return Err(MigrationError::Changed(migration.number)),
            }
        }
        Ok(missing)
    }
}
