//! Consumers that plain SQL, a broken row or another cluster has had a hand in.

use gavel_model::{ConsumerId, ConsumerSettings, EventFilter, Lease, Push, Start};
use gavel_store::ConsumerStore as _;

use super::*;

fn consumer() -> ConsumerId {
    ConsumerId::new(Namespace::default(), "v").unwrap()
}

fn settings() -> ConsumerSettings {
    ConsumerSettings {
        filter: EventFilter::default(),
        lock_timeout: Duration::from_secs(60),
        max_attempts: 3,
        backoff: Duration::ZERO,
        push: None,
    }
}

/// Waits until the expected numbers of events are leased of these streams, and returns the leases:
/// other tests on the server may hold events back for a moment.
async fn lease_all(store: &PostgresStore, expected: &[(&str, usize)]) -> Vec<Lease> {
    let mut last = Vec::new();
    let leasing = async {
        loop {
            last = store.lease(&consumer(), 16, 100).await.unwrap().leases;
            if leased_ids(&last) == expected {
                return;
            }
            for lease in &last {
                let released = store.release(&consumer(), lease.id, Duration::ZERO).await;
                released.unwrap();
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, leasing).await;
    assert!(in_time.is_ok(), "{expected:?} are leased, not {last:?}");
    last
}

fn leased_ids(leases: &[Lease]) -> Vec<(&str, usize)> {
    let ids = leases.iter();
    ids.map(|lease| (lease.stream.id(), lease.events.len()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_plain_sql_is_a_consumer() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for id in ["a", "b", "a"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        session
            .execute(
                "SELECT register_view('v', '-infinity', 60, 5, 'http://localhost/v', deciders => '{counter}', max_attempts => 7)",
            )
            .await
            .unwrap();
        let found = store.consumer(&consumer(), 1_000).await.unwrap();
        let push = Push {
            url: "http://localhost/v".to_owned(),
            secret: None,
        };
        let expected = ConsumerSettings {
            filter: EventFilter {
                deciders: vec!["counter".to_owned()],
                ..EventFilter::default()
            },
            max_attempts: 7,
            backoff: Duration::from_secs(1),
            push: Some(push),
            ..settings()
        };
        assert_eq!((found.settings, found.lag_events), (expected, 3));

        let leases = lease_all(&store, &[("a", 2), ("b", 1)]).await;
        // Whoever has the token may settle it, however it was leased.
        for lease in &leases {
            let offset = lease.events.last().unwrap().position.offset();
            sqlx::query("SELECT ack_event('v', $1, $2, $3)")
                .bind(lease.stream.id())
                .bind(i64::try_from(offset).unwrap())
                .bind(lease.id)
                .execute(&mut session)
                .await
                .unwrap();
        }
        let found = store.consumer(&consumer(), 1_000).await.unwrap();
        assert_eq!((found.lag_events, found.in_flight), (0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_parks_its_stream_once_those_before_it_are_done() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for id in ["first", "good", "second", "first", "second", "good"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        let log = log_of(&store, Position::BEGINNING, 6).await;
        session
            .execute(
                "SET session_replication_role = replica;
                 ALTER TABLE events DROP CONSTRAINT events_metadata_check;
                 UPDATE events SET metadata = '[]', data = '{\"as\": \"stored\"}'
                 WHERE (decider_id, version) IN (('first', 1), ('second', 2));",
            )
            .await
            .unwrap();
        let id = consumer();
        store
            .put_consumer(&id, &settings(), Start::Beginning)
            .await
            .unwrap();

        let leases = lease_all(&store, &[("good", 2), ("second", 1)]).await;
        let second = &leases[1];
        // All of it that could be delivered is done, so that nothing is kept.
        let through = second.events[0].position;
        let kept = store.ack(&id, second.id, through, true).await.unwrap();
        assert_eq!(kept, None);
        assert_eq!(store.lease(&id, 16, 100).await.unwrap().leases, []);

        let parked = store.list_parked(&id, None, 10).await.unwrap();
        let places: Vec<_> = parked
            .iter()
            .map(|parked| (parked.stream.id(), parked.version.get(), parked.position))
            .collect();
        let expected = [
            ("first", 1, log[0].position),
            ("second", 2, log[4].position),
        ];
        assert_eq!(places, expected);
        for parked in &parked {
            let position = parked.position.to_string();
            let says = |text: &str| parked.reason.contains(text);
            assert!(
                says(&position) && says("{\"as\": \"stored\"}"),
                "{}",
                parked.reason
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_when_the_database_moves_to_a_cluster_with_lower_transaction_ids() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        for id in ["a", "b", "c"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        let id = consumer();
        store
            .put_consumer(&id, &settings(), Start::Beginning)
            .await
            .unwrap();
        let leases = lease_all(&store, &[("a", 1), ("b", 1), ("c", 1)]).await;
        let through = leases[0].events[0].position;
        store.ack(&id, leases[0].id, through, false).await.unwrap();
        store.close().await;
        session
            .execute(
                "SET session_replication_role = replica;
                 CREATE FUNCTION later(XID8) RETURNS XID8 LANGUAGE sql AS $$ SELECT ($1::TEXT::BIGINT + 1000000000000)::TEXT::XID8 $$;
                 UPDATE events SET transaction_id = later(transaction_id);
                 UPDATE consumers SET transaction_id = later(transaction_id);
                 UPDATE consumer_streams SET next_transaction_id = later(next_transaction_id);
                 UPDATE generations SET system_identifier = system_identifier + 1;",
            )
            .await
            .unwrap();

        let store = database.open().await;
        for id in ["b", "d"] {
            append(&store, id, ExpectedVersion::Any).await.unwrap();
        }
        lease_all(&store, &[("d", 1)]).await;
        for lease in &leases[1..] {
            let nacked = store.nack(&id, lease.id, None, "again").await;
            assert!(nacked.is_ok(), "{nacked:?}");
        }
        lease_all(&store, &[("b", 2), ("c", 1)]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_prolongs_no_lease() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        register(&mut session).await;
        append(&store, "a", ExpectedVersion::Any).await.unwrap();
        store
            .put_consumer(&consumer(), &settings(), Start::Beginning)
            .await
            .unwrap();
        let whole = [("a", 1)];
        lease_all(&store, &whole).await;

        // By less than it lasts, and by more.
        for (seconds, free) in [(30, &whole[..0]), (7_200, &whole)] {
            let set_back = format!(
                "SET session_replication_role = replica; \
                 UPDATE consumer_streams SET available_at = available_at + {seconds} * INTERVAL '1 second', \
                                             available_since = available_since + {seconds} * INTERVAL '1 second'"
            );
            session.execute(AssertSqlSafe(set_back)).await.unwrap();
            lease_all(&store, free).await;
        }
    })
    .await;
}
