//! Events and commands: the trait `EventStore`.

use async_trait::async_trait;
use gavel_model::{
    CommandId, CommandRecord, DeciderName, Namespace, Position, RecordedEvent, StreamId, Version,
};
use gavel_store::{
    Append, AppendError, Appended, Claim, Direction, Error, EventStore, History, Moment, Outdated,
    Page, Room, StreamHead, StreamRange, StreamSummary,
};
use time::OffsetDateTime;

use super::PostgresStore;
use super::query::of_stream;
use super::rows::{self, event_columns};

const FORWARD: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = $1 AND decider = $2 AND decider_id = $3 AND version > $4 AND version <= $5 \
     ORDER BY version LIMIT $6"
);
const BACKWARD: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = $1 AND decider = $2 AND decider_id = $3 AND version > $4 AND version <= $5 \
     ORDER BY version DESC LIMIT $6"
);

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError> {
        let _passed = self.holds.pass(append.streams()).await;
        self.group.append(append).await
    }

    async fn claim(&self, stream: &StreamId) -> Result<Option<Box<dyn Claim>>, Error> {
        self.claim_stream(stream).await
    }

    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error> {
        let sql = "SELECT version, event_id AS last_event_id, final FROM events \
                   WHERE namespace = $1 AND decider = $2 AND decider_id = $3 ORDER BY version DESC LIMIT 1";
        let found = self.read(|| of_stream(sql, stream)).await?;
        let head = found.first().map(rows::head).transpose();
        Ok(head
            .map_err(|reason| reason.of("head"))?
            .unwrap_or_default())
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let sql = match range.direction {
            Direction::Forward => FORWARD,
            Direction::Backward => BACKWARD,
        };
        let (mut after, mut through) = (range.after, range.through);
        let mut room = Room::new(range.limit, range.bytes);
        let mut events = Vec::new();
        loop {
            let wanted = room.rows();
            let statement = || {
                of_stream(sql, stream)
                    .bind(after.to_sql())
                    .bind(through.map_or(i64::MAX, Version::to_sql))
                    .bind(i64::from(wanted))
            };
            let found = self.read(statement).await?;
            let is_last = u32::try_from(found.len()).is_ok_and(|count| count < wanted);
            for row in &found {
                let event = rows::event(row)?;
                if !room.take(&event) {
                    return Ok(events);
                }
                events.push(event);
            }
            let Some(end) = events.last().filter(|_| !is_last && room.rows() > 0) else {
                return Ok(events);
            };
            match range.direction {
                Direction::Forward => after = end.version,
                Direction::Backward => through = Some(end.version.previous()),
            }
        }
    }

    async fn history(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<History, Error> {
        self.read_history(stream, after, through, limit).await
    }

    async fn version_at(&self, stream: &StreamId, at: OffsetDateTime) -> Result<Version, Error> {
        let sql = "SELECT version FROM events \
                   WHERE namespace = $1 AND decider = $2 AND decider_id = $3 AND created_at <= $4 \
                   ORDER BY version DESC LIMIT 1";
        let found = self.read(|| of_stream(sql, stream).bind(at)).await?;
        let version = found.first().map(rows::version_column).transpose();
        Ok(version
            .map_err(|reason| reason.of("event"))?
            .unwrap_or_default())
    }

    async fn read_streams(
        &self,
        streams: &[StreamId],
        after: Position,
        through: &Moment,
        limit: u32,
    ) -> Result<Page<RecordedEvent>, Error> {
        self.events_of_streams(streams, after, through, limit).await
    }

    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error> {
        // A time that cannot be shown is shown as the nearest that can: one stream does not keep
        // the others from being listed.
        let sql = "SELECT decider_id, version, final, \
                          least(greatest(updated_at, '0001-01-01 00:00:00+00'), '9999-12-31 23:59:59.999999+00') AS updated_at \
                   FROM stream_heads \
                   WHERE namespace = $1 AND decider = $2 AND decider_id > $3 ORDER BY decider_id LIMIT $4";
        let statement = || {
            sqlx::query(sql)
                .bind(namespace.as_str())
                .bind(decider.as_str())
                .bind(after.unwrap_or_default())
                .bind(i64::from(limit))
        };
        let found = self.read(statement).await?;
        let streams: Result<_, _> = found.iter().map(rows::summary).collect();
        streams.map_err(|reason| reason.of("head"))
    }

    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error> {
        self.lookups.find(namespace, command_id).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.read(|| sqlx::query("SELECT 1")).await.map(|_| ())
    }

    /// Waits for the floor, which appends meet, and the search for withheld events, which each host
    /// does all the time.
    async fn outdated(&self) -> Outdated {
        self.floor.outdated().await
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}
