//! Changes of rows.

use std::collections::HashSet;

use gavel_model::RowKey;
use gavel_store::toolkit::view_names::quoted;
use gavel_store::views::{CommitError, KeyedRow, RowsChange, TableId, TableShape};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::cells::value;
use super::{names, registry, rows};
use crate::cells::milliseconds;
use crate::error::SqliteError;

const MOVE: &str = "
UPDATE \"gavel_rows.tables\" SET position = ?3, row_count = max(0, row_count + ?4), revision = revision + (?5 AND ?2 = ?3)
WHERE id = ?1 AND position = ?2";

const PARK: &str = "
INSERT OR REPLACE INTO \"gavel_rows.parked\" (table_id, key, position, event_id, reason, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const UNPARK: &str = "DELETE FROM \"gavel_rows.parked\" WHERE table_id = ?1 AND key = ?2";

const FORGET_WAITING: &str = "DELETE FROM \"gavel_rows.waiting\" WHERE table_id = ?1 AND key = ?2";

const FORGET_WAITED: &str =
    "DELETE FROM \"gavel_rows.waiting\" WHERE table_id = ?1 AND key = ?2 AND position <= ?3";

const WAIT: &str =
    "INSERT OR IGNORE INTO \"gavel_rows.waiting\" (table_id, key, position) VALUES (?1, ?2, ?3)";

const PARK_EVENT: &str = "
INSERT OR REPLACE INTO \"gavel_rows.parked_events\" (table_id, position, event_id, reason) VALUES (?1, ?2, ?3, ?4)";

const COUNT_EVENTS: &str = "
UPDATE \"gavel_rows.tables\" SET parked_events = (SELECT count(*) FROM \"gavel_rows.parked_events\" AS e WHERE e.table_id = id)
WHERE id = ?1";

/// Carries out a change, or changes nothing.
pub(super) fn commit_in_tx(tx: &Connection, change: &RowsChange) -> Result<(), CommitError> {
    if !are_parked(tx, change)? || !move_on(tx, change)? {
        return Err(match registry::is_there(tx, change.table)? {
            true => CommitError::Moved,
            false => CommitError::Gone,
        });
    }
    let shape = registry::shape(tx, change.table)?;
    write_rows(tx, change, &shape)?;
    write_parked(tx, change)?;
    Ok(())
}

/// Tells whether the rows behind which events are to wait are parked.
fn are_parked(tx: &Connection, change: &RowsChange) -> Result<bool, SqliteError> {
    let parked: HashSet<&RowKey> = change.parked.iter().map(|row| &row.key).collect();
    let waiting = change.waiting.iter().map(|(key, _)| key);
    for key in waiting.filter(|key| !parked.contains(key)) {
        let values = params![change.table.get(), key.as_str()];
        let is_parked = tx.prepare_cached(rows::IS_PARKED)?.exists(values)?;
        if !is_parked || change.unparked.contains(key) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn move_on(tx: &Connection, change: &RowsChange) -> Result<bool, SqliteError> {
    let grown = i128::from(change.added) - i128::from(change.removed);
    let values = params![
        change.table.get(),
        change.from.to_string(),
        change.to.to_string(),
        i64::try_from(grown).unwrap_or_default(),
        !change.put.is_empty() || !change.ended.is_empty(),
    ];
    Ok(tx.prepare_cached(MOVE)?.execute(values)? == 1)
}

fn write_rows(tx: &Connection, change: &RowsChange, shape: &TableShape) -> Result<(), SqliteError> {
    if !change.put.is_empty() {
        put(tx, change.table, shape, &change.put)?;
    }
    if !change.ended.is_empty() {
        let table = names::rows_of(change.table);
        let mut delete = tx.prepare_cached(&format!("DELETE FROM {table} WHERE key = ?1"))?;
        for key in &change.ended {
            delete.execute([key.as_str()])?;
        }
    }
    Ok(())
}

fn put(
    tx: &Connection,
    table: TableId,
    shape: &TableShape,
    rows: &[KeyedRow],
) -> Result<(), SqliteError> {
    let columns = names::all_columns(shape);
    let places = vec!["?"; names::OWN_COLUMNS.len() + shape.columns.len()].join(", ");
    let table = names::rows_of(table);
    let declared = shape.columns.iter().map(|column| &*column.name);
    let updates = ["position", "row"].into_iter().chain(declared).map(|name| {
        let name = quoted(name);
        format!("{name} = excluded.{name}")
    });
    let updates = updates.collect::<Vec<_>>().join(", ");
    let mut put = tx.prepare_cached(&format!(
        "INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT (key) DO UPDATE SET {updates}"
    ))?;
    // Neighbours in the index of keys are written together.
    let mut rows: Vec<&KeyedRow> = rows.iter().collect();
    rows.sort_unstable_by_key(|row| &row.key);
    for row in rows {
        let own: [Value; 3] = [
            row.key.as_str().to_owned().into(),
            row.position.to_string().into(),
            row.value.as_str().to_owned().into(),
        ];
        let declared = row.cells.iter().map(|cell| cell.as_ref().map(value).into());
        put.execute(params_from_iter(own.into_iter().chain(declared)))?;
    }
    Ok(())
}

fn write_parked(tx: &Connection, change: &RowsChange) -> Result<(), SqliteError> {
    let table = change.table.get();
    for key in &change.unparked {
        tx.prepare_cached(UNPARK)?
            .execute(params![table, key.as_str()])?;
        tx.prepare_cached(FORGET_WAITING)?
            .execute(params![table, key.as_str()])?;
    }
    for row in &change.parked {
        let key = row.key.as_str();
        let position = row.position.to_string();
        tx.prepare_cached(FORGET_WAITED)?
            .execute(params![table, key, position])?;
        tx.prepare_cached(PARK)?.execute(params![
            table,
            key,
            position,
            row.event_id.as_bytes(),
            row.reason,
            milliseconds(row.since),
        ])?;
    }
    for (key, position) in &change.waiting {
        let values = params![table, key.as_str(), position.to_string()];
        tx.prepare_cached(WAIT)?.execute(values)?;
    }
    for event in &change.parked_events {
        tx.prepare_cached(PARK_EVENT)?.execute(params![
            table,
            event.position.to_string(),
            event.event_id.as_bytes(),
            event.reason,
        ])?;
    }
    if !change.parked_events.is_empty() {
        tx.prepare_cached(COUNT_EVENTS)?.execute([table])?;
    }
    Ok(())
}
