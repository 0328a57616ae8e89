//! The tables of views in a PostgreSQL database, be it that of the log or another one.
//!
//! A table's rows are in `gavel_rows.v_7`; what people read are the SQL views in `gavel_views`,
//! named as the views are. An installation in another schema than `public` has both schemas under
//! names that begin with that one's. Rows and progress change together, in one statement, which
//! compares the position first.
//!
//! **Invariant:** no transaction of ours that has an id lasts longer than 50 ms: readers of the log
//! stay below the oldest one. What is to be written is computed before it begins; indexes are built
//! concurrently; and whatever needs a table or an SQL view for itself gives up soon, and tries
//! again. **Invariant:** names are quoted by one function, and values are bound.

mod cells;
mod change;
mod copy;
mod ddl;
mod hold;
mod known;
mod names;
mod open;
mod query;
mod registry;
mod rows;
mod sql_view;
mod store;

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgPool};

use known::KnownTables;
use names::RowsSchemas;

/// Keeps the rows of views in a PostgreSQL database. See [`PostgresViews::open`].
#[derive(Debug, Clone)]
pub struct PostgresViews {
    pool: PgPool,
    /// For connections that build indexes.
    setup: PgConnectOptions,
    schemas: Arc<RowsSchemas>,
    rights: Arc<Rights>,
    /// Tells the locks of this installation's tables from those of others.
    pub(super) lock_class: i32,
    known: Arc<KnownTables>,
    /// Tells these rows from those of other servers, databases and schemas.
    place: Arc<str>,
}

/// The rights of the host's role.
#[derive(Debug)]
struct Rights {
    /// The reason for which there can be no tables at all.
    missing: Option<String>,
    /// Tables can be made in the schema of the rows.
    makes_tables: bool,
    /// SQL views can be made in their schema.
    makes_views: bool,
}

/// The statement of a query with its values in it, for a look at its plan.
#[cfg(test)]
pub(super) async fn page_text(
    views: &PostgresViews,
    table: gavel_store::views::TableId,
    asked: &gavel_store::views::RowQuery,
) -> String {
    use gavel_store::toolkit::view_names::literal;
    use gavel_store::views::Cell;

    let table = views.known(table).await.unwrap();
    let statement = query::page_statement(&views.schemas, &table, asked).unwrap();
    let of_view = ["'default'".to_owned(), "'orders'".to_owned()];
    let values = statement.values.iter().map(|value| match value {
        Cell::Integer(number) => number.to_string(),
        Cell::Text(text) => literal(text),
        other => panic!("{other:?} has no text here"),
    });
    let values: Vec<_> = of_view.into_iter().chain(values).collect();
    let places = values.iter().enumerate().rev();
    places.fold(statement.text.to_string(), |text, (place, value)| {
        text.replace(&format!("${}", place + 1), value)
    })
}
