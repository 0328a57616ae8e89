//! Reading streams and the ledger. Each answer is that of one statement, so that it is of one state of the store.

use async_trait::async_trait;
use gavel_model::{DeciderName, Namespace, RecordedEvent, StreamId, Version};
use gavel_store::lookup::{Found, Key, Ledger};
use gavel_store::{Direction, Error, History, Room, StreamHead, StreamRange, StreamSummary};
use rusqlite::{Connection, params};
use time::OffsetDateTime;

use super::error::SqliteError;
use super::generations::Generations;
use super::readers::Readers;
use super::rows::{self, command_columns, event_columns, history_columns};

pub(super) const HEAD: &str = "
SELECT version, event_id, final, created_at FROM events
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

const HISTORY: &str = concat!(
    "SELECT ",
    history_columns!(),
    " FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND version > ?4 AND version <= ?5
    ORDER BY version LIMIT ?6"
);

const VERSION_AT: &str = "
SELECT version, event_id, final, created_at FROM events
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

pub(super) const COMMAND: &str = concat!(
    "SELECT ",
    command_columns!(),
    " FROM commands WHERE namespace = ?1 AND command_id = ?2"
);

pub(super) async fn head(readers: &Readers, stream: &StreamId) -> Result<StreamHead, Error> {
    let stream = stream.clone();
    let tip = readers
        .read(move |database| rows::one(database, HEAD, names(&stream), rows::tip))
        .await?;
    Ok(tip.map(|tip| tip.head).unwrap_or_default())
}

pub(super) async fn stream(
    readers: &Readers,
    stream: &StreamId,
    range: StreamRange,
) -> Result<Vec<RecordedEvent>, Error> {
    let stream = stream.clone();
    let found = readers.read(move |database| {
        let statement = match range.direction {
            Direction::Forward => FORWARD,
            Direction::Backward => BACKWARD,
        };
        let [namespace, decider, id] = names(&stream);
        let after = range.after.to_sql();
        let through = range.through.map_or(i64::MAX, Version::to_sql);
        let values = params![namespace, decider, id, after, through, range.limit];
        let mut room = Room::new(range.limit, range.bytes);
        let mut events = Vec::new();
        let generations = Generations::of(database);
        let mut select = database.prepare_cached(statement)?;
        let mut found = select.query(values)?;
        while let Some(row) = found.next()? {
            let event = rows::event(row, &generations, &stream)?;
            if !room.take(&event) {
                break;
            }
            events.push(event);
        }
        Ok(events)
    });
    found.await
}

pub(super) async fn history(
    readers: &Readers,
    stream: &StreamId,
    after: Version,
    through: Option<Version>,
    limit: u32,
) -> Result<History, Error> {
    let stream = stream.clone();
    readers
        .read(move |database| history_in(database, &stream, after, through, limit))
        .await
}

/// As [`history`], on one connection.
pub(super) fn history_in(
    database: &Connection,
    stream: &StreamId,
    after: Version,
    through: Option<Version>,
    limit: u32,
) -> Result<History, SqliteError> {
    let [namespace, decider, id] = names(stream);
    let through = through.map_or(i64::MAX, Version::to_sql);
    let values = params![namespace, decider, id, after.to_sql(), through, limit];
    let generations = Generations::of(database);
    let mut room = Room::of_history(limit);
    let mut history = History::default();
    let mut select = database.prepare_cached(HISTORY)?;
    let mut found = select.query(values)?;
    while let Some(row) = found.next()? {
        let (event, head) = rows::past_event(row, &generations, stream)?;
        if !room.take_bytes(event.size_bytes()) {
            break;
        }
        history.events.push(event);
        history.head = Some(head);
    }
    history.has_more = room.is_full() || room.is_used_up();
    Ok(history)
}

pub(super) async fn version_at(
    readers: &Readers,
    stream: &StreamId,
    at: OffsetDateTime,
) -> Result<Version, Error> {
    let stream = stream.clone();
    let found = readers.read(move |database| {
        let [namespace, decider, id] = names(&stream);
        let values = params![namespace, decider, id, rows::milliseconds(at)];
        rows::one(database, VERSION_AT, values, rows::tip)
    });
    Ok(found.await?.map(|tip| tip.head.version).unwrap_or_default())
}

pub(super) async fn streams(
    readers: &Readers,
    namespace: &Namespace,
    decider: &DeciderName,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<StreamSummary>, Error> {
    let (namespace, decider) = (namespace.clone(), decider.clone());
    let after = after.unwrap_or_default().to_owned();
    let found = readers.read(move |database| {
        let values = params![namespace.as_str(), decider.as_str(), after, limit];
        rows::all(database, STREAMS, values, rows::summary)
    });
    found.await
}

#[async_trait]
impl Ledger for Readers {
    async fn find(&self, wanted: Vec<Key>) -> Result<Vec<Found>, Error> {
        self.read(move |database| {
            let found = wanted.iter().map(|(namespace, command_id)| {
                let values = params![namespace.as_str(), command_id.as_bytes()];
                Ok(rows::one(database, COMMAND, values, rows::command)?)
            });
            Ok(found.collect())
        })
        .await
    }
}

pub(super) async fn ping(readers: &Readers) -> Result<(), Error> {
    let count = "SELECT count(*) FROM sqlite_schema";
    let found = readers.read(move |database| rows::one(database, count, [], |_| Ok(())));
    found.await?;
    Ok(())
}

/// The values that name a stream.
pub(super) fn names(stream: &StreamId) -> [&str; 3] {
    [
        stream.namespace().as_str(),
        stream.decider().as_str(),
        stream.id(),
    ]
}
