//! The names of schemas, tables and columns.

use gavel_store::toolkit::view_names::quoted;
use gavel_store::views::{ColumnType, TableId};

/// The longest name, in bytes (inclusive): the server cuts longer ones.
const NAME_LIMIT_BYTES: usize = 63;

/// The columns of ours, which come first.
pub(super) const OWN_COLUMNS: [&str; 3] = ["key", "position", "row"];

/// The columns that every table has by itself, so that none of ours can be called so.
const OF_THE_SERVER: [&str; 6] = ["ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"];

/// The two schemas of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowsSchemas {
    /// The schema of the tables, not quoted.
    pub(super) rows: String,
    /// The schema of the SQL views, not quoted.
    pub(super) views: String,
}

impl RowsSchemas {
    /// The schemas beside that of an installation; none if their names would be too long.
    pub(super) fn beside(schema: &str) -> Option<Self> {
        let prefix = match schema {
            "public" => String::new(),
            schema => format!("{schema}_"),
        };
        let schemas = Self {
            rows: format!("{prefix}gavel_rows"),
            views: format!("{prefix}gavel_views"),
        };
        (schemas.views.len() <= NAME_LIMIT_BYTES).then_some(schemas)
    }

    /// Names for an installation that can have no schemas.
    pub(super) fn none() -> Self {
        Self {
            rows: String::new(),
            views: String::new(),
        }
    }

    /// A statement in which `{rows}` stands for the schema of the tables.
    pub(super) fn of(&self, statement: &str) -> String {
        self.fill(statement, &[])
    }

    /// A statement in which `{rows}` stands for the schema of the tables, and `{name}` for the part
    /// of that name. What a part has in braces stands for nothing.
    pub(super) fn fill(&self, statement: &str, parts: &[(&str, &str)]) -> String {
        let rows = quoted(&self.rows);
        let mut filled = String::with_capacity(2 * statement.len());
        let mut rest = statement;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            let part = parts.iter().find(|(known, _)| *known == name);
            let part = part.map(|(_, part)| *part);
            filled.push_str(before);
            filled.push_str(match name {
                "rows" => &rows,
                _ => part.unwrap_or_default(),
            });
            rest = after;
        }
        filled.push_str(rest);
        filled
    }

    /// The table with the rows of a table.
    pub(super) fn rows_of(&self, id: TableId) -> String {
        format!("{}.{}", quoted(&self.rows), quoted(&format!("v_{id}")))
    }

    /// A view in SQL.
    pub(super) fn view(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.views), quoted(name))
    }
}

/// A column in the table with the rows, quoted. A name of a view's column is no longer than 59
/// bytes and has no dot, so that none is another one with a dot behind it.
pub(super) fn column_of(name: &str) -> String {
    match OF_THE_SERVER.contains(&name) {
        true => quoted(&format!("{name}.")),
        false => quoted(name),
    }
}

/// The type of a column.
pub(super) fn sql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Integer => "BIGINT",
        ColumnType::Number => "DOUBLE PRECISION",
        ColumnType::Boolean => "BOOLEAN",
        ColumnType::Text => "TEXT COLLATE \"C\"",
        ColumnType::Time => "TIMESTAMPTZ",
        ColumnType::Uuid => "UUID",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installations_in_schemas_of_their_own_have_rows_of_their_own() {
        let public = RowsSchemas::beside("public").unwrap();
        assert_eq!(
            (&*public.rows, &*public.views),
            ("gavel_rows", "gavel_views")
        );
        let other = RowsSchemas::beside("a\"b").unwrap();
        assert_eq!(other.rows_of(TableId::new(7)), r#""a""b_gavel_rows"."v_7""#);
        assert_eq!(other.view("x@y"), r#""a""b_gavel_views"."x@y""#);
        assert_eq!(RowsSchemas::beside(&"x".repeat(52)), None);
    }

    #[test]
    fn braces_in_names_stand_for_nothing() {
        let schemas = RowsSchemas::beside("{a}").unwrap();
        let filled = schemas.fill("{rows} {a}, {a}{b}", &[("a", "{b}"), ("b", "{rows}")]);
        assert_eq!(filled, "\"{a}_gavel_rows\" {b}, {b}{rows}");
    }

    #[test]
    fn no_column_is_called_as_one_of_the_server() {
        assert_eq!(column_of("ctid"), r#""ctid.""#);
        assert_eq!(column_of("oid"), r#""oid""#);
        assert_eq!(column_of("a\"b"), r#""a""b""#);
    }
}
