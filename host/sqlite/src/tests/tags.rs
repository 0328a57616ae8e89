//! The tag index of a file that other programs write to, or that was put back.

use std::collections::BTreeSet;

use gavel_store::{EventKind, HistoryIndex, PastStore as _, TagCondition, TagIndex as _};

use super::*;

fn kinds() -> BTreeSet<EventKind> {
    BTreeSet::from([EventKind {
        decider: "counter".to_owned(),
        event: "Incremented".to_owned(),
    }])
}

async fn index(store: &SqliteStore, limit: u32) -> HistoryIndex {
    let indexed = store.index_history(&Namespace::default(), limit).await;
    indexed.unwrap()
}

/// The ids of the streams with events that have the tag `t`.
async fn found(store: &SqliteStore) -> Vec<String> {
    let wanted = [TagCondition {
        kinds: kinds(),
        tags: vec!["t".to_owned()],
    }];
    let home = Namespace::default();
    let through = store.moment(&home).await.unwrap().settled;
    let page = store.tagged(&home, &wanted, Position::BEGINNING, through, 100);
    let events = page.await.unwrap().expect("it is indexed").events;
    let ids = events.iter().map(|event| event.stream.id().to_owned());
    ids.collect()
}

/// Begins a stream by plain SQL.
fn insert(sql: &Connection, id: &str, tags: &str) {
    let statement = "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, created_at, version, tags)
        VALUES ('Incremented', randomblob(16), 'counter', ?1, '{}', randomblob(16), 1770000000000, 1, ?2)";
    sql.execute(statement, [id, tags]).unwrap();
}

#[tokio::test]
async fn what_plain_sql_inserts_is_indexed_and_a_file_without_guards_has_no_trigger_for_it() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let sql = file.plain_sql();
    let triggers = || {
        let count =
            "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%event_tags%'";
        sql.query_row(count, [], |row| row.get::<_, u32>(0))
            .unwrap()
    };
    insert(&sql, "before", r#"["t"]"#);
    assert_eq!(triggers(), 0);
    store
        .guard_tags(&Namespace::default(), &kinds())
        .await
        .unwrap();
    assert_eq!(triggers(), 1);
    insert(&sql, "twice", r#"["u", "t", "t"]"#);
    insert(&sql, "odd", r#"[7, null, ["t"], "v"]"#);
    insert(&sql, "none", r#"{"t": 1}"#);
    insert(&sql, "other", r#"["T", "tt"]"#);
    assert_eq!(index(&store, 10).await, HistoryIndex::Complete);
    let rows = "SELECT group_concat(tag, ' ') FROM event_tags";
    let rows = sql.query_row(rows, [], |row| row.get::<_, String>(0));
    assert_eq!(rows, Ok("T t t tt u v".to_owned()));
    // The tags of the events themselves decide.
    let stale = r#"INSERT INTO event_tags SELECT namespace, 't', "offset", decider, event FROM events WHERE decider_id = 'other'"#;
    sql.execute(stale, []).unwrap();
    assert_eq!(found(&store).await, ["before", "twice"]);
    assert_sound(&file);
}

#[tokio::test]
async fn a_copy_that_is_put_back_goes_on_with_what_was_indexed_in_it() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let sql = file.plain_sql();
    for id in ["a", "b", "c"] {
        insert(&sql, id, r#"["t"]"#);
    }
    store
        .guard_tags(&Namespace::default(), &kinds())
        .await
        .unwrap();
    assert_eq!(index(&store, 2).await, HistoryIndex::Incomplete);
    let copy = File::new();
    std::fs::create_dir_all(copy.path().parent().unwrap()).unwrap();
    sql.execute("VACUUM INTO ?1", [copy.path().to_str().unwrap()])
        .unwrap();
    insert(&sql, "lost", r#"["t"]"#);

    let restored = copy.open().await;
    assert_eq!(index(&restored, 2).await, HistoryIndex::Complete);
    insert(&copy.plain_sql(), "d", r#"["t"]"#);
    assert_eq!(found(&restored).await, ["a", "b", "c", "d"]);
    assert_eq!(index(&store, 2).await, HistoryIndex::Complete);
    assert_eq!(found(&store).await, ["a", "b", "c", "lost"]);
}
