//! Tables: made, listed, pointed at, dropped.

use std::sync::Arc;

use gavel_model::{ModuleDigest, Position};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::support::*;
use crate::views::{
    Cell, Column, ColumnType, CommitError, KeyedRow, NewTable, ParkedEvent, ParkedRow, RowQuery,
    RowsChange, TableShape, ViewStore,
};

pub(crate) async fn a_table_is_made_once_for_a_view_and_a_module(store: Arc<dyn ViewStore>) {
    let first = create(&*store, "v1").await;
    assert_eq!(create(&*store, "v1").await, first);
    let others = [
        create(&*store, "v2").await,
        create_of(&*store, view("other"), "v1").await,
        create_of(&*store, view_of("elsewhere", "orders"), "v1").await,
    ];
    let mut all = others.to_vec();
    all.push(first);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
    let listed = store.tables().await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|table| table.id).collect();
    assert_eq!(listed, all);
}

pub(crate) async fn a_table_is_listed_with_every_field(store: Arc<dyn ViewStore>) {
    let id = create(&*store, "v1").await;
    let table = find(&*store, id).await.unwrap();
    assert_eq!(table.view, view("orders"));
    assert_eq!(table.digest, ModuleDigest::of(b"v1"));
    assert_eq!(table.shape, shape());
    assert_eq!(table.position, Position::BEGINNING);
    assert!(!table.is_finished);
    assert_eq!(table.active, None);
    assert!(table.unused_since.is_some());
    assert_eq!(
        (table.rows, table.parked_rows, table.parked_events),
        (0, 0, 0)
    );

    let position = Position::new(u64::MAX >> 1, 1 << 62, i64::MAX as u64);
    let change = RowsChange {
        added: 1,
        put: vec![amount("a", 1, position)],
        ..RowsChange::moving(id, Position::BEGINNING, position)
    };
    store.commit(change).await.unwrap();
    store.finish_table(id).await.unwrap();
    store.finish_table(id).await.unwrap();
    let pointed = store.point(&view("orders"), Some(id), activation(3)).await;
    assert!(pointed.unwrap());
    let table = find(&*store, id).await.unwrap();
    assert_eq!(table.position, position);
    assert!(table.is_finished);
    assert_eq!(table.active, Some(activation(3)));
    assert_eq!(table.unused_since, None);
    assert_eq!(table.rows, 1);

    let pointed = store.point(&view("orders"), None, activation(4)).await;
    assert!(pointed.unwrap());
    let table = find(&*store, id).await.unwrap();
    assert_eq!(table.active, None);
    assert!(table.unused_since.is_some());
}

pub(crate) async fn a_table_that_is_dropped_is_gone_with_its_rows(store: Arc<dyn ViewStore>) {
    let table = create(&*store, "v1").await;
    let change = adding(table, 0, 1, vec![amount("a", 1, at(1))]);
    store.commit(change).await.unwrap();
    store.drop_table(table).await.unwrap();
    store.drop_table(table).await.unwrap();
    assert!(find(&*store, table).await.is_none());
    assert!(store.scan(table, None, 10).await.is_err());
    assert!(store.rows(table, &[key("a")]).await.is_err());
    let late = store.commit(RowsChange::moving(table, at(1), at(2))).await;
    assert!(matches!(late, Err(CommitError::Gone)), "{late:?}");

    let again = create(&*store, "v1").await;
    assert_ne!(again, table, "another table");
    assert_eq!(all(&*store, again, 10).await.len(), 0);
}

pub(crate) async fn a_table_that_is_read_is_not_dropped(store: Arc<dyn ViewStore>) {
    let table = create_active(&*store, "v1").await;
    store.drop_table(table).await.unwrap();
    assert!(find(&*store, table).await.is_some());
    let next = create(&*store, "v2").await;
    store.finish_table(next).await.unwrap();
    let moved = store
        .point(&view("orders"), Some(next), activation(2))
        .await;
    assert!(moved.unwrap());
    store.drop_table(table).await.unwrap();
    assert!(find(&*store, table).await.is_none());
}

pub(crate) async fn a_table_that_begins_again_is_empty_and_not_finished(store: Arc<dyn ViewStore>) {
    let table = create_active(&*store, "v1").await;
    let parked = ParkedRow {
        key: key("b"),
        position: at(2),
        event_id: Uuid::nil(),
        reason: "why".to_owned(),
        since: OffsetDateTime::UNIX_EPOCH,
    };
    let event = ParkedEvent {
        position: at(2),
        event_id: Uuid::nil(),
        reason: "why".to_owned(),
    };
    let change = RowsChange {
        parked: vec![parked],
        waiting: vec![(key("b"), at(3))],
        parked_events: vec![event],
        ..adding(table, 0, 3, vec![amount("a", 1, at(1))])
    };
    store.commit(change).await.unwrap();
    let read = store
        .read(&view("orders"), &key("a"))
        .await
        .unwrap()
        .unwrap();
    assert!(read.head.is_finished && read.value.is_some());

    store.restart_table(table).await.unwrap();
    let read = store
        .read(&view("orders"), &key("b"))
        .await
        .unwrap()
        .unwrap();
    assert!(!read.head.is_finished);
    assert_eq!((read.value, read.parked), (None, None));
    assert_eq!(read.head.position, Position::BEGINNING);
    assert!(all(&*store, table, 10).await.is_empty());
    assert!(store.parked_events(table, 10).await.unwrap().is_empty());
    assert!(
        store
            .waiting(table, &key("b"), at(0), 10)
            .await
            .unwrap()
            .is_empty()
    );
    let found = find(&*store, table).await.unwrap();
    assert_eq!(
        (found.rows, found.parked_rows, found.parked_events),
        (0, 0, 0)
    );
    assert_eq!(found.active, Some(activation(1)));
    let change = adding(table, 0, 1, vec![amount("a", 2, at(1))]);
    store.commit(change).await.unwrap();
    store.finish_table(table).await.unwrap();
    let read = store
        .read(&view("orders"), &key("a"))
        .await
        .unwrap()
        .unwrap();
    assert!(read.head.is_finished && read.value.is_some());
}

pub(crate) async fn the_pointer_never_goes_back_to_an_older_activation(store: Arc<dyn ViewStore>) {
    let (orders, first) = (view("orders"), create_active(&*store, "v1").await);
    let second = create(&*store, "v2").await;
    for (table, number, moves) in [
        (Some(second), 3, true),
        (Some(first), 2, false),
        (Some(first), 3, false),
        (None, 3, false),
        (Some(first), 4, true),
        (None, 5, true),
        (Some(second), 4, false),
        (Some(second), 6, true),
    ] {
        let moved = store.point(&orders, table, activation(number)).await;
        assert_eq!(moved.unwrap(), moves, "{table:?} {number}");
        let read = store.read(&orders, &key("a")).await.unwrap();
        if moves {
            assert_eq!(read.map(|read| read.head.table), table);
        }
    }
    let nowhere = store
        .create_table(table_of(view("x"), "v1"))
        .await
        .unwrap()
        .id;
    store.drop_table(nowhere).await.unwrap();
    let moved = store.point(&orders, Some(nowhere), activation(9)).await;
    assert!(moved.is_err(), "a table that is not there");
}

pub(crate) async fn a_view_stays_paused_when_its_pointer_moves(store: Arc<dyn ViewStore>) {
    let orders = view("orders");
    assert!(!store.pause(&orders, true).await.unwrap(), "no pointer yet");
    let first = create_active(&*store, "v1").await;
    let second = create(&*store, "v2").await;
    let paused = async || {
        let [first, second] = [find(&*store, first).await, find(&*store, second).await];
        [first.unwrap().is_paused, second.unwrap().is_paused]
    };
    assert_eq!(paused().await, [false, false]);
    assert!(store.pause(&orders, true).await.unwrap());
    assert!(store.pause(&orders, true).await.unwrap());
    assert_eq!(paused().await, [true, false]);
    store
        .point(&orders, Some(second), activation(2))
        .await
        .unwrap();
    assert_eq!(paused().await, [false, true]);
    store.point(&orders, None, activation(3)).await.unwrap();
    assert_eq!(paused().await, [false, false]);
    assert!(
        !store.pause(&orders, false).await.unwrap(),
        "no table to pause"
    );
    store
        .point(&orders, Some(first), activation(4))
        .await
        .unwrap();
    assert_eq!(paused().await, [true, false]);
    assert!(store.pause(&orders, false).await.unwrap());
    assert_eq!(paused().await, [false, false]);
}

pub(crate) async fn rows_that_change_without_an_event_are_another_revision(
    store: Arc<dyn ViewStore>,
) {
    let table = create_active(&*store, "v1").await;
    let revision = async || find(&*store, table).await.unwrap().revision;
    let change = adding(table, 0, 2, vec![amount("a", 1, at(1))]);
    store.commit(change).await.unwrap();
    store
        .commit(RowsChange::moving(table, at(2), at(3)))
        .await
        .unwrap();
    store
        .commit(RowsChange::moving(table, at(3), at(3)))
        .await
        .unwrap();
    assert_eq!(revision().await, 0);
    let change = RowsChange {
        added: 0,
        ..adding(table, 3, 3, vec![amount("a", 2, at(2))])
    };
    store.commit(change).await.unwrap();
    assert_eq!(revision().await, 1);
    let change = RowsChange {
        ended: vec![key("a")],
        removed: 1,
        ..RowsChange::moving(table, at(3), at(3))
    };
    store.commit(change).await.unwrap();
    assert_eq!(revision().await, 2);
    store.restart_table(table).await.unwrap();
    assert_eq!(revision().await, 3);
}

pub(crate) async fn views_of_one_name_in_two_namespaces_share_nothing(store: Arc<dyn ViewStore>) {
    let (here, there) = (view("orders"), view_of("elsewhere", "orders"));
    let table = create_active(&*store, "v1").await;
    let change = adding(table, 0, 1, vec![amount("a", 1, at(1))]);
    store.commit(change).await.unwrap();
    assert!(store.read(&there, &key("a")).await.unwrap().is_none());
    let other = create_of(&*store, there.clone(), "v1").await;
    store.finish_table(other).await.unwrap();
    let moved = store.point(&there, Some(other), activation(1)).await;
    assert!(moved.unwrap());
    let read = store.read(&there, &key("a")).await.unwrap().unwrap();
    assert_eq!((read.head.table, read.value), (other, None));
    let read = store.read(&here, &key("a")).await.unwrap().unwrap();
    assert_eq!(read.head.table, table);
    assert!(read.value.is_some());
}

/// Names of columns are those of a stranger's schema: words of SQL among them.
pub(crate) async fn columns_of_any_name_are_kept(store: Arc<dyn ViewStore>) {
    let names = [
        "select",
        "_",
        "Order",
        "user",
        "table",
        "rowid",
        "oid",
        "ctid",
        "xmin",
        "tableoid",
        "value",
        &"x".repeat(59),
    ];
    let shape = TableShape {
        columns: names
            .map(|name| Column {
                name: name.to_owned(),
                kind: ColumnType::Integer,
            })
            .into(),
        indexes: names[..4]
            .iter()
            .map(|name| vec![(*name).to_owned()])
            .collect(),
    };
    let new = NewTable {
        shape,
        ..table_of(view("orders"), "v1")
    };
    let table = store.create_table(new).await.unwrap().id;
    let value: serde_json::Map<_, _> = names
        .iter()
        .map(|&name| (name.to_owned(), json!(7)))
        .collect();
    let row = KeyedRow {
        cells: names
            .map(|name| ColumnType::Integer.cell(value.get(name), true).unwrap())
            .into(),
        ..row("a", &value.into(), at(1))
    };
    store.commit(adding(table, 0, 1, vec![row])).await.unwrap();
    store.finish_table(table).await.unwrap();
    let moved = store
        .point(&view("orders"), Some(table), activation(1))
        .await;
    assert!(moved.unwrap());
    let sums = store.sums(table, &names.map(str::to_owned)).await;
    assert_eq!(sums.unwrap(), [7.0; 12]);
    for name in &names[..4] {
        let query = RowQuery {
            equal: vec![((*name).to_owned(), Cell::Integer(7))],
            limit: 10,
            ..RowQuery::default()
        };
        let found = store.query(&view("orders"), &query).await.unwrap().unwrap();
        assert_eq!(found.rows.len(), 1, "{name}");
    }
}
