//! Holds: a transaction that has the fence's lock, so that the appends of a decider wait for its
//! end on every host.

use async_trait::async_trait;
use gavel_model::{Activation, ActivationKey};
use gavel_store::toolkit::hold::{HOLD, Held};
use gavel_store::{ActivateError, Error, Hold, Moment, NewActivation};
use sqlx::{Postgres, Transaction};

use super::PostgresStore;
use super::claim::OpenTransaction;
use super::modules::{activated, bind_key, moving};
use super::past::moved_since;
use super::query::{answered, run_on};

/// A hold in a transaction. The server ends it after [`HOLD`], whatever has become of the host.
#[derive(Debug)]
struct PostgresHold {
    transaction: OpenTransaction,
    /// The schema version that this host knows.
    known: i64,
    /// The hold within this process: its appends wait here and not in the database, where each
    /// would take a connection from the activation that looks at the past.
    _held: Held,
}

/// The timeouts of the transaction, and then the lock.
const LIMITS: &str = "SELECT set_config('lock_timeout', $1, TRUE), set_config('idle_in_transaction_session_timeout', $1, TRUE)";
const LOCK: &str = "SELECT pg_advisory_xact_lock(gavel_fence_key($1, $2, $3))";

impl PostgresStore {
    /// Waits in the line of the fence's lock, in which appends stand as well.
    pub(super) async fn hold_key(&self, key: &ActivationKey) -> Result<Box<dyn Hold>, Error> {
        let held = self.holds.hold(key).await?;
        let transaction = answered(self.pool.begin()).await;
        let mut transaction = transaction.map_err(Error::Unavailable)?;
        let limit = format!("{}ms", HOLD.as_millis());
        run_on(&mut transaction, sqlx::query(LIMITS).bind(limit)).await?;
        let lock = bind_key(sqlx::query(LOCK), key);
        run_on(&mut transaction, lock).await?;
        Ok(Box::new(PostgresHold {
            transaction: OpenTransaction::new(transaction),
            known: self.floor.known(),
            _held: held,
        }))
    }
}

#[async_trait]
impl Hold for PostgresHold {
    async fn activate(
        mut self: Box<Self>,
        activation: NewActivation,
        looked_through: &Moment,
    ) -> Result<Activation, ActivateError> {
        let ended = || ActivateError::Store(Error::Unavailable("the hold has ended".into()));
        let transaction = self.transaction.take().ok_or_else(ended)?;
        activate(transaction, activation, looked_through, self.known).await
    }
}

/// Activates in the transaction of the hold. Dropped midway, the transaction is rolled back.
async fn activate(
    mut transaction: Transaction<'static, Postgres>,
    activation: NewActivation,
    looked_through: &Moment,
    known: i64,
) -> Result<Activation, ActivateError> {
    let decider = activation.key.name().to_decider();
    let moved = moved_since(activation.key.namespace(), &decider, looked_through, 1);
    if !run_on(&mut transaction, moved).await?.is_empty() {
        return Err(ActivateError::Overtaken);
    }
    let found = run_on(&mut transaction, moving(&activation, known)).await?;
    let committed = answered(transaction.commit()).await;
    committed.map_err(|source| ActivateError::Store(Error::Unavailable(source)))?;
    activated(&found)
}
