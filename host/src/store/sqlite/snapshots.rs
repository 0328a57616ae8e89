//! Snapshots.

use std::convert::identity;

use rusqlite::params;

use super::readers::Readers;
use super::writer::Writer;
use super::{read, rows};
use crate::core::{Clock, Json, ModuleDigest, StreamId, Version};
use crate::store::snapshots::newest_of;
use crate::store::{Error, Loaded, Snapshot};

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

/// Two statements: events are only ever added, so that those after a snapshot that was found are what they were then, or more.
pub(super) async fn load(
    readers: &Readers,
    stream: &StreamId,
    module: ModuleDigest,
    limit: u32,
) -> Result<Loaded, Error> {
    let stream = stream.clone();
    let loaded = readers.read(move |database| {
        let [namespace, decider, id] = read::names(&stream);
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
        let history = read::history_in(database, &stream, after, None, limit)?;
        Ok(Loaded { snapshot, history })
    });
    loaded.await
}

pub(super) async fn put(
    writer: &Writer,
    clock: &dyn Clock,
    snapshots: Vec<Snapshot>,
) -> Result<(), Error> {
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
    let (rows, now) = (rows::json_text(&rows), rows::milliseconds(clock.now()));
    let written = writer.write(move |tx| {
        let put = tx
            .prepare_cached(PUT)
            .and_then(|mut put| put.execute((rows, now)));
        Ok(put?)
    });
    written.await.map_err(|error| error.into_error(identity))?;
    Ok(())
}
