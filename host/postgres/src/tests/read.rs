//! Reads of streams, commands, snapshots and the past that meet what they should not, or must come
//! in order.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_outlives_its_connection_and_fails_with_its_statement_alone() {
    on_new_database(async |database: PostgresDatabase| {
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
    on_new_database(async |database: PostgresDatabase| {
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
async fn an_event_that_cannot_be_folded_for_its_row_is_reported_with_its_place() {
    on_new_database(async |database: PostgresDatabase| {
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
        let counters = PastRange {
            namespace: Namespace::default(),
            decider: stream.decider().clone(),
            streams: None,
            through: None,
            eventless_since: None,
        };
        let past = store.segments(&counters, &Place::default(), 10).await;
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
        let first = History {
            has_more: true,
            ..History::from(log[..1].to_vec())
        };
        assert_eq!(before.unwrap(), first);
        let after = store.history(&stream, log[1].version, None, 10).await;
        assert_eq!(after.unwrap(), History::from(log[2..].to_vec()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_a_moment_comes_after_it_and_nothing_else_does() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        append(&store, "before", ExpectedVersion::Any).await.unwrap();
        append_and_stay_open(&mut session, "open").await;
        // Behind the open one in the log, and committed before it.
        append(&store, "overtakes", ExpectedVersion::Any)
            .await
            .unwrap();
        session
            .execute(
                "INSERT INTO commands (namespace, command_id, decider, decider_id, command, fingerprint, now, seed, metadata, version, module,
                                       outcome, rejection_code, rejection_message, fuel)
                 VALUES ('default', gen_random_uuid(), 'counter', 'rejects', 'Increment', decode(repeat('00', 32), 'hex'), now(), 0, '{}', 0,
                         'sha256:' || repeat('0', 64), 'rejected', 'no', 'no', 0)",
            )
            .await
            .unwrap();

        let (namespace, decider) = (Namespace::default(), DeciderName::new("counter").unwrap());
        let moment = store.moment(&namespace).await.unwrap();
        session.execute("COMMIT").await.unwrap();
        append(&store, "after", ExpectedVersion::Any).await.unwrap();

        let moved = store.moved_since(&namespace, &decider, &moment, 10).await;
        let moved: Vec<_> = moved.unwrap().unwrap().into_iter().map(|place| place.id).collect();
        assert_eq!(moved, ["after", "open", "rejects"]);
        let before = PastRange {
            namespace,
            decider,
            streams: None,
            through: Some(moment.clone()),
            eventless_since: None,
        };
        let beginning = Place::default();
        let page = store.segments(&before, &beginning, 10).await.unwrap();
        let read: Vec<_> = page.segments.iter().map(|segment| &*segment.id).collect();
        assert_eq!(read, ["before", "overtakes"]);
        let since = PastRange {
            through: None,
            eventless_since: Some(moment),
            ..before.clone()
        };
        for (range, count) in [(before, 0), (since, 1)] {
            let found = store.eventless(&range, &(beginning.clone(), Uuid::nil()), 10).await;
            assert_eq!(found.unwrap().len(), count);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_can_be_read_in_the_order_of_an_index() {
    on_new_database(async |database: PostgresDatabase| {
        database.open().await;
        let mut session = database.connect().await;
        // Of what is left, the planner takes a sort before it takes an index that does not have the
        // order.
        let settings = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off";
        session.execute(settings).await.unwrap();
        let [[all, some], [eventless, eventless_of_some]] = [past::PASSAGES, past::EVENTLESS];
        for (statement, values, range) in [
            (all, "'a', 1, 10, 0, '9:9:'", "(decider_id = wanted.id) AND"),
            (some, "'{a}', '{1}', 10, 0, '9:9:'", "(version > wanted.after)"),
            (
                eventless,
                "'a', 1, NULL, 10, '9:9:', now(), '9:9:', now()",
                "(ROW(decider_id, version, command_id) > ROW($3, $4, $5))",
            ),
            (
                eventless_of_some,
                "'{a}', '{1}', '{00000000-0000-0000-0000-000000000000}', 10, '9:9:', now(), '9:9:', now()",
                "(decider_id = wanted.id) AND (ROW(version, command_id) > ROW(wanted.after, wanted.after_command))",
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
            // The rows of one stream are sorted at most, which come in order.
            let is_sorted = plan.contains("Sort") && !plan.contains("Presorted Key: wanted.place");
            assert!(!is_sorted && plan.contains(range), "{plan}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gives_documents_back_as_they_were_written() {
    on_new_database(async |database: PostgresDatabase| {
        let mut session = database.connect().await;
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../../wit/canonical-json.json")).unwrap();
        for vector in vectors["accepted"].as_array().unwrap() {
            let [sent, canonical] = [0, 1].map(|index| vector[index].as_str().unwrap());
            let mut print = async |text: &str| {
                sqlx::query_scalar::<_, String>("SELECT $1::jsonb::text")
                    .bind(text)
                    .fetch_one(&mut session)
                    .await
                    .unwrap()
            };
            assert_eq!(print(canonical).await, canonical);
            // A row that was written in another form.
            let stored = Json::from_stored(print(sent).await).unwrap();
            assert_eq!(stored.as_str(), canonical);
        }
    })
    .await;
}
