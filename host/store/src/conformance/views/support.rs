//! The builders of the tables and rows that the cases use.

use std::collections::BTreeMap;

use gavel_model::{ActivationNumber, Json, ModuleDigest, Position, RowKey, ViewId};
use serde_json::{Value, json};

use crate::conformance::support::namespace;
use crate::views::{
    Cell, Column, ColumnType, KeyedRow, NewTable, RowsChange, TableId, TableShape, ViewStore,
    ViewTable,
};

/// A column of each type.
pub(super) const COLUMNS: [(&str, ColumnType); 6] = [
    ("amount", ColumnType::Integer),
    ("ratio", ColumnType::Number),
    ("is_open", ColumnType::Boolean),
    ("status", ColumnType::Text),
    ("created_at", ColumnType::Time),
    ("owner", ColumnType::Uuid),
];

pub(super) fn view(name: &str) -> ViewId {
    view_of("default", name)
}

pub(super) fn view_of(namespace_name: &str, name: &str) -> ViewId {
    ViewId::new(namespace(namespace_name), name).unwrap()
}

pub(super) fn key(text: &str) -> RowKey {
    RowKey::new(text).unwrap()
}

/// The position of the `offset`th event.
pub(super) fn at(offset: u64) -> Position {
    Position::new(7, 0, offset)
}

pub(super) fn activation(number: i64) -> ActivationNumber {
    ActivationNumber::new(number)
}

/// A shape with a column of each type, and indexes over some.
pub(super) fn shape() -> TableShape {
    let columns = COLUMNS.map(|(name, kind)| Column {
        name: name.to_owned(),
        kind,
    });
    let indexes: [&[&str]; 6] = [
        &["amount"],
        &["ratio"],
        &["status", "created_at"],
        &["created_at"],
        &["status", "is_open", "owner", "amount"],
        &["owner"],
    ];
    TableShape {
        columns: columns.into(),
        indexes: indexes
            .map(|fields| fields.iter().map(|&field| field.to_owned()).collect())
            .into(),
    }
}

pub(super) fn table_of(view: ViewId, wasm: &str) -> NewTable {
    NewTable {
        view,
        digest: ModuleDigest::of(wasm.as_bytes()),
        shape: shape(),
    }
}

/// Makes a table for the view `orders` of the module whose bytes are `wasm`.
pub(super) async fn create(store: &dyn ViewStore, wasm: &str) -> TableId {
    create_of(store, view("orders"), wasm).await
}

pub(super) async fn create_of(store: &dyn ViewStore, view: ViewId, wasm: &str) -> TableId {
    let table = store.create_table(table_of(view, wasm)).await;
    table.unwrap().id
}

/// Makes a table that is finished, and moves the pointer of `orders` to it.
pub(super) async fn create_active(store: &dyn ViewStore, wasm: &str) -> TableId {
    let table = create(store, wasm).await;
    store.finish_table(table).await.unwrap();
    let moved = store
        .point(&view("orders"), Some(table), activation(1))
        .await;
    assert!(moved.unwrap());
    table
}

pub(super) async fn find(store: &dyn ViewStore, id: TableId) -> Option<ViewTable> {
    let tables = store.tables().await.unwrap();
    tables.into_iter().find(|table| table.id == id)
}

/// A row whose columns are what `value` has of them.
pub(super) fn row(name: &str, value: &Value, position: Position) -> KeyedRow {
    let cell = |(column, kind): (&str, ColumnType)| -> Option<Cell> {
        kind.cell(value.get(column), true).unwrap()
    };
    KeyedRow {
        key: key(name),
        value: Json::from_value(value).unwrap(),
        cells: COLUMNS.map(cell).into(),
        position,
    }
}

/// A row with an amount.
pub(super) fn amount(name: &str, amount: i64, position: Position) -> KeyedRow {
    row(name, &json!({ "amount": amount }), position)
}

/// A change that puts rows that were not there.
pub(super) fn adding(table: TableId, from: u64, to: u64, rows: Vec<KeyedRow>) -> RowsChange {
    let from = if from == 0 {
        Position::BEGINNING
    } else {
        at(from)
    };
    RowsChange {
        added: rows.len() as u64,
        put: rows,
        ..RowsChange::moving(table, from, at(to))
    }
}

/// All rows of a table, read in pages of `limit`.
pub(super) async fn all(
    store: &dyn ViewStore,
    table: TableId,
    limit: u32,
) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    let mut after = None;
    loop {
        let (page, _) = store.scan(table, after.as_ref(), limit).await.unwrap();
        for row in &page.items {
            let known = rows.insert(row.key.as_str().to_owned(), row.value.as_str().to_owned());
            assert_eq!(known, None, "{} is scanned twice", row.key);
        }
        after = page.items.into_iter().last().map(|row| row.key);
        if !page.has_more {
            return rows;
        }
        assert!(after.is_some(), "a page that has more is not empty");
    }
}
