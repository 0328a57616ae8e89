//! Rows and events that cannot be folded.

use std::sync::Arc;

use gavel_model::Position;
use time::macros::datetime;
use uuid::Uuid;

use super::support::*;
use crate::views::{CommitError, ParkedEvent, ParkedRow, RowsChange, TableId, ViewStore};

fn fault(name: &str, position: Position) -> ParkedRow {
    ParkedRow {
        key: key(name),
        position,
        event_id: Uuid::from_u128(u128::from(position.offset())),
        reason: format!("row {name} 'cannot' fold it"),
        since: datetime!(2026-02-03 12:00:00.123 UTC),
    }
}

async fn waiting(store: &dyn ViewStore, table: TableId, name: &str, after: u64) -> Vec<Position> {
    let waiting = store.waiting(table, &key(name), at(after), 2).await;
    waiting.unwrap()
}

pub(crate) async fn a_parked_row_is_told_with_its_fault_and_what_waits(store: Arc<dyn ViewStore>) {
    let (orders, table) = (view("orders"), create_active(&*store, "v1").await);
    let change = RowsChange {
        parked: vec![fault("a", at(2)), fault("new", at(3))],
        waiting: vec![(key("a"), at(4)), (key("a"), at(5))],
        ..adding(
            table,
            0,
            5,
            vec![amount("a", 1, at(1)), amount("b", 1, at(1))],
        )
    };
    store.commit(change).await.unwrap();
    let change = RowsChange {
        waiting: vec![(key("a"), at(8))],
        ..RowsChange::moving(table, at(5), at(9))
    };
    store.commit(change).await.unwrap();

    let read = store.read(&orders, &key("a")).await.unwrap().unwrap();
    assert_eq!(read.parked, Some(fault("a", at(2))));
    assert_eq!(read.value.unwrap().as_str(), r#"{"amount": 1}"#);
    let read = store.read(&orders, &key("new")).await.unwrap().unwrap();
    assert_eq!((read.value, read.parked), (None, Some(fault("new", at(3)))));
    let read = store.read(&orders, &key("b")).await.unwrap().unwrap();
    assert_eq!(read.parked, None);

    let keys = ["a", "b", "new"].map(key);
    let rows = store.rows(table, &keys).await.unwrap();
    let parked: Vec<_> = rows.iter().map(|row| row.is_parked).collect();
    assert_eq!(parked, [true, false, true]);
    assert_eq!(find(&*store, table).await.unwrap().parked_rows, 2);

    assert_eq!(waiting(&*store, table, "a", 0).await, [at(4), at(5)]);
    assert_eq!(waiting(&*store, table, "a", 5).await, [at(8)]);
    assert!(waiting(&*store, table, "new", 0).await.is_empty());
    let page = store.parked(table, None, 1).await.unwrap();
    assert_eq!((page.items, page.has_more), (vec![fault("a", at(2))], true));
    let page = store.parked(table, Some(&key("a")), 10).await.unwrap();
    assert_eq!(page.items, [fault("new", at(3))]);
    assert!(!page.has_more);
}

pub(crate) async fn a_row_that_is_not_parked_any_more_has_nothing_waiting(
    store: Arc<dyn ViewStore>,
) {
    let table = create(&*store, "v1").await;
    let change = RowsChange {
        parked: vec![fault("a", at(2)), fault("b", at(3))],
        waiting: vec![(key("a"), at(4)), (key("b"), at(5))],
        ..adding(table, 0, 5, Vec::new())
    };
    store.commit(change).await.unwrap();
    // `a` is mended, and `b` fails at the event that waited.
    let change = RowsChange {
        put: vec![amount("a", 2, at(4)), amount("b", 2, at(3))],
        added: 2,
        unparked: vec![key("a")],
        parked: vec![fault("b", at(5))],
        ..RowsChange::moving(table, at(5), at(5))
    };
    store.commit(change).await.unwrap();
    assert_eq!(find(&*store, table).await.unwrap().parked_rows, 1);
    let page = store.parked(table, None, 10).await.unwrap();
    assert_eq!(page.items, [fault("b", at(5))]);
    assert!(waiting(&*store, table, "a", 0).await.is_empty());
    assert!(waiting(&*store, table, "b", 0).await.is_empty());

    let change = RowsChange {
        parked: vec![fault("a", at(7))],
        ..RowsChange::moving(table, at(5), at(7))
    };
    store.commit(change).await.unwrap();
    assert!(waiting(&*store, table, "a", 0).await.is_empty());
    assert_eq!(find(&*store, table).await.unwrap().parked_rows, 2);
}

pub(crate) async fn what_waits_after_the_event_that_a_row_is_parked_at_now_waits_on(
    store: Arc<dyn ViewStore>,
) {
    let table = create(&*store, "v1").await;
    let change = RowsChange {
        parked: vec![fault("a", at(2)), fault("b", at(3))],
        waiting: [4, 5, 9, 10].map(|offset| (key("b"), at(offset))).into(),
        ..adding(table, 0, 10, Vec::new())
    };
    store.commit(change).await.unwrap();
    // Two of the events that waited are folded. What waits already may be told once more.
    let change = RowsChange {
        put: vec![amount("b", 2, at(4))],
        added: 1,
        parked: vec![fault("b", at(5))],
        waiting: vec![(key("b"), at(9))],
        ..RowsChange::moving(table, at(10), at(10))
    };
    store.commit(change).await.unwrap();
    let page = store.parked(table, None, 10).await.unwrap();
    assert_eq!(page.items, [fault("a", at(2)), fault("b", at(5))]);
    assert_eq!(waiting(&*store, table, "b", 0).await, [at(9), at(10)]);
}

pub(crate) async fn no_event_waits_behind_a_row_that_was_retried_meanwhile(
    store: Arc<dyn ViewStore>,
) {
    let table = create(&*store, "v1").await;
    let change = RowsChange {
        parked: vec![fault("a", at(2)), fault("b", at(3))],
        ..adding(table, 0, 5, Vec::new())
    };
    store.commit(change).await.unwrap();
    // Computed while `a` was parked.
    let late = RowsChange {
        put: vec![amount("c", 1, at(6))],
        added: 1,
        waiting: vec![(key("b"), at(6)), (key("a"), at(7))],
        ..RowsChange::moving(table, at(5), at(7))
    };
    let retried = RowsChange {
        put: vec![amount("a", 2, at(2))],
        added: 1,
        unparked: vec![key("a")],
        ..RowsChange::moving(table, at(5), at(5))
    };
    store.commit(retried).await.unwrap();
    let refused = store.commit(late).await;
    assert!(matches!(refused, Err(CommitError::Moved)), "{refused:?}");
    let found = find(&*store, table).await.unwrap();
    assert_eq!((found.position, found.rows), (at(5), 1));
    assert_eq!(all(&*store, table, 10).await.len(), 1);
    assert!(waiting(&*store, table, "b", 0).await.is_empty());
}

pub(crate) async fn parked_events_are_counted(store: Arc<dyn ViewStore>) {
    let (orders, table) = (view("orders"), create_active(&*store, "v1").await);
    let event = |offset: u64| ParkedEvent {
        position: at(offset),
        event_id: Uuid::from_u128(u128::from(offset)),
        reason: "its keys cannot be told".to_owned(),
    };
    let change = RowsChange {
        parked_events: vec![event(2), event(10)],
        ..adding(table, 0, 10, Vec::new())
    };
    store.commit(change).await.unwrap();
    assert_eq!(find(&*store, table).await.unwrap().parked_events, 2);
    let read = store.read(&orders, &key("a")).await.unwrap().unwrap();
    assert_eq!(read.head.parked_events, 2);
    assert_eq!(store.parked_events(table, 1).await.unwrap(), [event(2)]);
    let all = store.parked_events(table, 10).await.unwrap();
    assert_eq!(all, [event(2), event(10)]);
    let other = create(&*store, "v2").await;
    assert!(store.parked_events(other, 10).await.unwrap().is_empty());
}
