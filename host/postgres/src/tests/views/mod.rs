//! The tables of views: the list of cases, and what only a shared database can do wrong.

mod holds;
mod rights;
mod sql_names;

use gavel_model::{RowKey, ViewId};
use gavel_store::views::{
    Cell, Column, ColumnType, KeyedRow, NewTable, RowQuery, RowRange, RowsChange, TableId,
    TableShape, ViewStore,
};

use super::*;
use crate::PostgresViews;

impl PostgresDatabase {
    async fn open_views(&self) -> PostgresViews {
        PostgresViews::open(self.options()).await.unwrap()
    }
}

macro_rules! view_case {
    ($case:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            on_new_database(async |database: PostgresDatabase| {
                conformance::views::$case(Arc::new(database.open_views().await)).await;
            })
            .await;
        }
    };
}
gavel_store::for_each_view_case!(view_case);

fn view(namespace: &str, name: &str) -> ViewId {
    ViewId::new(Namespace::new(namespace).unwrap(), name).unwrap()
}

fn orders() -> ViewId {
    view("default", "orders")
}

fn key(text: &str) -> RowKey {
    RowKey::new(text).unwrap()
}

fn at(offset: u64) -> Position {
    Position::new(7, 0, offset)
}

/// A shape with these columns, each of them with an index.
fn shape(columns: &[(&str, ColumnType)]) -> TableShape {
    TableShape {
        columns: columns
            .iter()
            .map(|(name, kind)| Column {
                name: (*name).to_owned(),
                kind: *kind,
            })
            .collect(),
        indexes: columns
            .iter()
            .map(|(name, _)| vec![(*name).to_owned()])
            .collect(),
    }
}

/// Makes a table whose one row `o-1` has these values.
async fn table_with(
    views: &PostgresViews,
    view: &ViewId,
    wasm: &str,
    values: &[(&str, Cell)],
) -> TableId {
    let kinds: Vec<_> = values
        .iter()
        .map(|(name, cell)| (*name, cell.column_type()))
        .collect();
    let new = NewTable {
        view: view.clone(),
        digest: ModuleDigest::of(wasm.as_bytes()),
        shape: shape(&kinds),
    };
    let table = views.create_table(new).await.unwrap().id;
    let put = KeyedRow {
        key: key("o-1"),
        value: Json::parse(&format!(r#"{{"module":"{wasm}"}}"#)).unwrap(),
        cells: values.iter().map(|(_, cell)| Some(cell.clone())).collect(),
        position: at(1),
    };
    let change = RowsChange {
        put: vec![put],
        added: 1,
        ..RowsChange::moving(table, Position::BEGINNING, at(1))
    };
    views.commit(change).await.unwrap();
    table
}

/// The same, finished.
async fn finished_with(
    views: &PostgresViews,
    view: &ViewId,
    wasm: &str,
    values: &[(&str, Cell)],
) -> TableId {
    let table = table_with(views, view, wasm, values).await;
    views.finish_table(table).await.unwrap();
    table
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

async fn point(views: &PostgresViews, view: &ViewId, table: Option<TableId>, number: i64) {
    let moved = views
        .point(view, table, ActivationNumber::new(number))
        .await;
    assert!(moved.unwrap());
}

/// The rows of a query as JSON, one text each.
async fn rows(session: &mut PgConnection, query: &str) -> Vec<String> {
    let select = format!("SELECT row_to_json(found)::TEXT FROM ({query}) AS found");
    sqlx::query_scalar(AssertSqlSafe(select))
        .fetch_all(session)
        .await
        .unwrap()
}

async fn execute(session: &mut PgConnection, text: &str) {
    session
        .execute(AssertSqlSafe(text.to_owned()))
        .await
        .unwrap();
}

/// The lines of the plan by which a statement is carried out.
async fn plan(session: &mut PgConnection, explain: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(explain.to_owned()))
        .fetch_all(session)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_finds_the_rows_of_a_page_in_their_order() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let new = NewTable {
            view: orders(),
            digest: ModuleDigest::of(b"v1"),
            shape: TableShape {
                indexes: vec![
                    vec!["status".to_owned(), "amount".to_owned()],
                    vec!["amount".to_owned()],
                ],
                ..shape(&[
                    ("status", ColumnType::Text),
                    ("amount", ColumnType::Integer),
                ])
            },
        };
        let table = views.create_table(new).await.unwrap().id;
        let put = (0..20_000).map(|number| KeyedRow {
            key: key(&format!("o-{number:05}")),
            value: Json::empty_object(),
            cells: vec![
                Some(text(if number % 10 == 3 { "open" } else { "shut" })),
                Some(Cell::Integer(number as i64 / 2)).filter(|_| number % 7 > 0),
            ],
            position: at(1),
        });
        let change = RowsChange {
            put: put.collect(),
            added: 20_000,
            ..RowsChange::moving(table, Position::BEGINNING, at(1))
        };
        views.commit(change).await.unwrap();
        views.finish_table(table).await.unwrap();
        let mut session = database.connect().await;
        let place = |value: Option<i64>| gavel_store::views::RowPlace {
            value: value.map(Cell::Integer),
            key: key("o-10000"),
        };
        let by_amount = |lower| RowRange {
            column: "amount".to_owned(),
            lower,
            upper: std::ops::Bound::Unbounded,
        };
        let unbounded = || Some(by_amount(std::ops::Bound::Unbounded));
        let bounded = Some(by_amount(std::ops::Bound::Included(Cell::Integer(40))));
        let open = || vec![("status".to_owned(), text("open"))];
        for (equal, range, after, indexes) in [
            (Vec::new(), unbounded(), None, &["v_1_1", "v_1_1"][..]),
            (
                Vec::new(),
                unbounded(),
                Some(place(Some(300))),
                &["v_1_1", "v_1_1"],
            ),
            (Vec::new(), unbounded(), Some(place(None)), &["v_1_1"]),
            (
                open(),
                unbounded(),
                Some(place(Some(300))),
                &["v_1_0", "v_1_0"],
            ),
            (open(), bounded, Some(place(Some(300))), &["v_1_0"]),
            (Vec::new(), None, Some(place(None)), &["v_1_pkey"]),
        ] {
            for is_descending in [false, true] {
                let asked = RowQuery {
                    equal: equal.clone(),
                    range: range.clone(),
                    is_descending,
                    after: after.clone(),
                    limit: 20,
                };
                let statement = crate::views::page_text(&views, table, &asked).await;
                let lines = plan(&mut session, &format!("EXPLAIN (COSTS OFF) {statement}")).await;
                let plan = lines.join("\n");
                assert!(
                    !plan.contains("Sort") && !plan.contains("Seq Scan on v_1"),
                    "{plan}"
                );
                let used = lines.iter().filter(|line| line.contains(" on v_1 "));
                let used: Vec<_> = used
                    .map(|line| {
                        line.split_whitespace()
                            .skip_while(|word| *word != "using")
                            .nth(1)
                            .unwrap_or_default()
                    })
                    .collect();
                assert_eq!(used, indexes, "{plan}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_columns_are_never_sql() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let hostile = [
            "a\"b",
            "a'b",
            "x\" TEXT); DROP TABLE gavel_rows.tables; --",
            "$1",
            "{rows}",
            "ctid",
            "xmin",
            "日本",
        ];
        let values = hostile.map(|name| (name, text("x")));
        let table = finished_with(&views, &orders(), "v1", &values).await;
        point(&views, &orders(), Some(table), 1).await;
        for name in hostile {
            let query = RowQuery {
                equal: vec![(name.to_owned(), text("x"))],
                limit: 10,
                ..RowQuery::default()
            };
            let page = views.query(&orders(), &query).await.unwrap().unwrap();
            assert_eq!(page.rows.len(), 1, "{name}");
        }
        let mut session = database.connect().await;
        let shown = rows(&mut session, "SELECT * FROM gavel_views.orders").await;
        let shown: serde_json::Value = serde_json::from_str(&shown[0]).unwrap();
        for name in hostile {
            assert_eq!(shown[name], "x", "{shown}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_follows_what_another_one_has_done_to_tables() {
    on_new_database(async |database: PostgresDatabase| {
        let hosts = [database.open_views().await, database.open_views().await];
        let first = finished_with(&hosts[0], &orders(), "v1", &[("a", text("x"))]).await;
        point(&hosts[0], &orders(), Some(first), 1).await;
        let read = async |host: &PostgresViews| {
            let read = host.read(&orders(), &key("o-1")).await.unwrap();
            read.map(|read| (read.head.table, read.value.is_some()))
        };
        assert_eq!(read(&hosts[1]).await, Some((first, true)));
        let second = finished_with(&hosts[0], &orders(), "v2", &[("b", Cell::Integer(1))]).await;
        point(&hosts[0], &orders(), Some(second), 2).await;
        hosts[0].drop_table(first).await.unwrap();
        assert_eq!(read(&hosts[1]).await, Some((second, true)));
        let gone = hosts[1].rows(first, &[key("o-1")]).await.unwrap_err();
        assert!(!gone.is_retryable(), "{gone:?}");
        point(&hosts[0], &orders(), None, 3).await;
        assert_eq!(read(&hosts[1]).await, None);
        point(&hosts[1], &orders(), Some(second), 4).await;
        let query = RowQuery {
            equal: vec![("b".to_owned(), Cell::Integer(1))],
            limit: 1,
            ..RowQuery::default()
        };
        let page = hosts[0].query(&orders(), &query).await.unwrap().unwrap();
        assert_eq!((page.rows.len(), page.head.table), (1, second));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_broken_off_is_made_again() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let table = table_with(&views, &orders(), "v1", &[("a", text("x"))]).await;
        let mut session = database.connect().await;
        let name = format!("v_{table}_0");
        execute(&mut session, &format!("CREATE INDEX {name} ON gavel_rows.v_{table} (position)")).await;
        let broken = format!("UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'gavel_rows.{name}'::REGCLASS");
        execute(&mut session, &broken).await;
        views.finish_table(table).await.unwrap();
        let made = format!("SELECT pg_get_indexdef('gavel_rows.{name}'::REGCLASS) AS made, indisvalid FROM pg_index WHERE indexrelid = 'gavel_rows.{name}'::REGCLASS");
        let made = rows(&mut session, &made).await;
        assert!(made[0].contains("(a, key)") && made[0].contains("true"), "{made:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_together_find_one_schema_and_make_one_table() {
    on_new_database(async |database: PostgresDatabase| {
        let opening = (0..4).map(|_| {
            let database = database.clone();
            tokio::spawn(async move {
                let views = database.open_views().await;
                table_of(&views).await
            })
        });
        let tables = futures::future::join_all(opening).await;
        let tables: BTreeSet<_> = tables.into_iter().map(Result::unwrap).collect();
        assert_eq!(tables.len(), 1);
        assert_eq!(database.open_views().await.tables().await.unwrap().len(), 1);
    })
    .await;

    async fn table_of(views: &PostgresViews) -> TableId {
        let new = NewTable {
            view: orders(),
            digest: ModuleDigest::of(b"v1"),
            shape: TableShape::default(),
        };
        views.create_table(new).await.unwrap().id
    }
}
