//! Holds: a transaction that has the locks of tables, and no id until it moves pointers.

use std::collections::HashMap;

use async_trait::async_trait;
use gavel_model::Position;
use gavel_store::Error;
use gavel_store::toolkit::hold::HOLD;
use gavel_store::views::{RowPointer, TableHold, TableId};

use super::PostgresViews;
use super::change::lock_id;
use super::registry::{pointed, position};
use crate::claim::OpenTransaction;
use crate::hold::LIMITS;
use crate::query::{answered, run_on};
use crate::rows::{Read, column};

/// Waits for the changes under way, in one order for everyone. A change that comes later finds the
/// lock taken, or wanted, and is refused.
const LOCK: &str = "\
SELECT pg_advisory_xact_lock($1, held.id) FROM (SELECT DISTINCT id FROM unnest($2::INT[]) AS id ORDER BY id) AS held";

const POSITIONS: &str = "SELECT id, position FROM {rows}.tables WHERE id = ANY($1)";

/// A hold. The server ends it after [`HOLD`], whatever has become of the host.
#[derive(Debug)]
struct PostgresTableHold {
    views: PostgresViews,
    transaction: OpenTransaction,
    /// The positions when the hold began, which are those of its end.
    positions: Vec<Option<Position>>,
}

impl PostgresViews {
    pub(super) async fn hold(&self, tables: &[TableId]) -> Result<Box<dyn TableHold>, Error> {
        self.require_tables()?;
        let transaction = answered(self.pool.begin()).await;
        let mut transaction = transaction.map_err(Error::Unavailable)?;
        let limit = format!("{}ms", HOLD.as_millis());
        run_on(&mut transaction, sqlx::query(LIMITS).bind(limit)).await?;
        let locks: Vec<_> = tables.iter().copied().map(lock_id).collect();
        let lock = sqlx::query(LOCK).bind(self.lock_class).bind(locks);
        run_on(&mut transaction, lock).await?;
        let ids: Vec<_> = tables.iter().map(|table| table.get()).collect();
        let found = run_on(&mut transaction, self.statement(POSITIONS).bind(ids)).await?;
        let known = found.iter().map(|row| {
            let id = TableId::new(column(row, "id")?);
            Ok((id, position(row, "position")?))
        });
        let known: Read<HashMap<TableId, Position>> = known.collect();
        let known = known.map_err(|reason| reason.of("table of a view"))?;
        Ok(Box::new(PostgresTableHold {
            views: self.clone(),
            transaction: OpenTransaction::new(transaction),
            positions: tables
                .iter()
                .map(|table| known.get(table).copied())
                .collect(),
        }))
    }
}

#[async_trait]
impl TableHold for PostgresTableHold {
    async fn positions(&self) -> Result<Vec<Option<Position>>, Error> {
        Ok(self.positions.clone())
    }

    /// Dropped midway, no pointer is moved.
    async fn point(mut self: Box<Self>, mut pointers: Vec<RowPointer>) -> Result<bool, Error> {
        let ended = || Error::Unavailable("the hold has ended".into());
        let mut transaction = self.transaction.take().ok_or_else(ended)?;
        // In one order for everyone.
        pointers.sort_by(|one, other| one.view.cmp(&other.view));
        let mut are_moved = true;
        for RowPointer {
            view,
            table,
            activation,
        } in pointers
        {
            let pointing = self.views.pointing(&view, table, activation);
            are_moved &= pointed(&run_on(&mut transaction, pointing).await?, table)?;
        }
        answered(transaction.commit())
            .await
            .map_err(Error::Unavailable)?;
        Ok(are_moved)
    }
}
