//! Databases of hosts of before, and of newer ones.

use std::borrow::Cow;

use gavel_model::{ActivationKey, ModuleKind};
use gavel_store::{ModuleStore as _, Outdated, RehearsalStore as _};
use sqlx::migrate::Migrator;

use super::*;
use crate::migrations::{migrator, newest};

const RAISE: &str = "CREATE OR REPLACE FUNCTION gavel_schema_floor() RETURNS BIGINT LANGUAGE sql STABLE AS $$ SELECT 1000000::BIGINT $$";

/// The error of a host that meets a floor which [`RAISE`] has raised.
fn outdated() -> Outdated {
    Outdated {
        floor: 1_000_000,
        known: newest(),
    }
}

/// Gives a database the schema that hosts left which knew the migrations before this one.
async fn migrate_before(database: &PostgresDatabase, version: i64) -> PgConnection {
    let known = migrator();
    let before = known.iter().filter(|known| known.version < version);
    let before = Migrator {
        migrations: Cow::Owned(before.cloned().collect()),
        ..Migrator::DEFAULT
    };
    let mut session = database.connect().await;
    before.run(&mut session).await.unwrap();
    session
}

/// Makes a database as it was left by hosts that knew of deciders only.
async fn of_deciders_only(database: &PostgresDatabase) {
    let mut session = migrate_before(database, 34).await;
    let digest = ModuleDigest::of(b"counter");
    let rows = format!(
        "INSERT INTO modules (digest, kind, name, size_bytes, manifest, imports, wasm)
         VALUES ('{digest}', 'decider', 'counter', 3, '{{}}', '{{}}', '\\x010203');
         SELECT gavel_activate('default', 'counter', 0, '{digest}',
             '[{{\"event\":\"Incremented\",\"event_version\":1,\"description\":\"\"}}]', 'ann', NULL, '{{cost}}', '{{}}');
         INSERT INTO rehearsals (namespace, id, decider, digest, is_over, seen_at, document)
         VALUES ('default', gen_random_uuid(), 'counter', '{digest}', TRUE, now(), '{{}}');
         SELECT append_event('Incremented', gen_random_uuid(), 'counter', 'deactivations', '{{}}', gen_random_uuid(), NULL)"
    );
    session
        .execute(sqlx::raw_sql(AssertSqlSafe(rows)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_knows_of_deciders_only_is_opened_with_all_it_holds() {
    on_new_database(async |database: PostgresDatabase| {
        of_deciders_only(&database).await;
        let store = database.open().await;

        let digest = ModuleDigest::of(b"counter");
        let module = store.module(digest).await.unwrap().unwrap();
        assert_eq!(module.kind, ModuleKind::Decider);
        assert_eq!(module.contract, "gavel:decider@0.1.0");
        let key = ActivationKey::new(Namespace::default(), ModuleKind::Decider, "counter").unwrap();
        let active = store.active(&key).await.unwrap().unwrap();
        assert_eq!((active.digest, active.replaces), (Some(digest), None));
        assert_eq!(active.activated_by.as_deref(), Some("ann"));
        assert_eq!(store.rehearsals(&key, 10).await.unwrap().len(), 1);

        // A stream whose id means something else by now stays readable, and goes on.
        let stored = log_of(&store, Position::BEGINNING, 1).await;
        assert_eq!(ids(&stored), ["deactivations"]);
        let mut part = increment("any", ExpectedVersion::Any);
        part.stream = stored[0].stream.clone();
        store.append(Append { parts: vec![part] }).await.unwrap();
        let begin = "SELECT append_event('Incremented', gen_random_uuid(), 'counter', 'logs', '{}', gen_random_uuid(), NULL)";
        let refused = database.connect().await.execute(begin).await.unwrap_err();
        let sqlx::Error::Database(refused) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(refused.constraint(), Some("events_stream_check"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_before_stores_nothing_in_a_database_of_kinds() {
    on_new_database(async |database: PostgresDatabase| {
        database.open().await;
        let mut session = database.connect().await;
        let calls = [
            "SELECT gavel_activate('default', 'counter', 0, 'sha256:0', '[]', NULL, NULL, '{}', '{}')",
            "SELECT namespace, decider, number FROM activations",
            "SELECT gavel_fence_key('default', 'counter')",
        ];
        for call in calls {
            session.execute(call).await.unwrap_err();
        }
        // It has one argument for each of 45 columns, and no way to say which schema it knows.
        let arguments: i16 =
            sqlx::query_scalar("SELECT pronargs FROM pg_proc WHERE proname = 'gavel_append'")
                .fetch_one(&mut session)
                .await
                .unwrap();
        assert_ne!(arguments, 45);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_for_newer_hosts_is_refused() {
    on_new_database(async |database: PostgresDatabase| {
        database.open().await;
        database.connect().await.execute(RAISE).await.unwrap();
        for migrate in [true, false] {
            let options = PostgresOptions {
                migrate,
                ..database.options()
            };
            let error = PostgresStore::open(options).await.unwrap_err();
            let OpenError::Outdated(found) = error else {
                panic!("{error:?}");
            };
            assert_eq!(found, outdated());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_under_which_the_floor_is_raised_appends_nothing_and_is_told() {
    on_new_database(async |database: PostgresDatabase| {
        let (appending, idle) = (database.open().await, database.open().await);
        let mut session = database.connect().await;
        register(&mut session).await;
        append(&appending, "a", ExpectedVersion::Any).await.unwrap();
        let claim = appending.claim(&stream("b")).await.unwrap().unwrap();
        session.execute(RAISE).await.unwrap();

        let error = append(&appending, "a", ExpectedVersion::Any).await;
        assert!(
            matches!(error, Err(AppendError::Unavailable(_))),
            "{error:?}"
        );
        assert_eq!(appending.outdated().await, outdated());
        let parts = vec![increment("b", ExpectedVersion::Any)];
        let error = claim.append(Append { parts }).await;
        assert!(
            matches!(error, Err(AppendError::Unavailable(_))),
            "{error:?}"
        );
        assert_eq!(log_of(&appending, Position::BEGINNING, 1).await.len(), 1);

        // The one that has nothing to append looks for it.
        let looked = idle.withholding().await;
        assert!(matches!(looked, Err(Error::Unavailable(_))), "{looked:?}");
        assert_eq!(idle.outdated().await, outdated());
    })
    .await;
}

/// Events, and a command that has left some of them, as hosts wrote them while everything was
/// stored that an activation tells.
const BEFORE_LEAN_ROWS: &str = "
    SELECT register_decider_event('counter', 'Incremented', '');
    INSERT INTO events (event, event_id, decider, decider_id, data, command_id, previous_id, version, metadata, final)
    SELECT 'Incremented', md5(s || ' ' || v)::UUID, 'counter', 's-' || s, '{}', md5('command ' || s)::UUID,
           CASE WHEN v > 1 THEN md5(s || ' ' || v - 1)::UUID END, v,
           jsonb_build_object('module', 'sha256:' || repeat('a', 64), 'correlation_id', 'x', 'causation_id', 'y'), s = 3 AND v = s
    FROM generate_series(1, 3) AS s, generate_series(1, s) AS v;
    INSERT INTO commands (namespace, command_id, decider, decider_id, command, data, fingerprint, now, seed, metadata, version, module, outcome,
                          events, fuel)
    SELECT 'default', md5('command ' || s)::UUID, 'counter', 's-' || s, 'Increment', '{}', decode(repeat('00', 32), 'hex'), now(), -1, '{}', 0,
           'sha256:' || repeat('a', 64), 'accepted', s, 7
    FROM generate_series(1, 3) AS s;
    GRANT SELECT ON stream_heads TO PUBLIC";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_which_everything_is_stored_keeps_it_and_goes_on() {
    on_new_database(async |database: PostgresDatabase| {
        let mut session = migrate_before(&database, 37).await;
        session
            .execute(sqlx::raw_sql(BEFORE_LEAN_ROWS))
            .await
            .unwrap();
        let rows = "SELECT to_jsonb(e)::TEXT FROM events AS e ORDER BY e.\"offset\"";
        let heads = "SELECT to_jsonb(h)::TEXT FROM stream_heads AS h ORDER BY h.decider_id";
        let mut all = async |sql: &'static str| -> Vec<serde_json::Value> {
            let found: Vec<String> = sqlx::query_scalar(sql)
                .fetch_all(&mut session)
                .await
                .unwrap();
            found
                .iter()
                .map(|row| serde_json::from_str(row).unwrap())
                .collect()
        };
        let (rows_before, heads_before) = (all(rows).await, all(heads).await);
        let store = database.open().await;

        let mut rows_after = all(rows).await;
        for row in &mut rows_after {
            let activation = row.as_object_mut().unwrap().remove("activation");
            assert_eq!(activation, Some(serde_json::Value::Null));
        }
        assert_eq!((rows_after, all(heads).await), (rows_before, heads_before));
        let readers =
            "SELECT to_jsonb(has_table_privilege('public', 'stream_heads', 'SELECT'))::TEXT";
        assert_eq!(all(readers).await, [true]);

        let log = log_of(&store, Position::BEGINNING, 6).await;
        assert_eq!(log[5].event.metadata.get("causation_id"), Some("y"));
        let command = store
            .command(&Namespace::default(), log[5].event.command_id)
            .await;
        let command = command.unwrap().unwrap();
        assert_eq!(
            command.module.to_string(),
            format!("sha256:{}", "a".repeat(64))
        );
        let mut next = increment("s-2", ExpectedVersion::Exact(Version::from_sql(2).unwrap()));
        next.expected_previous_id = Some(log[2].event.event_id);
        let appended = store.append(Append { parts: vec![next] }).await.unwrap();
        assert_eq!(appended[0].version.get(), 3);
        let ended = append(&store, "s-3", ExpectedVersion::Any)
            .await
            .unwrap_err();
        assert!(
            matches!(ended, AppendError::StreamFinal { .. }),
            "{ended:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stores_everything_is_told_to_be_updated() {
    on_new_database(async |database: PostgresDatabase| {
        let mut session = migrate_before(&database, 37).await;
        let arguments: i16 =
            sqlx::query_scalar("SELECT pronargs FROM pg_proc WHERE proname = 'gavel_append'")
                .fetch_one(&mut session)
                .await
                .unwrap();
        database.open().await;
        let nothing = vec!["NULL"; usize::try_from(arguments).unwrap() - 1].join(", ");
        let call = format!("SELECT gavel_append(36, {nothing})");
        let refused = session.execute(AssertSqlSafe(call)).await.unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(|refused| refused.code());
        assert_eq!(code.as_deref(), Some("GV012"), "{refused:?}");
    })
    .await;
}
