//! The SQL view by which people read a view's rows, whatever table has them.
//!
//! It shows all finished tables of the view, each only while the pointer is at it. So a swap is one
//! change of the pointer.

use gavel_model::ViewId;
use gavel_store::toolkit::view_names::{NAME_TOO_LONG, literal, name_of_view, quoted};
use gavel_store::views::{SqlName, ViewTable};
use rusqlite::Connection;

use super::names::{self, OWN_COLUMNS, name_of};
use crate::error::SqliteError;
use crate::query;

/// The names that SQLite keeps for itself begin with this.
const RESERVED: &str = "sqlite_";

/// The name of a view in SQL.
pub(super) fn sql_name(view: &ViewId) -> SqlName {
    let (name, lacks) = match name_of_view(view) {
        Some(name) if name.starts_with(RESERVED) => {
            let why = "the view has no name in SQL: SQLite keeps those that begin with `sqlite_`";
            (None, Some(why))
        }
        Some(name) => (Some(quoted(&name)), None),
        None => (None, Some(NAME_TOO_LONG)),
    };
    SqlName {
        name,
        lacks: lacks.map(str::to_owned),
        ..SqlName::default()
    }
}

/// Makes the SQL view of a view anew, for the tables that there are. A column keeps its place: that
/// of a table which is gone is NULL, and those of a new one come last.
pub(super) fn rewrite_in_tx(
    tx: &Connection,
    view: &ViewId,
    tables: &[ViewTable],
) -> Result<(), SqliteError> {
    let Some(sql_name) = sql_name(view).name else {
        return Ok(());
    };
    let tables = tables.iter();
    let shown = tables.filter(|table| table.view == *view && table.is_finished);
    let shown: Vec<&ViewTable> = shown.collect();
    let columns = columns(tx, view, &shown)?;
    let branches = shown.iter().map(|table| branch(view, table, &columns));
    let mut branches: Vec<String> = branches.collect();
    if branches.is_empty() {
        let nothing = vec!["NULL"; OWN_COLUMNS.len() + columns.len()].join(", ");
        branches.push(format!("SELECT {nothing} WHERE FALSE"));
    }
    let all = OWN_COLUMNS
        .into_iter()
        .chain(columns.iter().map(String::as_str));
    tx.execute_batch(&format!(
        "DROP VIEW IF EXISTS {sql_name};\nCREATE VIEW {sql_name} ({}) AS\n{}",
        names::list(all),
        branches.join("\nUNION ALL\n")
    ))?;
    Ok(())
}

/// The columns besides those of ours: those of the SQL view as it is, and then the others.
fn columns(
    tx: &Connection,
    view: &ViewId,
    shown: &[&ViewTable],
) -> Result<Vec<String>, SqliteError> {
    let before = "SELECT name FROM pragma_table_info(?1) ORDER BY cid";
    let before = query::all(tx, before, [name_of_view(view)], |row| {
        Ok(row.get::<_, String>(0)?)
    })?;
    let mut columns: Vec<String> = before.into_iter().skip(OWN_COLUMNS.len()).collect();
    for column in shown.iter().flat_map(|table| &table.shape.columns) {
        if !columns.iter().any(|known| is_same(known, &column.name)) {
            columns.push(column.name.clone());
        }
    }
    Ok(columns)
}

fn branch(view: &ViewId, table: &ViewTable, columns: &[String]) -> String {
    let [namespace, name] = name_of(view).map(literal);
    let declared = columns.iter().map(|column| {
        let mut own = table.shape.columns.iter();
        let own = own.find(|own| is_same(&own.name, column));
        own.map_or_else(|| "NULL".to_owned(), |own| quoted(&own.name))
    });
    let all = OWN_COLUMNS.into_iter().map(quoted).chain(declared);
    format!(
        "SELECT {} FROM {} WHERE (SELECT table_id FROM \"gavel_rows.pointers\" WHERE namespace = {namespace} AND view = {name}) = {}",
        all.collect::<Vec<_>>().join(", "),
        names::rows_of(table.id),
        table.id
    )
}

/// Tells whether SQLite takes two names for one.
fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}
