//! The tables that there are, and the pointers to them.

use gavel_model::{ActivationNumber, Namespace, Position, ViewId};
use gavel_store::Error;
use gavel_store::toolkit::view_names::quoted;
use gavel_store::views::{NewTable, TableId, TableShape, ViewTable};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use time::OffsetDateTime;

use super::cells::sql_type;
use super::names::name_of;
use super::{names, sql_view};
use crate::cells::{Cells, Reason, milliseconds, reason};
use crate::error::SqliteError;
use crate::query;
use crate::rows::{corrupt, json_text};

/// The columns that [`view_table`] reads.
const TABLES: &str = "
SELECT t.id, t.namespace, t.view, t.digest, t.shape, t.position, t.is_finished, p.activation, t.unused_since, t.row_count,
    (SELECT count(*) FROM \"gavel_rows.parked\" AS r WHERE r.table_id = t.id), t.parked_events, t.revision, coalesce(p.is_paused, 0)
FROM \"gavel_rows.tables\" AS t LEFT JOIN \"gavel_rows.pointers\" AS p
    ON p.namespace = t.namespace AND p.view = t.view AND p.table_id = t.id";

const FIND: &str =
    "SELECT id FROM \"gavel_rows.tables\" WHERE namespace = ?1 AND view = ?2 AND digest = ?3";

const SHAPE: &str = "SELECT shape FROM \"gavel_rows.tables\" WHERE id = ?1";

const INSERT: &str = "
INSERT INTO \"gavel_rows.tables\" (namespace, view, digest, shape, position, unused_since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const FINISH: &str = "UPDATE \"gavel_rows.tables\" SET is_finished = 1 WHERE id = ?1";

const RESTART: &str = "
UPDATE \"gavel_rows.tables\" SET position = ?2, is_finished = 0, row_count = 0, parked_events = 0, revision = revision + 1 WHERE id = ?1";

/// The tables with rows of a table, besides its own.
const SHARED: [&str; 3] = ["parked", "waiting", "parked_events"];

const POINT: &str = "
INSERT INTO \"gavel_rows.pointers\" AS known (namespace, view, table_id, activation) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (namespace, view) DO UPDATE SET table_id = excluded.table_id, activation = excluded.activation
    WHERE known.activation < excluded.activation";

const NOTE_USE: &str = "
UPDATE \"gavel_rows.tables\" SET unused_since = CASE WHEN id IS ?3 THEN NULL ELSE coalesce(unused_since, ?4) END
WHERE namespace = ?1 AND view = ?2";

const PAUSE: &str = "
UPDATE \"gavel_rows.pointers\" SET is_paused = ?3 WHERE namespace = ?1 AND view = ?2 AND table_id IS NOT NULL";

/// All tables, by id.
pub(super) fn all(database: &Connection) -> Result<Vec<ViewTable>, SqliteError> {
    let select = format!("{TABLES} ORDER BY t.id");
    query::all(database, &select, [], view_table)
}

/// The table with this id, which has to be there.
pub(super) fn table(database: &Connection, id: TableId) -> Result<ViewTable, Error> {
    let select = format!("{TABLES} WHERE t.id = ?1");
    let found = query::one(database, &select, [id.get()], view_table)?;
    found.ok_or_else(|| gone(id))
}

/// The shape of the table with this id, which has to be there.
pub(super) fn shape(database: &Connection, id: TableId) -> Result<TableShape, Error> {
    let found = query::one(database, SHAPE, [id.get()], |row| {
        take_shape(&mut Cells::of(row)).map_err(corrupt("table of a view"))
    });
    found?.ok_or_else(|| gone(id))
}

/// Tells whether there is such a table.
pub(super) fn is_there(database: &Connection, id: TableId) -> Result<bool, SqliteError> {
    Ok(database.prepare_cached(SHAPE)?.exists([id.get()])?)
}

pub(super) fn create_in_tx(
    tx: &Connection,
    new: &NewTable,
    now: OffsetDateTime,
) -> Result<ViewTable, Error> {
    let id = create(tx, new, now)?;
    table(tx, id)
}

fn create(tx: &Connection, new: &NewTable, now: OffsetDateTime) -> Result<TableId, SqliteError> {
    let [namespace, view] = name_of(&new.view);
    let digest = new.digest.to_string();
    let known = tx.query_row(FIND, params![namespace, view, digest], |row| row.get(0));
    if let Some(known) = known.optional()? {
        return Ok(TableId::new(known));
    }
    let beginning = Position::BEGINNING.to_string();
    let shape = json_text(&new.shape);
    let now = milliseconds(now);
    tx.execute(
        INSERT,
        params![namespace, view, digest, shape, beginning, now],
    )?;
    let id = TableId::new(tx.last_insert_rowid());
    let columns = new.shape.columns.iter();
    let columns =
        columns.map(|column| format!(", {} {}", quoted(&column.name), sql_type(column.kind)));
    // Not by key: rows come in the order of their first events, which keys need not follow, and in
    // a tree of whole rows each of them would be another page to write.
    tx.execute_batch(&format!(
        "CREATE TABLE {} (key TEXT NOT NULL, position TEXT NOT NULL, \"row\" TEXT NOT NULL{}, PRIMARY KEY (key))",
        names::rows_of(id),
        columns.collect::<String>()
    ))?;
    Ok(id)
}

/// Makes one of the indexes of a table, if it is not there.
pub(super) fn index_in_tx(tx: &Connection, id: TableId, number: usize) -> Result<(), Error> {
    let shape = shape(tx, id)?;
    let Some(fields) = shape.indexes.get(number) else {
        return Ok(());
    };
    let fields = fields.iter().map(String::as_str).chain(["key"]);
    let create = format!(
        "CREATE INDEX IF NOT EXISTS {} ON {} ({})",
        names::index_of(id, number),
        names::rows_of(id),
        names::list(fields)
    );
    tx.execute_batch(&create).map_err(SqliteError::from)?;
    Ok(())
}

/// Takes note that a table has all of its indexes, and shows its rows by the view's name.
pub(super) fn finish_in_tx(tx: &Connection, id: TableId) -> Result<(), Error> {
    let table = table(tx, id)?;
    let finished = tx.execute(FINISH, [id.get()]);
    finished.map_err(SqliteError::from)?;
    sql_view::rewrite_in_tx(tx, &table.view, &all(tx)?)?;
    Ok(())
}

/// Drops a table, unless the pointer is at it, or it is not there.
pub(super) fn drop_in_tx(tx: &Connection, id: TableId) -> Result<(), SqliteError> {
    let mut tables = all(tx)?;
    let Some(place) = tables.iter().position(|table| table.id == id) else {
        return Ok(());
    };
    let table = tables.remove(place);
    if table.active.is_some() {
        return Ok(());
    }
    if table.is_finished {
        sql_view::rewrite_in_tx(tx, &table.view, &tables)?;
    }
    tx.execute_batch(&format!("DROP TABLE {}", names::rows_of(id)))?;
    forget_parked(tx, id)?;
    tx.execute(
        "DELETE FROM \"gavel_rows.tables\" WHERE id = ?1",
        [id.get()],
    )?;
    Ok(())
}

/// Empties a table, which is at the beginning of the log again and not finished.
pub(super) fn restart_in_tx(tx: &Connection, id: TableId) -> Result<(), Error> {
    let view = table(tx, id)?.view;
    Ok(restart(tx, id, &view)?)
}

fn restart(tx: &Connection, id: TableId, view: &ViewId) -> Result<(), SqliteError> {
    let values = params![id.get(), Position::BEGINNING.to_string()];
    tx.execute(RESTART, values)?;
    tx.execute(&format!("DELETE FROM {}", names::rows_of(id)), [])?;
    forget_parked(tx, id)?;
    sql_view::rewrite_in_tx(tx, view, &all(tx)?)
}

fn forget_parked(tx: &Connection, id: TableId) -> Result<(), SqliteError> {
    for shared in SHARED {
        let delete = format!("DELETE FROM \"gavel_rows.{shared}\" WHERE table_id = ?1");
        tx.execute(&delete, [id.get()])?;
    }
    Ok(())
}

/// Moves a pointer, unless an activation that is no older has. Gives whether it was moved.
pub(super) fn point_in_tx(
    tx: &Connection,
    view: &ViewId,
    table: Option<TableId>,
    activation: ActivationNumber,
    now: OffsetDateTime,
) -> Result<bool, Error> {
    match table {
        Some(id) if !is_there(tx, id)? => Err(gone(id)),
        _ => Ok(point(tx, view, table, activation, now)?),
    }
}

fn point(
    tx: &Connection,
    view: &ViewId,
    table: Option<TableId>,
    activation: ActivationNumber,
    now: OffsetDateTime,
) -> Result<bool, SqliteError> {
    let [namespace, view] = name_of(view);
    let table = table.map(TableId::get);
    let values = params![namespace, view, table, activation.get()];
    let is_moved = tx.execute(POINT, values)? == 1;
    if is_moved {
        let values = params![namespace, view, table, milliseconds(now)];
        tx.execute(NOTE_USE, values)?;
    }
    Ok(is_moved)
}

/// Pauses a view, or lets it go on. Gives whether there is one.
pub(super) fn pause_in_tx(
    tx: &Connection,
    view: &ViewId,
    is_paused: bool,
) -> Result<bool, SqliteError> {
    let [namespace, view] = name_of(view);
    Ok(tx.execute(PAUSE, params![namespace, view, is_paused])? == 1)
}

pub(super) fn gone(id: TableId) -> Error {
    Error::Refused(format!("there is no table {id}"))
}

fn view_table(row: &Row<'_>) -> Result<ViewTable, SqliteError> {
    let read = |mut cells: Cells<'_>| -> Result<ViewTable, Reason> {
        let id = TableId::new(cells.take()?);
        let namespace = Namespace::new(cells.take_text()?).map_err(reason)?;
        let view = ViewId::new(namespace, cells.take_text()?).map_err(reason)?;
        Ok(ViewTable {
            id,
            view,
            digest: cells.take_digest()?,
            shape: take_shape(&mut cells)?,
            position: cells.take_position()?,
            is_finished: cells.take()?,
            active: cells.take::<Option<i64>>()?.map(ActivationNumber::new),
            unused_since: cells.take_optional_time()?,
            rows: cells.take_count()?,
            parked_rows: cells.take_count()?,
            parked_events: cells.take_count()?,
            revision: cells.take_count()?,
            is_paused: cells.take()?,
        })
    };
    read(Cells::of(row)).map_err(corrupt("table of a view"))
}

fn take_shape(cells: &mut Cells<'_>) -> Result<TableShape, Reason> {
    serde_json::from_str(cells.take_text()?).map_err(reason)
}
