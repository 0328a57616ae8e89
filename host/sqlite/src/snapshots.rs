//! Snapshots.

use std::convert::identity;

use async_trait::async_trait;
use gavel_model::{DeciderName, Json, ModuleDigest, Namespace, StreamId, Version};
use gavel_store::toolkit::newest_of;
use gavel_store::{Error, Loaded, Snapshot, SnapshotPlace, SnapshotStore};
use rusqlite::params;

use super::SqliteStore;
use super::error::SqliteError;
use super::history::history_in;
use super::rows;

const SNAPSHOT: &str = "
SELECT snapshot.version, snapshot.state FROM snapshots AS snapshot
WHERE snapshot.namespace = ?1 AND snapshot.decider = ?2 AND snapshot.decider_id = ?3 AND snapshot.module = ?4
    AND snapshot.version <= (SELECT max(version) FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3)";

/// All at once, as one JSON array. The WHERE is for SQLite's parser, which would take ON for that of a join.
const PUT: &str = "
INSERT INTO snapshots AS kept (namespace, decider, decider_id, module, version, state, created_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?2 FROM json_each(?1) WHERE TRUE
ON CONFLICT (namespace, decider, decider_id, module) DO UPDATE
    SET version = excluded.version, state = excluded.state, created_at = excluded.created_at
    WHERE kept.version < excluded.version";

/// The place of the last of those that are looked at, and whether each of them is of a module that is kept.
const SEEN: &str = "
SELECT decider_id, module, min(module IN (SELECT value FROM json_each(?6))) OVER ()
FROM (
    SELECT decider_id, module FROM snapshots
    WHERE namespace = ?1 AND decider = ?2 AND (decider_id, module) > (?3, ?4)
    ORDER BY decider_id, module LIMIT ?5
)
ORDER BY decider_id DESC, module DESC LIMIT 1";

const FORGET: &str = "
DELETE FROM snapshots
WHERE namespace = ?1 AND decider = ?2 AND (decider_id, module) > (?3, ?4) AND (decider_id, module) <= (?5, ?6)
    AND module NOT IN (SELECT value FROM json_each(?7))";

#[async_trait]
impl SnapshotStore for SqliteStore {
    /// Two statements: events are only ever added, so that those after a snapshot that was found are what they were then, or more.
    async fn load(
        &self,
        stream: &StreamId,
        module: ModuleDigest,
        limit: u32,
    ) -> Result<Loaded, Error> {
        let stream = stream.clone();
        let loaded = self.readers.read(move |database| {
            let [namespace, decider, id] = rows::names(&stream);
            let values = params![namespace, decider, id, module.to_string()];
            let found = rows::one(database, SNAPSHOT, values, |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get_ref(1)?.as_bytes().ok().map(<[u8]>::to_vec),
                ))
            })?;
            // One that cannot be read is none.
            let snapshot = found.and_then(|(version, state)| {
                Some(Snapshot {
                    stream: stream.clone(),
                    module,
                    version: Version::from_sql(version)?,
                    state: Json::from_stored(String::from_utf8(state?).ok()?).ok()?,
                })
            });
            let after = snapshot
                .as_ref()
                .map_or(Version::EMPTY, |snapshot| snapshot.version);
            let history = history_in(database, &stream, after, None, limit)?;
            Ok(Loaded { snapshot, history })
        });
        loaded.await
    }

    async fn put_snapshots(&self, snapshots: Vec<Snapshot>) -> Result<(), Error> {
        let snapshots = newest_of(snapshots);
        if snapshots.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = snapshots
            .iter()
            .map(|snapshot| {
                let (stream, version) = (&snapshot.stream, snapshot.version.to_sql());
                let (namespace, decider) = (stream.namespace().as_str(), stream.decider().as_str());
                let (module, state) = (snapshot.module.to_string(), snapshot.state.as_str());
                (namespace, decider, stream.id(), module, version, state)
            })
            .collect();
        let (rows, now) = (rows::json_text(&rows), rows::milliseconds(self.clock.now()));
        let written = self.writer.write(move |tx| {
            let put = tx
                .prepare_cached(PUT)
                .and_then(|mut put| put.execute((rows, now)));
            Ok::<_, SqliteError>(put?)
        });
        written.await.map_err(|error| error.into_error(identity))?;
        Ok(())
    }

    /// Writes only where there is something to delete.
    async fn forget_snapshots(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        kept: &[ModuleDigest],
        after: &SnapshotPlace,
        limit: u32,
    ) -> Result<Option<SnapshotPlace>, Error> {
        let kept: Vec<_> = kept.iter().map(ModuleDigest::to_string).collect();
        let kept = rows::json_text(&kept);
        let names = [namespace.to_string(), decider.to_string()];
        let SnapshotPlace { id, module } = after.clone();
        let seen = {
            let ([namespace, decider], kept) = (names.clone(), kept.clone());
            let (id, module) = (id.clone(), module.clone());
            self.readers.read(move |database| {
                let values = params![namespace, decider, id, module, limit, kept];
                rows::one(database, SEEN, values, |row| {
                    let (id, module) = (row.get(0)?, row.get(1)?);
                    Ok((SnapshotPlace { id, module }, row.get::<_, bool>(2)?))
                })
            })
        };
        let Some((last, are_kept)) = seen.await? else {
            return Ok(None);
        };
        if !are_kept {
            let ([namespace, decider], through) = (names, last.clone());
            let forgotten = self.writer.write(move |tx| {
                let values = params![
                    namespace,
                    decider,
                    id,
                    module,
                    through.id,
                    through.module,
                    kept
                ];
                let forgotten = tx
                    .prepare_cached(FORGET)
                    .and_then(|mut forget| forget.execute(values));
                Ok::<_, SqliteError>(forgotten?)
            });
            forgotten
                .await
                .map_err(|error| error.into_error(identity))?;
        }
        Ok(Some(last))
    }
}
