//! Snapshots.

use std::convert::identity;

use async_trait::async_trait;
use gavel_model::{DeciderName, Json, ModuleDigest, Namespace, StreamId, Version};
use gavel_store::toolkit::newest_of;
use gavel_store::toolkit::writes::{CarryOut, ForgetSnapshots, PutSnapshots};
use gavel_store::{Error, Loaded, Snapshot, SnapshotPlace, SnapshotStore};
use rusqlite::params;
use time::OffsetDateTime;

use super::SqliteStore;
use super::history::history_in;
use super::rows;
use super::tables::Tables;

const SNAPSHOT: &str = "
SELECT snapshot.version, snapshot.state FROM snapshots AS snapshot
WHERE snapshot.namespace = ?1 AND snapshot.decider = ?2 AND snapshot.decider_id = ?3 AND snapshot.module = ?4
    AND snapshot.version <= (SELECT max(version) FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3)";

const PUT: &str = "
INSERT INTO snapshots AS kept (namespace, decider, decider_id, module, version, state, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (namespace, decider, decider_id, module) DO UPDATE
    SET version = excluded.version, state = excluded.state, created_at = excluded.created_at
    WHERE kept.version < excluded.version";

/// The place of the last of those that are looked at, and whether each of them is of a module that
/// is kept.
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
    /// Two statements: events are only ever added, so that those after a snapshot that was found
    /// are what they were then, or more.
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
        let written = self.writer.carry_out(PutSnapshots { snapshots });
        written.await.map_err(|error| error.into_error(identity))
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
        let names = [namespace.to_string(), decider.to_string()];
        let SnapshotPlace { id, module } = after.clone();
        let kept_texts = texts(kept);
        let seen = self.readers.read(move |database| {
            let [namespace, decider] = names;
            let values = params![namespace, decider, id, module, limit, kept_texts];
            rows::one(database, SEEN, values, |row| {
                let (id, module) = (row.get(0)?, row.get(1)?);
                Ok((SnapshotPlace { id, module }, row.get::<_, bool>(2)?))
            })
        });
        let Some((last, are_kept)) = seen.await? else {
            return Ok(None);
        };
        if !are_kept {
            let change = ForgetSnapshots {
                namespace: namespace.clone(),
                decider: decider.clone(),
                kept: kept.to_vec(),
                after: after.clone(),
                through: last.clone(),
            };
            let forgotten = self.writer.carry_out(change);
            forgotten
                .await
                .map_err(|error| error.into_error(identity))?;
        }
        Ok(Some(last))
    }
}

impl CarryOut<PutSnapshots> for Tables<'_> {
    fn carry_out(&mut self, change: PutSnapshots, now: OffsetDateTime) -> Result<(), Error> {
        for snapshot in change.snapshots {
            let [namespace, decider, id] = rows::names(&snapshot.stream);
            let (module, version) = (snapshot.module.to_string(), snapshot.version.to_sql());
            let (state, now) = (snapshot.state.as_str(), rows::milliseconds(now));
            let values = params![namespace, decider, id, module, version, state, now];
            self.run(PUT, values)?;
        }
        Ok(())
    }
}

impl CarryOut<ForgetSnapshots> for Tables<'_> {
    fn carry_out(&mut self, change: ForgetSnapshots, _: OffsetDateTime) -> Result<(), Error> {
        let (after, through) = (change.after, change.through);
        let values = params![
            change.namespace.as_str(),
            change.decider.as_str(),
            after.id,
            after.module,
            through.id,
            through.module,
            texts(&change.kept),
        ];
        self.run(FORGET, values)?;
        Ok(())
    }
}

/// Digests as a JSON array.
fn texts(digests: &[ModuleDigest]) -> String {
    let digests: Vec<_> = digests.iter().map(ModuleDigest::to_string).collect();
    rows::json_text(&digests)
}
