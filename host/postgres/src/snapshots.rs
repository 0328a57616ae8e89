//! Snapshots.

use async_trait::async_trait;
use gavel_model::{DeciderName, Json, ModuleDigest, Namespace, StreamId, Version};
use gavel_store::toolkit::newest_of;
use gavel_store::{Error, Loaded, Snapshot, SnapshotPlace, SnapshotStore};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::history::{Filling, Unusable, history_columns};
use super::query::{of_stream, run};

/// A row for each event, the first of them with the snapshot; one row if there is a snapshot and no
/// event.
const LOAD: &str = concat!(
    "SELECT past.*, snapshot.version AS snapshot_version, \
            CASE WHEN row_number() OVER (ORDER BY past.version) = 1 THEN snapshot.state END AS snapshot_state \
     FROM (SELECT TRUE) AS always \
     LEFT JOIN ( \
         SELECT version, state FROM snapshots \
         WHERE namespace = $1 AND decider = $2 AND decider_id = $3 AND module = $4 \
           AND version <= (SELECT head.version FROM stream_heads AS head \
                           WHERE head.namespace = $1 AND head.decider = $2 AND head.decider_id = $3) \
     ) AS snapshot ON TRUE \
     LEFT JOIN LATERAL ( \
         SELECT ",
    history_columns!(),
    " FROM events WHERE namespace = $1 AND decider = $2 AND decider_id = $3 AND version > coalesce(snapshot.version, 0) \
         ORDER BY version LIMIT $5 \
     ) AS past ON TRUE \
     ORDER BY past.version"
);

const PUT: &str = "INSERT INTO snapshots AS kept (namespace, decider, decider_id, module, version, state) \
     SELECT * FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::TEXT[]) \
     ON CONFLICT ON CONSTRAINT snapshots_pkey DO UPDATE \
         SET version = excluded.version, state = excluded.state, created_at = excluded.created_at \
         WHERE kept.version < excluded.version";

const FORGET: &str = "WITH seen AS MATERIALIZED ( \
         SELECT decider_id, module FROM snapshots \
         WHERE namespace = $1 AND decider = $2 AND (decider_id, module) > ($3, $4) \
         ORDER BY decider_id, module LIMIT $5 \
     ), forgotten AS ( \
         DELETE FROM snapshots AS snapshot USING seen \
         WHERE snapshot.namespace = $1 AND snapshot.decider = $2 \
           AND snapshot.decider_id = seen.decider_id AND snapshot.module = seen.module AND seen.module <> ALL ($6::TEXT[]) \
     ) \
     SELECT decider_id, module FROM seen ORDER BY decider_id DESC, module DESC LIMIT 1";

#[async_trait]
impl SnapshotStore for PostgresStore {
    async fn load(
        &self,
        stream: &StreamId,
        module: ModuleDigest,
        limit: u32,
    ) -> Result<Loaded, Error> {
        let mut filling = Filling::new(limit);
        let wanted = filling.rows().unwrap_or_default();
        let statement = || {
            of_stream(LOAD, stream)
                .bind(module.to_string())
                .bind(i64::from(wanted))
        };
        let found = self.read(statement).await?;
        let snapshot = match found.first().and_then(|row| snapshot(row, stream, module)) {
            Some(Ok(snapshot)) => Some(snapshot),
            None => None,
            // Nothing but the whole stream will do, which costs another round trip.
            Some(Err(Unusable)) => {
                return Ok(Loaded {
                    snapshot: None,
                    history: self
                        .read_history(stream, Version::EMPTY, None, limit)
                        .await?,
                });
            }
        };
        let after = snapshot.as_ref().map(|snapshot| snapshot.version);
        let after = after.unwrap_or_default();
        let events = found.iter().filter(|row| is_event(row));
        let filled = match filling.add(events, wanted) {
            Ok(()) => {
                let read_to = filling.end().unwrap_or(after);
                self.fill(filling, stream, read_to, None).await?
            }
            Err(unusable) => Err(unusable),
        };
        let history = match filled {
            Ok(history) => history,
            Err(Unusable) => self.read_history(stream, after, None, limit).await?,
        };
        Ok(Loaded { snapshot, history })
    }

    async fn put_snapshots(&self, snapshots: Vec<Snapshot>) -> Result<(), Error> {
        let snapshots = newest_of(snapshots);
        if snapshots.is_empty() {
            return Ok(());
        }
        let of = |column: fn(&Snapshot) -> &str| snapshots.iter().map(column).collect::<Vec<_>>();
        let modules = snapshots.iter().map(|snapshot| snapshot.module.to_string());
        let versions = snapshots.iter().map(|snapshot| snapshot.version.to_sql());
        let statement = sqlx::query(PUT)
            .bind(of(|snapshot| snapshot.stream.namespace().as_str()))
            .bind(of(|snapshot| snapshot.stream.decider().as_str()))
            .bind(of(|snapshot| snapshot.stream.id()))
            .bind(modules.collect::<Vec<_>>())
            .bind(versions.collect::<Vec<_>>())
            .bind(of(|snapshot| snapshot.state.as_str()));
        run(&self.pool, statement).await?;
        Ok(())
    }

    async fn forget_snapshots(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        kept: &[ModuleDigest],
        after: &SnapshotPlace,
        limit: u32,
    ) -> Result<Option<SnapshotPlace>, Error> {
        let kept: Vec<_> = kept.iter().map(ModuleDigest::to_string).collect();
        let statement = sqlx::query(FORGET)
            .bind(namespace.as_str())
            .bind(decider.as_str())
            .bind(&after.id)
            .bind(&after.module)
            .bind(i64::from(limit))
            .bind(kept);
        let seen = run(&self.pool, statement).await?;
        let last = seen.first().map(|row| {
            Ok(SnapshotPlace {
                id: row.try_get("decider_id")?,
                module: row.try_get("module")?,
            })
        });
        last.transpose()
            .map_err(|error: sqlx::Error| Error::Corrupt {
                what: "snapshot",
                reason: error.to_string(),
            })
    }
}

/// The snapshot that a row brings, which may be one that cannot be read.
fn snapshot(
    row: &PgRow,
    stream: &StreamId,
    module: ModuleDigest,
) -> Option<Result<Snapshot, Unusable>> {
    let version: Option<i64> = row.try_get("snapshot_version").ok()?;
    let version = Version::from_sql(version?)?;
    let state = row.try_get("snapshot_state").map_err(|_| Unusable);
    let state = state.and_then(|state| Json::from_stored(state).map_err(|_| Unusable));
    Some(state.map(|state| Snapshot {
        stream: stream.clone(),
        module,
        version,
        state,
    }))
}

/// Tells whether the row has an event, be it one that cannot be read.
fn is_event(row: &PgRow) -> bool {
    !matches!(row.try_get::<Option<i64>, _>("version"), Ok(None))
}
