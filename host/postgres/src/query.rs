//! Running one statement, and the four ways in which that fails.

use std::time::Duration;

use gavel_store::Source;
use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgPool, PgRow, PgSeverity};
use sqlx::query::Query;

use super::errors::is_of_session;

/// How long to wait for an answer. Longer than the server's own `statement_timeout`: only a connection that has fallen silent gets here.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// A statement with its values.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Why a statement gave no rows.
#[derive(Debug)]
pub(super) enum Failure {
    /// It never reached the server.
    NotSent(Source),
    /// The server refused it, and took back all it did.
    Refused(Box<PgDatabaseError>),
    /// The session is of no use for it, which was not carried out. Another session may be.
    Unfit(Source),
    /// The connection was lost while it was under way. It may have been carried out.
    Lost(Source),
}

/// Runs a statement in a transaction of its own.
///
/// Always to the end: the server commits after it has sent the rows, so that a first row proves nothing.
/// Dropped midway, the statement may or may not be carried out.
pub(super) async fn run(pool: &PgPool, statement: Statement<'_>) -> Result<Vec<PgRow>, Failure> {
    let mut connection = pool
        .acquire()
        .await
        .map_err(|error| Failure::NotSent(error.into()))?;
    let answer = run_on(&mut connection, statement).await;
    if matches!(answer, Err(Failure::Lost(_) | Failure::Unfit(_))) {
        // Back in the pool it would be tried first, and fail again.
        drop(connection.detach());
    }
    answer
}

/// As [`run`], on a connection that must not be used again once it is [`Failure::Lost`] or [`Failure::Unfit`].
pub(super) async fn run_on(
    connection: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<Vec<PgRow>, Failure> {
    match tokio::time::timeout(ANSWER_TIMEOUT, statement.fetch_all(connection)).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(elapsed) => Err(Failure::Lost(elapsed.into())),
    }
}

/// What begins or ends a transaction, unless the connection has fallen silent.
pub(super) async fn answered<T>(
    call: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Source> {
    Ok(tokio::time::timeout(ANSWER_TIMEOUT, call).await??)
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Encode(_) => Self::NotSent(error.into()),
            sqlx::Error::Database(error) => match error.try_downcast::<PgDatabaseError>() {
                Ok(error) if is_of_session(error.code()) => Self::Unfit(error),
                Ok(error) if error.severity() == PgSeverity::Error => Self::Refused(error),
                // With worse than an error the server ends the connection, at any point of the transaction.
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
