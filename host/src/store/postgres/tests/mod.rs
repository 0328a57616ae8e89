//! The conformance list, and what only a database that is shared with others can do wrong.

mod consumers;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use uuid::Uuid;

use super::{PostgresOptions, PostgresStore, past};
use crate::core::{
    DeciderName, ExpectedVersion, Json, Metadata, ModuleDigest, Namespace, NewEvent, Position,
    RecordedEvent, StreamId, Version,
};
use crate::store::{
    Append, AppendError, Appended, Error, EventStore as _, History, LogFilter, LogPage, OpenError,
    PastStore as _, Place, Scope, Snapshot, SnapshotStore as _, StreamAppend, conformance,
};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A database of its own on the server that `DATABASE_URL` names.
#[derive(Debug, Clone)]
struct Database {
    server: PgConnectOptions,
    name: String,
}

impl Database {
    async fn create() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests are told here where the server is"
        )]
        let url = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL names a connection of a PostgreSQL superuser");
        let database = Self {
            server: url.parse().unwrap(),
            name: format!("gavel_test_{}", Uuid::new_v4().simple()),
        };
        let create = format!("CREATE DATABASE {}", database.name);
        let mut server = database.server.connect().await.unwrap();
        server.execute(AssertSqlSafe(create)).await.unwrap();
        database
    }

    async fn drop(self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let mut server = self.server.connect().await.unwrap();
        server.execute(AssertSqlSafe(drop)).await.unwrap();
    }

    /// A session that is no host.
    async fn connect(&self) -> PgConnection {
        let options = self.server.clone().database(&self.name);
        PgConnection::connect_with(&options).await.unwrap()
    }

    fn options(&self) -> PostgresOptions {
        let mut url = self.server.to_url_lossy();
        url.set_path(&self.name);
        PostgresOptions {
            url: url.into(),
            max_connections: 8,
            migrate: true,
            allow_unsafe_durability: false,
        }
    }

    async fn open(&self) -> PostgresStore {
        PostgresStore::open(self.options()).await.unwrap()
    }
}

/// Runs `case` on a new database, and drops that however the case ends.
async fn on_new_database(case: impl AsyncFnOnce(Database)) {
    let database = Database::create().await;
    let outcome = AssertUnwindSafe(case(database.clone()))
        .catch_unwind()
        .await;
    database.drop().await;
    outcome.unwrap_or_else(|failure| resume_unwind(failure));
}

macro_rules! postgres_case {
    ($case:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            on_new_database(async |database: Database| {
                conformance::$case(Arc::new(database.open().await)).await;
            })
            .await;
        }
    };
}
conformance::for_each_store_case!(postgres_case);

fn stream(id: &str) -> StreamId {
    let decider = DeciderName::new("counter").unwrap();
    StreamId::new(Namespace::default(), decider, id).unwrap()
}

/// A part with one event, `Incremented`, which [`register`] has registered.
fn increment(id: &str, expected: ExpectedVersion) -> StreamAppend {
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        event: "Incremented".to_owned(),
        schema_version: 1,
        data: Json::empty_object(),
        is_final: false,
        tags: Vec::new(),
        metadata: Metadata::default(),
        command_id: Uuid::now_v7(),
    };
    StreamAppend {
        stream: stream(id),
        expected,
        expected_previous_id: None,
        events: vec![event],
        command: None,
        fence: None,
    }
}

async fn append(
    store: &PostgresStore,
    id: &str,
    expected: ExpectedVersion,
) -> Result<Appended, AppendError> {
    let parts = vec![increment(id, expected)];
    let appended = store.append(Append { parts }).await?;
    Ok(appended.into_iter().next().unwrap())
}

async fn register(session: &mut PgConnection) {
    session
        .execute("SELECT register_decider_event('counter', 'Incremented', '')")
        .await
        .unwrap();
}

/// Begins a transaction, appends the first event of the stream `id`, and leaves it open.
async fn append_and_stay_open(session: &mut PgConnection, id: &str) {
    session.execute("BEGIN").await.unwrap();
    sqlx::query(
        "SELECT append_event('Incremented', gen_random_uuid(), 'counter', $1, '{}', gen_random_uuid(), NULL)",
    )
    .bind(id)
    .execute(session)
    .await
    .unwrap();
}

async fn read_log(store: &PostgresStore, after: Position) -> Result<LogPage, Error> {
    let namespace = Namespace::default();
    store
        .read_log(&namespace, after, &LogFilter::default(), 100)
        .await
}

/// What the log holds after `after`, once that is `count` events: other tests on the server may hold them back for a moment.
async fn log_of(store: &PostgresStore, after: Position, count: usize) -> Vec<RecordedEvent> {
    let reading = async {
        loop {
            let page = read_log(store, after).await.unwrap();
            if page.events.len() >= count {
                return page.events;
            }
        }
    };
    let events = tokio::time::timeout(DEADLINE, reading).await.unwrap();
    assert_eq!(events.len(), count);
    events
}

fn ids(events: &[RecordedEvent]) -> Vec<&str> {
    events.iter().map(|event| event.stream.id()).collect()
}

/// The process that serves a statement of a host which waits for a lock, once there is one.
async fn blocked_backend(observer: &mut PgConnection) -> i32 {
    let looking = async {
        loop {
            let found: Option<i32> = sqlx::query_scalar(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gavel' \
                 AND wait_event_type = 'Lock'",
            )
            .fetch_optional(&mut *observer)
            .await
            .unwrap();
            if let Some(pid) = found {
                return pid;
            }
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_together_on_an_empty_database_all_open_it() {
    on_new_database(async |database: Database| {
        let opening = (0..4).map(|_| {
            let database = database.clone();
            tokio::spawn(async move { PostgresStore::open(database.options()).await })
        });
        for opened in futures::future::join_all(opening).await {
            opened.unwrap().unwrap().ping().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_schema_is_refused_when_migrating_is_off() {
    on_new_database(async |database: Database| {
        let untouched = PostgresOptions {
            migrate: false,
            ..database.options()
        };
        let error = PostgresStore::open(untouched.clone()).await.unwrap_err();
        assert!(matches!(error, OpenError::NotMigrated), "{error:?}");

        database.open().await;
        PostgresStore::open(untouched.clone()).await.unwrap();

        let forget = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
        database.connect().await.execute(forget).await.unwrap();
        let error = PostgresStore::open(untouched).await.unwrap_err();
        assert!(matches!(error, OpenError::NotMigrated), "{error:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_lose_what_it_acknowledged_is_refused_unless_allowed() {
    on_new_database(async |database: Database| {
        let unsafe_default = format!(
            "ALTER DATABASE {} SET synchronous_commit = off",
            database.name
        );
        let mut session = database.connect().await;
        session
            .execute(AssertSqlSafe(unsafe_default))
            .await
            .unwrap();

        let error = PostgresStore::open(database.options()).await.unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::NotDurable {
                    setting: "synchronous_commit"
                }
            ),
            "{error:?}"
        );
        let allowed = PostgresOptions {
            allow_unsafe_durability: true,
            ..database.options()
        };
        PostgresStore::open(allowed).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_named_without_the_password() {
    let options = PostgresOptions {
        url: "postgres://ann:secret@127.0.0.1:1/orders".to_owned(),
        max_connections: 1,
        migrate: true,
        allow_unsafe_durability: false,
    };
    assert!(!format!("{options:?}").contains("secret"));
    let error = PostgresStore::open(options).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot open the store at postgres://127.0.0.1:1/orders"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_append_that_stays_open_makes_no_reader_skip_and_blocks_no_other_stream() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let mut foreign = database.connect().await;
        register(&mut foreign).await;
        append(&store, "before", ExpectedVersion::NoStream)
            .await
            .unwrap();
        let before = log_of(&store, Position::BEGINNING, 1).await;

        append_and_stay_open(&mut foreign, "open").await;
        for id in ["during-1", "during-2"] {
            append(&store, id, ExpectedVersion::NoStream).await.unwrap();
        }
        // The open append holds back what was committed after it began: a reader who were given that would skip the open one.
        let page = read_log(&store, before[0].position).await.unwrap();
        assert_eq!((page.events, page.next), (Vec::new(), before[0].position));

        foreign.execute("COMMIT").await.unwrap();
        append(&store, "after", ExpectedVersion::NoStream)
            .await
            .unwrap();
        let rest = log_of(&store, page.next, 4).await;
        assert_eq!(ids(&rest), ["open", "during-1", "during-2", "after"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_commits_wakes_the_others() {
    on_new_database(async |database: Database| {
        let (one, other) = (database.open().await, database.open().await);
        let mut observer = database.connect().await;
        register(&mut observer).await;
        let listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        eventually(&mut observer, listening, 2).await;

        for _ in 0..5 {
            let (mut ours, mut theirs) = (one.wakeups(), other.wakeups());
            append(&one, "a", ExpectedVersion::Any).await.unwrap();
            for wakeups in [&mut ours, &mut theirs] {
                tokio::time::timeout(DEADLINE, wakeups.changed())
                    .await
                    .expect("it is woken")
                    .unwrap();
            }
        }
        one.close().await;
        other.close().await;
        let connected = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gavel'";
        eventually(&mut observer, connected, 0).await;
    })
    .await;
}

/// Waits until `count` gives `expected`.
async fn eventually(observer: &mut PgConnection, count: &'static str, expected: i64) {
    let wait = async {
        while sqlx::query_scalar::<_, i64>(count)
            .fetch_one(&mut *observer)
            .await
            .unwrap()
            != expected
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect(count);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_waits_for_a_foreign_one_to_its_stream_and_sees_its_outcome() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let (mut foreign, mut observer) = (database.connect().await, database.connect().await);
        register(&mut foreign).await;
        for (end, version) in [("ROLLBACK", 1), ("COMMIT", 2)] {
            append_and_stay_open(&mut foreign, end).await;
            let waiting = tokio::spawn({
                let store = store.clone();
                async move { append(&store, end, ExpectedVersion::Any).await }
            });
            blocked_backend(&mut observer).await;
            foreign.execute(end).await.unwrap();
            let appended = waiting.await.unwrap().unwrap();
            assert_eq!(appended.version.get(), version, "after {end}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_is_known_when_the_server_refuses_and_unknown_when_the_connection_is_lost() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let (mut foreign, mut observer) = (database.connect().await, database.connect().await);
        register(&mut foreign).await;
        append_and_stay_open(&mut foreign, "held").await;

        for (end, is_known) in [("pg_cancel_backend", true), ("pg_terminate_backend", false)] {
            let waiting = tokio::spawn({
                let store = store.clone();
                async move { append(&store, "held", ExpectedVersion::Any).await }
            });
            let pid = blocked_backend(&mut observer).await;
            sqlx::query(AssertSqlSafe(format!("SELECT {end}($1)")))
                .bind(pid)
                .execute(&mut observer)
                .await
                .unwrap();
            let error = waiting.await.unwrap().unwrap_err();
            assert_eq!(
                matches!(error, AppendError::Unavailable(_)),
                is_known,
                "{error:?}"
            );
            assert_eq!(
                matches!(error, AppendError::OutcomeUnknown(_)),
                !is_known,
                "{error:?}"
            );
        }
        // The lost connection is gone from the pool.
        store.ping().await.unwrap();
        store.close().await;
        let error = append(&store, "free", ExpectedVersion::Any)
            .await
            .unwrap_err();
        assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    })
    .await;
}

/// Appends all at the same time, each for itself.
async fn append_all(
    store: &PostgresStore,
    parts: Vec<StreamAppend>,
) -> Vec<Result<Vec<Appended>, AppendError>> {
    let appends = parts.into_iter().map(|part| {
        let parts = vec![part];
        store.append(Append { parts })
    });
    futures::future::join_all(appends).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_a_foreign_writer_holds_holds_up_no_other() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let mut foreign = database.connect().await;
        register(&mut foreign).await;
        append_and_stay_open(&mut foreign, "held").await;

        let held = tokio::spawn({
            let store = store.clone();
            let parts = (0..3).map(|_| increment("held", ExpectedVersion::Any));
            let parts: Vec<_> = parts.collect();
            async move { append_all(&store, parts).await }
        });
        for round in 0..20 {
            let parts =
                (0..10).map(|id| increment(&format!("{round}-{id}"), ExpectedVersion::NoStream));
            let outcomes = append_all(&store, parts.collect()).await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        }
        assert!(!held.is_finished());
        foreign.execute("COMMIT").await.unwrap();
        let versions: Vec<u64> = held
            .await
            .unwrap()
            .into_iter()
            .map(|outcome| outcome.unwrap()[0].version.get())
            .collect();
        assert_eq!(versions, [2, 3, 4]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_fails_its_own_append_and_no_other() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        session
            .execute(
                "ALTER TABLE events ADD CONSTRAINT foreign_rule CHECK (decider_id <> 'poison')",
            )
            .await
            .unwrap();
        let ids = ["a", "b", "poison", "c", "d"];
        let parts = ids.map(|id| increment(id, ExpectedVersion::NoStream));
        let outcomes = append_all(&store, parts.to_vec()).await;
        for (id, outcome) in ids.iter().zip(outcomes) {
            match outcome {
                Ok(_) => assert_ne!(*id, "poison"),
                Err(AppendError::Unavailable(_)) => assert_eq!(*id, "poison"),
                Err(error) => panic!("{id}: {error:?}"),
            }
            let head = store.head(&stream(id)).await.unwrap();
            assert_eq!(head.version.get() == 1, *id != "poison");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_under_a_batch_leaves_its_outcome_unknown_and_serves_the_next() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let (mut foreign, mut observer) = (database.connect().await, database.connect().await);
        register(&mut foreign).await;
        // What an append reads and writes is locked as a table, so that a batch stops midway.
        foreign.execute("BEGIN").await.unwrap();
        foreign.execute("LOCK TABLE stream_heads IN EXCLUSIVE MODE").await.unwrap();
        let parts = ["a", "b", "c"].map(|id| increment(id, ExpectedVersion::NoStream));
        let cutting = async {
            loop {
                observer
                    .execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE datname = current_database() AND application_name = 'gavel' AND wait_event_type = 'Lock'",
                    )
                    .await
                    .unwrap();
            }
        };
        let outcomes = tokio::select! {
            outcomes = append_all(&store, parts.to_vec()) => outcomes,
            () = cutting => Vec::new(),
            () = tokio::time::sleep(DEADLINE) => panic!("a cut connection is noticed"),
        };
        assert_eq!(outcomes.len(), 3);
        for outcome in outcomes {
            assert!(matches!(outcome, Err(AppendError::OutcomeUnknown(_))), "{outcome:?}");
        }
        foreign.execute("COMMIT").await.unwrap();
        for outcome in append_all(&store, parts.to_vec()).await {
            assert_eq!(outcome.unwrap()[0].version.get(), 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_outlives_its_connection_and_fails_with_its_statement_alone() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let (mut foreign, mut observer) = (database.connect().await, database.connect().await);
        for (end, is_answered) in [("pg_terminate_backend", true), ("pg_cancel_backend", false)] {
            foreign
                .execute("BEGIN; LOCK TABLE commands IN ACCESS EXCLUSIVE MODE")
                .await
                .unwrap();
            let look_up = || {
                let store = store.clone();
                tokio::spawn(
                    async move { store.command(&Namespace::default(), Uuid::now_v7()).await },
                )
            };
            let under_way = look_up();
            let pid = blocked_backend(&mut observer).await;
            let waiting: Vec<_> = (0..3).map(|_| look_up()).collect();
            sqlx::query(AssertSqlSafe(format!("SELECT {end}($1)")))
                .bind(pid)
                .execute(&mut observer)
                .await
                .unwrap();
            // One that lost its connection waits for the lock again, on another.
            if is_answered {
                foreign.execute("COMMIT").await.unwrap();
                assert_eq!(under_way.await.unwrap().unwrap(), None);
            } else {
                let error = under_way.await.unwrap().unwrap_err();
                assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
                foreign.execute("COMMIT").await.unwrap();
            }
            for waiting in waiting {
                assert_eq!(waiting.await.unwrap().unwrap(), None);
            }
        }
        store.close().await;
        let closed = store.command(&Namespace::default(), Uuid::now_v7()).await;
        assert!(matches!(closed, Err(Error::Unavailable(_))), "{closed:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_no_json_is_ignored() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for _ in 0..3 {
            append(&store, "c", ExpectedVersion::Any).await.unwrap();
        }
        let module = ModuleDigest::of(b"module");
        sqlx::query(
            "INSERT INTO snapshots (namespace, decider, decider_id, module, version, state) \
             VALUES ('default', 'counter', 'c', $1, 2, '{')",
        )
        .bind(module.to_string())
        .execute(&mut session)
        .await
        .unwrap();
        let loaded = store.load(&stream("c"), module, 10).await.unwrap();
        assert_eq!((loaded.snapshot, loaded.history.events.len()), (None, 3));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_never_store_one_version_twice_and_both_make_progress() {
    const APPENDS: u64 = 40;
    on_new_database(async |database: Database| {
        let hosts = [database.open().await, database.open().await];
        register(&mut database.connect().await).await;
        let writers = hosts.clone().map(|host| {
            tokio::spawn(async move {
                let mut done = 0;
                while done < APPENDS {
                    let head = host.head(&stream("c")).await.unwrap();
                    match append(&host, "c", ExpectedVersion::Exact(head.version)).await {
                        Ok(appended) => {
                            assert_eq!(appended.version, head.version.next());
                            done += 1;
                        }
                        Err(AppendError::VersionConflict { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        });
        for writer in writers {
            writer.await.unwrap();
        }
        let log = read_log(&hosts[0], Position::BEGINNING).await.unwrap();
        let versions: Vec<u64> = log.events.iter().map(|event| event.version.get()).collect();
        assert!(
            versions.iter().copied().eq(1..=versions.len() as u64),
            "{versions:?}"
        );
        let head = hosts[1].head(&stream("c")).await.unwrap();
        assert_eq!(head.version.get(), 2 * APPENDS);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_keeps_the_order_of_streams_that_many_appends_share() {
    const WRITERS: usize = 8;
    const APPENDS: usize = 25;
    let pairs = [["a", "b"], ["b", "c"], ["c", "a"], ["b", "a"]];
    on_new_database(async |database: Database| {
        let store = database.open().await;
        register(&mut database.connect().await).await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..APPENDS {
                        let streams = pairs[writer % pairs.len()];
                        let parts = streams
                            .map(|id| increment(id, ExpectedVersion::Any))
                            .to_vec();
                        store.append(Append { parts }).await.unwrap();
                    }
                })
            })
            .collect();
        let (mut versions, mut after) = (HashMap::new(), Position::BEGINNING);
        let reading = async {
            for _ in 0..WRITERS * APPENDS * 2 {
                let event = loop {
                    let filter = LogFilter::default();
                    let page = store
                        .read_log(&Namespace::default(), after, &filter, 1)
                        .await
                        .unwrap();
                    after = page.next;
                    if let Some(event) = page.events.into_iter().next() {
                        break event;
                    }
                };
                let version = versions.entry(event.stream).or_insert(0);
                *version += 1;
                assert_eq!(event.version.get(), *version);
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_go_on_when_the_database_moves_to_a_cluster_with_lower_transaction_ids() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for id in ["a", "b", "a"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        store.close().await;
        // What a dump from a cluster with a longer life restores.
        session
            .execute(
                "SET session_replication_role = replica;
                 UPDATE events SET transaction_id = (transaction_id::TEXT::BIGINT + 1000000000000)::TEXT::XID8;
                 UPDATE generations SET system_identifier = system_identifier + 1;",
            )
            .await
            .unwrap();

        let store = database.open().await;
        let old = log_of(&store, Position::BEGINNING, 3).await;
        assert_eq!(ids(&old), ["a", "b", "a"]);
        for id in ["c", "a"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        for resumed_after in 0..3 {
            let rest = log_of(&store, old[resumed_after].position, 4 - resumed_after).await;
            assert_eq!(ids(&rest), ["b", "a", "c", "a"][resumed_after..]);
        }
        let head = store.head(&stream("a")).await.unwrap();
        assert_eq!(head.version.get(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_is_reported_with_its_place_and_payload_after_those_before_it() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for id in ["good", "bad", "good"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        let log = log_of(&store, Position::BEGINNING, 3).await;
        session
            .execute(
                "SET session_replication_role = replica;
                 ALTER TABLE events DROP CONSTRAINT events_metadata_check;
                 UPDATE events SET metadata = '[]' WHERE decider_id = 'bad';",
            )
            .await
            .unwrap();

        let page = read_log(&store, Position::BEGINNING).await.unwrap();
        assert_eq!((page.events.as_slice(), page.caught_up), (&log[..1], false));
        let error = read_log(&store, page.next).await.unwrap_err();
        let Error::Malformed {
            stream,
            position,
            raw,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(
            (stream.as_str(), raw.as_str()),
            ("default/counter/bad", "{}")
        );
        let rest = read_log(&store, position).await.unwrap();
        assert_eq!(rest.events, log[2..]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_folded_for_its_row_is_reported_with_its_place() {
    on_new_database(async |database: Database| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for _ in 0..3 {
            append(&store, "c", ExpectedVersion::Any).await.unwrap();
        }
        let log = log_of(&store, Position::BEGINNING, 3).await;
        session
            .execute(
                "SET session_replication_role = replica;
                 ALTER TABLE events DROP CONSTRAINT events_tags_check;
                 UPDATE events SET tags = '{NULL}' WHERE version = 2;",
            )
            .await
            .unwrap();

        let (stream, module) = (stream("c"), ModuleDigest::of(b"module"));
        let history = store.history(&stream, Version::EMPTY, None, 10).await;
        let loaded = store.load(&stream, module, 10).await;
        let snapshot = Snapshot {
            stream: stream.clone(),
            module,
            version: log[0].version,
            state: Json::empty_object(),
        };
        store.put_snapshots(vec![snapshot]).await.unwrap();
        let after_snapshot = store.load(&stream, module, 10).await;
        let counters = Scope {
            namespace: Namespace::default(),
            decider: stream.decider().clone(),
            id: None,
            through: None,
        };
        let past = store.passages(&counters, &Place::default(), 10).await;
        let alone = store.event(&counters.namespace, log[1].event.event_id);
        for error in [
            history.unwrap_err(),
            loaded.unwrap_err(),
            after_snapshot.unwrap_err(),
            past.unwrap_err(),
            alone.await.unwrap_err(),
        ] {
            let Error::Malformed { position, raw, .. } = error else {
                panic!("{error:?}");
            };
            assert_eq!((position, raw.as_str()), (log[1].position, "{}"));
        }
        // What comes before it and after it can be had.
        let before = store.history(&stream, Version::EMPTY, None, 1).await;
        assert_eq!(before.unwrap(), History::from(log[..1].to_vec()));
        let after = store.history(&stream, log[1].version, None, 10).await;
        assert_eq!(after.unwrap(), History::from(log[2..].to_vec()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_can_be_read_in_the_order_of_an_index() {
    on_new_database(async |database: Database| {
        database.open().await;
        let mut session = database.connect().await;
        // Of what is left, the planner takes a sort before it takes an index that does not have the order.
        let settings = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off";
        session.execute(settings).await.unwrap();
        let [[all, one], [eventless, eventless_of_one]] = [past::PASSAGES, past::EVENTLESS];
        for (statement, values, range) in [
            (all, "'a', 1, 10, 0, '9', 9", "(ROW(decider_id, version) > ROW($3, $4))"),
            (one, "'a', 1, 10, 0, '9', 9", "(decider_id = $3) AND (version > $4)"),
            (
                eventless,
                "'a', 1, NULL, 10",
                "(ROW(decider_id, version, command_id) > ROW($3, $4, $5))",
            ),
            (
                eventless_of_one,
                "'a', 1, NULL, 10",
                "(decider_id = $3) AND (ROW(version, command_id) > ROW($4, $5))",
            ),
        ] {
            let prepare = format!("DEALLOCATE ALL; PREPARE page AS {statement}");
            session.execute(AssertSqlSafe(prepare)).await.unwrap();
            let explain = format!("EXPLAIN EXECUTE page ('default', 'counter', {values})");
            let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
                .persistent(false)
                .fetch_all(&mut session)
                .await
                .unwrap();
            let plan = plan.join("\n");
            assert!(!plan.contains("Sort") && plan.contains(range), "{plan}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_keeps_the_writers_of_other_hosts_away_until_it_has_appended_or_is_let_go() {
    on_new_database(async |database: Database| {
        let (store, other) = (database.open().await, database.open().await);
        let mut observer = database.connect().await;
        register(&mut observer).await;
        let stream = stream("claimed");
        for is_used in [true, false] {
            let claim = store.claim(&stream).await.unwrap().expect("it is free");
            let waiting = tokio::spawn({
                let other = other.clone();
                async move { append(&other, "claimed", ExpectedVersion::Any).await }
            });
            blocked_backend(&mut observer).await;
            let version = if is_used {
                let parts = vec![increment("claimed", ExpectedVersion::NoStream)];
                let appended = claim.append(Append { parts }).await.unwrap();
                appended[0].version.get()
            } else {
                let head = store.head(&stream).await.unwrap();
                drop(claim);
                head.version.get()
            };
            let later = waiting.await.unwrap().unwrap();
            assert_eq!(later.version.get(), version + 1);
        }
    })
    .await;
}
