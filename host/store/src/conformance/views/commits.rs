//! Changes of rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_model::Json;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use super::support::*;
use crate::PAGE_BYTES;
use crate::views::{CommitError, KeyedRow, RowQuery, RowsChange, TableId, ViewStore};

/// More rows than stores write one by one.
const MANY: u64 = 1_500;

pub(crate) async fn rows_and_progress_change_together(store: Arc<dyn ViewStore>) {
    let table = create(&*store, "v1").await;
    let change = adding(
        table,
        0,
        5,
        vec![amount("a", 1, at(2)), amount("b", 2, at(5))],
    );
    store.commit(change).await.unwrap();
    let change = RowsChange {
        put: vec![amount("a", 3, at(7))],
        ended: vec![key("b")],
        removed: 1,
        ..RowsChange::moving(table, at(5), at(9))
    };
    store.commit(change).await.unwrap();
    let expected = BTreeMap::from([("a".to_owned(), r#"{"amount": 3}"#.to_owned())]);
    assert_eq!(all(&*store, table, 10).await, expected);
    let found = find(&*store, table).await.unwrap();
    assert_eq!((found.position, found.rows), (at(9), 1));
    let (page, position) = store.scan(table, None, 10).await.unwrap();
    assert_eq!((page.items[0].position, position), (at(7), at(9)));
    let rows = store.rows(table, &[key("b"), key("a")]).await.unwrap();
    assert_eq!(rows[0].value, None);
    assert_eq!(rows[1].value.as_ref().unwrap().as_str(), r#"{"amount": 3}"#);

    // One that moves nothing on is made as well.
    let change = RowsChange {
        put: vec![amount("a", 4, at(7))],
        ..RowsChange::moving(table, at(9), at(9))
    };
    store.commit(change).await.unwrap();
    assert_eq!(all(&*store, table, 10).await["a"], r#"{"amount": 4}"#);
}

pub(crate) async fn a_change_that_begins_elsewhere_changes_nothing(store: Arc<dyn ViewStore>) {
    let table = create(&*store, "v1").await;
    let change = adding(table, 0, 5, vec![amount("a", 1, at(5))]);
    store.commit(change).await.unwrap();
    for from in [0, 4, 6] {
        let change = RowsChange {
            ended: vec![key("a")],
            removed: 1,
            ..adding(table, from, 9, vec![amount("b", 2, at(9))])
        };
        let refused = store.commit(change).await;
        assert!(matches!(refused, Err(CommitError::Moved)), "{refused:?}");
    }
    assert_eq!(all(&*store, table, 10).await.len(), 1);
    let found = find(&*store, table).await.unwrap();
    assert_eq!((found.position, found.rows), (at(5), 1));
}

pub(crate) async fn of_changes_that_race_one_is_made(store: Arc<dyn ViewStore>) {
    let table = create(&*store, "v1").await;
    for round in 0..20 {
        let racing = (0..4).map(|racer| {
            let store = Arc::clone(&store);
            let name = format!("{round}-{racer}");
            let row = amount(&name, racer, at(round + 1));
            tokio::spawn(async move {
                store
                    .commit(adding(table, round, round + 1, vec![row]))
                    .await
            })
        });
        let mut made = 0;
        for racer in racing.collect::<Vec<_>>() {
            match racer.await.unwrap() {
                Ok(()) => made += 1,
                Err(CommitError::Moved) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(made, 1);
    }
    assert_eq!(all(&*store, table, 7).await.len(), 20);
}

pub(crate) async fn a_row_that_ends_is_gone_and_may_come_again(store: Arc<dyn ViewStore>) {
    let table = create(&*store, "v1").await;
    store
        .commit(adding(table, 0, 1, vec![amount("a", 1, at(1))]))
        .await
        .unwrap();
    let end = RowsChange {
        ended: vec![key("a"), key("never")],
        removed: 1,
        ..RowsChange::moving(table, at(1), at(2))
    };
    store.commit(end).await.unwrap();
    assert_eq!(find(&*store, table).await.unwrap().rows, 0);
    assert!(all(&*store, table, 10).await.is_empty());
    store
        .commit(adding(table, 2, 3, vec![amount("a", 2, at(3))]))
        .await
        .unwrap();
    assert_eq!(all(&*store, table, 10).await["a"], r#"{"amount": 2}"#);
    assert_eq!(find(&*store, table).await.unwrap().rows, 1);
}

pub(crate) async fn the_text_of_a_row_that_goes_in_comes_out(store: Arc<dyn ViewStore>) {
    let table = create_active(&*store, "v1").await;
    let texts = [
        r#"{"b":1.50,"a":[{"é":"\"'\\"},null,18446744073709551615],"":1e2}"#,
        "{}",
        "[]",
        "7",
        r#""text""#,
        r#"{"amount":9223372036854775807,"status":"a\tb","ratio":1e300}"#,
    ];
    let rows = texts.iter().enumerate().map(|(number, text)| KeyedRow {
        value: Json::parse(text).unwrap(),
        ..amount(&number.to_string(), 0, at(1))
    });
    let rows: Vec<KeyedRow> = rows.collect();
    store
        .commit(adding(table, 0, 1, rows.clone()))
        .await
        .unwrap();
    let scanned = all(&*store, table, 10).await;
    for row in rows {
        let read = store
            .read(&view("orders"), &row.key)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(read.value.unwrap().as_str(), row.value.as_str());
        assert_eq!(scanned[row.key.as_str()], row.value.as_str());
    }
}

/// A value at the edge of each column's type.
fn edges() -> Vec<(&'static str, Value)> {
    vec![
        ("amount", json!(i64::MIN)),
        ("amount", json!(i64::MAX)),
        ("ratio", json!(f64::MAX)),
        ("ratio", json!(-f64::MIN_POSITIVE)),
        ("ratio", json!(0.1)),
        ("is_open", json!(false)),
        ("status", json!("")),
        ("status", json!("x".repeat(1_000))),
        ("status", json!("日本 'quoted' \\ \"")),
        ("created_at", json!("0001-01-01T00:00:00Z")),
        ("created_at", json!("9999-12-31T23:59:59.999999Z")),
        ("created_at", json!("2026-02-03T04:05:06.789012+05:30")),
        ("owner", json!("00000000-0000-0000-0000-000000000000")),
        ("owner", json!("ffffffff-ffff-ffff-ffff-ffffffffffff")),
    ]
}

pub(crate) async fn values_of_every_type_are_kept_to_their_edges(store: Arc<dyn ViewStore>) {
    keeps_edges_beside(&*store, 0).await;
}

pub(crate) async fn many_new_rows_are_kept_as_a_few_are(store: Arc<dyn ViewStore>) {
    let table = keeps_edges_beside(&*store, MANY).await;
    let found = find(&*store, table).await.unwrap();
    assert_eq!(found.rows, MANY + edges().len() as u64);

    // That rows are new is no promise: one of these is there.
    let special = "\\N \\. \\\\ \"\'\t\u{85}";
    let again = (0..MANY).map(|number| {
        let name = format!("{} {special}", number + 1);
        row(
            &name.replace(['\t', '\u{85}'], " "),
            &json!({ "status": special }),
            at(2),
        )
    });
    let known = amount("more-7", 8, at(2));
    let again: Vec<KeyedRow> = again.chain([known.clone()]).collect();
    let change = adding(table, 1, 2, again.clone());
    store.commit(change.clone()).await.unwrap();
    let rows = all(&*store, table, 1_000).await;
    assert_eq!(rows.len() as u64, edges().len() as u64 + 2 * MANY);
    for row in &again {
        assert_eq!(rows[row.key.as_str()], row.value.as_str());
    }
    let moved = store.commit(change).await;
    assert!(matches!(moved, Err(CommitError::Moved)), "{moved:?}");
}

/// Commits values at the edges of their types and so many further rows at once, and finds each.
async fn keeps_edges_beside(store: &dyn ViewStore, more: u64) -> TableId {
    let table = create_active(store, "v1").await;
    let edges = edges();
    let rows = edges.iter().enumerate().map(|(number, (column, value))| {
        row(&format!("k{number:02}"), &json!({ *column: value }), at(1))
    });
    let rows: Vec<KeyedRow> = rows.collect();
    let more = (0..more).map(|number| amount(&format!("more-{number}"), 5, at(1)));
    let all: Vec<KeyedRow> = rows.iter().cloned().chain(more).collect();
    store.commit(adding(table, 0, 1, all)).await.unwrap();
    for (row, (column, _)) in rows.iter().zip(&edges) {
        let place = COLUMNS.iter().position(|(name, _)| name == column).unwrap();
        let cell = row.cells[place].clone().unwrap();
        let query = RowQuery {
            equal: vec![((*column).to_owned(), cell)],
            limit: 10,
            ..RowQuery::default()
        };
        let found = store.query(&view("orders"), &query).await.unwrap().unwrap();
        let found: Vec<_> = found.rows.into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, std::slice::from_ref(&row.key), "{column}");
    }
    table
}

pub(crate) async fn keys_that_look_alike_are_different_rows(store: Arc<dyn ViewStore>) {
    let table = create_active(&*store, "v1").await;
    let names = [
        "a",
        "A",
        " a",
        "a ",
        "á",
        "a\u{301}",
        "ａ",
        "%",
        "_",
        "a'b",
        "a\"b",
        "a\\b",
        "1",
        "01",
        "1.0",
        "null",
        "NULL",
        "$1",
        "日本",
        &"x".repeat(255),
    ];
    let numbered = names.iter().enumerate();
    let rows = numbered.map(|(number, name)| amount(name, number as i64, at(1)));
    store
        .commit(adding(table, 0, 1, rows.collect()))
        .await
        .unwrap();
    for (number, name) in names.iter().enumerate() {
        let read = store
            .read(&view("orders"), &key(name))
            .await
            .unwrap()
            .unwrap();
        let expected = format!(r#"{{"amount": {number}}}"#);
        assert_eq!(read.value.unwrap().as_str(), expected, "{name}");
    }
    let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    let rows = store.rows(table, &keys).await.unwrap();
    assert_eq!(rows.len(), names.len());
    assert!(rows.iter().all(|row| row.value.is_some()));
}

pub(crate) async fn rows_are_scanned_by_the_bytes_of_their_keys(store: Arc<dyn ViewStore>) {
    let table = create(&*store, "v1").await;
    let names = ["b", "a", "B", "_", "ä", "a-1", "a1", "a 1", "日", "~"];
    let rows = names.iter().map(|name| amount(name, 1, at(1)));
    store
        .commit(adding(table, 0, 1, rows.collect()))
        .await
        .unwrap();
    let mut sorted = names.to_vec();
    sorted.sort_by_key(|name| name.as_bytes());
    for limit in [1, 3, 100] {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let (page, _) = store.scan(table, after.as_ref(), limit).await.unwrap();
            found.extend(page.items.iter().map(|row| row.key.as_str().to_owned()));
            after = page.items.into_iter().last().map(|row| row.key);
            if !page.has_more {
                break;
            }
        }
        assert_eq!(found, sorted);
    }
}

pub(crate) async fn pages_of_rows_are_bounded_in_bytes(store: Arc<dyn ViewStore>) {
    let table = create_active(&*store, "v1").await;
    let large = "x".repeat(PAGE_BYTES / 3);
    for number in 0..6 {
        let value = json!({ "note": large, "amount": number });
        let row = row(&number.to_string(), &value, at(number + 1));
        store
            .commit(adding(table, number, number + 1, vec![row]))
            .await
            .unwrap();
    }
    let (page, _) = store.scan(table, None, 100).await.unwrap();
    assert!(page.has_more && (1..=3).contains(&page.items.len()));
    let query = RowQuery {
        limit: 100,
        ..RowQuery::default()
    };
    let page = store.query(&view("orders"), &query).await.unwrap().unwrap();
    assert!(page.next.is_some() && (1..=3).contains(&page.rows.len()));
    assert_eq!(all(&*store, table, 100).await.len(), 6);
}

pub(crate) async fn sums_are_over_all_rows(store: Arc<dyn ViewStore>) {
    let table = create(&*store, "v1").await;
    let columns = ["ratio".to_owned(), "amount".to_owned()];
    assert_eq!(store.sums(table, &columns).await.unwrap(), [0.0, 0.0]);
    let rows = vec![
        row("a", &json!({ "amount": 7, "ratio": 0.5 }), at(1)),
        row("b", &json!({ "amount": -2 }), at(1)),
        row("c", &json!({ "ratio": 2 }), at(1)),
    ];
    store.commit(adding(table, 0, 1, rows)).await.unwrap();
    assert_eq!(store.sums(table, &columns).await.unwrap(), [2.5, 5.0]);
    let most = vec![amount("d", i64::MAX, at(2)), amount("e", i64::MAX, at(2))];
    store.commit(adding(table, 1, 2, most)).await.unwrap();
    let sums = store.sums(table, &columns).await.unwrap();
    assert!(
        (sums[1] / 1.844_674_407_370_955e19 - 1.0).abs() < 1e-9,
        "{sums:?}"
    );
    assert!(store.sums(table, &["nothing".to_owned()]).await.is_err());
}

/// Random changes of two tables, against a map.
pub(crate) async fn changes_follow_the_model(store: Arc<dyn ViewStore>) {
    let mut random = StdRng::seed_from_u64(17);
    let tables = [create(&*store, "v1").await, create(&*store, "v2").await];
    let mut models: [BTreeMap<String, String>; 2] = Default::default();
    let mut positions = [0_u64; 2];
    for _ in 0..60 {
        let which = random.random_range(0..2);
        let (model, position) = (&mut models[which], &mut positions[which]);
        let next = *position + random.random_range(1..4);
        let mut change = adding(tables[which], *position, next, Vec::new());
        for number in 0..20 {
            let name = format!("k{number}");
            match random.random_range(0..4) {
                0 => {
                    let value: Value = json!({ "amount": random.random_range(0..1_000) });
                    let row = row(&name, &value, at(next));
                    let text = row.value.as_str().to_owned();
                    change.added += u64::from(model.insert(name, text).is_none());
                    change.put.push(row);
                }
                1 => {
                    change.ended.push(key(&name));
                    change.removed += u64::from(model.remove(&name).is_some());
                }
                _ => {}
            }
        }
        store.commit(change).await.unwrap();
        *position = next;
    }
    for (table, model) in tables.into_iter().zip(models) {
        assert_eq!(all(&*store, table, 7).await, model);
        let found = find(&*store, table).await.unwrap();
        assert_eq!(found.rows, model.len() as u64);
    }
}
