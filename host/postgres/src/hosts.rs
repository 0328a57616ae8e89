//! Heartbeats of hosts.

use async_trait::async_trait;
use gavel_model::HostId;
use gavel_store::{Error, HOST_ALIVE_FOR, HeartbeatStore};

use super::PostgresStore;
use super::query::run;
use super::rows::column;

/// Keeps a heartbeat, forgets hosts that are dead for long, and finds those that are alive, all by
/// the server's clock. After this was set back, what was seen in times to come counts for nothing;
/// who is alive says so again within a second. The statement sees the rows of before, so that the
/// host itself is added.
const BEAT: &str = "WITH beat AS ( \
         INSERT INTO hosts (host, rows, seen_at) VALUES ($1, $2, now()) \
         ON CONFLICT ON CONSTRAINT hosts_pkey DO UPDATE SET rows = excluded.rows, seen_at = excluded.seen_at \
     ), forgotten AS ( \
         DELETE FROM hosts WHERE host <> $1 AND seen_at NOT BETWEEN now() - INTERVAL '1 minute' AND now() + INTERVAL '1 minute' \
     ) \
     SELECT $1::UUID AS host UNION \
     SELECT host FROM hosts \
     WHERE host <> $1 AND rows = $2 AND seen_at BETWEEN now() - $3 * INTERVAL '1 second' AND now() + $3 * INTERVAL '1 second'";

const LEAVE: &str = "DELETE FROM hosts WHERE host = $1";

#[async_trait]
impl HeartbeatStore for PostgresStore {
    async fn beat(&self, host: HostId, rows: &str) -> Result<Vec<HostId>, Error> {
        let statement = sqlx::query(BEAT)
            .bind(host)
            .bind(rows)
            .bind(HOST_ALIVE_FOR.as_secs_f64());
        let found = run(&self.pool, statement).await?;
        let hosts: Result<_, _> = found.iter().map(|row| column(row, "host")).collect();
        hosts.map_err(|reason| reason.of("host"))
    }

    async fn leave(&self, host: HostId) -> Result<(), Error> {
        run(&self.pool, sqlx::query(LEAVE).bind(host)).await?;
        Ok(())
    }
}
