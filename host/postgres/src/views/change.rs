//! Changes of rows: one statement, or a short transaction where rows are parked.

use std::sync::Arc;

use gavel_store::Error;
use gavel_store::views::{CommitError, KeyedRow, RowsChange, TableId};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json as SqlJson;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::time::timeout;

use super::PostgresViews;
use super::cells::bind_column;
use super::copy;
use super::known::{KnownTable, MOVE};
use crate::error::{is_lost_race, is_undefined};
use crate::query::{ANSWER_TIMEOUT, Statement, StatementError, answered, run, run_on};
use crate::rows::{Read, column, unreadable};

/// Forgets what was said of rows that are not parked any more, or for another reason.
const UNPARK: &str = "DELETE FROM {rows}.parked WHERE table_id = $1 AND key = ANY($2)";

const FORGET_WAITING: &str = "DELETE FROM {rows}.waiting WHERE table_id = $1 AND key = ANY($2)";

const FORGET_WAITED: &str = "\
DELETE FROM {rows}.waiting AS w USING unnest($2::TEXT[], $3::TEXT[]) AS p (key, position) \
WHERE w.table_id = $1 AND w.key = p.key AND w.position <= p.position";

const PARK: &str = "\
INSERT INTO {rows}.parked (table_id, key, position, event_id, reason, since) \
SELECT $1, * FROM unnest($2::TEXT[], $3::TEXT[], $4::UUID[], $5::TEXT[], $6::TIMESTAMPTZ[])";

/// Rows behind which events are to wait, and that are not parked any more.
const NOT_PARKED: &str = "\
SELECT FROM unnest($2::TEXT[]) AS w (key) \
WHERE NOT EXISTS (SELECT FROM {rows}.parked AS p WHERE p.table_id = $1 AND p.key = w.key) LIMIT 1";

const WAIT: &str = "\
INSERT INTO {rows}.waiting (table_id, key, position) SELECT $1, * FROM unnest($2::TEXT[], $3::TEXT[]) \
ON CONFLICT ON CONSTRAINT waiting_pkey DO NOTHING";

const PARK_EVENTS: &str = "\
INSERT INTO {rows}.parked_events (table_id, position, event_id, reason) \
SELECT $1, * FROM unnest($2::TEXT[], $3::UUID[], $4::TEXT[]) \
ON CONFLICT ON CONSTRAINT parked_events_pkey DO UPDATE SET event_id = excluded.event_id, reason = excluded.reason";

const COUNT_EVENTS: &str = "\
UPDATE {rows}.tables SET parked_events = (SELECT count(*) FROM {rows}.parked_events AS e WHERE e.table_id = $1) WHERE id = $1";

impl PostgresViews {
    pub(super) async fn change(&self, change: &RowsChange) -> Result<(), CommitError> {
        let Some(table) = self.find_known(change.table).await? else {
            return Err(CommitError::Gone);
        };
        let changed = match parks(change) {
            false => self.change_rows(&table, change).await,
            true => self.change_and_park(&table, change).await,
        };
        if matches!(changed, Err(CommitError::Gone)) {
            self.known.forget(change.table);
        }
        changed
    }

    async fn change_rows(
        &self,
        table: &KnownTable,
        change: &RowsChange,
    ) -> Result<(), CommitError> {
        let are_new = !change.put.is_empty() && change.added == change.put.len() as u64;
        let is_copied = are_new && change.ended.is_empty() && !table.is_generic;
        if is_copied && change.put.len() >= copy::ROWS {
            if self.copy_rows(table, change).await? {
                return Ok(());
            }
        } else if are_new {
            match run(&self.pool, self.moving(table, &table.add, change)).await {
                // Some were there all the same.
                Err(failure) if is_lost_race(&failure) => {}
                found => return outcome(&found.map_err(not_changed)?),
            }
        }
        let found = run(&self.pool, self.moving(table, &table.change, change)).await;
        outcome(&found.map_err(not_changed)?)
    }

    /// Moves a table on, and copies rows into it. Gives whether none of them was there before; if
    /// one was, nothing is changed. Dropped midway, nothing is changed.
    async fn copy_rows(
        &self,
        table: &KnownTable,
        change: &RowsChange,
    ) -> Result<bool, CommitError> {
        let mut connection = answered(self.pool.acquire()).await?;
        // A copy that is given up leaves it out of step.
        connection.close_on_drop();
        let mut tx = answered(connection.begin()).await?;
        let moved = run_on(&mut tx, self.moving_alone(change)).await;
        outcome(&moved.map_err(not_changed)?)?;
        let copied = timeout(
            ANSWER_TIMEOUT,
            copy::copy(&mut tx, &table.copy, &change.put),
        )
        .await;
        let copied = copied.map_err(|elapsed| StatementError::Lost(elapsed.into()));
        match copied.and_then(|copied| copied.map_err(StatementError::from)) {
            Ok(()) => answered(tx.commit()).await?,
            Err(failure) if is_lost_race(&failure) => return Ok(false),
            Err(failure) => return Err(not_changed(failure)),
        }
        Ok(true)
    }

    /// Dropped midway, nothing is changed.
    async fn change_and_park(
        &self,
        table: &KnownTable,
        change: &RowsChange,
    ) -> Result<(), CommitError> {
        let mut tx = answered(self.pool.begin()).await?;
        let found = run_on(&mut tx, self.moving(table, &table.change, change)).await;
        outcome(&found.map_err(not_changed)?)?;
        for statement in self.parking(change) {
            run_on(&mut tx, statement).await.map_err(not_changed)?;
        }
        if !change.waiting.is_empty() {
            let waiting: Vec<_> = change.waiting.iter().map(|(key, _)| key.as_str()).collect();
            let unfit = self
                .statement(NOT_PARKED)
                .bind(change.table.get())
                .bind(waiting);
            let unfit = run_on(&mut tx, unfit).await.map_err(not_changed)?;
            if !unfit.is_empty() {
                return Err(CommitError::Moved);
            }
        }
        Ok(answered(tx.commit()).await?)
    }

    /// The statement that moves the table on and changes its rows, if there are any to change;
    /// [`outcome`] reads its answer.
    fn moving<'q>(
        &self,
        table: &KnownTable,
        with_rows: &Arc<str>,
        change: &RowsChange,
    ) -> Statement<'q> {
        if change.put.is_empty() && change.ended.is_empty() {
            return self.moving_alone(change);
        }
        let statement = sqlx::query(AssertSqlSafe(Arc::clone(with_rows)));
        let ended: Vec<_> = change.ended.iter().map(|key| key.as_str()).collect();
        let statement = self.bind_move(statement, change).bind(ended);
        bind_rows(statement, table, &change.put)
    }

    /// The statement that moves the table on, whatever rows the change has.
    fn moving_alone<'q>(&self, change: &RowsChange) -> Statement<'q> {
        self.bind_move(self.statement(MOVE), change)
    }

    fn bind_move<'q>(&self, statement: Statement<'q>, change: &RowsChange) -> Statement<'q> {
        let grown = i128::from(change.added) - i128::from(change.removed);
        statement
            .bind(self.lock_class)
            .bind(lock_id(change.table))
            .bind(change.table.get())
            .bind(change.from.to_string())
            .bind(change.to.to_string())
            .bind(i64::try_from(grown).unwrap_or_default())
    }

    /// The statements that follow where rows or events are parked, one after the other.
    fn parking(&self, change: &RowsChange) -> Vec<Statement<'static>> {
        let of = |text: &str| self.statement(text).bind(change.table.get());
        let mut statements = Vec::new();
        if !change.unparked.is_empty() {
            let keys: Vec<_> = change.unparked.iter().map(|key| key.as_str()).collect();
            statements.push(of(UNPARK).bind(keys.clone()));
            statements.push(of(FORGET_WAITING).bind(keys));
        }
        let rows = &change.parked;
        if !rows.is_empty() {
            let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
            let positions: Vec<_> = rows.iter().map(|row| row.position.to_string()).collect();
            statements.push(of(UNPARK).bind(keys.clone()));
            statements.push(of(FORGET_WAITED).bind(keys.clone()).bind(positions.clone()));
            let statement = of(PARK)
                .bind(keys)
                .bind(positions)
                .bind(rows.iter().map(|row| row.event_id).collect::<Vec<_>>())
                .bind(
                    rows.iter()
                        .map(|row| row.reason.as_str())
                        .collect::<Vec<_>>(),
                )
                .bind(rows.iter().map(|row| row.since).collect::<Vec<_>>());
            statements.push(statement);
        }
        if !change.waiting.is_empty() {
            let waiting = change.waiting.iter();
            let (keys, positions): (Vec<_>, Vec<_>) = waiting
                .map(|(key, position)| (key.as_str(), position.to_string()))
                .unzip();
            statements.push(of(WAIT).bind(keys).bind(positions));
        }
        let events = &change.parked_events;
        if !events.is_empty() {
            let positions: Vec<_> = events
                .iter()
                .map(|event| event.position.to_string())
                .collect();
            let statement = of(PARK_EVENTS)
                .bind(positions)
                .bind(
                    events
                        .iter()
                        .map(|event| event.event_id)
                        .collect::<Vec<_>>(),
                )
                .bind(
                    events
                        .iter()
                        .map(|event| event.reason.as_str())
                        .collect::<Vec<_>>(),
                );
            statements.push(statement);
            statements.push(of(COUNT_EVENTS));
        }
        statements
    }
}

/// Tells whether a change concerns more than rows and progress.
fn parks(change: &RowsChange) -> bool {
    !(change.parked.is_empty()
        && change.unparked.is_empty()
        && change.waiting.is_empty()
        && change.parked_events.is_empty())
}

fn bind_rows<'q>(statement: Statement<'q>, table: &KnownTable, rows: &[KeyedRow]) -> Statement<'q> {
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
    let positions: Vec<_> = rows.iter().map(|row| row.position.to_string()).collect();
    let values = rows.iter().map(|row| SqlJson(row.value.as_raw()));
    let statement = statement
        .bind(keys)
        .bind(positions)
        .bind(values.collect::<Vec<SqlJson<&RawValue>>>());
    let kinds = table.columns_written().enumerate();
    kinds.fold(statement, |statement, (place, kind)| {
        bind_column(statement, kind, place, rows)
    })
}

/// The number by which an advisory lock names a table. Two tables with the same one are held
/// together, which does no harm.
pub(super) fn lock_id(table: TableId) -> i32 {
    let low = table.get() & i64::from(i32::MAX);
    i32::try_from(low).unwrap_or_default()
}

fn outcome(found: &[PgRow]) -> Result<(), CommitError> {
    let read = |row: &PgRow| -> Read<[bool; 3]> {
        Ok([
            column(row, "is_free")?,
            column(row, "is_moved")?,
            column(row, "is_there")?,
        ])
    };
    let answer = found
        .first()
        .ok_or_else(|| unreadable("there is no answer"));
    let answer = answer.and_then(read);
    match answer.map_err(|reason| reason.of("change of rows"))? {
        [_, true, _] => Ok(()),
        [_, _, false] => Err(CommitError::Gone),
        [false, ..] => Err(CommitError::Held),
        [true, ..] => Err(CommitError::Moved),
    }
}

fn not_changed(failure: StatementError) -> CommitError {
    match failure {
        // The table was dropped since this host has met it.
        failure if is_undefined(&failure) => CommitError::Gone,
        failure => CommitError::Store(Error::from(failure)),
    }
}
