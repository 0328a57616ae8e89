//! Batches as the server judges them: what is refused is left out, and all else is stored by the
//! same call.

use gavel_model::{CommandOutcome, CommandRecord, reserved};
use gavel_store::Floor;
use gavel_store::conformance::support::{self, activate_counter};
use gavel_store::toolkit::group::{Commit as _, Outcome, Verdict};

use super::*;
use crate::commit::{CommitConnection, PostgresDatabase as Committing};
use crate::migrations::newest;

/// The outcomes of appends that are committed as one batch.
async fn commit(
    database: &PostgresDatabase,
    store: &PostgresStore,
    parts: impl IntoIterator<Item = StreamAppend>,
) -> Vec<Outcome> {
    let committing = Committing {
        connect: database.server.clone().database(&database.name),
        pool: store.pool.clone(),
        floor: Arc::new(Floor::new(newest())),
    };
    let appends = parts.into_iter().map(|part| Append { parts: vec![part] });
    let batch: Vec<Append> = appends.collect();
    let mut session = CommitConnection::default();
    let verdicts = committing.commit(&mut session, &batch).await.unwrap();
    let outcomes = verdicts.into_iter().map(|verdict| match verdict {
        Verdict::Settled(outcome) => outcome,
        Verdict::Held => panic!("nobody else writes"),
    });
    outcomes.collect()
}

/// The module that [`activate_counter`] makes active.
fn module() -> ModuleDigest {
    ModuleDigest::of(b"counter 0")
}

/// A part with one event that `module` has decided under the fence.
fn decided(
    id: &str,
    head: Option<&RecordedEvent>,
    fence: Fence,
    module: ModuleDigest,
) -> StreamAppend {
    let at = head.map_or(Version::EMPTY, |head| head.version);
    let mut part = increment(id, ExpectedVersion::Exact(at));
    let event = &mut part.events[0];
    let command_id = event.command_id.to_string();
    event.metadata = Metadata::default()
        .with(reserved::MODULE, module.to_string())
        .with(reserved::CORRELATION_ID, command_id.clone())
        .with(reserved::CAUSATION_ID, command_id);
    part.command = Some(CommandRecord {
        command_id: event.command_id,
        module,
        ..support::command(
            &part.stream,
            at.get(),
            CommandOutcome::Accepted { events: 1 },
        )
    });
    part.expected_previous_id = head.map(|head| head.event.event_id);
    part.fence = Some(fence);
    part
}

fn only(outcome: &Outcome) -> &RecordedEvent {
    &outcome.as_ref().unwrap()[0].events[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_were_overtaken_cost_their_batch_nothing() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let fence = activate_counter(&store).await;
        let module = module();
        let first = ["a", "b", "c", "d"].map(|id| decided(id, None, fence, module));
        let first = commit(&database, &store, first).await;
        // Another host goes on with two of the streams.
        let next = [("b", &first[1]), ("d", &first[3])];
        let next = next.map(|(id, head)| decided(id, Some(only(head)), fence, module));
        let next = commit(&database, &store, next).await;
        let newest = only(&next[1]).position.offset();

        let ids = ["a", "b", "c", "d"].iter().zip(&first);
        let batch = ids.map(|(id, head)| decided(id, Some(only(head)), fence, module));
        let outcomes = commit(&database, &store, batch).await;
        // An attempt that was undone would have used offsets up.
        let offsets = [0, 2].map(|place| only(&outcomes[place]).position.offset());
        assert_eq!(offsets, [newest + 1, newest + 2]);
        for (place, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Ok(stored) => assert!(place % 2 == 0 && stored[0].version.get() == 2),
                Err(AppendError::VersionConflict {
                    expected, current, ..
                }) => {
                    assert_eq!((place % 2, expected.get(), current.get()), (1, 1, 2));
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_ahead_of_the_database_leaves_no_gap() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let fence = activate_counter(&store).await;
        let module = module();
        let first = ["a", "b"].map(|id| decided(id, None, fence, module));
        let first = commit(&database, &store, first).await;
        // As after the promotion of a standby which had not got the last events.
        let ahead = |id: &str, head: &Outcome, version: i64| {
            let mut lost = only(head).clone();
            lost.version = Version::from_sql(version).unwrap();
            lost.event.event_id = Uuid::now_v7();
            decided(id, Some(&lost), fence, module)
        };
        let batch = [
            ahead("a", &first[0], 2),
            decided("b", Some(only(&first[1])), fence, module),
            ahead("c", &first[0], i64::MAX - 1),
            // At the right version, but after another event.
            ahead("a", &first[0], 1),
        ];
        for (place, part) in batch.into_iter().enumerate() {
            let outcome = commit(&database, &store, [part]).await.remove(0);
            match (place, outcome) {
                (0, Err(AppendError::VersionConflict { current, .. })) => {
                    assert_eq!(current.get(), 1)
                }
                (1, Ok(stored)) => assert_eq!(stored[0].version.get(), 2),
                (2, Err(AppendError::VersionConflict { current, .. })) => {
                    assert_eq!(current.get(), 0)
                }
                (3, Err(AppendError::WrongPreviousId { current, .. })) => {
                    assert_eq!(current, Some(only(&first[0]).event.event_id));
                }
                (place, outcome) => panic!("{place}: {outcome:?}"),
            }
        }
        for (id, version) in [("a", 1), ("b", 2), ("c", 0)] {
            assert_eq!(
                store.head(&stream(id)).await.unwrap().version.get(),
                version
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_activation_is_stored_after_the_next_one() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let fence = activate_counter(&store).await;
        let mut swapping = database.connect().await;
        let mut observer = database.connect().await;
        // The next activation has all that it needs, but its COMMIT.
        swapping.execute("BEGIN").await.unwrap();
        swapping
            .execute(
                "SELECT gavel_activate(1000000, 'default', NULL, '[{\"kind\": \"decider\", \"name\": \"counter\", \"after\": 1, \
                 \"events\": [], \"accepted\": [], \"report\": {}}]')",
            )
            .await
            .unwrap();
        let late = tokio::spawn({
            let store = store.clone();
            let part = decided("a", None, fence, module());
            async move { store.append(Append { parts: vec![part] }).await }
        });
        blocked_backend(&mut observer).await;
        swapping.execute("COMMIT").await.unwrap();
        let refused = late.await.unwrap().unwrap_err();
        assert!(
            matches!(&refused, AppendError::Fenced { current, .. } if current.get() == 2),
            "{refused:?}"
        );
        assert_eq!(store.head(&stream("a")).await.unwrap().version.get(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_after_a_clock_was_set_back_are_not_older_than_those_before() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let fence = activate_counter(&store).await;
        let module = module();
        let first = ["ahead", "other"].map(|id| decided(id, None, fence, module));
        let first = commit(&database, &store, first).await;
        // As if the clock of the server had gone an hour ahead until now.
        let mut session = database.connect().await;
        let forged = "SET session_replication_role = replica; \
                      UPDATE events SET created_at = created_at + INTERVAL '1 hour' WHERE decider_id = 'ahead'";
        session.execute(sqlx::raw_sql(forged)).await.unwrap();

        let ids = ["ahead", "other"].iter().zip(&first);
        let batch = ids.map(|(id, head)| decided(id, Some(only(head)), fence, module));
        let outcomes = commit(&database, &store, batch).await;
        let [ahead, other] = [0, 1].map(|place| only(&outcomes[place]).created_at);
        let hour = time::Duration::hours(1);
        assert_eq!(ahead, only(&first[0]).created_at + hour);
        // Who is not ahead is told the time.
        assert!(other < ahead, "{other} {ahead}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_activation_tells_is_stored_once_and_shown_to_everyone() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let fence = activate_counter(&store).await;
        // Another module than the one that was active, as of a host whose database was put back.
        for (id, module) in [("known", module()), ("unknown", ModuleDigest::of(b"another"))] {
            let part = decided(id, None, fence, module);
            let (event, command) = (part.events[0].clone(), part.command.clone().unwrap());
            commit(&database, &store, [part]).await.remove(0).unwrap();

            let read = store.history(&stream(id), Version::EMPTY, None, 1).await;
            assert_eq!(read.unwrap().events.len(), 1);
            let log = log_of(&store, Position::BEGINNING, if id == "known" { 1 } else { 2 }).await;
            assert_eq!(log.last().unwrap().event, event);
            let found = store.command(&Namespace::default(), command.command_id).await;
            assert_eq!(found.unwrap(), Some(command));

            let mut session = database.connect().await;
            let sql = "SELECT metadata::TEXT, (SELECT metadata::TEXT FROM events WHERE decider_id = $1), \
                       (SELECT coalesce(module, '') FROM commands WHERE decider_id = $1) FROM get_events($1, 'counter')";
            let (shown, stored, named): (String, String, String) =
                sqlx::query_as(sql).bind(id).fetch_one(&mut session).await.unwrap();
            let whole: std::collections::BTreeMap<String, String> =
                serde_json::from_str(&shown).unwrap();
            assert_eq!(&whole, event.metadata.entries());
            assert_eq!(stored == "{}", id == "known", "{stored}");
            assert_eq!(named.is_empty(), id == "known", "{named}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_events_sees_their_whole_metadata_and_a_forged_activation_adds_nothing() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let fence = activate_counter(&store).await;
        let part = decided("decided", None, fence, module());
        let event = part.events[0].clone();
        commit(&database, &store, [part]).await.remove(0).unwrap();
        let mut session = database.connect().await;
        // A plain writer's event, under an activation that there is not.
        let forged = "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, metadata, activation) \
                      VALUES ('Incremented', gen_random_uuid(), 'counter', 'forged', '{}', gen_random_uuid(), '{\"a\": \"b\"}', 99)";
        session.execute(forged).await.unwrap();
        // Roles are the server's, not the database's.
        let role = format!("reader_{}", database.name);
        let allowed = format!("CREATE ROLE {role}; GRANT SELECT ON events TO {role}; SET ROLE {role}");
        session
            .execute(sqlx::raw_sql(AssertSqlSafe(allowed)))
            .await
            .unwrap();
        let read = "SELECT metadata::TEXT FROM get_events('decided', 'counter') \
                    UNION ALL SELECT gavel_metadata(e)::TEXT FROM events AS e WHERE e.decider_id = 'forged'";
        let shown = sqlx::query_scalar::<_, String>(read)
            .fetch_all(&mut session)
            .await;
        let gone = format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}");
        session
            .execute(sqlx::raw_sql(AssertSqlSafe(gone)))
            .await
            .unwrap();

        let shown = shown.unwrap().into_iter().map(|text| {
            let entries = serde_json::from_str(&text).unwrap();
            Metadata::from_stored(entries)
        });
        let expected = [event.metadata, Metadata::default().with("a", "b")];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        let log = log_of(&store, Position::BEGINNING, 2).await;
        assert_eq!(log[1].event.metadata, expected[1]);
    })
    .await;
}
