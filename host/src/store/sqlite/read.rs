//! Reading streams and the ledger. Each call is one statement, so that it sees one state of the store.

use sqlx::SqlitePool;
use time::OffsetDateTime;

use super::error::failed;
use super::rows::{self, command_columns, event_columns};
use crate::core::{
    CommandId, CommandRecord, DeciderName, Namespace, RecordedEvent, StreamId, Version,
};
use crate::store::{Direction, Error, StreamHead, StreamRange, StreamSummary};

const HEAD: &str = "
SELECT version, event_id, final FROM events
WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3
ORDER BY version DESC LIMIT 1";

const FORWARD: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND version > ?4 AND version <= ?5
    ORDER BY version LIMIT ?6"
);

const BACKWARD: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND version > ?4 AND version <= ?5
    ORDER BY version DESC LIMIT ?6"
);

const VERSION_AT: &str = "
SELECT version FROM events
WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND created_at <= ?4
ORDER BY version DESC LIMIT 1";

/// Leaps from the first event of one stream to that of the next, and from there to its last, so that streams cost the same however long they are.
const STREAMS: &str = "
WITH RECURSIVE streams (decider_id) AS (
    SELECT min(decider_id) FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id > ?3
    UNION ALL
    SELECT (SELECT min(decider_id) FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id > streams.decider_id)
    FROM streams WHERE decider_id IS NOT NULL
    LIMIT ?4
)
SELECT decider_id, version, final, created_at
FROM streams CROSS JOIN events USING (decider_id)
WHERE namespace = ?1 AND decider = ?2 AND version = (
    SELECT max(version) FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id = streams.decider_id
)
ORDER BY decider_id";

const COMMAND: &str = concat!(
    "SELECT ",
    command_columns!(),
    " FROM commands WHERE namespace = ?1 AND command_id = ?2"
);

pub(super) async fn head(readers: &SqlitePool, stream: &StreamId) -> Result<StreamHead, Error> {
    let found: Option<(i64, CommandId, bool)> = sqlx::query_as(HEAD)
        .bind(stream.namespace().as_str())
        .bind(stream.decider().as_str())
        .bind(stream.id())
        .fetch_optional(readers)
        .await
        .map_err(failed)?;
    let Some((version, last_event_id, is_final)) = found else {
        return Ok(StreamHead::default());
    };
    Ok(StreamHead {
        version: stored_version(version)?,
        last_event_id: Some(last_event_id),
        is_final,
    })
}

pub(super) async fn stream(
    readers: &SqlitePool,
    stream: &StreamId,
    range: StreamRange,
) -> Result<Vec<RecordedEvent>, Error> {
    let statement = match range.direction {
        Direction::Forward => FORWARD,
        Direction::Backward => BACKWARD,
    };
    let found = sqlx::query(statement)
        .bind(stream.namespace().as_str())
        .bind(stream.decider().as_str())
        .bind(stream.id())
        .bind(range.after.to_sql())
        .bind(range.through.map_or(i64::MAX, Version::to_sql))
        .bind(range.limit)
        .fetch_all(readers)
        .await
        .map_err(failed)?;
    found.iter().map(|row| rows::event(row, stream)).collect()
}

pub(super) async fn version_at(
    readers: &SqlitePool,
    stream: &StreamId,
    at: OffsetDateTime,
) -> Result<Version, Error> {
    let found: Option<i64> = sqlx::query_scalar(VERSION_AT)
        .bind(stream.namespace().as_str())
        .bind(stream.decider().as_str())
        .bind(stream.id())
        .bind(rows::milliseconds(at))
        .fetch_optional(readers)
        .await
        .map_err(failed)?;
    found.map_or(Ok(Version::EMPTY), stored_version)
}

pub(super) async fn streams(
    readers: &SqlitePool,
    namespace: &Namespace,
    decider: &DeciderName,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<StreamSummary>, Error> {
    let found: Vec<(String, i64, bool, i64)> = sqlx::query_as(STREAMS)
        .bind(namespace.as_str())
        .bind(decider.as_str())
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(readers)
        .await
        .map_err(failed)?;
    let summary = |(id, version, is_final, updated_at)| {
        Ok(StreamSummary {
            id,
            version: stored_version(version)?,
            is_final,
            updated_at: rows::time(updated_at).map_err(corrupt_head)?,
        })
    };
    found.into_iter().map(summary).collect()
}

pub(super) async fn command(
    readers: &SqlitePool,
    namespace: &Namespace,
    command_id: CommandId,
) -> Result<Option<CommandRecord>, Error> {
    let found = sqlx::query(COMMAND)
        .bind(namespace.as_str())
        .bind(command_id)
        .fetch_optional(readers)
        .await
        .map_err(failed)?;
    found.as_ref().map(rows::command).transpose()
}

pub(super) async fn ping(readers: &SqlitePool) -> Result<(), Error> {
    sqlx::query("SELECT count(*) FROM sqlite_schema")
        .execute(readers)
        .await
        .map_err(failed)?;
    Ok(())
}

fn stored_version(number: i64) -> Result<Version, Error> {
    Version::from_sql(number).ok_or_else(|| corrupt_head("its version is negative".to_owned()))
}

fn corrupt_head(reason: String) -> Error {
    Error::Corrupt {
        what: "stream head",
        reason,
    }
}
