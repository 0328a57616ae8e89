//! The tag index, and writers that know nothing of it.

use std::collections::BTreeSet;

use futures::future::join_all;
use gavel_store::{EventKind, HistoryIndex, TagCondition, TagIndex as _};

use super::*;

/// An append by plain SQL to a stream of its own, with these tags.
const TAGGED: &str = "SELECT append_event('Incremented', gen_random_uuid(), 'counter', $1, '{}', gen_random_uuid(), NULL, tags => $2)";

async fn append_tagged(session: &mut PgConnection, id: &str, tags: &[&str]) {
    let statement = sqlx::query(TAGGED).bind(id.to_owned());
    let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
    statement.bind(tags).execute(session).await.unwrap();
}

fn kind(event: &str) -> EventKind {
    EventKind {
        decider: "counter".to_owned(),
        event: event.to_owned(),
    }
}

async fn guard(store: &PostgresStore) {
    let kinds = BTreeSet::from([kind("Incremented")]);
    let guarded = store.guard_tags(&Namespace::default(), &kinds).await;
    guarded.unwrap();
}

async fn step(store: &PostgresStore) -> HistoryIndex {
    let indexed = store.index_history(&Namespace::default(), 1_000).await;
    indexed.unwrap()
}

async fn index(store: &PostgresStore) {
    let indexing = async { while step(store).await != HistoryIndex::Complete {} };
    tokio::time::timeout(DEADLINE, indexing).await.unwrap();
}

fn wanted() -> TagCondition {
    TagCondition {
        kinds: BTreeSet::from([kind("Incremented")]),
        tags: vec!["t".to_owned()],
    }
}

/// The ids of the streams with events that have the tag `t`, once there are `count`.
async fn found(store: &PostgresStore, count: usize) -> Vec<String> {
    let wanted = [wanted()];
    let looking = async {
        loop {
            let home = Namespace::default();
            let through = store.moment(&home).await.unwrap().settled;
            let page = store.tagged(&home, &wanted, Position::BEGINNING, through, 100);
            let events = page.await.unwrap().expect("it is indexed").events;
            if events.len() >= count {
                return events;
            }
        }
    };
    let events = tokio::time::timeout(DEADLINE, looking).await.unwrap();
    ids(&events).into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_open_while_a_guard_is_put_is_indexed() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let (mut one, mut other) = (database.connect().await, database.connect().await);
        register(&mut one).await;
        append_tagged(&mut one, "before", &["t"]).await;
        one.execute("BEGIN").await.unwrap();
        append_tagged(&mut one, "open", &["t"]).await;
        guard(&store).await;
        append_tagged(&mut other, "meanwhile", &["t"]).await;
        for _ in 0..3 {
            assert_eq!(step(&store).await, HistoryIndex::Waiting);
        }
        append_tagged(&mut one, "open-2", &["t"]).await;
        one.execute("COMMIT").await.unwrap();
        index(&store).await;
        append_tagged(&mut one, "after", &["t"]).await;
        let all = found(&store, 5).await;
        assert_eq!(all, ["before", "open", "open-2", "meanwhile", "after"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_may_have_heard_of_no_guard_is_waited_for() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let (mut writer, mut later) = (database.connect().await, database.connect().await);
        register(&mut writer).await;
        // It has no transaction id that could be waited for.
        writer
            .execute("BEGIN; LOCK TABLE events IN ROW EXCLUSIVE MODE")
            .await
            .unwrap();
        guard(&store).await;
        assert_eq!(step(&store).await, HistoryIndex::Waiting);
        // Who begins now knows of it, and is not waited for.
        later.execute("BEGIN").await.unwrap();
        append_tagged(&mut later, "later", &["t"]).await;
        append_tagged(&mut writer, "writer", &["t"]).await;
        writer.execute("COMMIT").await.unwrap();
        index(&store).await;
        later.execute("COMMIT").await.unwrap();
        assert_eq!(found(&store, 2).await, ["later", "writer"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_snapshot_is_older_than_a_guard_has_to_begin_again() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM deciders";
        session.execute(begin).await.unwrap();
        guard(&store).await;
        index(&store).await;
        let statement = sqlx::query(TAGGED).bind("a").bind(vec!["t".to_owned()]);
        let refused = statement.execute(&mut session).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("40001"));
        session.execute("ROLLBACK").await.unwrap();
        session.execute(begin).await.unwrap();
        append_tagged(&mut session, "a", &["t"]).await;
        session.execute("COMMIT").await.unwrap();
        assert_eq!(found(&store, 1).await, ["a"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_plain_sql_inserts_is_indexed_and_a_hash_alone_finds_nothing() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        guard(&store).await;
        index(&store).await;
        let rows = "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, tags)
            SELECT 'Incremented', gen_random_uuid(), 'counter', 'i-' || i, '{}', gen_random_uuid(),
                   CASE i WHEN 2 THEN '{u}' ELSE '{t,u,t}'::TEXT[] END
            FROM generate_series(1, 3) AS i";
        session.execute(rows).await.unwrap();
        append(&store, "host", ExpectedVersion::NoStream)
            .await
            .unwrap();
        eventually(&mut session, "SELECT count(*) FROM event_tags", 5).await;
        // As if `u` had the hash of `t`.
        let same = "INSERT INTO event_tags SELECT gavel_tag_hash('default', 't'), generation, transaction_id, \"offset\", 1
            FROM events ON CONFLICT DO NOTHING";
        session.execute(same).await.unwrap();
        assert_eq!(found(&store, 2).await, ["i-1", "i-3"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_put_guards_at_the_same_time_put_all_of_them() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        let names: Vec<String> = (0..12).map(|number| format!("E-{}", number / 2)).collect();
        let namespaces = ["one", "two"].map(|name| Namespace::new(name).unwrap());
        let putting = names.iter().enumerate().map(|(place, name)| {
            let kinds = BTreeSet::from([kind(name), kind("Incremented")]);
            let (store, namespace) = (&store, &namespaces[place % 2]);
            async move { store.guard_tags(namespace, &kinds).await }
        });
        for put in join_all(putting).await {
            put.unwrap();
        }
        let count = "SELECT count(*) FROM tag_guards WHERE kind <= gavel_newest_tag_guard()";
        eventually(&mut session, count, 14).await;
        let newest = "SELECT gavel_newest_tag_guard()::BIGINT";
        eventually(&mut session, newest, 14).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_guards_looks_for_none_and_stores_nothing_of_tags() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        session.execute("BEGIN").await.unwrap();
        append_tagged(&mut session, "a", &["t", "u"]).await;
        let touched = "SELECT coalesce(sum(coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins), 0)::BIGINT
            FROM pg_stat_xact_user_tables WHERE relname IN ('tag_guards', 'event_tags')";
        eventually(&mut session, touched, 0).await;
        session.execute("COMMIT").await.unwrap();

        guard(&store).await;
        session.execute("BEGIN").await.unwrap();
        append_tagged(&mut session, "b", &["t", "u"]).await;
        let inserted = "SELECT n_tup_ins FROM pg_stat_xact_user_tables WHERE relname = 'event_tags'";
        eventually(&mut session, inserted, 2).await;
        session.execute("COMMIT").await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_is_found_though_the_log_does_not_show_it() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        guard(&store).await;
        index(&store).await;
        append_tagged(&mut session, "a", &["t"]).await;
        let home = Namespace::default();
        assert_eq!(found(&store, 1).await, ["a"]);
        let settled = store.moment(&home).await.unwrap().settled;

        // As a transaction of another database does that ends while the horizon is looked for.
        let moved_back = "CREATE OR REPLACE FUNCTION gavel_horizon(OUT generation INTEGER, OUT transaction_id XID8)
            LANGUAGE sql STABLE AS $$ SELECT 0, '3'::XID8 $$";
        session.execute(moved_back).await.unwrap();
        let all = LogFilter::default();
        let log = store.read_log(&home, Position::BEGINNING, &all, 10);
        assert_eq!(log.await.unwrap().events, []);
        let wanted = [wanted()];
        let page = store.tagged(&home, &wanted, Position::BEGINNING, settled, 10);
        let page = page.await.unwrap().expect("it is indexed");
        assert_eq!(ids(&page.events), ["a"]);
        assert!(!page.has_more);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_database_goes_on_with_what_was_indexed_in_it() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for id in ["a", "b", "c"] {
            append_tagged(&mut session, id, &["t"]).await;
        }
        guard(&store).await;
        let piece = store.index_history(&Namespace::default(), 2).await.unwrap();
        assert_eq!(piece, HistoryIndex::Incomplete);
        store.close().await;
        session.close().await.unwrap();

        let copy = PostgresDatabase {
            name: format!("{}_copy", database.name),
            ..database.clone()
        };
        let create = format!("CREATE DATABASE {} TEMPLATE {}", copy.name, database.name);
        let mut server = database.server.connect().await.unwrap();
        server.execute(AssertSqlSafe(create)).await.unwrap();
        let store = copy.open().await;
        let mut session = copy.connect().await;
        index(&store).await;
        append_tagged(&mut session, "d", &["t"]).await;
        assert_eq!(found(&store, 4).await, ["a", "b", "c", "d"]);
        copy.drop().await;
    })
    .await;
}
