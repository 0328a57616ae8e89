//! Statements that read.

use gavel_store::{PAGE_BYTES, Page, Room};
use rusqlite::{Connection, Params, Row};

use super::error::SqliteError;

/// The only row of a statement, if there is one.
pub(super) fn one<T>(
    database: &Connection,
    statement: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, SqliteError>,
) -> Result<Option<T>, SqliteError> {
    let mut statement = database.prepare_cached(statement)?;
    let mut rows = statement.query(values)?;
    rows.next()?.map(read).transpose()
}

/// All rows of a statement.
pub(super) fn all<T>(
    database: &Connection,
    statement: &str,
    values: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, SqliteError>,
) -> Result<Vec<T>, SqliteError> {
    let mut statement = database.prepare_cached(statement)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// As many rows of a statement as there is room for on a page. The statement selects one more than
/// `limit`, which shows that there is more.
pub(super) fn page<T>(
    database: &Connection,
    statement: &str,
    values: impl Params,
    limit: u32,
    read: impl Fn(&Row<'_>) -> Result<T, SqliteError>,
    size_bytes: impl Fn(&T) -> usize,
) -> Result<Page<T>, SqliteError> {
    let mut room = Room::new(limit, PAGE_BYTES);
    let mut items = Vec::new();
    take(database, statement, values, read, |item| {
        let is_taken = room.take_bytes(size_bytes(&item));
        if is_taken {
            items.push(item);
        }
        is_taken
    })?;
    let has_more = room.is_full();
    Ok(Page { items, has_more })
}

/// Reads the rows of a statement for as long as `take` takes them.
pub(super) fn take<T>(
    database: &Connection,
    statement: &str,
    values: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, SqliteError>,
    mut take: impl FnMut(T) -> bool,
) -> Result<(), SqliteError> {
    let mut statement = database.prepare_cached(statement)?;
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        if !take(read(row)?) {
            break;
        }
    }
    Ok(())
}
