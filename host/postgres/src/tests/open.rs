//! Hosts that come to a database: an empty one, an old one, one that loses what it acknowledged,
//! none.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_together_on_an_empty_database_all_open_it() {
    on_new_database(async |database: PostgresDatabase| {
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
    on_new_database(async |database: PostgresDatabase| {
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
    on_new_database(async |database: PostgresDatabase| {
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
async fn a_database_that_is_not_utf8_is_refused_by_name() {
    let mut database = PostgresDatabase::create().await;
    let mut server = database.server.connect().await.unwrap();
    let utf8 = database.name.clone();
    database.name.push_str("_ascii");
    let create = format!(
        "CREATE DATABASE {} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        database.name
    );
    server.execute(AssertSqlSafe(create)).await.unwrap();
    let opened = PostgresStore::open(database.options()).await;
    let named = PostgresDatabase {
        name: utf8,
        ..database.clone()
    };
    named.drop().await;
    database.drop().await;
    let error = opened.unwrap_err();
    assert!(
        matches!(&error, OpenError::NotUtf8 { encoding } if encoding == "SQL_ASCII"),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_could_only_read_are_left_once_others_can_write() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        append(&store, "a", ExpectedVersion::Any).await.unwrap();
        let name = &database.name;
        let statements = [
            format!("ALTER DATABASE {name} SET default_transaction_read_only = on"),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()"
                .to_owned(),
        ];
        for statement in statements {
            session.execute(AssertSqlSafe(statement)).await.unwrap();
        }
        append(&store, "a", ExpectedVersion::Any).await.unwrap_err();
        append(&store, "a", ExpectedVersion::Any).await.unwrap_err();
        let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
        session
            .execute("SET default_transaction_read_only = off")
            .await
            .unwrap();
        session.execute(AssertSqlSafe(reset)).await.unwrap();
        append(&store, "a", ExpectedVersion::Any).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_database_neither_skip_triggers_nor_end_sessions_that_are_idle() {
    on_new_database(async |database: PostgresDatabase| {
        let mut session = database.connect().await;
        let name = &database.name;
        let mut set = async |setting: &str| {
            let statement = format!("ALTER DATABASE {name} SET {setting}");
            session.execute(AssertSqlSafe(statement)).await.unwrap();
        };
        set("idle_session_timeout = '1ms'").await;
        let store = database.open().await;
        let timeout: String = sqlx::query_scalar("SHOW idle_session_timeout")
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(timeout, "0");
        store.close().await;

        set("session_replication_role = replica").await;
        let error = PostgresStore::open(database.options()).await.unwrap_err();
        let error = format!("{error:?}");
        assert!(error.contains("skips triggers"), "{error}");
    })
    .await;
}
