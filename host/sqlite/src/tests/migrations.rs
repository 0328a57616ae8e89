//! The schema: of a new file, of an older and of a newer one, and of one that something is wrong
//! with.

use super::*;

fn change(file: &File, statement: &str) {
    file.plain_sql().execute_batch(statement).unwrap();
}

/// The text of each object, by its name, but for the history's table.
fn schema(file: &File) -> Vec<(String, Option<String>)> {
    let connection = file.plain_sql();
    let mut select = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations' ORDER BY name")
        .unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

/// The history as `sqlx`, which kept it before, finds it: number, words, success and checksum.
fn history(file: &File) -> Vec<(i64, String, bool, Vec<u8>)> {
    let connection = file.plain_sql();
    let mut select = connection
        .prepare(
            "SELECT version, description, success, checksum FROM _sqlx_migrations ORDER BY version",
        )
        .unwrap();
    let rows = select.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// A file that has had the first two migrations only, as `sqlx` has left it.
fn half_migrated() -> File {
    let file = File::new();
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    let modules = include_str!("../../../../migrations/sqlite/0001_modules.sql");
    let events = include_str!("../../../../migrations/sqlite/0002_events.sql");
    change(&file, modules);
    change(&file, events);
    change(
        &file,
        "CREATE TABLE _sqlx_migrations (
            version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
            success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL
        );
        INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES
            (1, 'modules', TRUE, x'c3d03ff0b21af79efb193429120abc3935ec04121511bcac4a9b82b63123dfc41e9dcdeda3d8a3d7aebab02be6a279f2', 2041312),
            (2, 'events', TRUE, x'229f0dae5e2f86d5db7c0cb5771425d12d7a0f14a460f347687ca3d5bce173b79786d21ea2dbc5b74d7f5a21c61ca954', 1881104)",
    );
    file
}

async fn refusal(file: &File) -> String {
    let error = open(&file.path(), true).await.unwrap_err();
    let OpenError::Migrate(reason) = error else {
        panic!("{error:?}");
    };
    reason.to_string()
}

#[tokio::test]
async fn a_file_that_was_migrated_in_part_gets_the_schema_of_a_new_one() {
    let new = File::new();
    drop(new.open().await);
    assert!(history(&new).iter().all(|(_, _, success, _)| *success));

    let old = half_migrated();
    drop(old.open().await);
    assert_eq!(schema(&old), schema(&new));
    assert_eq!(history(&old), history(&new));

    // Nothing is run twice.
    let before = old
        .plain_sql()
        .query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0));
    drop(old.open().await);
    let after = old
        .plain_sql()
        .query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0));
    assert_eq!(before, after);
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
    change(&file, "DELETE FROM _sqlx_migrations WHERE version = 3");
    let older = open(&file.path(), false).await.unwrap_err();
    assert!(matches!(older, OpenError::NotMigrated), "{older:?}");
}

#[tokio::test]
async fn a_newer_schema_is_accepted() {
    let file = File::new();
    drop(file.open().await);
    change(
        &file,
        "INSERT INTO _sqlx_migrations VALUES (9000, 'of the next release', '2031-01-01', true, x'00', 1)",
    );
    for migrate in [true, false] {
        open(&file.path(), migrate).await.unwrap();
    }
}

#[tokio::test]
async fn a_migration_that_was_changed_after_it_was_run_is_refused() {
    let file = File::new();
    drop(file.open().await);
    change(
        &file,
        "UPDATE _sqlx_migrations SET checksum = zeroblob(48) WHERE version = 3",
    );
    let said = refusal(&file).await;
    assert!(said.contains("migration 3"), "{said}");
}

#[tokio::test]
async fn a_migration_that_did_not_come_to_its_end_is_refused() {
    let file = File::new();
    drop(file.open().await);
    change(
        &file,
        "UPDATE _sqlx_migrations SET success = FALSE WHERE version = 3",
    );
    let said = refusal(&file).await;
    assert!(said.contains("migration 3"), "{said}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_of_itself_and_of_those_before_it() {
    let file = half_migrated();
    // Something of another program, in the way of the fourth.
    change(&file, "CREATE TABLE consumers (id INTEGER)");
    let (schema_before, history_before) = (schema(&file), history(&file));
    let said = refusal(&file).await;
    assert!(said.contains("migration 4"), "{said}");
    assert_eq!(schema(&file), schema_before);
    assert_eq!(history(&file), history_before);

    change(&file, "DROP TABLE consumers");
    drop(file.open().await);
}
