//! The ends of streams that the writer knows, when the file has got others.

use super::*;

/// Appends one event that is expected to follow the version `at`.
async fn append_at(store: &SqliteStore, at: u64) -> Result<(), AppendError> {
    let part = import(&stream("c"), exactly(at), increments(1));
    append(store, part).await.map(drop)
}

#[track_caller]
fn assert_conflict(outcome: Result<(), AppendError>, expected: u64) {
    let current = match outcome {
        Err(AppendError::VersionConflict { current, .. }) => Some(current),
        _ => None,
    };
    assert_eq!(current, Some(version(expected)));
}

/// Adds the next event of the stream, as any other program does.
const NEXT: &str = r#"INSERT INTO events (event, event_id, decider, decider_id, command_id, previous_id, created_at, version, data)
SELECT event, randomblob(16), decider, decider_id, command_id, event_id, created_at, version + 1, data
FROM events WHERE decider_id = 'c' ORDER BY version DESC LIMIT 1"#;

#[tokio::test]
async fn what_another_program_has_appended_is_seen_by_the_next_append() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    append_at(&store, 0).await.unwrap();
    append_at(&store, 1).await.unwrap();
    let other = file.plain_sql();
    for at in [2, 4] {
        other.execute(NEXT, []).unwrap();
        assert_conflict(append_at(&store, at).await, at + 1);
        append_at(&store, at + 1).await.unwrap();
    }
    assert_sound(&file);
}

#[tokio::test]
async fn what_was_undone_is_not_taken_for_stored() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    append_at(&store, 0).await.unwrap();
    let limited = store
        .writer
        .write(|tx, _| tx.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(())));
    limited.await.unwrap();
    let large = import(&stream("c"), exactly(1), vec![sized(1 << 20)]);
    let refused = append(&store, large).await.unwrap_err();
    assert!(
        matches!(refused, AppendError::Unavailable(_)),
        "{refused:?}"
    );
    assert_conflict(append_at(&store, 2).await, 1);
    append_at(&store, 1).await.unwrap();
}

#[tokio::test]
async fn a_state_of_before_that_was_restored_is_the_one_that_is_appended_to() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    for at in 0..3 {
        append_at(&store, at).await.unwrap();
    }
    // What a copy of the database's pages by SQLite's backup leaves behind.
    let restored = "DROP TRIGGER events_are_never_deleted; DELETE FROM events WHERE version > 1";
    file.plain_sql().execute_batch(restored).unwrap();
    assert_conflict(append_at(&store, 3).await, 1);
    append_at(&store, 1).await.unwrap();
    assert_eq!(version_of(&store, &stream("c")).await, 2);
}
