//! Readers of a log that other programs append to, or have damaged.

use gavel_store::conformance::support::end_told;

use super::*;
use crate::connect::SESSION_SETTINGS;

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_append_that_stays_open_makes_no_reader_skip_and_blocks_no_other_stream() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut foreign = database.connect().await;
        register(&mut foreign).await;
        append(&store, "before", ExpectedVersion::NoStream)
            .await
            .unwrap();
        let before = log_of(&store, Position::BEGINNING, 1).await;

        append_and_stay_open(&mut foreign, "open").await;
        for id in ["during-1", "during-2"] {
            append(&store, id, ExpectedVersion::NoStream).await.unwrap();
        }
        // The open append holds back what was committed after it began: a reader who were given
        // that would skip the open one.
        let page = read_log(&store, before[0].position).await.unwrap();
        assert_eq!((page.events, page.next), (Vec::new(), before[0].position));
        assert!(page.is_withheld);
        // A reader from whom nothing resumes is given it.
        let home = Namespace::default();
        let now = store.moment(&home).await.unwrap();
        let filter = LogFilter::default();
        let through = store.read_log_through(&home, page.next, &filter, &now, 9);
        let through = through.await.unwrap();
        assert_eq!(ids(&through.events), ["during-1", "during-2"]);
        let streams = ["open", "during-2"].map(stream);
        let of_streams = store.read_streams(&streams, page.next, &now, 9).await;
        assert_eq!(ids(&of_streams.unwrap().items), ["during-2"]);
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut foreign)
            .await
            .unwrap();
        let withholding = withheld_by(&store, Some(&format!("process {pid}"))).await;
        assert!(withholding.unwrap().age.is_some());

        foreign.execute("COMMIT").await.unwrap();
        append(&store, "after", ExpectedVersion::NoStream)
            .await
            .unwrap();
        let rest = log_of(&store, page.next, 4).await;
        assert_eq!(ids(&rest), ["open", "during-1", "during-2", "after"]);
        let page = read_settled_log(&store, rest[3].position).await.unwrap();
        assert!(page.caught_up);
        withheld_by(&store, None).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_commits_wakes_the_others() {
    on_new_database(async |database: PostgresDatabase| {
        let (one, other) = (database.open().await, database.open().await);
        let mut observer = database.connect().await;
        register(&mut observer).await;
        let listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        eventually(&mut observer, listening, 2).await;

        for _ in 0..5 {
            let (mut ours, mut theirs) = (one.wakeups(), other.wakeups());
            append(&one, "a", ExpectedVersion::Any).await.unwrap();
            for wakeups in [&mut ours, &mut theirs] {
                tokio::time::timeout(DEADLINE, wakeups.changed())
                    .await
                    .expect("it is woken")
                    .unwrap();
            }
        }
        one.close().await;
        other.close().await;
        let connected = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gavel'";
        eventually(&mut observer, connected, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_keeps_the_order_of_streams_that_many_appends_share() {
    const WRITERS: usize = 8;
    const APPENDS: usize = 25;
    let pairs = [["a", "b"], ["b", "c"], ["c", "a"], ["b", "a"]];
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        register(&mut database.connect().await).await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..APPENDS {
                        let streams = pairs[writer % pairs.len()];
                        let parts = streams
                            .map(|id| increment(id, ExpectedVersion::Any))
                            .to_vec();
                        store.append(Append { parts }).await.unwrap();
                    }
                })
            })
            .collect();
        let (mut versions, mut after) = (HashMap::new(), Position::BEGINNING);
        let reading = async {
            for _ in 0..WRITERS * APPENDS * 2 {
                let event = loop {
                    let filter = LogFilter::default();
                    let page = store
                        .read_log(&Namespace::default(), after, &filter, 1)
                        .await
                        .unwrap();
                    after = page.next;
                    if let Some(event) = page.events.into_iter().next() {
                        break event;
                    }
                };
                let version = versions.entry(event.stream).or_insert(0);
                *version += 1;
                assert_eq!(event.version.get(), *version);
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_go_on_when_the_database_moves_to_a_cluster_with_lower_transaction_ids() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for id in ["a", "b", "a"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        store.close().await;
        // What a dump from a cluster with a longer life restores.
        session
            .execute(
                "SET session_replication_role = replica;
                 UPDATE events SET transaction_id = (transaction_id::TEXT::BIGINT + 1000000000000)::TEXT::XID8;
                 UPDATE generations SET system_identifier = system_identifier + 1;",
            )
            .await
            .unwrap();

        let store = database.open().await;
        let old = log_of(&store, Position::BEGINNING, 3).await;
        assert_eq!(ids(&old), ["a", "b", "a"]);
        for id in ["c", "a"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        for resumed_after in 0..3 {
            let rest = log_of(&store, old[resumed_after].position, 4 - resumed_after).await;
            assert_eq!(ids(&rest), ["b", "a", "c", "a"][resumed_after..]);
        }
        let head = store.head(&stream("a")).await.unwrap();
        assert_eq!(head.version.get(), 3);
    })
    .await;
}

/// Makes the newest generation one of a server that has ended.
async fn end_life(session: &mut PgConnection) {
    let ended = "UPDATE generations SET server_started_at = server_started_at - INTERVAL '1 day'";
    session.execute(ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_life_of_the_server_is_one_generation_for_all_hosts() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for _ in 0..3 {
            append(&store, "a", ExpectedVersion::Any).await.unwrap();
        }
        let old = log_of(&store, Position::BEGINNING, 3).await;
        store.close().await;
        end_life(&mut session).await;

        let opening = (0..4).map(|_| {
            let database = database.clone();
            tokio::spawn(async move { database.open().await })
        });
        let hosts = futures::future::join_all(opening).await;
        let hosts: Vec<_> = hosts.into_iter().map(Result::unwrap).collect();
        for host in &hosts {
            append(host, "a", ExpectedVersion::Any).await.unwrap();
        }
        let new = log_of(&hosts[0], old[2].position, 4).await;
        let generations: HashSet<_> = new
            .iter()
            .map(|event| event.position.generation())
            .collect();
        assert_eq!(generations.len(), 1, "{new:?}");
        assert!(new[0].position.generation() > old[2].position.generation());

        // What was read of the life that has ended and is not there any more.
        let last = old[2].position;
        let lost = Position::new(last.generation(), last.transaction() + 1, last.offset() + 1);
        end_told(&hosts[1], &Namespace::default(), lost, last).await;
        assert_eq!(log_of(&hosts[1], lost, 4).await, new);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_its_server_is_not_skipped() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let (mut session, mut outliving) = (database.connect().await, database.connect().await);
        register(&mut session).await;
        append(&store, "before", ExpectedVersion::Any)
            .await
            .unwrap();
        let before = log_of(&store, Position::BEGINNING, 1).await;
        // As what is prepared, whose server may be started anew before it is committed.
        append_and_stay_open(&mut outliving, "open").await;
        store.close().await;
        end_life(&mut session).await;

        let store = database.open().await;
        append(&store, "after", ExpectedVersion::Any).await.unwrap();
        let page = read_log(&store, before[0].position).await.unwrap();
        assert_eq!((page.events, page.next), (Vec::new(), before[0].position));
        outliving.execute("COMMIT").await.unwrap();
        let rest = log_of(&store, page.next, 2).await;
        assert_eq!(ids(&rest), ["open", "after"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_is_reported_with_its_place_and_payload_after_those_before_it() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for id in ["good", "bad", "good"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        let log = log_of(&store, Position::BEGINNING, 3).await;
        session
            .execute(
                "SET session_replication_role = replica;
                 ALTER TABLE events DROP CONSTRAINT events_metadata_check;
                 UPDATE events SET metadata = '[]' WHERE decider_id = 'bad';",
            )
            .await
            .unwrap();

        let page = read_settled_log(&store, Position::BEGINNING).await.unwrap();
        assert_eq!((page.events.as_slice(), page.caught_up), (&log[..1], false));
        let error = read_settled_log(&store, page.next).await.unwrap_err();
        let Error::Malformed {
            stream,
            position,
            raw,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(
            (stream.as_str(), raw.as_str()),
            ("default/counter/bad", "{}")
        );
        let rest = read_settled_log(&store, position).await.unwrap();
        assert_eq!(rest.events, log[2..]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_log_is_read_in_the_order_of_its_index_though_nothing_was_counted_yet() {
    on_new_database(async |database: PostgresDatabase| {
        database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        let settings = SESSION_SETTINGS.iter();
        for (name, value) in settings.filter(|(name, _)| name.starts_with("enable_")) {
            let set = format!("SET {name} = {value}");
            session.execute(AssertSqlSafe(set)).await.unwrap();
        }
        let prepare = format!("PREPARE page AS {}", crate::log::LOG);
        session.execute(AssertSqlSafe(prepare)).await.unwrap();
        let rows = "INSERT INTO events (event, event_id, decider, decider_id, data, command_id)
            SELECT 'Incremented', gen_random_uuid(), 'counter', 'c-' || i, '{}', gen_random_uuid()
            FROM generate_series(1, 20000) AS i";
        session.execute(rows).await.unwrap();
        // How many there are is known, and not yet what they are like.
        session.execute("VACUUM events").await.unwrap();
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let set = format!("SET plan_cache_mode = {mode}");
            session.execute(AssertSqlSafe(set)).await.unwrap();
            let plan: Vec<String> =
                sqlx::query_scalar("EXPLAIN EXECUTE page ('default', 0, '0', 0, 1000)")
                    .persistent(false)
                    .fetch_all(&mut session)
                    .await
                    .unwrap();
            let plan = plan.join("\n");
            assert!(!plan.contains("Sort"), "{mode}: {plan}");
        }
    })
    .await;
}
