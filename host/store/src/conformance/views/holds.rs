//! Tables that nothing changes for a moment.

use std::sync::Arc;

use super::support::*;
use crate::views::{CommitError, RowsChange, TableId, ViewStore};

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
    let moved = hold
        .point(&view("orders"), Some(second), activation(2))
        .await;
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
    let late = hold
        .point(&view("orders"), Some(first), activation(1))
        .await;
    assert!(!late.unwrap(), "it is at that activation already");
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
