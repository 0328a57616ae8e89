//! The conformance list, and what only a database that is shared with others can do wrong.

mod append;
mod batch;
mod consumers;
mod floor;
mod hosts;
mod log;
mod open;
mod pooler;
mod read;
mod tags;
mod views;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use gavel_model::{
    ActivationNumber, DeciderName, ExpectedVersion, Json, Metadata, ModuleDigest, Namespace,
    NewEvent, Position, RecordedEvent, StreamId, Version,
};
use gavel_store::{
    Append, AppendError, Appended, Error, EventStore as _, Fence, History, LogFilter, LogPage,
    LogStore as _, OpenError, PastRange, PastStore as _, Place, Snapshot, SnapshotStore as _,
    StreamAppend, Withholding, conformance,
};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use uuid::Uuid;

use super::{PostgresOptions, PostgresStore, past};

/// The time limit for an expected event.
const DEADLINE: Duration = Duration::from_secs(30);

/// A database of its own on the server that `DATABASE_URL` names.
#[derive(Debug, Clone)]
struct PostgresDatabase {
    server: PgConnectOptions,
    name: String,
}

impl PostgresDatabase {
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
async fn on_new_database(case: impl AsyncFnOnce(PostgresDatabase)) {
    let database = PostgresDatabase::create().await;
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
            on_new_database(async |database: PostgresDatabase| {
                conformance::$case(Arc::new(database.open().await)).await;
            })
            .await;
        }
    };
}
gavel_store::for_each_store_case!(postgres_case);

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

/// The same, once nothing is withheld: other tests on the server may hold events back for a moment,
/// also such that were shown before.
async fn read_settled_log(store: &PostgresStore, after: Position) -> Result<LogPage, Error> {
    let reading = async {
        loop {
            let read = read_log(store, after).await;
            if !matches!(&read, Ok(page) if page.is_withheld) {
                return read;
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.unwrap()
}

/// Waits until events are withheld by a transaction of `holder`, or by none, and returns what
/// withholds them: for a moment it may be a transaction of another test.
async fn withheld_by(store: &PostgresStore, holder: Option<&str>) -> Option<Withholding> {
    let looking = async {
        loop {
            let found = store.withholding().await.unwrap();
            if found.as_ref().map(|found| &*found.holder) == holder {
                return found;
            }
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.unwrap()
}

/// Waits until the log holds `count` events after `after`, and returns them: other tests on the
/// server may hold events back for a moment.
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
