//! Tables that this host has met: their shapes, which never change, and their statements.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gavel_model::ViewId;
use gavel_store::toolkit::view_names::{literal, quoted};
use gavel_store::views::{ColumnType, TableId, TableShape};

use super::names::{OWN_COLUMNS, RowsSchemas, column_of, sql_type};

/// The columns of the table that a pointer is at.
macro_rules! head_columns {
    () => {
        "t.id, t.digest, p.activation, t.position AS table_position, t.is_finished, t.parked_events"
    };
}

pub(super) use head_columns;

/// A table, and the statements that name it.
#[derive(Debug)]
pub(super) struct KnownTable {
    pub(super) id: TableId,
    pub(super) shape: TableShape,
    /// The rows are in the generic table.
    pub(super) is_generic: bool,
    /// The relation that rows are read from, with the columns of ours and of the shape.
    pub(super) source: String,
    /// Copies rows that were not there into a table of its own.
    pub(super) copy: Arc<str>,
    /// Writes rows that were not there, and progress.
    pub(super) add: Arc<str>,
    /// Writes rows and progress.
    pub(super) change: Arc<str>,
    /// Reads rows by their keys.
    pub(super) of_keys: Arc<str>,
    /// Reads a page of rows by key.
    pub(super) scan: Arc<str>,
    /// Reads a row through the pointer.
    pub(super) read: Arc<str>,
}

impl KnownTable {
    pub(super) fn new(
        schemas: &RowsSchemas,
        id: TableId,
        shape: TableShape,
        is_generic: bool,
    ) -> Self {
        let (source, [add, change]) = match is_generic {
            true => generic(schemas, id, &shape),
            false => (schemas.rows_of(id), change(schemas, id, &shape)),
        };
        let of = |statement: &str| -> Arc<str> {
            schemas.fill(statement, &[("source", &source)]).into()
        };
        Self {
            id,
            is_generic,
            copy: format!(
                "COPY {source} ({}) FROM STDIN",
                columns_of(&shape).join(", ")
            )
            .into(),
            add: add.into(),
            change: change.into(),
            of_keys: of(OF_KEYS),
            scan: of(SCAN),
            read: of(READ),
            shape,
            source,
        }
    }

    /// The types of the columns that are written besides those of ours, in their order.
    pub(super) fn columns_written(&self) -> impl Iterator<Item = ColumnType> {
        let columns = self.shape.columns.iter().filter(|_| !self.is_generic);
        columns.map(|column| column.kind)
    }
}

/// Takes the shared lock that holds keep others from, and moves the table on if it stands where the
/// change begins. What the log can bring again need not wait for the disk.
macro_rules! moving {
    ($more:literal) => {
        concat!("WITH free AS MATERIALIZED ( \
             SELECT pg_try_advisory_xact_lock_shared($1, $2) AS is_free, set_config('synchronous_commit', 'off', TRUE) AS is_off \
         ), moved AS ( \
             UPDATE {rows}.tables SET position = $5, row_count = greatest(0, row_count + $6)", $more, " \
             WHERE id = $3 AND position = $4 AND (SELECT is_free FROM free) RETURNING id \
         )")
    };
}

/// The outcome of a change.
macro_rules! outcome {
    () => {
        " SELECT (SELECT is_free FROM free) AS is_free, EXISTS (SELECT FROM moved) AS is_moved, \
                 EXISTS (SELECT FROM {rows}.tables WHERE id = $3) AS is_there"
    };
}

/// Moves a table on, and nothing else.
pub(super) const MOVE: &str = concat!(moving!(""), outcome!());

/// A change of rows that does not move the table is a revision of them.
const CHANGE: &str = concat!(
    moving!(", revision = revision + ($4 = $5)::INTEGER"),
    ", ended AS ( \
         DELETE FROM {target} WHERE {of_table}key = ANY($7) AND EXISTS (SELECT FROM moved) \
     ), put AS ( \
         INSERT INTO {target} ({columns}) SELECT {values} FROM unnest({arrays}) AS new ({names}) \
         WHERE EXISTS (SELECT FROM moved) \
         {on_conflict} \
     )",
    outcome!()
);

/// The number of values before the arrays with the columns of rows.
const VALUES_BEFORE_ROWS: usize = 7;

const OF_KEYS: &str = "\
SELECT key, \"row\"::TEXT AS row_text, FALSE AS is_parked FROM {source} AS r WHERE key = ANY($2) \
UNION ALL SELECT key, NULL, TRUE FROM {rows}.parked WHERE table_id = $1 AND key = ANY($2)";

/// The rows of a page come with the sizes of those before them, so that the server sends no more
/// than there is room for, and the first that has none.
const SCAN: &str = "\
SELECT t.position AS table_position, r.key, r.position, r.row_text \
FROM {rows}.tables AS t LEFT JOIN ( \
    SELECT * FROM ( \
        SELECT *, sum(octet_length(row_text) + octet_length(key)) \
            OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before \
        FROM (SELECT key, position, \"row\"::TEXT AS row_text FROM {source} AS s WHERE key > $2 ORDER BY key LIMIT $3) AS wanted \
    ) AS sized WHERE coalesce(bytes_before, 0) <= $4 \
) AS r ON TRUE WHERE t.id = $1";

const READ: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", r.\"row\"::TEXT AS row_text, k.position AS parked_position, k.event_id, k.reason, k.since \
     FROM {rows}.pointers AS p JOIN {rows}.tables AS t ON t.id = p.table_id \
         LEFT JOIN {source} AS r ON r.key = $3 \
         LEFT JOIN {rows}.parked AS k ON k.table_id = p.table_id AND k.key = $3 \
     WHERE p.namespace = $1 AND p.view = $2"
);

/// The columns of a table of its own, as statements name them.
fn columns_of(shape: &TableShape) -> Vec<String> {
    let declared = shape.columns.iter().map(|column| column_of(&column.name));
    let own = OWN_COLUMNS.into_iter().map(quoted);
    own.chain(declared).collect()
}

/// The statements that change the rows of a table of its own: for new rows alone, and for any.
fn change(schemas: &RowsSchemas, id: TableId, shape: &TableShape) -> [String; 2] {
    let columns = columns_of(shape);
    let kinds = shape.columns.iter().map(|column| column.kind);
    let types = ["TEXT", "TEXT", "JSONB"]
        .into_iter()
        .chain(kinds.map(sql_type));
    let places = (VALUES_BEFORE_ROWS + 1..).zip(types);
    let arrays = places.map(|(place, sql_type)| {
        let element = sql_type.split(" COLLATE").next().unwrap_or(sql_type);
        format!("${place}::{element}[]")
    });
    let arrays: Vec<_> = arrays.collect();
    let of = |on_conflict: &str| {
        schemas.fill(
            CHANGE,
            &[
                ("target", &schemas.rows_of(id)),
                ("of_table", ""),
                ("columns", &columns.join(", ")),
                ("values", &columns.join(", ")),
                ("names", &columns.join(", ")),
                ("arrays", &arrays.join(", ")),
                ("on_conflict", on_conflict),
            ],
        )
    };
    [of(""), of(&upsert("key", &columns[1..]))]
}

/// The relation and the statements of a table in the generic one, whose columns are read from the
/// rows.
fn generic(schemas: &RowsSchemas, id: TableId, shape: &TableShape) -> (String, [String; 2]) {
    let columns = shape.columns.iter().map(|column| {
        let member = literal(&column.name);
        let sql_type = sql_type(column.kind);
        let name = column_of(&column.name);
        format!(", (\"row\" ->> {member})::{sql_type} AS {name}")
    });
    let target = schemas.of("{rows}.generic");
    let source = format!(
        "(SELECT key, position, \"row\"{} FROM {target} WHERE table_id = {id})",
        columns.collect::<String>()
    );
    let own = OWN_COLUMNS.map(quoted);
    let names = own.join(", ");
    let of = |on_conflict: &str| {
        schemas.fill(
            CHANGE,
            &[
                ("target", &target),
                ("of_table", &format!("table_id = {id} AND ")),
                ("columns", &format!("table_id, {names}")),
                ("values", &format!("{id}, {names}")),
                ("names", &names),
                ("arrays", "$8::TEXT[], $9::TEXT[], $10::JSONB[]"),
                ("on_conflict", on_conflict),
            ],
        )
    };
    let statements = [of(""), of(&upsert("table_id, key", &own[1..]))];
    (source, statements)
}

/// Replaces rows that are there; this costs a third more than without, even where there are none.
fn upsert(key: &str, columns: &[String]) -> String {
    let updates = columns
        .iter()
        .map(|column| format!("{column} = excluded.{column}"));
    let updates: Vec<_> = updates.collect();
    format!("ON CONFLICT ({key}) DO UPDATE SET {}", updates.join(", "))
}

/// The tables that this host has met, and those that pointers were at when it looked last.
#[derive(Debug, Default)]
pub(super) struct KnownTables {
    tables: Mutex<HashMap<TableId, Arc<KnownTable>>>,
    active: Mutex<HashMap<ViewId, TableId>>,
}

impl KnownTables {
    pub(super) fn get(&self, id: TableId) -> Option<Arc<KnownTable>> {
        lock(&self.tables).get(&id).cloned()
    }

    pub(super) fn put(&self, table: KnownTable) -> Arc<KnownTable> {
        let table = Arc::new(table);
        lock(&self.tables).insert(table.id, Arc::clone(&table));
        table
    }

    /// Forgets a table that was dropped.
    pub(super) fn forget(&self, id: TableId) {
        lock(&self.tables).remove(&id);
        lock(&self.active).retain(|_, active| *active != id);
    }

    pub(super) fn active(&self, view: &ViewId) -> Option<TableId> {
        lock(&self.active).get(view).copied()
    }

    /// Notes the table that the pointer of a view is at.
    pub(super) fn note_active(&self, view: &ViewId, table: Option<TableId>) {
        let mut active = lock(&self.active);
        match table {
            Some(table) => active.insert(view.clone(), table),
            None => active.remove(view),
        };
    }
}

fn lock<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
