//! The behaviour that only a file has. Everything else is in `conformance`.

mod clock;
mod floor;
mod lean;
mod migrations;
mod open;
mod overgrowth;
mod plain_sql;
mod read;
mod tags;
mod tips;
mod views;
mod writes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use gavel_model::{
    ConsumerId, ConsumerSettings, EventFilter, ExpectedVersion, ModuleDigest, Namespace, Position,
    RecordedEvent, Start, StreamId, SystemClock,
};
use gavel_store::conformance::support::*;
use gavel_store::{
    ActivationFilter, Append, AppendError, ConsumerStore as _, Error, EventStore as _, LogFilter,
    LogStore as _, ModuleStore as _, OpenError, PastRange, PastStore as _, Place, ResumeError,
    SnapshotStore as _, conformance,
};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use uuid::Uuid;

pub(crate) use self::writes::CarriedOut;
use super::{SqliteStore, past};

macro_rules! sqlite_case {
    ($case:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let file = File::new();
            let store = Arc::new(file.open().await);
            conformance::$case(Arc::<SqliteStore>::clone(&store)).await;
            writes::assert_the_same_once_more(&file, &store).await;
        }
    };
}
gavel_store::for_each_store_case!(sqlite_case);

/// A file in a folder that is deleted with it.
struct File(tempfile::TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The path of the file, in a folder that does not exist yet.
    fn path(&self) -> PathBuf {
        self.0.path().join("data").join("gavel.db")
    }

    async fn open(&self) -> SqliteStore {
        open(&self.path(), true).await.unwrap()
    }

    /// Opens a connection as any other program does.
    fn plain_sql(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

async fn open(path: &Path, migrate: bool) -> Result<SqliteStore, OpenError> {
    let clock = Arc::new(conformance::support::UnsteadyClock::default());
    SqliteStore::open(path, migrate, clock).await
}

fn assert_sound(file: &File) {
    let connection = file.plain_sql();
    let integrity = connection.pragma_query_value(None, "integrity_check", |row| row.get(0));
    assert_eq!(integrity, Ok("ok".to_owned()));
    let mut dangling = connection.prepare("PRAGMA foreign_key_check").unwrap();
    assert!(!dangling.exists([]).unwrap());
}

#[tokio::test]
async fn what_is_acknowledged_is_on_disk() {
    let file = File::new();
    let store = file.open().await;
    for (pragma, expected) in [
        ("synchronous", Value::from(2)),
        ("fullfsync", Value::from(1)),
        ("checkpoint_fullfsync", Value::from(1)),
        ("journal_mode", Value::from("wal".to_owned())),
        ("foreign_keys", Value::from(1)),
    ] {
        let written = store
            .writer
            .write(move |tx, _| tx.pragma_query_value(None, pragma, |row| row.get::<_, Value>(0)));
        assert_eq!(written.await.unwrap(), expected, "{pragma}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_do_not_wait_for_a_writer_but_writes_do() {
    let file = File::new();
    let store = Arc::new(file.open().await);
    activate_counter(&*store).await;
    grow(&*store, &stream("c"), 1).await;
    let other = file.plain_sql();
    other
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM snapshots")
        .unwrap();

    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { grow(&*store, &stream("c"), 1).await }
    });
    for _ in 0..50 {
        assert_eq!(events_of(&*store, &stream("c")).await.len(), 1);
        assert_eq!(log_of(&*store, &Namespace::default(), 1).await.len(), 1);
    }
    assert!(!waiting.is_finished());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(waiting.await.unwrap()[0].version, version(2));
}

#[tokio::test]
async fn a_full_disk_refuses_appends_until_there_is_room() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let limited = store
        .writer
        .write(|tx, _| tx.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(())));
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
    assert_sound(&file);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_not_polled_any_more_holds_up_no_other() {
    let file = File::new();
    let store = file.open().await;
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let mut first = Box::pin(store.writer.write(move |_, _| ends.recv()));
    let mut second = Box::pin(store.writer.write(|_, _| Ok::<_, Error>(())));
    assert!(futures::poll!(first.as_mut()).is_pending());
    assert!(futures::poll!(second.as_mut()).is_pending());
    end.send(()).unwrap();
    first.await.unwrap();

    let third = store.writer.write(|_, _| Ok::<_, Error>(()));
    let third = tokio::time::timeout(Duration::from_secs(30), third).await;
    third.expect("it waits for the second").unwrap();
    drop(second);
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
    assert_sound(&file);
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
        .write(move |tx, tips| super::append::append_in_tx(tx, tips, batch, now));
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
