//! Reads of rows, and of what is parked.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gavel_model::{Json, Position, RowKey, ViewId};
use gavel_store::views::{
    Cell, ColumnType, KeyedRow, ParkedEvent, ParkedRow, RowRead, StoredRow, TableId,
};
use gavel_store::{Error, PAGE_BYTES, Page, Room};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use super::PostgresViews;
use super::cells;
use super::known::KnownTable;
use super::names::column_of;
use super::registry::{bind_view, dynamic, gone, head, position, row_key};
use crate::error::is_undefined;
use crate::query::{Statement, read, try_read};
use crate::rows::{Read, Time, column, unreadable};

/// The number of times that a read follows a pointer which moves meanwhile.
const FOLLOWED: u32 = 10;

/// Both selects tell whether there is such a table at all, in a row of NULLs if there is nothing
/// else.
const PARKED: &str = "\
SELECT k.key, k.position AS parked_position, k.event_id, k.reason, k.since \
FROM {rows}.tables AS t LEFT JOIN LATERAL ( \
    SELECT * FROM {rows}.parked WHERE table_id = t.id AND key > $2 ORDER BY key LIMIT $3 \
) AS k ON TRUE WHERE t.id = $1";

const WAITING: &str = "\
SELECT w.position FROM {rows}.tables AS t LEFT JOIN LATERAL ( \
    SELECT position FROM {rows}.waiting WHERE table_id = t.id AND key = $2 AND position > $3 ORDER BY position LIMIT $4 \
) AS w ON TRUE WHERE t.id = $1";

const PARKED_EVENTS: &str = "\
SELECT e.position, e.event_id, e.reason FROM {rows}.tables AS t LEFT JOIN LATERAL ( \
    SELECT * FROM {rows}.parked_events WHERE table_id = t.id ORDER BY position LIMIT $2 \
) AS e ON TRUE WHERE t.id = $1";

impl PostgresViews {
    /// Reads with a statement that names a table. One that was dropped since this host has met it
    /// is not there.
    async fn read_table<'q>(
        &self,
        id: TableId,
        statement: impl Fn() -> Statement<'q> + Send + Sync,
    ) -> Result<Vec<PgRow>, Error> {
        match try_read(&self.pool, statement).await {
            Err(failure) if is_undefined(&failure) => {
                self.known.forget(id);
                Err(gone(id))
            }
            found => Ok(found?),
        }
    }

    pub(super) async fn rows_of_keys(
        &self,
        id: TableId,
        keys: &[RowKey],
    ) -> Result<Vec<StoredRow>, Error> {
        let table = self.known(id).await?;
        let texts: Vec<_> = keys.iter().map(|key| key.as_str().to_owned()).collect();
        let statement = || prepared(&table.of_keys).bind(id.get()).bind(texts.clone());
        let found = self.read_table(id, statement).await?;
        let (mut values, mut parked) = (HashMap::new(), HashSet::new());
        for row in &found {
            let mut read = || -> Read<()> {
                let key: &str = column(row, "key")?;
                match column(row, "is_parked")? {
                    true => drop(parked.insert(key)),
                    false => drop(values.insert(key, json(row)?)),
                }
                Ok(())
            };
            read().map_err(|reason| reason.of("row of a view"))?;
        }
        let row = |key: &RowKey| StoredRow {
            value: values.get(key.as_str()).cloned().flatten(),
            is_parked: parked.contains(key.as_str()),
        };
        Ok(keys.iter().map(row).collect())
    }

    pub(super) async fn scan_rows(
        &self,
        id: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<(Page<KeyedRow>, Position), Error> {
        let table = self.known(id).await?;
        let statement = || {
            prepared(&table.scan)
                .bind(id.get())
                .bind(key_after(after))
                .bind(i64::from(limit) + 1)
                .bind(page_bytes())
        };
        let found = self.read_table(id, statement).await?;
        let unreadable = |reason: crate::rows::Unreadable| reason.of("row of a view");
        let first = found.first().ok_or_else(|| gone(id))?;
        let position = position(first, "table_position").map_err(unreadable)?;
        let size = |row: &KeyedRow| row.value.as_str().len() + row.key.as_str().len();
        let page = page(&found, limit, keyed_row, size).map_err(unreadable)?;
        Ok((page, position))
    }

    pub(super) async fn sums_of(&self, id: TableId, columns: &[String]) -> Result<Vec<f64>, Error> {
        let table = self.known(id).await?;
        let sums = columns.iter().map(|name| {
            Ok(match table.shape.column(name)?.kind {
                ColumnType::Integer | ColumnType::Number => {
                    format!("coalesce(sum({})::DOUBLE PRECISION, 0)", column_of(name))
                }
                ColumnType::Boolean | ColumnType::Text | ColumnType::Time | ColumnType::Uuid => {
                    "0::DOUBLE PRECISION".to_owned()
                }
            })
        });
        let sums: Vec<String> = sums.collect::<Result<_, Error>>()?;
        let select = format!(
            "SELECT ARRAY[{}]::DOUBLE PRECISION[] AS sums FROM {} AS r",
            sums.join(", "),
            table.source
        );
        let found = self.read_table(id, || dynamic(select.clone())).await?;
        let row = found
            .first()
            .ok_or_else(|| unreadable("there is no answer"));
        let sums = row.and_then(|row| column(row, "sums"));
        sums.map_err(|reason| reason.of("sum"))
    }

    pub(super) async fn parked_rows(
        &self,
        id: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Page<ParkedRow>, Error> {
        let statement = || {
            self.statement(PARKED)
                .bind(id.get())
                .bind(key_after(after))
                .bind(i64::from(limit) + 1)
        };
        let found = self.read_there(id, statement).await?;
        let size = |row: &ParkedRow| row.reason.len() + row.key.as_str().len();
        let parked = |row: &PgRow| {
            column::<Option<&str>>(row, "key")?
                .map(|_| parked_row(row))
                .transpose()
        };
        page(&found, limit, parked, size).map_err(|reason| reason.of("parked row"))
    }

    pub(super) async fn waiting_events(
        &self,
        id: TableId,
        key: &RowKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error> {
        let statement = || {
            self.statement(WAITING)
                .bind(id.get())
                .bind(key.as_str().to_owned())
                .bind(after.to_string())
                .bind(i64::from(limit))
        };
        let found = self.read_there(id, statement).await?;
        let positions = found.iter().filter(|row| is_there(row));
        let positions: Read<_> = positions.map(|row| position(row, "position")).collect();
        positions.map_err(|reason| reason.of("waiting event"))
    }

    pub(super) async fn events_parked(
        &self,
        id: TableId,
        limit: u32,
    ) -> Result<Vec<ParkedEvent>, Error> {
        let statement = || {
            self.statement(PARKED_EVENTS)
                .bind(id.get())
                .bind(i64::from(limit))
        };
        let found = self.read_there(id, statement).await?;
        let events = found.iter().filter(|row| is_there(row)).map(|row| {
            Ok(ParkedEvent {
                position: position(row, "position")?,
                event_id: column(row, "event_id")?,
                reason: column(row, "reason")?,
            })
        });
        let events: Read<_> = events.collect();
        events.map_err(|reason| reason.of("parked event"))
    }

    /// Reads with a statement that gives at least one row if the table is there.
    async fn read_there<'q>(
        &self,
        id: TableId,
        statement: impl Fn() -> Statement<'q> + Send + Sync,
    ) -> Result<Vec<PgRow>, Error> {
        self.require_tables()?;
        let found = read(&self.pool, statement).await?;
        match found.is_empty() {
            true => Err(gone(id)),
            false => Ok(found),
        }
    }

    pub(super) async fn read_row(
        &self,
        view: &ViewId,
        key: &RowKey,
    ) -> Result<Option<RowRead>, Error> {
        let statement = |table: &KnownTable| {
            Ok(ViewStatement {
                text: Arc::clone(&table.read),
                values: vec![Cell::Text(key.as_str().to_owned())],
            })
        };
        let Some((_, found)) = self.follow(view, statement).await? else {
            return Ok(None);
        };
        let row_read = |row: &PgRow| -> Read<RowRead> {
            let is_parked = column::<Option<&str>>(row, "parked_position")?.is_some();
            Ok(RowRead {
                head: head(row)?,
                value: json(row)?,
                parked: is_parked.then(|| parked(row, key.clone())).transpose()?,
            })
        };
        let row = found.first().map(row_read).transpose();
        row.map_err(|reason| reason.of("row of a view"))
    }

    /// Reads the table that the pointer of a view is at with a statement that tells the pointer as
    /// well: where that has moved since this host looked last, once more. None when it is at no
    /// table.
    pub(super) async fn follow(
        &self,
        view: &ViewId,
        statement: impl Fn(&KnownTable) -> Result<ViewStatement, Error>,
    ) -> Result<Option<(Arc<KnownTable>, Vec<PgRow>)>, Error> {
        for _ in 0..FOLLOWED {
            let Some(table) = self.find_active(view).await? else {
                return Ok(None);
            };
            let statement = statement(&table)?;
            let found = match try_read(&self.pool, || statement.bind(view)).await {
                Err(failure) if is_undefined(&failure) => {
                    self.known.forget(table.id);
                    continue;
                }
                found => found?,
            };
            let at = found.first().map(|row| column(row, "id").map(TableId::new));
            let at = at.transpose().map_err(|reason| reason.of("pointer"))?;
            if at == Some(table.id) {
                return Ok(Some((table, found)));
            }
            self.known.note_active(view, at);
        }
        let moving = "the pointer of the view moves all the time";
        Err(Error::Unavailable(moving.into()))
    }
}

/// The number of values that name a view, which come first in a [`ViewStatement`].
pub(super) const VALUES_OF_VIEW: usize = 2;

/// A statement that reads through the pointer of a view.
#[derive(Debug)]
pub(super) struct ViewStatement {
    pub(super) text: Arc<str>,
    /// The values behind those that name the view.
    pub(super) values: Vec<Cell>,
}

impl ViewStatement {
    fn bind<'q>(&self, view: &ViewId) -> Statement<'q> {
        let statement = bind_view(prepared(&self.text), view);
        self.values.iter().fold(statement, cells::bind)
    }
}

/// A statement of a table, which sessions keep prepared.
fn prepared<'q>(text: &Arc<str>) -> Statement<'q> {
    sqlx::query(AssertSqlSafe(Arc::clone(text)))
}

/// The size from which a page has no room for more rows.
pub(super) fn page_bytes() -> i64 {
    i64::try_from(PAGE_BYTES).unwrap_or(i64::MAX)
}

/// The items of a page, of which there is one more than there is room for if more follow.
fn page<T>(
    found: &[PgRow],
    limit: u32,
    read: impl Fn(&PgRow) -> Read<Option<T>>,
    size_bytes: impl Fn(&T) -> usize,
) -> Read<Page<T>> {
    let mut room = Room::new(limit, PAGE_BYTES);
    let mut items = Vec::new();
    for row in found {
        let Some(item) = read(row)? else {
            continue;
        };
        if !room.take_bytes(size_bytes(&item)) {
            break;
        }
        items.push(item);
    }
    let has_more = room.is_full();
    Ok(Page { items, has_more })
}

/// The key after which rows are read; no key is empty.
fn key_after(after: Option<&RowKey>) -> String {
    after.map(|key| key.as_str().to_owned()).unwrap_or_default()
}

/// The document of a row; none if there is no such row.
pub(super) fn json(row: &PgRow) -> Read<Option<Json>> {
    let text: Option<String> = column(row, "row_text")?;
    text.map(Json::from_stored).transpose().map_err(unreadable)
}

fn keyed_row(row: &PgRow) -> Read<Option<KeyedRow>> {
    let Some(value) = json(row)? else {
        return Ok(None);
    };
    Ok(Some(KeyedRow {
        key: row_key(row)?,
        value,
        cells: Vec::new(),
        position: position(row, "position")?,
    }))
}

fn parked_row(row: &PgRow) -> Read<ParkedRow> {
    parked(row, row_key(row)?)
}

fn parked(row: &PgRow, key: RowKey) -> Read<ParkedRow> {
    Ok(ParkedRow {
        key,
        position: position(row, "parked_position")?,
        event_id: column(row, "event_id")?,
        reason: column(row, "reason")?,
        since: column(row, "since").map(|Time(time)| time)?,
    })
}

/// Tells whether a row has more than the proof that the table is there.
fn is_there(row: &PgRow) -> bool {
    !matches!(column::<Option<&str>>(row, "position"), Ok(None))
}
