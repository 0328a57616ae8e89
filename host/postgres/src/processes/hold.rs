//! Holds: a transaction that has the locks of rosters, and changes nothing.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::Position;
use gavel_store::Error;
use gavel_store::processes::{RosterHold, RosterId};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::rows;
use crate::PostgresStore;
use crate::claim::OpenTransaction;
use crate::hold::LIMITS;
use crate::query::{answered, run_on};
use crate::rows::{Read, column};

/// Waits for the changes under way, in one order for everyone. A change that comes later finds the
/// lock taken, or wanted, and is refused.
const LOCK: &str = "\
SELECT pg_advisory_xact_lock(held.key) \
FROM (SELECT DISTINCT gavel_roster_key(id) AS key FROM unnest($1::BIGINT[]) AS id ORDER BY key) AS held";

const POSITIONS: &str = "SELECT id, position FROM rosters WHERE id = ANY($1)";

/// A hold. The server ends it after its time, whatever has become of the host.
#[derive(Debug)]
struct PostgresRosterHold {
    transaction: Mutex<OpenTransaction>,
    ends_at: Instant,
    named: Vec<RosterId>,
}

impl PostgresStore {
    pub(super) async fn hold_these_rosters(
        &self,
        rosters: &[RosterId],
        longest: Duration,
    ) -> Result<Box<dyn RosterHold>, Error> {
        let transaction = answered(self.pool.begin()).await;
        let mut transaction = transaction.map_err(Error::Unavailable)?;
        let ids: Vec<_> = rosters.iter().map(|roster| roster.get()).collect();
        run_on(&mut transaction, sqlx::query(LOCK).bind(ids)).await?;
        let limit = format!("{}ms", longest.as_millis().max(1));
        run_on(&mut transaction, sqlx::query(LIMITS).bind(limit)).await?;
        Ok(Box::new(PostgresRosterHold {
            transaction: Mutex::new(OpenTransaction::new(transaction)),
            ends_at: Instant::now() + longest,
            named: rosters.to_vec(),
        }))
    }
}

#[async_trait]
impl RosterHold for PostgresRosterHold {
    /// Asks in the transaction, which the server does not end before it has answered.
    async fn positions(&self) -> Result<Vec<Option<Position>>, Error> {
        let ended = || Error::Unavailable("the hold has ended".into());
        let mut open = self.transaction.lock().await;
        let Some(mut transaction) = open.take().filter(|_| Instant::now() < self.ends_at) else {
            return Err(ended());
        };
        let ids: Vec<_> = self.named.iter().map(|roster| roster.get()).collect();
        let found = run_on(&mut transaction, sqlx::query(POSITIONS).bind(ids)).await?;
        *open = OpenTransaction::new(transaction);
        let known = found.iter().map(|row| {
            let id = RosterId::new(column(row, "id")?);
            Ok((id, rows::position(row, "position")?))
        });
        let known: Read<HashMap<RosterId, Position>> = known.collect();
        let known = known.map_err(|reason| reason.of("roster"))?;
        let positions = self.named.iter().map(|roster| known.get(roster).copied());
        Ok(positions.collect())
    }
}
