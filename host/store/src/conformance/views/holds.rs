//! Tables that nothing changes for a moment.

use std::sync::Arc;

use super::support::*;
use crate::Error;
use crate::views::{CommitError, RowPointer, RowsChange, TableId, ViewStore};

/// The pointer of a view at a table.
fn pointer(name: &str, table: TableId, number: i64) -> RowPointer {
    RowPointer {
        view: view(name),
        table: Some(table),
        activation: activation(number),
    }
}

async fn two_tables(store: &dyn ViewStore) -> [TableId; 2] {
    let first = create_active(store, "v1").await;
    let second = create(store, "v2").await;
    store.finish_table(second).await.unwrap();
    for table in [first, second] {
        let change = adding(table, 0, 1, vec![amount("a", 1, at(1))]);
        store.commit(change).await.unwrap();
    }
    [first, second]
}

pub(crate) async fn a_hold_keeps_changes_away_and_moves_the_pointer(store: Arc<dyn ViewStore>) {
    let [first, second] = two_tables(&*store).await;
    let hold = store.hold_tables(&[second, first]).await.unwrap();
    for table in [first, second] {
        let refused = store.commit(RowsChange::moving(table, at(1), at(2))).await;
        assert!(matches!(refused, Err(CommitError::Held)), "{refused:?}");
    }
    assert_eq!(hold.positions().await.unwrap(), [Some(at(1)); 2]);
    let moved = hold.point(vec![pointer("orders", second, 2)]).await;
    assert!(moved.unwrap());
    let read = store
        .read(&view("orders"), &key("a"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((read.head.table, read.head.position), (second, at(1)));
    for table in [first, second] {
        let change = RowsChange::moving(table, at(1), at(2));
        store.commit(change).await.unwrap();
    }
}

pub(crate) async fn a_hold_that_is_let_go_of_leaves_tables_as_they_were(store: Arc<dyn ViewStore>) {
    let [first, second] = two_tables(&*store).await;
    for _ in 0..3 {
        drop(store.hold_tables(&[first, second]).await.unwrap());
    }
    let read = store
        .read(&view("orders"), &key("a"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.head.table, first);
    // What was held may take a moment to be free.
    for table in [first, second] {
        loop {
            match store.commit(RowsChange::moving(table, at(1), at(2))).await {
                Ok(()) => break,
                Err(CommitError::Held) => tokio::task::yield_now().await,
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    let hold = store.hold_tables(&[first]).await.unwrap();
    assert_eq!(hold.positions().await.unwrap(), [Some(at(2))]);
    let late = hold.point(vec![pointer("orders", first, 1)]).await;
    assert!(!late.unwrap(), "it is at that activation already");
}

pub(crate) async fn a_hold_moves_the_pointers_of_several_views_or_none(store: Arc<dyn ViewStore>) {
    let first = create(&*store, "v1").await;
    let second = create_of(&*store, view("others"), "v1").await;
    let gone = create(&*store, "v2").await;
    store.drop_table(gone).await.unwrap();
    let active = async || {
        let tables = store.tables().await.unwrap();
        let active = tables.into_iter().filter(|table| table.active.is_some());
        active.map(|table| table.id).collect::<Vec<_>>()
    };
    for table in [first, second] {
        store.finish_table(table).await.unwrap();
    }

    let hold = store.hold_tables(&[first, second]).await.unwrap();
    let some = vec![pointer("orders", first, 1), pointer("others", gone, 1)];
    let refused = hold.point(some).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    assert_eq!(active().await, []);

    let hold = store.hold_tables(&[first, second]).await.unwrap();
    let both = vec![pointer("others", second, 1), pointer("orders", first, 1)];
    assert!(hold.point(both).await.unwrap());
    assert_eq!(active().await, [first, second]);
}

pub(crate) async fn reads_go_on_while_tables_are_held(store: Arc<dyn ViewStore>) {
    let [first, second] = two_tables(&*store).await;
    let hold = store.hold_tables(&[first, second]).await.unwrap();
    let read = store
        .read(&view("orders"), &key("a"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.head.table, first);
    assert_eq!(all(&*store, second, 10).await.len(), 1);
    assert_eq!(store.tables().await.unwrap().len(), 2);
    drop(hold);
}
