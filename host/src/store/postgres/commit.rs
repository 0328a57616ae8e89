//! Committing batches: one statement, one round trip, one transaction each.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgRow};
use sqlx::types::Json as SqlJson;
use sqlx::{ConnectOptions as _, Connection as _};

use super::append::{encode, outcome};
use super::errors::is_lost_race;
use super::open::{CONNECT_TIMEOUT, TRUSTED_IDLE, require_primary};
use super::query::{Failure, run, run_on};
use super::rows::{PartOutcome, Unreadable};
use crate::store::group::{Commit, Failed, Outcome, Verdict};
use crate::store::{Append, AppendError};

/// How often a batch that loses races is run before it is given up.
const ATTEMPTS: u32 = 6;

/// Where batches go.
#[derive(Debug)]
pub(super) struct Database {
    /// How a committer connects. Its connection is none of the pool's, which looks after each that is given back.
    pub(super) connect: PgConnectOptions,
    pub(super) pool: PgPool,
}

/// The connection of a committer, kept until it is lost.
#[derive(Debug, Default)]
pub(super) struct Session(Option<Idle>);

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    since: Instant,
}

impl Session {
    /// The connection if it is known to be alive, else another one.
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
impl Commit for Database {
    type Session = Session;

    async fn commit(
        &self,
        session: &mut Session,
        batch: &[Append],
    ) -> Result<Vec<Verdict>, Failed> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, session.take(&self.connect)).await;
        let mut connection = connected
            .map_err(|elapsed| Failed::NotSent(elapsed.into()))?
            .map_err(|error| Failed::NotSent(error.into()))?;
        let answer = run_batch(Way::Own(&mut connection), batch).await;
        if !matches!(answer, Err(Failure::Lost(_))) {
            let since = Instant::now();
            session.0 = Some(Idle { connection, since });
        }
        Ok(verdicts(batch, &answer.map_err(Failed::from)?))
    }

    async fn commit_held(&self, append: &Append) -> Result<Outcome, Failed> {
        let alone = std::slice::from_ref(append);
        let rows = run_batch(Way::Pool(&self.pool), alone).await?;
        Ok(settled(
            append,
            rows.iter().map(PartOutcome::from_row).collect(),
        ))
    }
}

/// On which connection a batch is run.
enum Way<'a> {
    Own(&'a mut PgConnection),
    Pool(&'a PgPool),
}

async fn run_batch(mut way: Way<'_>, batch: &[Append]) -> Result<Vec<PgRow>, Failure> {
    let appends = batch.iter().enumerate();
    let input = SqlJson(
        appends
            .flat_map(|(number, append)| encode(number, append))
            .collect::<Vec<_>>(),
    );
    let mut attempt = 1;
    loop {
        let statement = sqlx::query(PartOutcome::SELECT).bind(&input);
        let answer = match &mut way {
            Way::Own(connection) => run_on(connection, statement).await,
            Way::Pool(pool) => run(pool, statement).await,
        };
        match answer {
            Err(failure) if is_lost_race(&failure) && attempt < ATTEMPTS => {
                let pause_ms = rand::random_range(0..1 << attempt);
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

/// The verdicts of a batch whose parts were answered by `rows`.
fn verdicts(batch: &[Append], rows: &[PgRow]) -> Vec<Verdict> {
    let mut rows = rows.iter();
    let verdicts = batch.iter().map(|append| {
        let rows = rows.by_ref().take(append.parts.len());
        Verdict::Settled(settled(append, rows.map(PartOutcome::from_row).collect()))
    });
    verdicts.collect()
}

fn settled(append: &Append, parts: Result<Vec<PartOutcome>, Unreadable>) -> Outcome {
    // By now it is stored, or refused: only a look into the ledger tells.
    let parts = parts.map_err(|error| AppendError::OutcomeUnknown(error.into()))?;
    outcome(append, parts)
}
