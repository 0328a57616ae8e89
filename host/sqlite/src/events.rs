//! Events and commands: the trait `EventStore`. Each answer is that of one statement, so that it is
//! of one state of the store.

use async_trait::async_trait;
use gavel_model::{
    CommandId, CommandRecord, DeciderName, Namespace, RecordedEvent, StreamId, Version,
};
use gavel_store::{
    Append, AppendError, Appended, Direction, Error, EventStore, History, Outdated, Room,
    StreamHead, StreamRange, StreamSummary,
};
use rusqlite::params;
use time::OffsetDateTime;

use super::SqliteStore;
use super::generations::Generations;
use super::history::history_in;
use super::rows::{self, event_columns};

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

const VERSION_AT: &str = "
SELECT version, event_id, final, created_at FROM events
WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND created_at <= ?4
ORDER BY version DESC LIMIT 1";

/// Leaps from the first event of one stream to that of the next, and from there to its last, so
/// that streams cost the same however long they are.
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

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError> {
        let _passed = self.holds.pass(append.streams()).await;
        self.group.append(append).await
    }

    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error> {
        let stream = stream.clone();
        let tip = self
            .readers
            .read(move |database| rows::one(database, HEAD, rows::names(&stream), rows::tip))
            .await?;
        Ok(tip.map(|tip| tip.head).unwrap_or_default())
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let stream = stream.clone();
        let found = self.readers.read(move |database| {
            let statement = match range.direction {
                Direction::Forward => FORWARD,
                Direction::Backward => BACKWARD,
            };
            let [namespace, decider, id] = rows::names(&stream);
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

    async fn history(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<History, Error> {
        let stream = stream.clone();
        self.readers
            .read(move |database| history_in(database, &stream, after, through, limit))
            .await
    }

    async fn version_at(&self, stream: &StreamId, at: OffsetDateTime) -> Result<Version, Error> {
        let stream = stream.clone();
        let found = self.readers.read(move |database| {
            let [namespace, decider, id] = rows::names(&stream);
            let values = params![namespace, decider, id, rows::milliseconds(at)];
            rows::one(database, VERSION_AT, values, rows::tip)
        });
        Ok(found.await?.map(|tip| tip.head.version).unwrap_or_default())
    }

    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error> {
        let (namespace, decider) = (namespace.clone(), decider.clone());
        let after = after.unwrap_or_default().to_owned();
        let found = self.readers.read(move |database| {
            let values = params![namespace.as_str(), decider.as_str(), after, limit];
            rows::all(database, STREAMS, values, rows::summary)
        });
        found.await
    }

    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error> {
        self.lookups.find(namespace, command_id).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.readers.ping().await?;
        self.writer.probe().await
    }

    async fn outdated(&self) -> Outdated {
        self.writer.outdated().await
    }

    /// Leaves the one file: the last connection that closes brings the log into it, and removes the
    /// log.
    async fn close(&self) {
        self.group.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}
