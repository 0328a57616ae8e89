//! Tables that come and go: their indexes, and the SQL views that show them.
//!
//! What needs a table or an SQL view for itself waits for it 50 ms, for it lets no new reader pass
//! meanwhile; then it makes room and tries again.

use std::time::Duration;

use gavel_model::Position;
use gavel_store::Error;
use gavel_store::toolkit::view_names::quoted;
use gavel_store::views::{TableId, ViewTable};
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::{Instant, sleep};

use super::PostgresViews;
use super::names::column_of;
use super::registry::{bind_view, dynamic, gone};
use crate::error::is_lock_timeout;
use crate::query::{answered, run_on};
use crate::rows::column;

/// The time for which a table or an SQL view is tried to be had.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time for readers between two tries.
const PAUSE: Duration = Duration::from_millis(100);

const LOCK_TIMEOUT: &str =
    "SELECT set_config('lock_timeout', '50ms', TRUE), set_config('synchronous_commit', 'on', TRUE)";

/// One host at a time changes an SQL view, after it has looked which tables there are.
const LOCK_NAME: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('gavel_rows ' || $1 || ' ' || $2, $3))";

/// One host at a time makes the indexes of a table. Who waits for it must not do so in a statement,
/// whose end the indexes would wait for.
const TRY_LOCK_INDEXES: &str = "SELECT pg_try_advisory_lock(hashtextextended('gavel_rows indexes', $1::BIGINT * 4096 + $2)) AS is_free";

/// An index whose making was broken off.
const BROKEN_INDEX: &str = "\
SELECT FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2 AND NOT i.indisvalid";

const IS_POINTED_AT: &str =
    "SELECT FROM {rows}.pointers WHERE namespace = $1 AND view = $2 AND table_id = $3";

const FINISH: &str = "UPDATE {rows}.tables SET is_finished = TRUE WHERE id = $1 RETURNING id";

/// Keeps pointers from being moved to the table.
const LOCK_TABLE: &str = "SELECT id FROM {rows}.tables WHERE id = $1 FOR UPDATE";

const RESTART: &str = "\
UPDATE {rows}.tables SET position = $2, is_finished = FALSE, row_count = 0, parked_events = 0, revision = revision + 1 WHERE id = $1 RETURNING id";

const FORGET_PARKED: [&str; 3] = [
    "DELETE FROM {rows}.parked WHERE table_id = $1",
    "DELETE FROM {rows}.waiting WHERE table_id = $1",
    "DELETE FROM {rows}.parked_events WHERE table_id = $1",
];

const FORGET: &str = "DELETE FROM {rows}.tables WHERE id = $1";

const DELETE_GENERIC: &str = "DELETE FROM {rows}.generic WHERE table_id = $1";

/// A change of a table that is seen in SQL.
#[derive(Debug, Clone, Copy)]
enum TableStep {
    /// The table shows its rows.
    Finish,
    /// The table begins anew.
    Restart,
    /// The table goes.
    Drop,
}

impl PostgresViews {
    pub(super) async fn finish(&self, id: TableId) -> Result<(), Error> {
        self.require_tables()?;
        let table = self.find_table(id).await?.ok_or_else(|| gone(id))?;
        if table.is_finished {
            return Ok(());
        }
        if self.has_own_table(id).await? {
            self.index(&table).await?;
        }
        self.patiently(&table, TableStep::Finish).await
    }

    pub(super) async fn restart(&self, id: TableId) -> Result<(), Error> {
        self.require_tables()?;
        let table = self.find_table(id).await?.ok_or_else(|| gone(id))?;
        self.patiently(&table, TableStep::Restart).await
    }

    pub(super) async fn forget(&self, id: TableId) -> Result<(), Error> {
        self.require_tables()?;
        let Some(table) = self.find_table(id).await? else {
            return Ok(());
        };
        if table.active.is_some() {
            return Ok(());
        }
        self.patiently(&table, TableStep::Drop).await
    }

    async fn has_own_table(&self, id: TableId) -> Result<bool, Error> {
        Ok(!self.known(id).await?.is_generic)
    }

    /// Makes the indexes of a table, on a connection of its own: that takes as long as it takes,
    /// and keeps nobody waiting. Dropped midway, an index may be left that is of no use, and is
    /// made again the next time.
    async fn index(&self, table: &ViewTable) -> Result<(), Error> {
        let connecting = answered(self.setup.connect()).await;
        let mut session = connecting.map_err(Error::Unavailable)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let lock = sqlx::query(TRY_LOCK_INDEXES)
                .bind(table.id.get())
                .bind(i64::from(self.lock_class));
            let found = run_on(&mut session, lock).await?;
            let is_free = found.first().map(|row| column(row, "is_free"));
            let is_free = is_free.transpose().map_err(|reason| reason.of("lock"))?;
            if is_free == Some(true) {
                break;
            }
            if Instant::now() >= end {
                let other = "another host makes the indexes of the table";
                return Err(Error::Unavailable(other.into()));
            }
            sleep(PAUSE).await;
        }
        let rows = self.schemas.rows_of(table.id);
        for (number, fields) in table.shape.indexes.iter().enumerate() {
            let name = format!("v_{}_{number}", table.id);
            let broken = sqlx::query(BROKEN_INDEX)
                .bind(self.schemas.rows.clone())
                .bind(name.clone());
            if !run_on(&mut session, broken).await?.is_empty() {
                let drop = format!(
                    "DROP INDEX CONCURRENTLY IF EXISTS {}.{}",
                    quoted(&self.schemas.rows),
                    quoted(&name)
                );
                unbounded(&mut session, drop).await?;
            }
            let fields = fields.iter().map(|field| column_of(field));
            let fields: Vec<_> = fields.chain(["key".to_owned()]).collect();
            let create = format!(
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {rows} ({})",
                quoted(&name),
                fields.join(", ")
            );
            unbounded(&mut session, create).await?;
        }
        unbounded(&mut session, format!("ANALYZE {rows}")).await?;
        // What it holds ends with it in any case.
        let _ = session.close().await;
        Ok(())
    }

    /// Takes a step again and again while others are in its way.
    async fn patiently(&self, table: &ViewTable, step: TableStep) -> Result<(), Error> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.take_step(table, step).await {
                Err(error) if is_in_the_way(&error) && Instant::now() < end => sleep(PAUSE).await,
                taken => return taken,
            }
        }
    }

    /// Dropped midway, nothing is changed.
    async fn take_step(&self, table: &ViewTable, step: TableStep) -> Result<(), Error> {
        let mut tx = answered(self.pool.begin())
            .await
            .map_err(Error::Unavailable)?;
        run_on(&mut tx, sqlx::query(LOCK_TIMEOUT)).await?;
        let lock = bind_view(sqlx::query(LOCK_NAME), &table.view).bind(i64::from(self.lock_class));
        run_on(&mut tx, lock).await?;
        let is_taken = match step {
            TableStep::Finish => self.finish_in_tx(&mut tx, table).await?,
            TableStep::Restart => self.restart_in_tx(&mut tx, table).await?,
            TableStep::Drop => self.drop_in_tx(&mut tx, table).await?,
        };
        if is_taken {
            answered(tx.commit()).await.map_err(Error::Unavailable)?;
            if matches!(step, TableStep::Drop) {
                self.known.forget(table.id);
            }
        }
        Ok(())
    }

    async fn finish_in_tx(&self, tx: &mut PgConnection, table: &ViewTable) -> Result<bool, Error> {
        let tables = self.tables_in_tx(tx, &table.view).await?;
        let shown = tables
            .iter()
            .filter(|other| other.is_finished || other.id == table.id);
        let shown: Vec<_> = shown.collect();
        if !shown.iter().any(|other| other.id == table.id) {
            return Err(gone(table.id));
        }
        self.rewrite_in_tx(tx, &table.view, &shown, true).await?;
        run_on(tx, self.statement(FINISH).bind(table.id.get())).await?;
        Ok(true)
    }

    async fn restart_in_tx(&self, tx: &mut PgConnection, table: &ViewTable) -> Result<bool, Error> {
        self.hide_in_tx(tx, table).await?;
        let empty = match self.has_own_table(table.id).await? {
            true => dynamic(format!("TRUNCATE {}", self.schemas.rows_of(table.id))),
            false => self.statement(DELETE_GENERIC).bind(table.id.get()),
        };
        run_on(tx, empty).await?;
        let beginning = Position::BEGINNING.to_string();
        let restart = self.statement(RESTART).bind(table.id.get()).bind(beginning);
        if run_on(tx, restart).await?.is_empty() {
            return Err(gone(table.id));
        }
        self.forget_parked_in_tx(tx, table.id).await?;
        Ok(true)
    }

    /// Gives whether the table was there, and no pointer at it. What may have to wait comes before
    /// the lock of the table's progress.
    async fn drop_in_tx(&self, tx: &mut PgConnection, table: &ViewTable) -> Result<bool, Error> {
        self.hide_in_tx(tx, table).await?;
        let drop = match self.has_own_table(table.id).await? {
            true => dynamic(format!("DROP TABLE {}", self.schemas.rows_of(table.id))),
            false => self.statement(DELETE_GENERIC).bind(table.id.get()),
        };
        run_on(tx, drop.persistent(false)).await?;
        let lock = self.statement(LOCK_TABLE).bind(table.id.get());
        let is_there = !run_on(tx, lock).await?.is_empty();
        let pointed_at = bind_view(self.statement(IS_POINTED_AT), &table.view).bind(table.id.get());
        if !is_there || !run_on(tx, pointed_at).await?.is_empty() {
            return Ok(false);
        }
        self.forget_parked_in_tx(tx, table.id).await?;
        run_on(tx, self.statement(FORGET).bind(table.id.get())).await?;
        Ok(true)
    }

    /// Takes a table out of the SQL view.
    async fn hide_in_tx(&self, tx: &mut PgConnection, table: &ViewTable) -> Result<(), Error> {
        let tables = self.tables_in_tx(tx, &table.view).await?;
        let is_shown = |other: &&ViewTable| other.is_finished;
        if !tables
            .iter()
            .filter(is_shown)
            .any(|other| other.id == table.id)
        {
            return Ok(());
        }
        let others = tables
            .iter()
            .filter(is_shown)
            .filter(|other| other.id != table.id);
        let others: Vec<_> = others.collect();
        self.rewrite_in_tx(tx, &table.view, &others, false).await
    }

    async fn forget_parked_in_tx(&self, tx: &mut PgConnection, id: TableId) -> Result<(), Error> {
        for statement in FORGET_PARKED {
            run_on(tx, self.statement(statement).bind(id.get())).await?;
        }
        Ok(())
    }
}

/// Runs a statement that takes as long as it takes.
async fn unbounded(session: &mut PgConnection, text: String) -> Result<(), Error> {
    let ran = dynamic(text).persistent(false).execute(session).await;
    ran.map_err(|error| Error::from(crate::query::StatementError::from(error)))?;
    Ok(())
}

/// Tells whether a step has failed for others that have what it needs.
fn is_in_the_way(error: &Error) -> bool {
    let Error::Unavailable(source) = error else {
        return false;
    };
    source
        .downcast_ref::<PgDatabaseError>()
        .is_some_and(is_lock_timeout)
}
