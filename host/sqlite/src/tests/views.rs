//! The file with the tables of views.

use gavel_model::{ActivationNumber, RowKey, ViewId};
use gavel_store::views::{
    Cell, Column, ColumnType, CommitError, KeyedRow, NewTable, RowPointer, RowQuery, RowsChange,
    TableId, TableShape, ViewStore,
};

use super::*;
use crate::SqliteViews;

macro_rules! view_case {
    ($case:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let file = File::new();
            conformance::views::$case(Arc::new(open_views(&file).await)).await;
            assert_sound(&file);
        }
    };
}
gavel_store::for_each_view_case!(view_case);

async fn try_open(file: &File) -> Result<SqliteViews, OpenError> {
    let clock = Arc::new(conformance::support::UnsteadyClock::default());
    SqliteViews::open(file.path(), clock).await
}

async fn open_views(file: &File) -> SqliteViews {
    try_open(file).await.unwrap()
}

fn view(namespace: &str, name: &str) -> ViewId {
    ViewId::new(Namespace::new(namespace).unwrap(), name).unwrap()
}

fn orders() -> ViewId {
    view("default", "orders")
}

/// A shape with columns of text, indexed.
fn texts(names: &[&str]) -> TableShape {
    TableShape {
        columns: names
            .iter()
            .map(|name| Column {
                name: (*name).to_owned(),
                kind: ColumnType::Text,
            })
            .collect(),
        indexes: names.iter().map(|name| vec![(*name).to_owned()]).collect(),
    }
}

/// Makes a table with one row, which has the same text in all columns.
async fn table_with(
    views: &SqliteViews,
    view: &ViewId,
    wasm: &str,
    columns: &[&str],
    text: &str,
) -> TableId {
    let new = NewTable {
        view: view.clone(),
        digest: ModuleDigest::of(wasm.as_bytes()),
        shape: texts(columns),
    };
    let table = views.create_table(new).await.unwrap().id;
    views
        .commit(putting(table, columns.len(), text))
        .await
        .unwrap();
    views.finish_table(table).await.unwrap();
    table
}

fn putting(table: TableId, columns: usize, text: &str) -> RowsChange {
    let to = Position::new(7, 0, 1);
    RowsChange {
        put: vec![KeyedRow {
            key: RowKey::new("o-1").unwrap(),
            value: json(&format!(r#"{{"text": "{text}"}}"#)),
            cells: vec![Some(Cell::Text(text.to_owned())); columns],
            position: to,
        }],
        added: 1,
        ..RowsChange::moving(table, Position::BEGINNING, to)
    }
}

async fn point(views: &SqliteViews, view: &ViewId, table: Option<TableId>, number: i64) {
    let moved = views
        .point(view, table, ActivationNumber::new(number))
        .await;
    assert!(moved.unwrap());
}

/// All rows of a statement, as texts; NULL is `-`.
fn rows(sql: &Connection, statement: &str) -> Vec<Vec<String>> {
    let mut statement = sql.prepare(statement).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let texts = (0..columns).map(|column| row.get::<_, Option<String>>(column));
        let texts = texts.map(|text| Ok(text?.unwrap_or_else(|| "-".to_owned())));
        texts.collect::<Result<Vec<_>, rusqlite::Error>>()
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn the_sql_view_has_the_rows_of_the_table_that_the_pointer_is_at() {
    let (file, other) = (File::new(), tempfile::tempdir().unwrap());
    let views = open_views(&file).await;
    let first = table_with(&views, &orders(), "v1", &["status", "Total"], "one").await;
    let second = table_with(&views, &orders(), "v2", &["total", "city"], "two").await;
    table_with(&views, &orders(), "v3", &["late"], "three").await;
    let unfinished = NewTable {
        view: orders(),
        digest: ModuleDigest::of(b"v4"),
        shape: texts(&["never"]),
    };
    views.create_table(unfinished).await.unwrap();
    let shop = view("shop", "orders");
    let third = table_with(&views, &shop, "v1", &["status"], "shop").await;

    // As another program reads it, from any other file.
    let sql = Connection::open(other.path().join("any.db")).unwrap();
    let path = file.path();
    sql.execute("ATTACH ?1 AS gavel_views", [path.to_str().unwrap()])
        .unwrap();
    let select = "SELECT * FROM gavel_views.orders";
    assert!(rows(&sql, select).is_empty());
    let position = Position::new(7, 0, 1).to_string();
    let of = |text: &str, columns: [&str; 4]| {
        let mut row = vec!["o-1".to_owned(), position.clone()];
        row.push(format!(r#"{{"text": "{text}"}}"#));
        row.extend(columns.map(str::to_owned));
        vec![row]
    };
    point(&views, &orders(), Some(first), 1).await;
    assert_eq!(rows(&sql, select), of("one", ["one", "one", "-", "-"]));
    point(&views, &orders(), Some(second), 2).await;
    assert_eq!(rows(&sql, select), of("two", ["-", "two", "two", "-"]));
    views.drop_table(first).await.unwrap();
    // A column keeps its place.
    assert_eq!(rows(&sql, select), of("two", ["-", "two", "two", "-"]));
    let names = "SELECT status, \"total\", city, late FROM gavel_views.orders";
    assert_eq!(rows(&sql, names), [["-", "two", "two", "-"]]);
    point(&views, &shop, Some(third), 1).await;
    let select = "SELECT key, status FROM gavel_views.\"orders@shop\"";
    assert_eq!(rows(&sql, select), [["o-1", "shop"]]);

    point(&views, &shop, None, 2).await;
    assert!(rows(&sql, select).is_empty());
    views.drop_table(third).await.unwrap();
    assert!(rows(&sql, select).is_empty(), "it stays, with no rows");
}

#[tokio::test]
async fn a_view_whose_name_sql_cannot_have_lacks_it_and_nothing_else() {
    let file = File::new();
    let views = open_views(&file).await;
    let long = "x".repeat(60);
    for (view, lacks) in [
        (view("default", "sqlite_stat1"), Some("sqlite_")),
        (view("shop", &long), Some("63 bytes")),
        (view("default", &long), None),
        (view("default", "order"), None),
        (view("default", "sqlite-x"), None),
    ] {
        let table = table_with(&views, &view, "v1", &["status"], "x").await;
        point(&views, &view, Some(table), 1).await;
        let read = views.read(&view, &RowKey::new("o-1").unwrap()).await;
        assert!(read.unwrap().unwrap().value.is_some());
        let name = views.sql_name(&view, &texts(&[])).await.unwrap();
        assert_eq!(name.name.is_none(), lacks.is_some(), "{name:?}");
        if let Some(lacks) = lacks {
            assert!(name.lacks.unwrap().contains(lacks));
        } else {
            let select = format!("SELECT status FROM {}", name.name.unwrap());
            assert_eq!(rows(&file.plain_sql(), &select), [["x"]]);
        }
    }
}

#[tokio::test]
async fn names_of_columns_are_never_sql() {
    let file = File::new();
    let views = open_views(&file).await;
    let hostile = [
        "a\"b",
        "a'b",
        "x\" TEXT); DROP TABLE \"gavel_rows.tables\"; --",
        "?1",
        "",
        "日本",
    ];
    let table = table_with(&views, &orders(), "v1", &hostile, "x").await;
    point(&views, &orders(), Some(table), 1).await;
    for name in hostile {
        let query = RowQuery {
            equal: vec![(name.to_owned(), Cell::Text("x".to_owned()))],
            limit: 10,
            ..RowQuery::default()
        };
        let page = views.query(&orders(), &query).await.unwrap().unwrap();
        assert_eq!(page.rows.len(), 1, "{name}");
    }
    assert_eq!(
        rows(&file.plain_sql(), "SELECT * FROM orders")[0].len(),
        3 + hostile.len()
    );
}

/// The pointer of a view at a table, as its first activation has it.
fn pointer(table: TableId) -> RowPointer {
    RowPointer {
        view: orders(),
        table: Some(table),
        activation: ActivationNumber::new(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_nobody_lets_go_of_ends_by_itself() {
    let file = File::new();
    let views = open_views(&file).await;
    let table = table_with(&views, &orders(), "v1", &["status"], "x").await;
    let hold = views.hold_tables(&[table]).await.unwrap();
    let at = Position::new(7, 0, 1);
    while let Err(refused) = views.commit(RowsChange::moving(table, at, at)).await {
        assert!(matches!(refused, CommitError::Held), "{refused:?}");
        tokio::task::yield_now().await;
    }
    assert!(hold.positions().await.is_err());
    let late = hold.point(vec![pointer(table)]).await;
    assert!(late.unwrap_err().is_retryable());
    assert_eq!(views.tables().await.unwrap()[0].active, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_on_one_file_hold_and_move_tables_for_each_other() {
    let file = File::new();
    let hosts = [open_views(&file).await, open_views(&file).await];
    let table = table_with(&hosts[0], &orders(), "v1", &["status"], "x").await;
    let hold = hosts[0].hold_tables(&[table]).await.unwrap();
    let at = |offset| Position::new(7, 0, offset);
    let change = RowsChange::moving(table, at(1), at(2));
    let refused = hosts[1].commit(change.clone()).await;
    assert!(matches!(refused, Err(CommitError::Held)), "{refused:?}");
    let moved = hold.point(vec![pointer(table)]).await;
    assert!(moved.unwrap());
    hosts[1].commit(change.clone()).await.unwrap();
    let late = hosts[0].commit(change).await;
    assert!(matches!(late, Err(CommitError::Moved)), "{late:?}");
    let read = hosts[1].read(&orders(), &RowKey::new("o-1").unwrap()).await;
    assert_eq!(read.unwrap().unwrap().head.position, at(2));
}

#[tokio::test]
async fn rows_are_there_when_their_file_is_opened_again() {
    let file = File::new();
    let views = open_views(&file).await;
    let table = table_with(&views, &orders(), "v1", &["status"], "x").await;
    let before = views.tables().await.unwrap();
    views.close().await;
    let views = open_views(&file).await;
    assert_eq!(views.tables().await.unwrap(), before);
    let keys = [RowKey::new("o-1").unwrap()];
    let found = views.rows(table, &keys).await.unwrap();
    assert!(found[0].value.is_some());
}

#[tokio::test]
async fn files_that_were_removed_under_a_host_are_noticed() {
    let file = File::new();
    let views = open_views(&file).await;
    let table = table_with(&views, &orders(), "v1", &["status"], "x").await;
    std::fs::remove_file(file.path()).unwrap();
    let read = views.tables().await.unwrap_err();
    assert!(matches!(read, Error::Unavailable(_)), "{read:?}");
    let at = Position::new(7, 0, 1);
    let written = views.commit(RowsChange::moving(table, at, at)).await;
    assert!(
        matches!(written, Err(CommitError::Store(Error::Unavailable(_)))),
        "{written:?}"
    );
    let held = views.hold_tables(&[table]).await.unwrap_err();
    assert!(matches!(held, Error::Unavailable(_)), "{held:?}");
}

#[tokio::test]
async fn a_file_that_is_not_for_views_of_this_program_is_refused() {
    let file = File::new();
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    std::fs::write(file.path(), "no database, for sure. ".repeat(1_000)).unwrap();
    assert!(try_open(&file).await.is_err());

    let file = File::new();
    drop(file.open().await);
    assert!(try_open(&file).await.is_err(), "it is the store's");

    let file = File::new();
    open_views(&file).await.close().await;
    file.plain_sql()
        .pragma_update(None, "user_version", 1_000)
        .unwrap();
    let refused = try_open(&file).await.unwrap_err();
    assert!(matches!(refused, OpenError::Outdated(_)), "{refused:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_the_rows() {
    use std::os::unix::fs::PermissionsExt as _;

    let file = File::new();
    let _views = open_views(&file).await;
    for suffix in ["", "-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{suffix}", file.path().display()));
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path:?}");
    }
}
