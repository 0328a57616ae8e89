//! Questions for rows.

use std::ops::Bound;
use std::sync::Arc;

use serde_json::json;

use super::support::*;
use crate::views::{Cell, RowQuery, RowRange, ViewStore};

/// Reads all pages of a query, of `limit` rows each; gives the keys.
async fn keys(store: &dyn ViewStore, query: &RowQuery, limit: u32) -> Vec<String> {
    let mut query = RowQuery {
        limit,
        ..query.clone()
    };
    let mut keys = Vec::new();
    loop {
        let page = store.query(&view("orders"), &query).await.unwrap().unwrap();
        assert!(page.rows.len() <= limit as usize);
        let last = page.rows.last().map(|(key, _)| key.clone());
        keys.extend(page.rows.iter().map(|(key, _)| key.as_str().to_owned()));
        let Some(next) = page.next else {
            return keys;
        };
        assert_eq!(Some(&next.key), last.as_ref());
        query.after = Some(next);
    }
}

fn ordered_by(column: &str) -> RowQuery {
    RowQuery {
        range: Some(RowRange {
            column: column.to_owned(),
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
        }),
        ..RowQuery::default()
    }
}

pub(crate) async fn rows_are_read_through_the_pointer(store: Arc<dyn ViewStore>) {
    let orders = view("orders");
    let query = RowQuery {
        limit: 10,
        ..RowQuery::default()
    };
    assert!(store.read(&orders, &key("a")).await.unwrap().is_none());
    assert!(store.query(&orders, &query).await.unwrap().is_none());

    let first = create_active(&*store, "v1").await;
    store
        .commit(adding(first, 0, 4, vec![amount("a", 1, at(3))]))
        .await
        .unwrap();
    let second = create(&*store, "v2").await;
    store
        .commit(adding(second, 0, 9, vec![amount("b", 1, at(3))]))
        .await
        .unwrap();
    store.finish_table(second).await.unwrap();
    for (table, name, position, number) in [(first, "a", at(4), 1), (second, "b", at(9), 2)] {
        if number > 1 {
            let moved = store.point(&orders, Some(table), activation(number)).await;
            assert!(moved.unwrap());
        }
        let read = store.read(&orders, &key(name)).await.unwrap().unwrap();
        assert!(read.value.is_some(), "{name}");
        assert_eq!(read.head.table, table);
        assert_eq!(read.head.position, position);
        assert_eq!(read.head.activation, activation(number));
        let found = find(&*store, table).await.unwrap();
        assert_eq!(read.head.digest, found.digest);
        let page = store.query(&orders, &query).await.unwrap().unwrap();
        assert_eq!(page.head, read.head);
        assert_eq!(page.rows[0].0, key(name));
        assert_eq!((page.rows.len(), page.next), (1, None));
    }
    let moved = store.point(&orders, None, activation(3)).await;
    assert!(moved.unwrap());
    assert!(store.read(&orders, &key("b")).await.unwrap().is_none());
    assert!(store.query(&orders, &query).await.unwrap().is_none());
}

pub(crate) async fn pages_of_a_query_join_in_every_order(store: Arc<dyn ViewStore>) {
    let table = create_active(&*store, "v1").await;
    let rows = (0..30).map(|number| {
        let value = json!({
            "amount": number % 4,
            "ratio": f64::from(number % 3) / 2.0,
            "status": if number % 2 == 0 { "open" } else { "shut" },
            "is_open": number % 2 == 0,
            "created_at": format!("2026-02-{:02}T04:05:06Z", number % 5 + 1),
            "owner": uuid::Uuid::from_u128((number % 7) as u128).to_string(),
        });
        row(&format!("k{number:02}"), &value, at(1))
    });
    let rows: Vec<_> = rows.collect();
    store
        .commit(adding(table, 0, 1, rows.clone()))
        .await
        .unwrap();
    for (place, (column, _)) in COLUMNS.iter().enumerate() {
        let mut expected: Vec<_> = rows.iter().collect();
        expected.sort_by(|one, other| {
            let values = (one.cells[place].as_ref(), other.cells[place].as_ref());
            let (Some(value), Some(than)) = values else {
                panic!("each row has all values");
            };
            value
                .compare(than)
                .unwrap()
                .then_with(|| one.key.cmp(&other.key))
        });
        let mut expected: Vec<_> = expected.iter().map(|row| row.key.as_str()).collect();
        for is_descending in [false, true] {
            let query = RowQuery {
                is_descending,
                ..ordered_by(column)
            };
            for limit in [1, 4, 100] {
                assert_eq!(keys(&*store, &query, limit).await, expected, "{column}");
            }
            expected.reverse();
        }
    }
    let mut by_key: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
    for is_descending in [false, true] {
        let query = RowQuery {
            is_descending,
            ..RowQuery::default()
        };
        assert_eq!(keys(&*store, &query, 7).await, by_key);
        by_key.reverse();
    }
}

pub(crate) async fn rows_without_a_value_come_last(store: Arc<dyn ViewStore>) {
    let table = create_active(&*store, "v1").await;
    let rows = vec![
        amount("b", 1, at(1)),
        row("d", &json!({ "status": "x" }), at(1)),
        amount("a", 2, at(1)),
        row("c", &json!({ "status": "x" }), at(1)),
    ];
    store.commit(adding(table, 0, 1, rows)).await.unwrap();
    for limit in [1, 2, 3, 9] {
        let query = ordered_by("amount");
        assert_eq!(keys(&*store, &query, limit).await, ["b", "a", "c", "d"]);
        let query = RowQuery {
            is_descending: true,
            ..query
        };
        assert_eq!(keys(&*store, &query, limit).await, ["a", "b", "d", "c"]);
    }
}

pub(crate) async fn bounds_are_inclusive_or_exclusive(store: Arc<dyn ViewStore>) {
    let table = create_active(&*store, "v1").await;
    let mut rows: Vec<_> = (1..=5)
        .map(|number| amount(&number.to_string(), number, at(1)))
        .collect();
    rows.push(row("none", &json!({}), at(1)));
    store.commit(adding(table, 0, 1, rows)).await.unwrap();
    let two = || Cell::Integer(2);
    let four = || Cell::Integer(4);
    for (lower, upper, expected) in [
        (
            Bound::Included(two()),
            Bound::Included(four()),
            &["2", "3", "4"][..],
        ),
        (Bound::Excluded(two()), Bound::Excluded(four()), &["3"]),
        (Bound::Excluded(two()), Bound::Unbounded, &["3", "4", "5"]),
        (Bound::Unbounded, Bound::Included(two()), &["1", "2"]),
        (Bound::Excluded(four()), Bound::Excluded(two()), &[]),
    ] {
        let column = "amount".to_owned();
        let range = Some(RowRange {
            column,
            lower,
            upper,
        });
        let mut query = RowQuery {
            range,
            ..RowQuery::default()
        };
        assert_eq!(keys(&*store, &query, 2).await, expected);
        query.is_descending = true;
        let reversed: Vec<_> = expected.iter().rev().copied().collect();
        assert_eq!(keys(&*store, &query, 2).await, reversed);
    }
}

pub(crate) async fn rows_have_all_of_the_values_that_are_asked_for(store: Arc<dyn ViewStore>) {
    let table = create_active(&*store, "v1").await;
    let owner = uuid::Uuid::from_u128(7);
    let rows = [
        (
            "a",
            json!({ "status": "open", "is_open": true, "amount": 3, "owner": owner }),
        ),
        (
            "b",
            json!({ "status": "open", "is_open": true, "amount": 1, "owner": owner }),
        ),
        (
            "c",
            json!({ "status": "open", "is_open": false, "amount": 2, "owner": owner }),
        ),
        (
            "d",
            json!({ "status": "shut", "is_open": true, "amount": 2, "owner": owner }),
        ),
        (
            "e",
            json!({ "status": "open", "amount": 2, "owner": owner }),
        ),
    ];
    let rows = rows.iter().map(|(name, value)| row(name, value, at(1)));
    store
        .commit(adding(table, 0, 1, rows.collect()))
        .await
        .unwrap();
    let open = ("status".to_owned(), Cell::Text("open".to_owned()));
    let is_open = ("is_open".to_owned(), Cell::Boolean(true));
    let owned = ("owner".to_owned(), Cell::Uuid(owner));
    let query = RowQuery {
        equal: vec![is_open, open.clone(), owned],
        ..ordered_by("amount")
    };
    assert_eq!(keys(&*store, &query, 1).await, ["b", "a"]);
    let query = RowQuery {
        equal: vec![open],
        ..RowQuery::default()
    };
    assert_eq!(keys(&*store, &query, 3).await, ["a", "b", "c", "e"]);
}

pub(crate) async fn a_query_for_a_column_that_is_not_there_is_refused(store: Arc<dyn ViewStore>) {
    create_active(&*store, "v1").await;
    for query in [
        ordered_by("nothing"),
        RowQuery {
            equal: vec![("no\"thing".to_owned(), Cell::Integer(1))],
            ..RowQuery::default()
        },
    ] {
        let query = RowQuery { limit: 1, ..query };
        let refused = store.query(&view("orders"), &query).await.unwrap_err();
        assert!(!refused.is_retryable(), "{refused:?}");
    }
}
