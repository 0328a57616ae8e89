//! Holds: a transaction that has the locks of fences, so that the appends of their deciders wait
//! for its end on every host.

use std::collections::BTreeSet;

use async_trait::async_trait;
use gavel_model::{Activation, ActivationKey};
use gavel_store::toolkit::hold::{HOLD, Held};
use gavel_store::{ActivateError, ActivationSet, Error, Hold, Moment, NewActivation};
use sqlx::{Postgres, Transaction};

use super::PostgresStore;
use super::claim::OpenTransaction;
use super::error::not_activated;
use super::modules::{activated, moving};
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

/// The timeouts of the transaction, and then the locks, all of them within the time of a statement.
pub(super) const LIMITS: &str = "SELECT set_config('statement_timeout', $1, TRUE), set_config('idle_in_transaction_session_timeout', $1, TRUE)";
/// Takes the locks in the order of `gavel_append`.
const LOCK: &str = "SELECT pg_advisory_xact_lock(fences.key) FROM (
     SELECT DISTINCT gavel_fence_key(held.namespace, held.kind, held.name) AS key
     FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS held (namespace, kind, name) ORDER BY key) AS fences";

impl PostgresStore {
    /// Waits in the lines of the fences' locks, in which appends stand as well.
    pub(super) async fn hold_keys(
        &self,
        keys: &BTreeSet<ActivationKey>,
    ) -> Result<Box<dyn Hold>, Error> {
        let held = self.holds.hold(keys).await?;
        let transaction = answered(self.pool.begin()).await;
        let mut transaction = transaction.map_err(Error::Unavailable)?;
        let limit = format!("{}ms", HOLD.as_millis());
        run_on(&mut transaction, sqlx::query(LIMITS).bind(limit)).await?;
        let columns = |column: fn(&ActivationKey) -> &str| -> Vec<_> {
            keys.iter().map(|key| column(key).to_owned()).collect()
        };
        let lock = sqlx::query(LOCK)
            .bind(columns(|key| key.namespace().as_str()))
            .bind(columns(|key| key.kind().as_str()))
            .bind(columns(|key| key.name().as_str()));
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
        set: ActivationSet,
        looked_through: &Moment,
    ) -> Result<Vec<Activation>, ActivateError> {
        let ended = || ActivateError::Store(Error::Unavailable("the hold has ended".into()));
        let transaction = self.transaction.take().ok_or_else(ended)?;
        activate(transaction, set, looked_through, self.known).await
    }
}

/// Activates in the transaction of the hold. Dropped midway, the transaction is rolled back.
async fn activate(
    mut transaction: Transaction<'static, Postgres>,
    set: ActivationSet,
    looked_through: &Moment,
    known: i64,
) -> Result<Vec<Activation>, ActivateError> {
    let (namespace, activations, after) = set.into_parts();
    for NewActivation { key, .. } in &activations {
        let decider = key.name().to_decider();
        let moved = moved_since(&namespace, &decider, looked_through, 1);
        let moved = run_on(&mut transaction, moved).await;
        if !moved
            .map_err(Error::from)
            .map_err(ActivateError::Store)?
            .is_empty()
        {
            let key = key.clone();
            return Err(ActivateError::Overtaken { key });
        }
    }
    let moving = moving(known, &namespace, &activations, after);
    let found = run_on(&mut transaction, moving).await;
    let found = found.map_err(|failure| not_activated(failure, &activations))?;
    let committed = answered(transaction.commit()).await;
    committed.map_err(|source| ActivateError::Store(Error::Unavailable(source)))?;
    activated(&found)
}
