//! Committing batches: one statement, one round trip, one transaction each.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use gavel_store::toolkit::group::{Commit, Failed, Outcome, Verdict};
use gavel_store::{Append, Floor, LARGE_APPEND_BYTES};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{ConnectOptions as _, Connection as _};

use super::append::verdicts;
use super::arguments::Columns;
use super::connect::{CONNECT_TIMEOUT, TRUSTED_IDLE, require_primary};
use super::error::{is_lock_timeout, is_lost_race, meet};
use super::query::{StatementError, run, run_on};
use super::rows::BatchOutcome;

/// The number of times that a batch which loses races is run before it is given up.
const ATTEMPTS: u32 = 6;

/// The database that batches are sent to.
#[derive(Debug)]
pub(super) struct PostgresDatabase {
    /// The options of a committer's connection, which is not one of the pool's: the pool checks
    /// each connection that is given back.
    pub(super) connect: PgConnectOptions,
    pub(super) pool: PgPool,
    pub(super) floor: Arc<Floor>,
}

/// The connection of a committer, kept until it is lost.
#[derive(Debug, Default)]
pub(super) struct CommitConnection(Option<Idle>);

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    since: Instant,
}

impl CommitConnection {
    /// Takes the connection if it is known to be alive, and otherwise connects.
    async fn take(&mut self, connect: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
        if let Some(mut idle) = self.0.take()
            && (idle.since.elapsed() < TRUSTED_IDLE || idle.connection.ping().await.is_ok())
        {
            return Ok(idle.connection);
        }
        let mut connection = connect.connect().await?;
        require_primary(&mut connection).await?;
        Ok(connection)
    }
}

#[async_trait]
impl Commit for PostgresDatabase {
    type Session = CommitConnection;

    /// The size of a large append, on which the server works at the same time as on the others.
    const LARGE_BYTES: usize = LARGE_APPEND_BYTES;

    async fn commit(
        &self,
        session: &mut CommitConnection,
        batch: &[Append],
    ) -> Result<Vec<Verdict>, Failed> {
        let answer = match self.run_on_own(session, batch).await {
            // The next session is a new one.
            Err(StatementError::Unfit(_)) => self.run_on_own(session, batch).await,
            answer => answer,
        };
        match answer {
            // The lock of another session holds up this append alone: it waits on its own.
            Err(StatementError::Refused(error)) if batch.len() == 1 && is_lock_timeout(&error) => {
                Ok(vec![Verdict::Held])
            }
            answer => Ok(verdicts(batch, answer?)),
        }
    }

    async fn commit_held(&self, append: &Append) -> Result<Outcome, Failed> {
        let batch = slice::from_ref(append);
        let answer = run_batch(Way::Pool(&self.pool), &self.floor, batch).await?;
        match verdicts(batch, answer).pop() {
            Some(Verdict::Settled(outcome)) => Ok(outcome),
            Some(Verdict::Held) | None => Err(Failed::Lost("the append was not answered".into())),
        }
    }
}

impl PostgresDatabase {
    /// Runs a batch on the connection of a committer, and lets go of it if it must not be used
    /// again.
    async fn run_on_own(
        &self,
        session: &mut CommitConnection,
        batch: &[Append],
    ) -> Result<BatchOutcome, StatementError> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, session.take(&self.connect)).await;
        let mut connection = connected
            .map_err(|elapsed| StatementError::NotSent(elapsed.into()))?
            .map_err(|error| StatementError::NotSent(error.into()))?;
        let answer = run_batch(Way::Own(&mut connection), &self.floor, batch).await;
        if !matches!(
            answer,
            Err(StatementError::Lost(_) | StatementError::Unfit(_))
        ) {
            let since = Instant::now();
            session.0 = Some(Idle { connection, since });
        }
        answer
    }
}

/// The connection on which a batch is run.
enum Way<'a> {
    /// The connection of a committer, which MUST wait for nothing but the disk.
    Own(&'a mut PgConnection),
    /// Any connection of the pool, to wait until the streams are free.
    Pool(&'a PgPool),
}

async fn run_batch(
    mut way: Way<'_>,
    floor: &Floor,
    batch: &[Append],
) -> Result<BatchOutcome, StatementError> {
    let known = floor.known();
    let columns = Columns::of(batch);
    let mut attempt = 1;
    let rows = loop {
        // Ids are new as a rule: they are looked up after one of them was not.
        let doubts = attempt > 1;
        let answer = match &mut way {
            Way::Own(connection) => {
                run_on(connection, columns.statement(known, false, doubts)).await
            }
            Way::Pool(pool) => run(pool, columns.statement(known, true, doubts)).await,
        };
        match answer {
            Ok(rows) => break rows,
            Err(failure) if is_lost_race(&failure) && attempt < ATTEMPTS => {
                let pause_ms = rand::random_range(0..1 << attempt);
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                attempt += 1;
            }
            // The pool has let go of that session.
            Err(StatementError::Unfit(_)) if matches!(way, Way::Pool(_)) && attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(failure) => {
                meet(floor, &failure);
                return Err(failure);
            }
        }
    };
    // By now it is stored, or refused: only a look into the ledger tells.
    let row = rows
        .first()
        .ok_or_else(|| StatementError::Lost("no row".into()))?;
    BatchOutcome::from_row(row).map_err(|error| StatementError::Lost(error.into()))
}
