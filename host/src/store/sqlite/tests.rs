//! What only a file can show. Everything else is in `conformance`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rusqlite::types::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use uuid::Uuid;

use super::{SqliteStore, past};
use crate::core::{
    ConsumerId, ConsumerSettings, ExpectedVersion, ModuleDigest, Namespace, Position,
    RecordedEvent, Start, StreamId,
};
use crate::store::conformance::support::*;
use crate::store::{
    Append, AppendError, ConsumerStore as _, Error, EventStore as _, LogFilter, ModuleStore as _,
    OpenError, PastStore as _, Place, Scope, SnapshotStore as _, conformance,
};

macro_rules! sqlite_case {
    ($case:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let file = File::new();
            conformance::$case(Arc::new(file.open().await)).await;
        }
    };
}
conformance::for_each_store_case!(sqlite_case);

/// A file in a folder that is deleted with it.
struct File(tempfile::TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// In a folder that is not there yet.
    fn path(&self) -> PathBuf {
        self.0.path().join("data").join("gavel.db")
    }

    async fn open(&self) -> SqliteStore {
        open(&self.path(), true).await.unwrap()
    }

    /// A connection as any other program has it.
    async fn plain_sql(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        options.connect().await.unwrap()
    }
}

async fn open(path: &Path, migrate: bool) -> Result<SqliteStore, OpenError> {
    let clock = Arc::new(conformance::UnsteadyClock::default());
    SqliteStore::open(path, migrate, clock).await
}

/// Runs a statement that must fail, and gives back what SQLite says.
async fn refusal(connection: &mut SqliteConnection, statement: &'static str) -> String {
    let refused = sqlx::query(statement).execute(connection).await;
    refused.unwrap_err().to_string()
}

async fn assert_sound(file: &File) {
    let mut connection = file.plain_sql().await;
    let integrity: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(integrity, "ok");
    let dangling = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(dangling.is_empty());
}

#[tokio::test]
async fn what_is_acknowledged_is_on_disk() {
    let store = File::new().open().await;
    for (pragma, expected) in [
        ("synchronous", Value::from(2)),
        ("journal_mode", Value::from("wal".to_owned())),
        ("foreign_keys", Value::from(1)),
    ] {
        let written = store
            .writer
            .write(move |tx| tx.pragma_query_value(None, pragma, |row| row.get::<_, Value>(0)));
        assert_eq!(written.await.unwrap(), expected, "{pragma}");
    }
}

#[tokio::test]
async fn a_file_that_is_opened_again_holds_everything() {
    let file = File::new();
    let store = file.open().await;
    let fence = activate_counter(&store).await;
    let part = decided(&stream("c"), fence, 0, increments(2));
    append(&store, part.clone()).await.unwrap();
    let events = events_of(&store, &stream("c")).await;
    let active = store.list_active(None).await.unwrap();
    drop(store);

    let store = file.open().await;
    assert_eq!(events_of(&store, &stream("c")).await, events);
    assert_eq!(store.list_active(None).await.unwrap(), active);
    let command = part.command.unwrap();
    let found = store
        .command(&Namespace::default(), command.command_id)
        .await;
    assert_eq!(found.unwrap(), Some(command));
    let later = grow(&store, &stream("c"), 1).await;
    assert_eq!(later[0].version, version(3));
    assert!(later[0].position > events[1].position);
}

#[tokio::test]
async fn events_and_activations_cannot_be_changed_by_plain_sql() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let events = grow(&store, &stream("c"), 2).await;
    let mut sql = file.plain_sql().await;

    for statement in [
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        // The next of its stream in all but the id, or the offset, of an event that it would replace.
        "INSERT OR REPLACE INTO events (event, event_id, decider, decider_id, data, command_id, previous_id, created_at, version)
        SELECT 'Reset', last_event_id, decider, decider_id, '{}', last_event_id, last_event_id, updated_at, version + 1 FROM stream_heads",
        r#"INSERT OR REPLACE INTO events ("offset", event, event_id, decider, decider_id, data, command_id, previous_id, created_at, version)
        SELECT 1, 'Reset', randomblob(16), decider, decider_id, '{}', last_event_id, last_event_id, updated_at, version + 1 FROM stream_heads"#,
        "UPDATE activations SET message = ''",
        "DELETE FROM activations",
    ] {
        let said = refusal(&mut sql, statement).await;
        assert!(said.contains("are immutable"), "{statement}: {said}");
    }
    let said = refusal(
        &mut sql,
        "UPDATE modules SET digest = replace(digest, 'a', 'b')",
    )
    .await;
    assert!(said.contains("FOREIGN KEY"), "{said}");
    assert_eq!(events_of(&store, &stream("c")).await, events);
}

#[tokio::test]
async fn plain_sql_obeys_the_rules_of_a_stream() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let newest = grow(&store, &stream("c"), 1).await.remove(0);
    let newest_id = newest.event.event_id;
    let mut sql = file.plain_sql().await;
    let mut insert = async |event: &str,
                            id: Uuid,
                            previous: Option<Uuid>,
                            version: i64,
                            is_final: bool| {
        sqlx::query(
            "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, previous_id, final, created_at, version)
            VALUES (?1, ?2, 'counter', 'c', '{}', ?2, ?3, ?4, 4000000000000, ?5)",
        )
        .bind(event)
        .bind(id)
        .bind(previous)
        .bind(is_final)
        .bind(version)
        .execute(&mut sql)
        .await
        .map_err(|error| error.to_string())
    };

    let id = Uuid::now_v7();
    for (event, id, previous, version, reason) in [
        ("Incremented", id, Some(newest_id), 3, "not the next"),
        ("Incremented", id, Some(newest_id), 1, "not the next"),
        ("Incremented", id, Some(id), 2, "previous_id"),
        ("Incremented", id, None, 2, "previous_id"),
        ("Incremented", newest_id, Some(newest_id), 2, "immutable"),
        ("Unheard", id, Some(newest_id), 2, "FOREIGN KEY"),
    ] {
        let said = insert(event, id, previous, version, false)
            .await
            .unwrap_err();
        assert!(said.contains(reason), "{said}");
    }
    insert("Closed", id, Some(newest_id), 2, true)
        .await
        .unwrap();
    let said = insert("Incremented", Uuid::now_v7(), Some(id), 3, false)
        .await
        .unwrap_err();
    assert!(said.contains("final"), "{said}");

    let head = store.head(&stream("c")).await.unwrap();
    assert_eq!(
        (head.version, head.last_event_id, head.is_final),
        (version(2), Some(id), true)
    );
    let error = append(&store, import(&stream("c"), exactly(2), increments(1)))
        .await
        .unwrap_err();
    assert!(
        matches!(error, AppendError::StreamFinal { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn plain_sql_sees_the_newest_event_of_each_stream() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    for (id, events) in [("a", 3), ("b", 1)] {
        grow(&store, &stream(id), events).await;
    }
    let seen: Vec<(String, i64, Uuid, bool)> = sqlx::query_as(
        "SELECT decider_id, version, last_event_id, final FROM stream_heads ORDER BY decider_id",
    )
    .fetch_all(&mut file.plain_sql().await)
    .await
    .unwrap();
    assert_eq!(seen.len(), 2);
    for (id, number, last_event_id, is_final) in seen {
        let head = store.head(&stream(&id)).await.unwrap();
        let expected = (head.version.to_sql(), head.last_event_id, head.is_final);
        assert_eq!((number, Some(last_event_id), is_final), expected);
    }
}

#[tokio::test]
async fn an_older_schema_is_refused_when_it_must_not_be_migrated() {
    let file = File::new();
    let missing = open(&file.path(), false).await.unwrap_err();
    assert!(
        matches!(missing, OpenError::Unreachable { .. }),
        "{missing:?}"
    );
    assert!(!file.path().exists());

    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    std::fs::write(file.path(), "").unwrap();
    let empty = open(&file.path(), false).await.unwrap_err();
    assert!(matches!(empty, OpenError::NotMigrated), "{empty:?}");

    drop(file.open().await);
    drop(open(&file.path(), false).await.unwrap());
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 3")
        .execute(&mut file.plain_sql().await)
        .await
        .unwrap();
    let older = open(&file.path(), false).await.unwrap_err();
    assert!(matches!(older, OpenError::NotMigrated), "{older:?}");
}

#[tokio::test]
async fn a_snapshot_that_is_no_json_is_ignored() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    grow(&store, &stream("c"), 3).await;
    let module = ModuleDigest::of(b"module");
    sqlx::query("INSERT INTO snapshots VALUES ('default', 'counter', 'c', ?1, 2, '{', 0)")
        .bind(module.to_string())
        .execute(&mut file.plain_sql().await)
        .await
        .unwrap();
    let loaded = store.load(&stream("c"), module, 10).await.unwrap();
    assert_eq!((loaded.snapshot, loaded.history.events.len()), (None, 3));
}

#[tokio::test]
async fn a_newer_schema_is_accepted() {
    let file = File::new();
    drop(file.open().await);
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9000, 'of the next release', '2031-01-01', true, x'00', 1)")
        .execute(&mut file.plain_sql().await)
        .await
        .unwrap();
    for migrate in [true, false] {
        open(&file.path(), migrate).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let file = File::new();
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    std::fs::write(file.path(), "no database, for sure. ".repeat(1_000)).unwrap();
    for migrate in [true, false] {
        let error = open(&file.path(), migrate).await.unwrap_err();
        assert!(
            matches!(error, OpenError::Unreachable { .. } | OpenError::Migrate(_)),
            "{error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_open_a_new_file_together_find_one_schema() {
    let file = File::new();
    let stores = futures::future::join_all((0..4).map(|_| file.open())).await;
    activate_counter(&stores[0]).await;
    for store in &stores {
        grow(store, &stream("c"), 1).await;
    }
    assert_eq!(version_of(&stores[3], &stream("c")).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_on_one_file_store_each_version_once() {
    let file = File::new();
    let hosts = [Arc::new(file.open().await), Arc::new(file.open().await)];
    let fence = activate_counter(&*hosts[0]).await;
    for round in 0..10 {
        let writers = hosts.iter().cycle().take(6).map(|host| {
            let host = Arc::clone(host);
            let part = decided(&stream("c"), fence, round, increments(1));
            tokio::spawn(async move { append(&*host, part).await })
        });
        let outcomes = futures::future::join_all(writers).await;
        let winners = outcomes
            .iter()
            .filter(|outcome| outcome.as_ref().unwrap().is_ok());
        assert_eq!(winners.count(), 1, "{outcomes:?}");
    }
    activate_counter(&*hosts[1]).await;
    let error = append(&*hosts[0], decided(&stream("c"), fence, 10, increments(1)))
        .await
        .unwrap_err();
    assert!(matches!(error, AppendError::Fenced { .. }), "{error:?}");
}

#[tokio::test]
async fn a_malformed_event_is_reported_and_hides_no_other() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    grow(&store, &stream("good"), 2).await;
    let damaged = grow(&store, &stream("bad"), 1).await.remove(0);
    let after = grow(&store, &stream("good"), 1).await;
    let mut sql = file.plain_sql().await;
    for statement in [
        "PRAGMA ignore_check_constraints = ON",
        "DROP TRIGGER events_are_never_updated",
        "UPDATE events SET data = '{\"by\":' WHERE decider_id = 'bad'",
    ] {
        sqlx::query(statement).execute(&mut sql).await.unwrap();
    }
    let assert_reported = |error: Error| match error {
        Error::Malformed {
            stream,
            position,
            raw,
            ..
        } => {
            assert_eq!(stream, "default/counter/bad");
            assert_eq!((position, raw.as_str()), (damaged.position, "{\"by\":"));
        }
        other => panic!("{other:?}"),
    };

    assert_reported(store.read_stream(&stream("bad"), WHOLE).await.unwrap_err());
    let folding = store.history(&stream("bad"), version(0), None, 10).await;
    assert_reported(folding.unwrap_err());
    let module = ModuleDigest::of(b"module");
    assert_reported(store.load(&stream("bad"), module, 10).await.unwrap_err());
    let everything = Scope {
        namespace: Namespace::default(),
        decider: decider("counter"),
        id: None,
        through: None,
    };
    let past = store.passages(&everything, &Place::default(), 10).await;
    assert_reported(past.unwrap_err());
    let found = store.event(&everything.namespace, damaged.event.event_id);
    assert_reported(found.await.unwrap_err());
    assert_eq!(events_of(&store, &stream("good")).await.len(), 3);
    let (namespace, all) = (Namespace::default(), LogFilter::default());
    let before = store
        .read_log(&namespace, Position::BEGINNING, &all, 10)
        .await
        .unwrap();
    assert_eq!((before.events.len(), before.caught_up), (2, false));
    assert_reported(
        store
            .read_log(&namespace, before.next, &all, 10)
            .await
            .unwrap_err(),
    );
    let resumed = store
        .read_log(&namespace, damaged.position, &all, 10)
        .await
        .unwrap();
    assert_eq!(resumed.events, after);
    // The head is whole, so that the stream can go on once a module can read it.
    grow(&store, &stream("bad"), 1).await;
}

#[tokio::test]
async fn the_past_is_read_in_the_order_of_an_index() {
    let file = File::new();
    let store = file.open().await;
    let range = |of| format!("namespace=? AND decider=? AND {of}");
    for (statement, of) in [
        (past::PASSAGES, "(decider_id,version)>(?,?)"),
        (past::PASSAGES_OF_STREAM, "decider_id=? AND version>?"),
        (past::EVENTLESS, "(decider_id,version,command_id)>(?,?,?)"),
        (
            past::EVENTLESS_OF_STREAM,
            "decider_id=? AND (version,command_id)>(?,?)",
        ),
    ] {
        let plan = store.readers.read(move |database| {
            let mut explain = database.prepare(&format!("EXPLAIN QUERY PLAN {statement}"))?;
            let mut steps = explain.raw_query();
            let mut plan = Vec::new();
            while let Some(step) = steps.next()? {
                plan.push(step.get::<_, String>("detail")?);
            }
            Ok(plan)
        });
        let plan = plan.await.unwrap();
        let [only] = plan.as_slice() else {
            panic!("it is sorted: {plan:?}");
        };
        assert!(only.contains(&range(of)), "{only}");
    }
}

#[tokio::test]
async fn what_hardly_anything_passes_is_looked_for_in_parts() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    grow(&store, &stream("common"), 10_500).await;
    let rare = grow(&store, &stream("rare"), 1).await;
    let filter = LogFilter {
        id_pattern: Some("rare".to_owned()),
        ..LogFilter::default()
    };
    let page = async |after| {
        let namespace = Namespace::default();
        store
            .read_log(&namespace, after, &filter, 10)
            .await
            .unwrap()
    };
    let first = page(Position::BEGINNING).await;
    assert_eq!((first.events.len(), first.caught_up), (0, false));
    let second = page(first.next).await;
    assert_eq!((second.events, second.caught_up), (rare, true));
}

#[tokio::test]
async fn a_malformed_event_parks_its_stream_and_no_other() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    for id in ["first", "good", "second"] {
        grow(&store, &stream(id), 2).await;
    }
    let mut sql = file.plain_sql().await;
    for statement in [
        "PRAGMA ignore_check_constraints = ON",
        "DROP TRIGGER events_are_never_updated",
        "UPDATE events SET data = '{\"by\":' WHERE (decider_id, version) IN (VALUES ('first', 1), ('second', 2))",
    ] {
        sqlx::query(statement).execute(&mut sql).await.unwrap();
    }
    let id = ConsumerId::new(Namespace::default(), "all").unwrap();
    let settings = ConsumerSettings {
        deciders: Vec::new(),
        events: Vec::new(),
        lock_timeout: Duration::from_secs(3_600),
        max_attempts: 3,
        backoff: Duration::ZERO,
        push: None,
    };
    let is_new = store.put_consumer(&id, &settings, Start::Beginning).await;
    assert!(is_new.unwrap());

    let mut leased = Vec::new();
    while leased.len() < 2 {
        leased.extend(store.lease(&id, 16, 100).await.unwrap().leases);
    }
    let counts: Vec<_> = leased
        .iter()
        .map(|lease| (lease.stream.id(), lease.events.len()))
        .collect();
    assert_eq!(counts, [("good", 2), ("second", 1)]);
    for lease in &leased {
        let through = lease.events.last().unwrap().position;
        store.ack(&id, lease.id, through, false).await.unwrap();
    }
    let parking = async {
        while store.list_parked(&id, None, 10).await.unwrap().len() < 2 {
            assert_eq!(store.lease(&id, 16, 100).await.unwrap().leases, []);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), parking)
        .await
        .unwrap();
    for (parked, (stream, version)) in store
        .list_parked(&id, None, 10)
        .await
        .unwrap()
        .iter()
        .zip([("first", 1), ("second", 2)])
    {
        assert_eq!(
            (parked.stream.id(), parked.version.get()),
            (stream, version)
        );
        assert!(parked.reason.contains("{\"by\":"), "{}", parked.reason);
        assert!(
            parked.reason.contains(&parked.position.to_string()),
            "{}",
            parked.reason
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_do_not_wait_for_a_writer_but_writes_do() {
    let file = File::new();
    let store = Arc::new(file.open().await);
    activate_counter(&*store).await;
    grow(&*store, &stream("c"), 1).await;
    let mut other = file.plain_sql().await;
    for statement in ["BEGIN IMMEDIATE", "DELETE FROM commands"] {
        sqlx::query(statement).execute(&mut other).await.unwrap();
    }

    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { grow(&*store, &stream("c"), 1).await }
    });
    for _ in 0..50 {
        assert_eq!(events_of(&*store, &stream("c")).await.len(), 1);
        assert_eq!(log_of(&*store, &Namespace::default(), 1).await.len(), 1);
    }
    assert!(!waiting.is_finished());
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(waiting.await.unwrap()[0].version, version(2));
}

#[tokio::test]
async fn a_full_disk_refuses_appends_until_there_is_room() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let limited = store
        .writer
        .write(|tx| tx.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(())));
    limited.await.unwrap();

    let error = append(
        &store,
        import(&stream("c"), ExpectedVersion::NoStream, increments(1_000)),
    )
    .await
    .unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    assert_eq!(version_of(&store, &stream("c")).await, 0);
    // The limit was that of the connection, which is not used again.
    grow(&store, &stream("c"), 1_000).await;
    assert_sound(&file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_writes_leave_no_transaction_behind() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    for polls in 0..40 {
        let part = import(&stream("c"), ExpectedVersion::Any, increments(100));
        let mut appending = store.append(Append { parts: vec![part] });
        for _ in 0..polls {
            if let Poll::Ready(outcome) = futures::poll!(appending.as_mut()) {
                outcome.unwrap();
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let events = events_of(&store, &stream("c")).await;
    assert_eq!(events.len() % 100, 0, "each append is whole or absent");
    grow(&store, &stream("c"), 1).await;
    assert_sound(&file).await;
}

#[tokio::test]
async fn of_a_batch_the_refused_appends_keep_none_from_being_written() {
    let file = File::new();
    let store = file.open().await;
    let fence = activate_counter(&store).await;
    let accepted = |id: &str, at: u64| decided(&stream(id), fence, at, increments(1));
    let again = accepted("a", 0);
    let mut known = accepted("d", 0);
    known.command.clone_from(&again.command);
    let half_good = vec![accepted("c", 0), accepted("a", 7)];
    let batch = [
        vec![again],
        vec![accepted("a", 0)],
        half_good,
        vec![known],
        vec![accepted("a", 1)],
        vec![import(
            &stream("b"),
            ExpectedVersion::Any,
            vec![event("Unheard")],
        )],
        vec![accepted("c", 0)],
    ];
    let batch = batch.map(|parts| Append { parts }).to_vec();

    let now = time::macros::datetime!(2026-02-03 04:05:06 UTC);
    let written = store
        .writer
        .write(move |tx| super::append::append_in_tx(tx, batch, now));
    let outcomes = written.await.unwrap();

    assert!(
        matches!(outcomes[1], Err(AppendError::VersionConflict { .. })),
        "{outcomes:?}"
    );
    assert!(
        matches!(outcomes[2], Err(AppendError::VersionConflict { .. })),
        "{outcomes:?}"
    );
    assert!(
        matches!(outcomes[3], Err(AppendError::DuplicateCommand { .. })),
        "{outcomes:?}"
    );
    assert!(
        matches!(outcomes[5], Err(AppendError::EventUnregistered { .. })),
        "{outcomes:?}"
    );
    let stored: Vec<RecordedEvent> = [0, 4, 6]
        .into_iter()
        .flat_map(|index| outcomes[index].as_ref().unwrap()[0].events.clone())
        .collect();
    assert_eq!(log_of(&store, &Namespace::default(), 3).await, stored);
    let of = |id: &str| -> StreamId { stream(id) };
    assert_eq!(version_of(&store, &of("a")).await, 2);
    assert_eq!(version_of(&store, &of("c")).await, 1);
}
