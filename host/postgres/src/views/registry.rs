//! The tables that there are, and the pointers to them.

use std::sync::Arc;

use gavel_model::{ActivationNumber, Namespace, Position, RowKey, ViewId};
use gavel_store::Error;
use gavel_store::views::{NewTable, TableHead, TableId, TableShape, ViewTable};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use super::PostgresViews;
use super::known::KnownTable;
use super::names::{column_of, sql_type};
use crate::query::{Statement, read, run, run_on};
use crate::rows::{Read, Time, column, unreadable};

/// The columns that [`view_table`] reads.
const TABLES: &str = "\
SELECT t.id, t.namespace, t.view, t.digest, t.shape::TEXT AS shape_text, t.position, t.is_finished, p.activation, t.unused_since, t.row_count, \
    (SELECT count(*) FROM {rows}.parked AS r WHERE r.table_id = t.id) AS parked_rows, t.parked_events, t.revision, coalesce(p.is_paused, FALSE) AS is_paused \
FROM {rows}.tables AS t LEFT JOIN {rows}.pointers AS p \
    ON p.namespace = t.namespace AND p.view = t.view AND p.table_id = t.id";

const SHAPE: &str = "SELECT shape::TEXT AS shape_text, is_generic FROM {rows}.tables WHERE id = $1";

const ACTIVE: &str = "SELECT table_id FROM {rows}.pointers WHERE namespace = $1 AND view = $2";

/// Both see the table of a host that was faster: the first waits for its end.
const INSERT: &str = "\
INSERT INTO {rows}.tables (namespace, view, digest, shape, position, is_generic, unused_since) \
VALUES ($1, $2, $3, $4::TEXT::JSON, $5, $6, statement_timestamp()) \
ON CONFLICT ON CONSTRAINT tables_view_digest_key DO NOTHING RETURNING id";

const FIND: &str =
    "SELECT id FROM {rows}.tables WHERE namespace = $1 AND view = $2 AND digest = $3";

/// Moves a pointer to a table that is not dropped meanwhile, unless an activation that is no older
/// has, and waits for the disk whatever the default is.
const POINT: &str = "\
WITH kept AS ( \
    SELECT id, set_config('synchronous_commit', 'on', TRUE) AS is_on FROM {rows}.tables WHERE id = $3 FOR KEY SHARE \
), moved AS ( \
    INSERT INTO {rows}.pointers AS known (namespace, view, table_id, activation) \
    SELECT $1, $2, $3::BIGINT, $4 WHERE $3::BIGINT IS NULL OR EXISTS (SELECT is_on FROM kept) \
    ON CONFLICT ON CONSTRAINT pointers_pkey DO UPDATE SET table_id = excluded.table_id, activation = excluded.activation \
        WHERE known.activation < excluded.activation \
    RETURNING TRUE \
), used AS ( \
    UPDATE {rows}.tables SET unused_since = CASE WHEN unused_since IS NULL THEN statement_timestamp() END \
    WHERE namespace = $1 AND view = $2 AND (id IS NOT DISTINCT FROM $3::BIGINT) = (unused_since IS NOT NULL) AND EXISTS (SELECT FROM moved) \
) \
SELECT $3::BIGINT IS NULL OR EXISTS (SELECT is_on FROM kept) AS is_there, EXISTS (SELECT FROM moved) AS is_moved";

const PAUSE: &str = "\
UPDATE {rows}.pointers SET is_paused = $3 WHERE namespace = $1 AND view = $2 AND table_id IS NOT NULL RETURNING view";

impl PostgresViews {
    /// Fails where there can be no tables.
    pub(super) fn require_tables(&self) -> Result<(), Error> {
        match &self.rights.missing {
            None => Ok(()),
            Some(missing) => Err(Error::Refused(missing.clone())),
        }
    }

    /// A statement of ours, in which `{rows}` stands for the schema of the tables.
    pub(super) fn statement<'q>(&self, text: &str) -> Statement<'q> {
        dynamic(self.schemas.of(text))
    }

    /// The table with this id; none if it is not there.
    pub(super) async fn find_known(&self, id: TableId) -> Result<Option<Arc<KnownTable>>, Error> {
        if let Some(known) = self.known.get(id) {
            return Ok(Some(known));
        }
        self.require_tables()?;
        let found = read(&self.pool, || self.statement(SHAPE).bind(id.get())).await?;
        let Some(row) = found.first() else {
            return Ok(None);
        };
        let known = || -> Read<KnownTable> {
            let is_generic = column(row, "is_generic")?;
            Ok(KnownTable::new(&self.schemas, id, shape(row)?, is_generic))
        };
        let known = known().map_err(|reason| reason.of("table of a view"))?;
        Ok(Some(self.known.put(known)))
    }

    /// The table with this id, which has to be there.
    pub(super) async fn known(&self, id: TableId) -> Result<Arc<KnownTable>, Error> {
        self.find_known(id).await?.ok_or_else(|| gone(id))
    }

    /// The table that the pointer of a view was at when this host looked last.
    pub(super) async fn find_active(
        &self,
        view: &ViewId,
    ) -> Result<Option<Arc<KnownTable>>, Error> {
        if let Some(id) = self.known.active(view)
            && let Some(known) = self.find_known(id).await?
        {
            return Ok(Some(known));
        }
        self.require_tables()?;
        let statement = || bind_view(self.statement(ACTIVE), view);
        let found = read(&self.pool, statement).await?;
        let id = found
            .first()
            .map(|row| column::<Option<i64>>(row, "table_id"));
        let id = id.transpose().map_err(|reason| reason.of("pointer"))?;
        let id = id.flatten().map(TableId::new);
        self.known.note_active(view, id);
        match id {
            Some(id) => self.find_known(id).await,
            None => Ok(None),
        }
    }

    pub(super) async fn all_tables(&self) -> Result<Vec<ViewTable>, Error> {
        let all = format!("{TABLES} ORDER BY t.id");
        view_tables(&read(&self.pool, || self.statement(&all)).await?)
    }

    /// Reads the tables of a view in a transaction.
    pub(super) async fn tables_in_tx(
        &self,
        tx: &mut PgConnection,
        view: &ViewId,
    ) -> Result<Vec<ViewTable>, Error> {
        let of_view = format!("{TABLES} WHERE t.namespace = $1 AND t.view = $2 ORDER BY t.id");
        view_tables(&run_on(tx, bind_view(self.statement(&of_view), view)).await?)
    }

    pub(super) async fn find_table(&self, id: TableId) -> Result<Option<ViewTable>, Error> {
        let one = format!("{TABLES} WHERE t.id = $1");
        let found = read(&self.pool, || self.statement(&one).bind(id.get())).await?;
        Ok(view_tables(&found)?.pop())
    }

    /// Makes a table, or finds the one that there is.
    pub(super) async fn create(
        &self,
        tx: &mut PgConnection,
        new: &NewTable,
    ) -> Result<TableId, Error> {
        let is_generic = !self.rights.makes_tables;
        let digest = new.digest.to_string();
        let insert = bind_view(self.statement(INSERT), &new.view)
            .bind(&digest)
            .bind(
                serde_json::to_string(&new.shape)
                    .map_err(|error| Error::Refused(error.to_string()))?,
            )
            .bind(Position::BEGINNING.to_string())
            .bind(is_generic);
        let inserted = run_on(tx, insert).await?;
        let Some(row) = inserted.first() else {
            let find = bind_view(self.statement(FIND), &new.view).bind(&digest);
            let found = run_on(tx, find).await?;
            return id_of(found.first());
        };
        let id = id_of(Some(row))?;
        if !is_generic {
            run_on(tx, dynamic(self.create_rows(id, &new.shape))).await?;
        }
        Ok(id)
    }

    fn create_rows(&self, id: TableId, shape: &TableShape) -> String {
        let columns = shape
            .columns
            .iter()
            .map(|column| format!(", {} {}", column_of(&column.name), sql_type(column.kind)));
        // Rows change often: the next state of one finds room beside it, without new entries in
        // the indexes.
        format!(
            "CREATE TABLE {} (key TEXT COLLATE \"C\" PRIMARY KEY, position TEXT COLLATE \"C\" NOT NULL, \"row\" JSONB NOT NULL{}) WITH (fillfactor = 90)",
            self.schemas.rows_of(id),
            columns.collect::<String>()
        )
    }

    pub(super) async fn set_paused(&self, view: &ViewId, is_paused: bool) -> Result<bool, Error> {
        let pause = bind_view(self.statement(PAUSE), view).bind(is_paused);
        Ok(!run(&self.pool, pause).await?.is_empty())
    }

    /// The statement that moves a pointer; [`pointed`] reads its answer.
    pub(super) fn pointing<'q>(
        &self,
        view: &ViewId,
        table: Option<TableId>,
        activation: ActivationNumber,
    ) -> Statement<'q> {
        bind_view(self.statement(POINT), view)
            .bind(table.map(TableId::get))
            .bind(activation.get())
    }
}

/// A statement with names in it, each of them quoted.
pub(super) fn dynamic<'q>(text: String) -> Statement<'q> {
    sqlx::query(AssertSqlSafe(text))
}

/// The answer of [`PostgresViews::pointing`].
pub(super) fn pointed(found: &[PgRow], table: Option<TableId>) -> Result<bool, Error> {
    let read = |row: &PgRow| -> Read<(bool, bool)> {
        Ok((column(row, "is_there")?, column(row, "is_moved")?))
    };
    let answer = found
        .first()
        .ok_or_else(|| unreadable("there is no answer"));
    let (is_there, is_moved) = answer
        .and_then(read)
        .map_err(|reason| reason.of("pointer"))?;
    match table {
        Some(table) if !is_there => Err(gone(table)),
        _ => Ok(is_moved),
    }
}

pub(super) fn bind_view<'q>(statement: Statement<'q>, view: &ViewId) -> Statement<'q> {
    statement
        .bind(view.namespace().as_str().to_owned())
        .bind(view.name().as_str().to_owned())
}

pub(super) fn gone(id: TableId) -> Error {
    Error::Refused(format!("there is no table {id}"))
}

/// The table that a pointer is at, from the columns of `head_columns!`.
pub(super) fn head(row: &PgRow) -> Read<TableHead> {
    Ok(TableHead {
        table: TableId::new(column(row, "id")?),
        digest: column::<&str>(row, "digest")?.parse().map_err(unreadable)?,
        activation: ActivationNumber::new(column(row, "activation")?),
        position: position(row, "table_position")?,
        is_finished: column(row, "is_finished")?,
        parked_events: count(row, "parked_events")?,
    })
}

pub(super) fn position(row: &PgRow, name: &str) -> Read<Position> {
    column::<&str>(row, name)?.parse().map_err(unreadable)
}

pub(super) fn row_key(row: &PgRow) -> Read<RowKey> {
    RowKey::new(column::<&str>(row, "key")?).map_err(unreadable)
}

fn id_of(row: Option<&PgRow>) -> Result<TableId, Error> {
    // The row was found a moment ago, or this transaction waited for the one that made it.
    let row = row.ok_or_else(|| Error::Unavailable("the table was dropped meanwhile".into()))?;
    let id = column(row, "id").map(TableId::new);
    id.map_err(|reason| reason.of("table of a view"))
}

fn view_tables(found: &[PgRow]) -> Result<Vec<ViewTable>, Error> {
    let tables: Result<_, _> = found.iter().map(view_table).collect();
    tables.map_err(|reason| reason.of("table of a view"))
}

fn view_table(row: &PgRow) -> Read<ViewTable> {
    let namespace = Namespace::new(column::<&str>(row, "namespace")?).map_err(unreadable)?;
    let active: Option<i64> = column(row, "activation")?;
    let unused_since: Option<Time> = column(row, "unused_since")?;
    Ok(ViewTable {
        id: TableId::new(column(row, "id")?),
        view: ViewId::new(namespace, column::<&str>(row, "view")?).map_err(unreadable)?,
        digest: column::<&str>(row, "digest")?.parse().map_err(unreadable)?,
        shape: shape(row)?,
        position: position(row, "position")?,
        is_finished: column(row, "is_finished")?,
        active: active.map(ActivationNumber::new),
        unused_since: unused_since.map(|Time(time)| time),
        rows: count(row, "row_count")?,
        parked_rows: count(row, "parked_rows")?,
        parked_events: count(row, "parked_events")?,
        revision: count(row, "revision")?,
        is_paused: column(row, "is_paused")?,
    })
}

fn shape(row: &PgRow) -> Read<TableShape> {
    serde_json::from_str(column(row, "shape_text")?).map_err(unreadable)
}

fn count(row: &PgRow, name: &str) -> Read<u64> {
    u64::try_from(column::<i64>(row, name)?).map_err(unreadable)
}
