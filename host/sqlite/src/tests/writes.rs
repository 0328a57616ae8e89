//! Writes that are carried out once more, on another file.

use std::sync::{Mutex, PoisonError};

use gavel_store::toolkit::writes::Write;
use time::OffsetDateTime;

use super::*;
use crate::tables::Tables;
use crate::{connect, migrations};

/// The writes that a store has carried out, each with its time.
#[derive(Debug, Clone, Default)]
pub(crate) struct CarriedOut(Arc<Mutex<Vec<(OffsetDateTime, Write)>>>);

impl CarriedOut {
    pub(crate) fn note(&self, now: OffsetDateTime, write: Write) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((now, write));
    }
}

/// Carries out on an empty file all that was carried out on this one, which was empty as well, and
/// compares the rows of all tables.
pub(super) async fn assert_the_same_once_more(file: &File, store: &SqliteStore) {
    store.close().await;
    let copy = File::new();
    std::fs::create_dir_all(copy.path().parent().unwrap()).unwrap();
    let mut connection = connect::STORE.creating(&copy.path()).unwrap();
    migrations::STORE.run(&mut connection).unwrap();
    let writes = std::mem::take(&mut *store.writer.carried_out.0.lock().unwrap());
    assert!(!writes.is_empty());
    for (then, write) in writes {
        let tx = connection.transaction().unwrap();
        let said = format!("{write:.200?}");
        assert!(write.again(&mut Tables::of(&tx), then), "{said}");
        tx.commit().unwrap();
    }
    let (copied, written) = (rows_of(&connection), rows_of(&file.plain_sql()));
    assert_eq!(copied, written);
}

/// All rows of all tables, with their numbers if they have any, but for the history of the schema.
fn rows_of(connection: &Connection) -> Vec<(String, Vec<Vec<Value>>)> {
    let tables = "SELECT name, wr FROM pragma_table_list
        WHERE schema = 'main' AND type = 'table' AND name NOT IN ('sqlite_schema', '_sqlx_migrations') ORDER BY name";
    let mut tables = connection.prepare(tables).unwrap();
    let tables = tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let rows = tables.unwrap().map(|table| {
        let (name, is_without_numbers): (String, bool) = table.unwrap();
        let number = if is_without_numbers { "" } else { "rowid, " };
        let select = format!("SELECT {number}* FROM {name}");
        let mut select = connection.prepare(&select).unwrap();
        let columns = select.column_count();
        let rows = select.query_map([], |row| {
            (0..columns).map(|column| row.get(column)).collect()
        });
        let mut rows: Vec<Vec<Value>> = rows.unwrap().map(Result::unwrap).collect();
        rows.sort_by_key(|row| format!("{row:?}"));
        (name, rows)
    });
    rows.collect()
}
