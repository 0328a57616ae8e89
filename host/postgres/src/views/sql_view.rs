//! The SQL view by which people read a view's rows, whatever table has them.
//!
//! It shows all finished tables of the view, each only while the pointer is at it: so a swap is one
//! change of the pointer, and waits for no reader. A column keeps its place and its type. Where
//! that cannot be, the SQL view is made anew with its grants, unless views of others depend on it.

use gavel_model::ViewId;
use gavel_store::Error;
use gavel_store::toolkit::view_names::{NAME_TOO_LONG, literal, name_of_view, quoted};
use gavel_store::views::{Column, ColumnType, SqlName, TableShape, ViewTable};
use sqlx::postgres::{PgConnection, PgRow};

use super::PostgresViews;
use super::names::{OWN_COLUMNS, column_of, sql_type};
use super::registry::dynamic;
use crate::query::{Statement, read, run_on};
use crate::rows::{Read, column};

/// The columns of an SQL view after the first of them.
const COLUMNS: &str = "\
SELECT a.attname::TEXT AS name, a.atttypid::REGTYPE::TEXT AS type \
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > $3 AND NOT a.attisdropped ORDER BY a.attnum";

const DEPENDENTS: &str = "\
SELECT DISTINCT format('%I.%I', dn.nspname, dc.relname) AS name \
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::REGCLASS AND d.refobjid = c.oid AND d.classid = 'pg_rewrite'::REGCLASS \
    JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS dc ON dc.oid = r.ev_class JOIN pg_namespace AS dn ON dn.oid = dc.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2 AND dc.oid <> c.oid ORDER BY name";

/// The rights of others on an SQL view, and on single columns of it.
const GRANTS: &str = "\
WITH it AS ( \
    SELECT c.oid, c.relowner, c.relacl FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
), acls AS ( \
    SELECT NULL::TEXT AS name, relowner, relacl AS acl FROM it \
    UNION ALL SELECT a.attname::TEXT, it.relowner, a.attacl FROM it JOIN pg_attribute AS a ON a.attrelid = it.oid WHERE a.attnum > 0 \
) \
SELECT acls.name, g.privilege_type, CASE WHEN g.grantee <> 0 THEN pg_get_userbyid(g.grantee)::TEXT END AS grantee, g.is_grantable \
FROM acls, aclexplode(acls.acl) AS g WHERE g.grantee <> acls.relowner";

/// A column of an SQL view as it is; the type is none if no column of ours has it.
type SqlColumn = (String, Option<ColumnType>);

/// The columns of an SQL view as they have to be.
#[derive(Debug, PartialEq)]
struct ColumnPlan {
    columns: Vec<Column>,
    /// The columns that cannot keep their type.
    changed: Vec<String>,
}

impl PostgresViews {
    pub(super) async fn name_in_sql(
        &self,
        view: &ViewId,
        shape: &TableShape,
    ) -> Result<SqlName, Error> {
        let lacking = |lacks: String| SqlName {
            lacks: Some(lacks),
            ..SqlName::default()
        };
        self.require_tables()?;
        let Some(name) = name_of_view(view) else {
            return Ok(lacking(NAME_TOO_LONG.to_owned()));
        };
        if !self.rights.makes_tables {
            return Ok(lacking(format!(
                "the host's role lacks CREATE on the schema `{}`: all rows are in one table, without columns, indexes or a name in SQL",
                self.schemas.rows
            )));
        }
        if !self.rights.makes_views {
            return Ok(lacking(format!(
                "the view has no name in SQL: the host's role lacks CREATE on the schema `{}`",
                self.schemas.views
            )));
        }
        let before = read(&self.pool, || {
            self.bind_name(COLUMNS, &name).bind(own_columns())
        })
        .await?;
        let before = sql_columns(&before)?;
        let ColumnPlan { changed, .. } = plan(&before, std::iter::once(shape), true);
        let dependents = match changed.is_empty() {
            true => Vec::new(),
            false => names(&read(&self.pool, || self.bind_name(DEPENDENTS, &name)).await?)?,
        };
        Ok(SqlName {
            name: Some(self.schemas.view(&name)),
            lacks: None,
            columns: changed,
            dependents,
        })
    }

    /// Writes the SQL view of a view for the tables that are finished. With `may_change` it is made
    /// anew where a column cannot keep its type.
    pub(super) async fn rewrite_in_tx(
        &self,
        tx: &mut PgConnection,
        view: &ViewId,
        tables: &[&ViewTable],
        may_change: bool,
    ) -> Result<(), Error> {
        let name = name_of_view(view);
        let can_have = self.rights.makes_views && self.rights.makes_tables;
        let Some(name) = name.filter(|_| can_have) else {
            return Ok(());
        };
        let before = run_on(tx, self.bind_name(COLUMNS, &name).bind(own_columns())).await?;
        let before = sql_columns(&before)?;
        let shapes = tables.iter().map(|table| &table.shape);
        let plan = plan(&before, shapes, may_change);
        let create = self.text_of(&name, view, tables, &plan.columns);
        if plan.changed.is_empty() {
            run_on(
                tx,
                dynamic(format!("CREATE OR REPLACE VIEW {create}")).persistent(false),
            )
            .await?;
            return Ok(());
        }
        let dependents = names(&run_on(tx, self.bind_name(DEPENDENTS, &name)).await?)?;
        if !dependents.is_empty() {
            return Err(Error::Refused(format!(
                "columns of {} change their types ({}), and these depend on it: {}",
                self.schemas.view(&name),
                plan.changed.join(", "),
                dependents.join(", ")
            )));
        }
        let grants = run_on(tx, self.bind_name(GRANTS, &name)).await?;
        let grants = self
            .grants(&name, &grants)
            .map_err(|reason| reason.of("grant"))?;
        let drop = format!("DROP VIEW {}", self.schemas.view(&name));
        let create = format!("CREATE VIEW {create}");
        for text in [drop, create].into_iter().chain(grants) {
            run_on(tx, dynamic(text).persistent(false)).await?;
        }
        Ok(())
    }

    fn bind_name<'q>(&self, statement: &'static str, name: &str) -> Statement<'q> {
        sqlx::query(statement)
            .bind(self.schemas.views.clone())
            .bind(name.to_owned())
    }

    /// The SQL view, from its name on.
    fn text_of(
        &self,
        name: &str,
        view: &ViewId,
        tables: &[&ViewTable],
        columns: &[Column],
    ) -> String {
        let declared = columns.iter().map(|column| &*column.name);
        let all: Vec<_> = OWN_COLUMNS
            .into_iter()
            .chain(declared)
            .map(quoted)
            .collect();
        let branches = tables.iter().map(|table| self.branch(view, table, columns));
        let mut branches: Vec<_> = branches.collect();
        if branches.is_empty() {
            let own = ["TEXT COLLATE \"C\"", "TEXT COLLATE \"C\"", "JSONB"];
            let types = own
                .into_iter()
                .chain(columns.iter().map(|column| sql_type(column.kind)));
            let nothing: Vec<_> = types.map(|sql_type| format!("NULL::{sql_type}")).collect();
            branches.push(format!("SELECT {} WHERE FALSE", nothing.join(", ")));
        }
        format!(
            "{} ({}) AS {}",
            self.schemas.view(name),
            all.join(", "),
            branches.join(" UNION ALL ")
        )
    }

    fn branch(&self, view: &ViewId, table: &ViewTable, columns: &[Column]) -> String {
        let declared = columns.iter().map(|column| value_in(&table.shape, column));
        let all: Vec<_> = OWN_COLUMNS
            .into_iter()
            .map(quoted)
            .chain(declared)
            .collect();
        format!(
            "SELECT {} FROM {} WHERE (SELECT table_id FROM {}.pointers WHERE namespace = {} AND view = {}) = {}",
            all.join(", "),
            self.schemas.rows_of(table.id),
            quoted(&self.schemas.rows),
            literal(view.namespace().as_str()),
            literal(view.name().as_str()),
            table.id
        )
    }

    /// The statements that grant on the new SQL view what was granted on the old one.
    fn grants(&self, name: &str, found: &[PgRow]) -> Read<Vec<String>> {
        let view = self.schemas.view(name);
        let grants = found.iter().map(|row| {
            let of_column: Option<String> = column(row, "name")?;
            let of_column = of_column.map(|name| format!(" ({})", quoted(&name)));
            let privilege: &str = column(row, "privilege_type")?;
            let grantee: Option<String> = column(row, "grantee")?;
            let grantee = grantee.map_or_else(|| "PUBLIC".to_owned(), |grantee| quoted(&grantee));
            let option = match column(row, "is_grantable")? {
                true => " WITH GRANT OPTION",
                false => "",
            };
            let of_column = of_column.unwrap_or_default();
            Ok(format!(
                "GRANT {privilege}{of_column} ON {view} TO {grantee}{option}"
            ))
        });
        grants.collect()
    }
}

/// The number of columns of ours, as the server counts.
fn own_columns() -> i16 {
    i16::try_from(OWN_COLUMNS.len()).unwrap_or(i16::MAX)
}

/// The columns of an SQL view that shows tables of these shapes, the newest last: those that it has
/// keep their place, and the others come last. A type is that of the newest table.
fn plan<'s>(
    before: &[SqlColumn],
    shapes: impl Iterator<Item = &'s TableShape> + Clone,
    may_change: bool,
) -> ColumnPlan {
    let wanted = |name: &str| {
        let types = shapes.clone().filter_map(|shape| shape.column_type(name));
        types.last()
    };
    let mut changed = Vec::new();
    let columns = before.iter().map(|(name, kind)| {
        let wanted = wanted(name).filter(|_| may_change || kind.is_none());
        let is_changed = kind.is_none() || wanted.is_some_and(|wanted| Some(wanted) != *kind);
        if is_changed {
            changed.push(name.clone());
        }
        let kind = wanted.or(*kind).unwrap_or(ColumnType::Text);
        Column {
            name: name.clone(),
            kind,
        }
    });
    let mut columns: Vec<Column> = columns.collect();
    for column in shapes.clone().flat_map(|shape| &shape.columns) {
        if !columns.iter().any(|known| known.name == column.name) {
            columns.push(Column {
                name: column.name.clone(),
                kind: wanted(&column.name).unwrap_or(column.kind),
            });
        }
    }
    ColumnPlan { columns, changed }
}

/// The value that a table has for a column of the SQL view; NULL where it has none, or one that has
/// another meaning.
fn value_in(shape: &TableShape, column: &Column) -> String {
    let own = column_of(&column.name);
    let wanted = sql_type(column.kind);
    match (shape.column_type(&column.name), column.kind) {
        (Some(kind), wanted) if kind == wanted => own,
        (Some(ColumnType::Integer), ColumnType::Number) | (Some(_), ColumnType::Text) => {
            format!("{own}::{wanted}")
        }
        _ => format!("NULL::{wanted}"),
    }
}

fn sql_columns(found: &[PgRow]) -> Result<Vec<SqlColumn>, Error> {
    let columns = found.iter().map(|row| {
        let kind = match column(row, "type")? {
            "bigint" => Some(ColumnType::Integer),
            "double precision" => Some(ColumnType::Number),
            "boolean" => Some(ColumnType::Boolean),
            "text" => Some(ColumnType::Text),
            "timestamp with time zone" => Some(ColumnType::Time),
            "uuid" => Some(ColumnType::Uuid),
            _ => None,
        };
        Ok((column(row, "name")?, kind))
    });
    let columns: Read<_> = columns.collect();
    columns.map_err(|reason| reason.of("column"))
}

fn names(found: &[PgRow]) -> Result<Vec<String>, Error> {
    let names: Read<_> = found.iter().map(|row| column(row, "name")).collect();
    names.map_err(|reason| reason.of("name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(columns: &[(&str, ColumnType)]) -> TableShape {
        TableShape {
            columns: columns
                .iter()
                .map(|(name, kind)| column(name, *kind))
                .collect(),
            indexes: Vec::new(),
        }
    }

    fn column(name: &str, kind: ColumnType) -> Column {
        Column {
            name: name.to_owned(),
            kind,
        }
    }

    #[test]
    fn columns_keep_place_and_type_where_they_can() {
        use ColumnType::{Integer, Number, Text};

        let before =
            [("a", Integer), ("b", Text)].map(|(name, kind)| (name.to_owned(), Some(kind)));
        let old = shape(&[("a", Integer), ("b", Text)]);
        let new = shape(&[("c", Integer), ("a", Number)]);
        let grown = plan(&before, [&old, &new].into_iter(), true);
        let columns = vec![column("a", Number), column("b", Text), column("c", Integer)];
        assert_eq!(
            (grown.columns, grown.changed),
            (columns, vec!["a".to_owned()])
        );
        let kept = plan(&before, [&old, &new].into_iter(), false);
        let columns = vec![
            column("a", Integer),
            column("b", Text),
            column("c", Integer),
        ];
        assert_eq!((kept.columns, kept.changed), (columns, Vec::new()));
        let vanished = plan(&before, [&new].into_iter().take(0), true);
        assert_eq!(vanished.columns, [column("a", Integer), column("b", Text)]);

        assert_eq!(
            value_in(&old, &column("a", Number)),
            "\"a\"::DOUBLE PRECISION"
        );
        assert_eq!(value_in(&new, &column("a", Integer)), "NULL::BIGINT");
        assert_eq!(
            value_in(&new, &column("b", Text)),
            "NULL::TEXT COLLATE \"C\""
        );
        assert_eq!(
            value_in(&old, &column("a", Text)),
            "\"a\"::TEXT COLLATE \"C\""
        );
    }
}
