//! The write-ahead log while others read.

use super::*;
use crate::connect::LOG_BYTES;
use crate::files::with_suffix;

fn log_bytes(file: &File) -> u64 {
    let log = with_suffix(&file.path(), "-wal");
    log.metadata().unwrap().len()
}

/// Begins to read, and keeps the state as it is now.
fn begin(reader: &Connection) {
    reader.execute_batch("BEGIN").unwrap();
    let count = reader.query_row("SELECT count(*) FROM events", [], |row| {
        row.get::<_, i64>(0)
    });
    count.unwrap();
}

/// Appends until the log has outgrown its bound.
async fn outgrow(file: &File, store: &SqliteStore) {
    while log_bytes(file) <= LOG_BYTES.into() {
        grow_by(store, &stream("large"), &[8 << 20]).await;
    }
}

#[tokio::test]
async fn a_reader_that_keeps_an_old_state_keeps_none_from_writing_and_the_log_shrinks_after_it() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let reader = file.plain_sql();
    begin(&reader);
    outgrow(&file, &store).await;
    let before = log_bytes(&file);
    grow(&store, &stream("c"), 1).await;
    assert!(log_bytes(&file) > before, "the reader needs all of it");

    reader.execute_batch("COMMIT").unwrap();
    grow(&store, &stream("c"), 1).await;
    grow(&store, &stream("c"), 1).await;
    assert!(log_bytes(&file) <= LOG_BYTES.into());
    assert_eq!(version_of(&store, &stream("c")).await, 3);
    assert_sound(&file);
}
