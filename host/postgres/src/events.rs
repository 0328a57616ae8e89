//! Events and commands: the trait, and its reads.

use async_trait::async_trait;
use gavel_model::{
    CommandId, CommandRecord, DeciderName, Namespace, RecordedEvent, StreamId, Version,
};
use gavel_store::{
    Append, AppendError, Appended, Claim, Direction, Error, EventStore, History, PAGE_BYTES, Page,
    Room, StreamHead, StreamRange, StreamSummary,
};
use sqlx::postgres::{PgPool, PgRow};
use time::OffsetDateTime;

use super::PostgresStore;
use super::query::{Failure, Statement, run};
use super::rows::{self, event_columns};

/// How often a read is tried on another connection when one turns out to be dead, or of no use.
const READ_ATTEMPTS: u32 = 3;
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
impl PostgresStore {
    /// Runs a statement that changes nothing, and so may be run again.
    pub(super) async fn read<'q>(
        &self,
        statement: impl Fn() -> Statement<'q> + Send + Sync,
    ) -> Result<Vec<PgRow>, Error> {
        read(&self.pool, statement).await
    }

    /// As many items of a list as there is room for. The statement gives so many of those behind the last one that is known.
    pub(super) async fn read_page<'q, T: Sync>(
        &self,
        limit: u32,
        statement: impl Fn(Option<&T>, i64) -> Statement<'q> + Send + Sync,
        read: impl Fn(&PgRow) -> Result<T, Error> + Send,
        size_bytes: impl Fn(&T) -> usize + Send,
    ) -> Result<Page<T>, Error> {
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut items: Vec<T> = Vec::new();
        loop {
            // One more than there is room for shows whether there is more.
            let rows = room.rows() as usize + 1;
            let wanted = i64::try_from(rows).unwrap_or(i64::MAX);
            let found = self.read(|| statement(items.last(), wanted)).await?;
            for row in &found {
                let item = read(row)?;
                if !room.take_bytes(size_bytes(&item)) {
                    return Ok(Page {
                        items,
                        has_more: true,
                    });
                }
                items.push(item);
            }
            if found.len() < rows {
                return Ok(Page {
                    items,
                    has_more: false,
                });
            }
        }
    }
}

/// As [`PostgresStore::read`], for those who have no more than the pool.
pub(super) async fn read<'q>(
    pool: &PgPool,
    statement: impl Fn() -> Statement<'q> + Send + Sync,
) -> Result<Vec<PgRow>, Error> {
    let mut attempt = 1;
    loop {
        match run(pool, statement()).await {
            Ok(rows) => return Ok(rows),
            Err(Failure::Lost(_) | Failure::Unfit(_)) if attempt < READ_ATTEMPTS => attempt += 1,
            Err(failure) => return Err(failure.into()),
        }
    }
}

/// The statement `sql`, whose first three values name a stream.
pub(super) fn of_stream<'q>(sql: &'static str, stream: &StreamId) -> Statement<'q> {
    sqlx::query(sql)
        .bind(stream.namespace().as_str().to_owned())
        .bind(stream.decider().as_str().to_owned())
        .bind(stream.id().to_owned())
}

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
        let sql = "SELECT version, last_event_id, final FROM stream_heads \
                   WHERE namespace = $1 AND decider = $2 AND decider_id = $3";
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
                Direction::Backward => through = Version::new(end.version.get().saturating_sub(1)),
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

    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error> {
        // A time that cannot be shown is shown as the nearest that can: no stream hides those beside it.
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

    async fn close(&self) {
        Self::close(self).await;
    }
}
