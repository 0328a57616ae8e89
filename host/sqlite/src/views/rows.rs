//! Reads of rows, and of what is parked.

use gavel_model::{ActivationNumber, Json, Position, RowKey, ViewId};
use gavel_store::toolkit::view_names::quoted;
use gavel_store::views::{
    ColumnType, KeyedRow, ParkedEvent, ParkedRow, RowRead, StoredRow, TableHead, TableId,
};
use gavel_store::{Error, Page};
use rusqlite::{Connection, Row, params};

use super::names::{self, name_of};
use super::registry;
use crate::cells::{Cells, Reason};
use crate::error::SqliteError;
use crate::query;
use crate::rows::corrupt;

const HEAD: &str = "
SELECT t.id, t.digest, p.activation, t.position, t.is_finished, t.parked_events
FROM \"gavel_rows.pointers\" AS p JOIN \"gavel_rows.tables\" AS t ON t.id = p.table_id
WHERE p.namespace = ?1 AND p.view = ?2";

const POSITION: &str = "SELECT position FROM \"gavel_rows.tables\" WHERE id = ?1";

const FIND_PARKED: &str = "SELECT key, position, event_id, reason, since FROM \"gavel_rows.parked\" WHERE table_id = ?1 AND key = ?2";

const PARKED: &str = "
SELECT key, position, event_id, reason, since FROM \"gavel_rows.parked\" WHERE table_id = ?1 AND key > ?2 ORDER BY key LIMIT ?3";

pub(super) const IS_PARKED: &str =
    "SELECT 1 FROM \"gavel_rows.parked\" WHERE table_id = ?1 AND key = ?2";

const WAITING: &str = "
SELECT position FROM \"gavel_rows.waiting\" WHERE table_id = ?1 AND key = ?2 AND position > ?3 ORDER BY position LIMIT ?4";

const PARKED_EVENTS: &str = "SELECT position, event_id, reason FROM \"gavel_rows.parked_events\" WHERE table_id = ?1 ORDER BY position LIMIT ?2";

/// The table that the pointer of a view is at.
pub(super) fn head(database: &Connection, view: &ViewId) -> Result<Option<TableHead>, SqliteError> {
    query::one(database, HEAD, name_of(view), |row| {
        let read = |mut cells: Cells<'_>| -> Result<TableHead, Reason> {
            Ok(TableHead {
                table: TableId::new(cells.take()?),
                digest: cells.take_digest()?,
                activation: ActivationNumber::new(cells.take()?),
                position: cells.take_position()?,
                is_finished: cells.take()?,
                parked_events: cells.take_count()?,
            })
        };
        read(Cells::of(row)).map_err(corrupt("table of a view"))
    })
}

/// Reads a row of the table that the pointer is at.
pub(super) fn read(
    database: &Connection,
    view: &ViewId,
    key: &RowKey,
) -> Result<Option<RowRead>, SqliteError> {
    let Some(head) = head(database, view)? else {
        return Ok(None);
    };
    let values = params![head.table.get(), key.as_str()];
    let parked = query::one(database, FIND_PARKED, values, parked_row)?;
    let value = value_of(database, head.table, key)?;
    Ok(Some(RowRead {
        head,
        value,
        parked,
    }))
}

fn value_of(
    database: &Connection,
    table: TableId,
    key: &RowKey,
) -> Result<Option<Json>, SqliteError> {
    let table = names::rows_of(table);
    let select = format!("SELECT \"row\" FROM {table} WHERE key = ?1");
    query::one(database, &select, [key.as_str()], |row| {
        let value = Cells::of(row).take_json();
        value.map_err(corrupt("row of a view"))
    })
}

/// The rows of some keys, in their order.
pub(super) fn of_keys(
    database: &Connection,
    table: TableId,
    keys: &[RowKey],
) -> Result<Vec<StoredRow>, Error> {
    require(database, table)?;
    let found = keys.iter().map(|key| -> Result<_, SqliteError> {
        let value = value_of(database, table, key)?;
        let mut parked = database.prepare_cached(IS_PARKED)?;
        let is_parked = parked.exists(params![table.get(), key.as_str()])?;
        Ok(StoredRow { value, is_parked })
    });
    Ok(found.collect::<Result<_, _>>()?)
}

/// The position of a table; none if it is not there.
pub(super) fn position(
    database: &Connection,
    table: TableId,
) -> Result<Option<Position>, SqliteError> {
    query::one(database, POSITION, [table.get()], |row| {
        let position = Cells::of(row).take_position();
        position.map_err(corrupt("table of a view"))
    })
}

/// A page of rows by key, and the position of the table.
pub(super) fn scan(
    database: &Connection,
    table: TableId,
    after: Option<&RowKey>,
    limit: u32,
) -> Result<(Page<KeyedRow>, Position), Error> {
    let position = position(database, table)?.ok_or_else(|| registry::gone(table))?;
    let select = format!(
        "SELECT key, position, \"row\" FROM {} WHERE key > ?1 ORDER BY key LIMIT ?2",
        names::rows_of(table)
    );
    let size = |row: &KeyedRow| row.value.as_str().len() + row.key.as_str().len();
    let values = params![key_after(after), i64::from(limit) + 1];
    let page = query::page(database, &select, values, limit, keyed_row, size)?;
    Ok((page, position))
}

/// The sums of columns over all rows; 0 where the column is not of numbers.
pub(super) fn sums(
    database: &Connection,
    table: TableId,
    columns: &[String],
) -> Result<Vec<f64>, Error> {
    let shape = registry::shape(database, table)?;
    let sums = columns.iter().map(|name| {
        let column = shape.column(name)?;
        Ok(match column.kind {
            ColumnType::Integer | ColumnType::Number => format!("total({})", quoted(name)),
            ColumnType::Boolean | ColumnType::Text | ColumnType::Time | ColumnType::Uuid => {
                "0.0".to_owned()
            }
        })
    });
    let sums: Vec<String> = sums.collect::<Result<_, Error>>()?;
    if sums.is_empty() {
        return Ok(Vec::new());
    }
    let select = format!("SELECT {} FROM {}", sums.join(", "), names::rows_of(table));
    let found = query::one(database, &select, [], |row| {
        let sums = (0..sums.len()).map(|place| Ok(row.get(place)?));
        sums.collect::<Result<_, SqliteError>>()
    });
    Ok(found?.unwrap_or_default())
}

/// A page of the rows that are parked.
pub(super) fn parked(
    database: &Connection,
    table: TableId,
    after: Option<&RowKey>,
    limit: u32,
) -> Result<Page<ParkedRow>, Error> {
    require(database, table)?;
    let values = params![table.get(), key_after(after), i64::from(limit) + 1];
    let size = |row: &ParkedRow| row.reason.len() + row.key.as_str().len();
    Ok(query::page(
        database, PARKED, values, limit, parked_row, size,
    )?)
}

/// The positions of the events that wait behind a row.
pub(super) fn waiting(
    database: &Connection,
    table: TableId,
    key: &RowKey,
    after: Position,
    limit: u32,
) -> Result<Vec<Position>, Error> {
    require(database, table)?;
    let values = params![table.get(), key.as_str(), after.to_string(), limit];
    let found = query::all(database, WAITING, values, |row| {
        let position = Cells::of(row).take_position();
        position.map_err(corrupt("waiting event"))
    });
    Ok(found?)
}

/// The first of the events that are parked.
pub(super) fn parked_events(
    database: &Connection,
    table: TableId,
    limit: u32,
) -> Result<Vec<ParkedEvent>, Error> {
    require(database, table)?;
    let values = params![table.get(), limit];
    let found = query::all(database, PARKED_EVENTS, values, |row| {
        let read = |mut cells: Cells<'_>| -> Result<ParkedEvent, Reason> {
            Ok(ParkedEvent {
                position: cells.take_position()?,
                event_id: cells.take_event_id()?,
                reason: cells.take()?,
            })
        };
        read(Cells::of(row)).map_err(corrupt("parked event"))
    });
    Ok(found?)
}

fn require(database: &Connection, table: TableId) -> Result<(), Error> {
    match registry::is_there(database, table)? {
        true => Ok(()),
        false => Err(registry::gone(table)),
    }
}

/// The key after which rows are read; no key is empty.
fn key_after(after: Option<&RowKey>) -> &str {
    after.map(RowKey::as_str).unwrap_or_default()
}

fn keyed_row(row: &Row<'_>) -> Result<KeyedRow, SqliteError> {
    let read = |mut cells: Cells<'_>| -> Result<KeyedRow, Reason> {
        Ok(KeyedRow {
            key: cells.take_row_key()?,
            position: cells.take_position()?,
            value: cells.take_json()?,
            cells: Vec::new(),
        })
    };
    read(Cells::of(row)).map_err(corrupt("row of a view"))
}

fn parked_row(row: &Row<'_>) -> Result<ParkedRow, SqliteError> {
    let read = |mut cells: Cells<'_>| -> Result<ParkedRow, Reason> {
        Ok(ParkedRow {
            key: cells.take_row_key()?,
            position: cells.take_position()?,
            event_id: cells.take_event_id()?,
            reason: cells.take()?,
            since: cells.take_time()?,
        })
    };
    read(Cells::of(row)).map_err(corrupt("parked row"))
}
