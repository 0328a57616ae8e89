//! The write-ahead log while somebody always reads. In a process of its own, for the metric and
//! what the host says are those of the process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use gavel_sqlite::SqliteStore;
use gavel_store::conformance::support::{UnsteadyClock, activate_counter, grow, grow_by, stream};
use gavel_store::metrics::LOG_BYTES;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rusqlite::Connection;
use tempfile::TempDir;

/// The size that the log outgrows only while somebody reads.
const BOUND: u64 = 128 << 20;

/// The size of a large event.
const LARGE: usize = 8 << 20;

/// A store with a reader that sees the state of before all events.
struct Scene {
    folder: TempDir,
    store: SqliteStore,
    reader: Connection,
}

impl Scene {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(UnsteadyClock::default());
        let store = SqliteStore::open(file(&folder), true, clock).await.unwrap();
        activate_counter(&store).await;
        let reader = Connection::open(file(&folder)).unwrap();
        begin_to_read(&reader);
        Self {
            folder,
            store,
            reader,
        }
    }

    fn log_bytes(&self) -> u64 {
        let log = self.folder.path().join("gavel.db-wal");
        log.metadata().unwrap().len()
    }

    /// Appends until two more large events are too many for the bound.
    async fn fill_log(&self) {
        while self.log_bytes() + 2 * LARGE as u64 <= BOUND {
            self.append_large(1).await;
        }
        assert!(self.log_bytes() <= BOUND);
    }

    async fn append_large(&self, count: usize) {
        grow_by(&self.store, &stream("large"), &vec![LARGE; count]).await;
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("gavel.db")
}

fn begin_to_read(reader: &Connection) {
    reader.execute_batch("BEGIN").unwrap();
    let count = reader.query_row("SELECT count(*) FROM events", [], |row| {
        row.get::<_, i64>(0)
    });
    count.unwrap();
}

fn end_reading(reader: &Connection) {
    reader.execute_batch("COMMIT").unwrap();
}

/// Reads until `is_over`: one of two readers always does, and none for long. Tells when it begins.
fn read_in_turns(path: &Path, begun: &mpsc::Sender<()>, is_over: &AtomicBool) {
    let mut readers = [(); 2].map(|()| Connection::open(path).unwrap());
    begin_to_read(&readers[0]);
    begun.send(()).unwrap();
    while !is_over.load(Ordering::Relaxed) {
        begin_to_read(&readers[1]);
        end_reading(&readers[0]);
        readers.swap(0, 1);
    }
}

/// Lets the log outgrow its bound while readers take turns. Tells whether the append that did it
/// has emptied the log as well.
async fn is_emptied_among_readers(metrics: &PrometheusHandle) -> bool {
    let scene = Scene::begin().await;
    scene.fill_log().await;
    let (begin, begun) = mpsc::channel();
    let is_over = Arc::new(AtomicBool::new(false));
    let reading = thread::spawn({
        let (path, is_over) = (file(&scene.folder), Arc::clone(&is_over));
        move || read_in_turns(&path, &begin, &is_over)
    });
    begun.recv().unwrap();
    end_reading(&scene.reader);
    scene.append_large(2).await;
    let bytes = scene.log_bytes();
    is_over.store(true, Ordering::Relaxed);
    reading.join().unwrap();
    assert!(told_bytes(metrics) > BOUND);
    bytes <= BOUND
}

/// The size of the log that the metric tells.
fn told_bytes(metrics: &PrometheusHandle) -> u64 {
    let text = metrics.render();
    let value = text.lines().find_map(|line| line.strip_prefix(LOG_BYTES));
    value.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_above_its_bound_is_told_and_emptied_though_there_is_always_a_reader() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    let lines = tempfile::NamedTempFile::new().unwrap();
    let writer = Arc::new(File::create(lines.path()).unwrap());
    let subscriber = tracing_subscriber::fmt().with_writer(writer).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let times_told = || {
        let lines = std::fs::read_to_string(lines.path()).unwrap();
        lines.matches("the log of the database grows").count()
    };

    // A write waits for readers for a moment only, in which a busy computer may not let them run.
    let mut tries = 1;
    while !is_emptied_among_readers(&metrics).await {
        tries += 1;
        assert!(tries <= 5, "the readers keep the log");
    }

    let scene = Scene::begin().await;
    scene.fill_log().await;
    let before = times_told();
    scene.append_large(2).await;
    assert!(scene.log_bytes() > BOUND, "the reader needs all of it");
    assert!(told_bytes(&metrics) > BOUND);
    assert_eq!(times_told(), before + 1);
    end_reading(&scene.reader);
    for _ in 0..3 {
        grow(&scene.store, &stream("c"), 1).await;
    }
    assert!(scene.log_bytes() <= BOUND);
    assert!(told_bytes(&metrics) <= BOUND);
}
