//! Writers that share streams, locks and connections with other hosts and programs.

use gavel_model::{ActivationKey, ModuleKind};
use gavel_store::ModuleStore as _;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_append_waits_for_a_foreign_one_to_its_stream_and_sees_its_outcome() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let (mut foreign, mut observer) = (database.connect().await, database.connect().await);
        register(&mut foreign).await;
        for (end, version) in [("ROLLBACK", 1), ("COMMIT", 2)] {
            append_and_stay_open(&mut foreign, end).await;
            let mut waiting = tokio::spawn({
                let store = store.clone();
                async move { append(&store, end, ExpectedVersion::Any).await }
            });
            tokio::select! {
                _ = blocked_backend(&mut observer) => {}
                answer = &mut waiting => panic!("it does not wait: {answer:?}"),
            }
            foreign.execute(end).await.unwrap();
            let appended = waiting.await.unwrap().unwrap();
            assert_eq!(appended.version.get(), version, "after {end}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_is_known_when_the_server_refuses_and_unknown_when_the_connection_is_lost() {
    on_new_database(async |database: PostgresDatabase| {
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
    on_new_database(async |database: PostgresDatabase| {
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
async fn whatever_a_foreign_session_holds_holds_up_its_own_stream_or_decider_and_no_other() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut foreign = database.connect().await;
        register(&mut foreign).await;
        foreign
            .execute("SELECT register_decider_event('other', 'Incremented', '')")
            .await
            .unwrap();
        append(&store, "head", ExpectedVersion::NoStream)
            .await
            .unwrap();
        foreign.execute("BEGIN").await.unwrap();
        for held in [
            "SELECT pg_advisory_xact_lock(gavel_stream_key('default', 'counter', 'head'))",
            "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, version) \
             VALUES ('Incremented', gen_random_uuid(), 'counter', 'row', '{}', gen_random_uuid(), 1)",
            "SELECT pg_advisory_xact_lock(gavel_fence_key('default', 'decider', 'other'))",
        ] {
            foreign.execute(held).await.unwrap();
        }
        let fenced = |decider: &str, id: &str| StreamAppend {
            stream: StreamId::new(
                Namespace::default(),
                DeciderName::new(decider).unwrap(),
                id,
            )
            .unwrap(),
            fence: Some(Fence::of_decider(ActivationNumber::NONE)),
            ..increment(id, ExpectedVersion::Any)
        };
        let held = [("counter", "head"), ("counter", "row"), ("other", "a")];
        let held = held.map(|(decider, id)| {
            let (store, part) = (store.clone(), fenced(decider, id));
            tokio::spawn(async move { append_all(&store, vec![part]).await.remove(0) })
        });

        for round in 0..20 {
            let parts = (0..10).map(|id| fenced("counter", &format!("{round}-{id}")));
            let outcomes = append_all(&store, parts.collect()).await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        }
        assert!(held.iter().all(|held| !held.is_finished()));
        foreign.execute("ROLLBACK").await.unwrap();
        for held in held {
            held.await.unwrap().unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_fails_its_own_append_and_no_other() {
    on_new_database(async |database: PostgresDatabase| {
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
                Err(AppendError::Corrupt(Error::Refused(reason))) => {
                    assert_eq!(*id, "poison");
                    assert!(reason.contains("23514"), "{reason}");
                }
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
    on_new_database(async |database: PostgresDatabase| {
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
async fn two_hosts_never_store_one_version_twice_and_both_make_progress() {
    const APPENDS: u64 = 40;
    on_new_database(async |database: PostgresDatabase| {
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
        let log = read_settled_log(&hosts[0], Position::BEGINNING)
            .await
            .unwrap();
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
async fn a_claim_keeps_the_writers_of_other_hosts_away_until_it_has_appended_or_is_let_go() {
    on_new_database(async |database: PostgresDatabase| {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_the_appends_of_all_hosts_waiting_and_ends_when_its_host_is_stuck() {
    on_new_database(async |database: PostgresDatabase| {
        let (here, there) = (database.open().await, database.open().await);
        let mut session = database.connect().await;
        register(&mut session).await;
        let counter = ActivationKey::of_stream(&stream("any"), ModuleKind::Decider);
        let hold = here.hold(&BTreeSet::from([counter])).await.unwrap();

        let mut part = increment("a", ExpectedVersion::Any);
        part.fence = Some(Fence::of_decider(ActivationNumber::NONE));
        let waiting = tokio::spawn({
            let there = there.clone();
            async move { there.append(Append { parts: vec![part] }).await }
        });
        blocked_backend(&mut session).await;
        // What no module has decided waits for no activation.
        append(&there, "b", ExpectedVersion::Any).await.unwrap();
        assert!(!waiting.is_finished());

        std::mem::forget(hold);
        let waited = tokio::time::timeout(DEADLINE, waiting).await.unwrap();
        waited.unwrap().unwrap();
    })
    .await;
}
