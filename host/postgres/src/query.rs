//! Running one statement, the four ways in which that fails, and reads, which are tried again.

use std::time::Duration;

use gavel_model::StreamId;
use gavel_store::{Error, PAGE_BYTES, Page, Room, Source};
use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgPool, PgRow, PgSeverity};
use sqlx::query::Query;

use super::PostgresStore;

/// The codes that concern the session and not the statement: a plan from before a column was added,
/// a prepared statement that is missing or another's, a protocol out of step, and a session that
/// may only read, as after a failover. Nothing was carried out, and another session may do it.
const OF_THE_SESSION: [&str; 5] = ["0A000", "26000", "42P05", "08P01", "25006"];

/// The number of times that a read is tried when a connection turns out to be dead, or unfit.
const READ_ATTEMPTS: u32 = 3;

/// The time to wait for an answer. Longer than the server's own `statement_timeout`: only a
/// connection that has stopped answering reaches it.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// A statement with its values.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// The reason for which a statement gave no rows.
#[derive(Debug)]
pub(super) enum StatementError {
    /// The statement never reached the server.
    NotSent(Source),
    /// The server refused the statement, and rolled it back.
    Refused(Box<PgDatabaseError>),
    /// The session is of no use for it, which was not carried out. Another session may be.
    Unfit(Source),
    /// The connection was lost while it was under way. It may have been carried out.
    Lost(Source),
}

/// Runs a statement in a transaction of its own.
///
/// Always to the end: the server commits after it has sent the rows, so that a first row proves
/// nothing. Dropped midway, the statement may or may not be carried out.
pub(super) async fn run(
    pool: &PgPool,
    statement: Statement<'_>,
) -> Result<Vec<PgRow>, StatementError> {
    let mut connection = pool
        .acquire()
        .await
        .map_err(|error| StatementError::NotSent(error.into()))?;
    let answer = run_on(&mut connection, statement).await;
    if matches!(
        answer,
        Err(StatementError::Lost(_) | StatementError::Unfit(_))
    ) {
        // Back in the pool it would be tried first, and fail again.
        drop(connection.detach());
    }
    answer
}

/// Runs a statement as [`run`] does, on a connection that MUST NOT be used again once it is
/// [`StatementError::Lost`] or [`StatementError::Unfit`].
pub(super) async fn run_on(
    connection: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<Vec<PgRow>, StatementError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, statement.fetch_all(connection)).await {
        Ok(answer) => answer.map_err(StatementError::from),
        Err(elapsed) => Err(StatementError::Lost(elapsed.into())),
    }
}

impl PostgresStore {
    /// Runs a statement that changes nothing, and so may be run again.
    pub(super) async fn read<'q>(
        &self,
        statement: impl Fn() -> Statement<'q> + Send + Sync,
    ) -> Result<Vec<PgRow>, Error> {
        read(&self.pool, statement).await
    }

    /// Reads as many items of a list as there is room for. The statement selects that many rows
    /// after the last one that is known.
    pub(super) async fn read_page<'q, T: Sync>(
        &self,
        limit: u32,
        statement: impl Fn(Option<&T>, i64) -> Statement<'q> + Send + Sync,
        read: impl Fn(&PgRow) -> Result<T, Error> + Send,
        size_bytes: impl Fn(&T) -> usize + Send,
    ) -> Result<Page<T>, Error> {
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut items: Vec<T> = Vec::new();
        loop {
            // One more than there is room for shows whether there is more.
            let rows = room.rows() as usize + 1;
            let wanted = i64::try_from(rows).unwrap_or(i64::MAX);
            let found = self.read(|| statement(items.last(), wanted)).await?;
            for row in &found {
                let item = read(row)?;
                if !room.take_bytes(size_bytes(&item)) {
                    return Ok(Page {
                        items,
                        has_more: true,
                    });
                }
                items.push(item);
            }
            if found.len() < rows {
                return Ok(Page {
                    items,
                    has_more: false,
                });
            }
        }
    }
}

/// Reads as [`PostgresStore::read`] does, for callers that have only the pool.
pub(super) async fn read<'q>(
    pool: &PgPool,
    statement: impl Fn() -> Statement<'q> + Send + Sync,
) -> Result<Vec<PgRow>, Error> {
    Ok(try_read(pool, statement).await?)
}

/// Reads as [`read`] does, for callers that look at the reason of a failure.
pub(super) async fn try_read<'q>(
    pool: &PgPool,
    statement: impl Fn() -> Statement<'q> + Send + Sync,
) -> Result<Vec<PgRow>, StatementError> {
    let mut attempt = 1;
    loop {
        match run(pool, statement()).await {
            Err(StatementError::Lost(_) | StatementError::Unfit(_)) if attempt < READ_ATTEMPTS => {
                attempt += 1
            }
            answer => return answer,
        }
    }
}

/// The statement `sql`, whose first three values name a stream.
pub(super) fn of_stream<'q>(sql: &'static str, stream: &StreamId) -> Statement<'q> {
    sqlx::query(sql)
        .bind(stream.namespace().as_str().to_owned())
        .bind(stream.decider().as_str().to_owned())
        .bind(stream.id().to_owned())
}

/// Waits for the call that begins or ends a transaction, up to [`ANSWER_TIMEOUT`].
pub(super) async fn answered<T>(
    call: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Source> {
    Ok(tokio::time::timeout(ANSWER_TIMEOUT, call).await??)
}

impl From<sqlx::Error> for StatementError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Encode(_) => Self::NotSent(error.into()),
            sqlx::Error::Database(error) => match error.try_downcast::<PgDatabaseError>() {
                Ok(error) if OF_THE_SESSION.contains(&error.code()) => Self::Unfit(error),
                Ok(error) if error.severity() == PgSeverity::Error => Self::Refused(error),
                // With worse than an error the server ends the connection, at any point of the
                // transaction.
                Ok(error) => Self::Lost(error),
                Err(error) => Self::Lost(sqlx::Error::Database(error).into()),
            },
            error => Self::Lost(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_nobody_answers_is_given_up() {
        let silent = std::future::pending::<Result<(), sqlx::Error>>();
        let error = answered(silent).await.unwrap_err();
        assert!(error.is::<tokio::time::error::Elapsed>(), "{error}");
    }
}
