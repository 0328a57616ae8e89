//! Claims: a transaction that holds a stream's lock until it appends, or is let go.

use std::slice;

use async_trait::async_trait;
use gavel_model::StreamId;
use gavel_store::toolkit::group::Verdict;
use gavel_store::toolkit::hold::Passed;
use gavel_store::{Append, AppendError, Appended, Claim, Error, EventStore as _};
use sqlx::{Postgres, Transaction};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::PostgresStore;
use super::append::verdicts;
use super::arguments::Columns;
use super::error::{is_lost_race, meet};
use super::query::{StatementError, answered, of_stream, run_on};
use super::rows::BatchOutcome;

/// A claim in a transaction. The server ends it with `idle_in_transaction_session_timeout`, so that
/// a host that hangs does not block others for long.
#[derive(Debug)]
struct PostgresClaim {
    store: PostgresStore,
    transaction: OpenTransaction,
    /// The place in the line of the decider, taken before the stream's lock: a hold of the decider
    /// waits for all that wait for that lock.
    passed: Passed,
    _permit: OwnedSemaphorePermit,
}

/// A transaction that is kept open for a while, and rolled back if it is dropped before it is used.
#[derive(Debug)]
pub(super) struct OpenTransaction {
    /// The transaction until it is used.
    transaction: Option<Transaction<'static, Postgres>>,
    /// The runtime in which the connection can be given back.
    runtime: Handle,
}

impl OpenTransaction {
    /// Keeps a transaction. MUST be called in an async runtime.
    pub(super) fn new(transaction: Transaction<'static, Postgres>) -> Self {
        Self {
            transaction: Some(transaction),
            runtime: Handle::current(),
        }
    }

    /// Takes the transaction for its one use.
    pub(super) fn take(&mut self) -> Option<Transaction<'static, Postgres>> {
        self.transaction.take()
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        // On whatever thread this happens.
        let _entered = self.runtime.enter();
        drop(self.transaction.take());
    }
}

impl PostgresStore {
    /// Waits in the line of the stream's lock, in which all hosts stand in the order of their
    /// arrival.
    pub(super) async fn claim_stream(
        &self,
        stream: &StreamId,
    ) -> Result<Option<Box<dyn Claim>>, Error> {
        let Ok(permit) = self.claims.clone().try_acquire_owned() else {
            return Ok(None);
        };
        let passed = self.holds.pass(std::iter::once(stream)).await;
        let mut transaction = answered(self.pool.begin())
            .await
            .map_err(Error::Unavailable)?;
        let lock = of_stream(
            "SELECT pg_advisory_xact_lock(gavel_stream_key($1, $2, $3))",
            stream,
        );
        run_on(&mut transaction, lock).await?;
        Ok(Some(Box::new(PostgresClaim {
            store: self.clone(),
            transaction: OpenTransaction::new(transaction),
            passed,
            _permit: permit,
        })))
    }
}

#[async_trait]
impl Claim for PostgresClaim {
    async fn append(mut self: Box<Self>, append: Append) -> Result<Vec<Appended>, AppendError> {
        let lost = |source| AppendError::OutcomeUnknown(source);
        let Some(mut transaction) = self.transaction.take() else {
            return self.store.append(append).await;
        };
        let batch = slice::from_ref(&append);
        let statement = Columns::of(batch).statement(self.store.floor.known(), true, false);
        let rows = match run_on(&mut transaction, statement).await {
            Ok(rows) => rows,
            Err(failure)
                if is_lost_race(&failure) || matches!(failure, StatementError::Unfit(_)) =>
            {
                drop((transaction, std::mem::take(&mut self.passed)));
                return self.store.append(append).await;
            }
            // Nothing is stored before the COMMIT. Dropped, the transaction is rolled back.
            Err(failure) => {
                meet(&self.store.floor, &failure);
                return Err(Error::from(failure).into());
            }
        };
        answered(transaction.commit()).await.map_err(lost)?;
        self.store.group.committed_beside();
        let row = rows.first().ok_or_else(|| lost("no row".into()))?;
        let answer = BatchOutcome::from_row(row).map_err(|error| lost(error.into()))?;
        match verdicts(batch, answer).pop() {
            Some(Verdict::Settled(outcome)) => outcome,
            Some(Verdict::Held) | None => Err(lost("the append was not answered".into())),
        }
    }
}
