//! Heartbeats of several hosts.

use gavel_model::HostId;
use gavel_store::HeartbeatStore as _;

use super::*;

/// The hosts that `host` sees, sorted.
async fn seen(store: &PostgresStore, host: HostId) -> Vec<HostId> {
    let mut seen = store.beat(host, "here").await.unwrap();
    seen.sort_unstable();
    seen
}

async fn was_seen(session: &mut PgConnection, host: HostId, ago: &str) {
    let seen = format!("UPDATE hosts SET seen_at = now() - INTERVAL '{ago}' WHERE host = '{host}'");
    session.execute(AssertSqlSafe(seen)).await.unwrap();
}

async fn known(session: &mut PgConnection) -> i64 {
    let known = sqlx::query_scalar("SELECT count(*) FROM hosts");
    known.fetch_one(session).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_see_each_other_for_as_long_as_they_are_heard_of() {
    on_new_database(async |database: PostgresDatabase| {
        let (store, other) = (database.open().await, database.open().await);
        let mut session = database.connect().await;
        let [one, two] = [1, 2].map(HostId::from_u128);
        assert_eq!(seen(&store, one).await, [one]);
        assert_eq!(seen(&other, two).await, [one, two]);
        assert_eq!(seen(&store, one).await, [one, two]);

        was_seen(&mut session, two, "4 seconds").await;
        assert_eq!(seen(&store, one).await, [one]);
        assert_eq!(seen(&other, two).await, [one, two]);
        // Said before the server's clock was set back.
        was_seen(&mut session, two, "-1 hour").await;
        assert_eq!(seen(&store, one).await, [one]);
        assert_eq!(seen(&other, two).await, [one, two]);
        other.leave(two).await.unwrap();
        assert_eq!(seen(&store, one).await, [one]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_dead_for_long_are_forgotten() {
    on_new_database(async |database: PostgresDatabase| {
        let store = database.open().await;
        let mut session = database.connect().await;
        let [one, two, three] = [1, 2, 3].map(HostId::from_u128);
        for host in [one, two, three] {
            seen(&store, host).await;
        }
        was_seen(&mut session, two, "50 seconds").await;
        was_seen(&mut session, three, "70 seconds").await;
        assert_eq!(seen(&store, one).await, [one]);
        assert_eq!(known(&mut session).await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_waits_for_no_disk() {
    on_new_database(async |database: PostgresDatabase| {
        drop(database.open().await);
        let mut session = database.connect().await;
        let kept = sqlx::query_scalar(
            "SELECT relpersistence::TEXT FROM pg_class WHERE oid = 'hosts'::REGCLASS",
        );
        let kept: String = kept.fetch_one(&mut session).await.unwrap();
        assert_eq!(kept, "u");
    })
    .await;
}
