//! Consumers. Their rules are functions of the database, for plain SQL as well; this module calls
//! the functions.

mod rows;

use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{
    Consumer, ConsumerId, ConsumerSettings, Lease, LeaseId, Namespace, Parked, Position, Start,
    StreamId,
};
use gavel_store::toolkit::consumers::rows::readable;
use gavel_store::{
    ConsumerError, ConsumerStore, Error, Leased, Nacked, PAGE_BYTES, Page, Room, Unpark,
};
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

pub(super) use self::rows::milliseconds;
use self::rows::{LeaseRow, settings_columns};
use super::PostgresStore;
use super::error::not_acknowledged;
use super::query::{Statement, StatementError, run};
use super::rows::{Read, Time, column, event_columns, time};

const LEASE: &str = concat!(
    "SELECT leased.lease, leased.attempt, leased.expires_at, leased.caught_up, leased.next_in_ms, ",
    event_columns!(),
    " FROM gavel_lease($1, $2, $3, $4) AS leased CROSS JOIN LATERAL (SELECT (leased.recorded).*) AS events"
);

/// Selects consumers with the counts of what is handed out, and of what is still to be looked at,
/// be it below the oldest open transaction or not. The age of `-infinity` is no number.
const CONSUMERS: &str = concat!(
    "SELECT namespace, consumer, paused, paused_reason, created_at, ",
    settings_columns!(),
    ", handed_out.in_flight, handed_out.parked, handed_out.pending + ahead.pending AS lag_events, \
            coalesce(floor(extract(EPOCH FROM clock_timestamp() - least(handed_out.oldest, ahead.oldest)) * 1000), 0)::BIGINT AS lag_ms \
     FROM consumers AS c \
     CROSS JOIN LATERAL ( \
         SELECT coalesce(sum(s.pending), 0)::BIGINT AS pending, min(greatest(s.next_created_at, '0001-01-01 00:00:00+00')) AS oldest, \
                count(*) FILTER (WHERE s.lease IS NOT NULL AND s.available_at > clock_timestamp()) AS in_flight, \
                count(s.parked_at) AS parked \
         FROM consumer_streams AS s WHERE s.namespace = c.namespace AND s.consumer = c.consumer \
     ) AS handed_out \
     CROSS JOIN LATERAL ( \
         SELECT count(*) AS pending, min(greatest((looked_at.e).created_at, '0001-01-01 00:00:00+00')) AS oldest \
         FROM ( \
             SELECT e FROM events AS e \
             WHERE e.namespace = c.namespace \
               AND (e.generation, e.transaction_id, e.\"offset\") > (c.generation, c.transaction_id, c.\"offset\") \
             ORDER BY e.generation, e.transaction_id, e.\"offset\" LIMIT $3 \
         ) AS looked_at \
         WHERE gavel_wants(c, looked_at.e) \
     ) AS ahead \
     WHERE ($1::TEXT IS NULL OR c.namespace = $1) AND ($2::TEXT IS NULL OR c.consumer = $2) \
       AND ($4::TEXT IS NULL OR (c.namespace, c.consumer) > ($4, $5)) \
     ORDER BY c.namespace, c.consumer LIMIT $6"
);

const CURSOR: &str = concat!(
    "SELECT generation, transaction_id::TEXT AS transaction_text, \"offset\", ",
    settings_columns!(),
    " FROM gavel_consumer($1, $2)"
);

const PASS_OVER: &str = "UPDATE consumers \
     SET generation = $8, transaction_id = $9::TEXT::XID8, \"offset\" = $10 \
     WHERE namespace = $1 AND consumer = $2 AND deciders = $3 AND events = $4 AND tags = $11 \
       AND (generation, transaction_id, \"offset\") >= ($5, $6::TEXT::XID8, $7) \
       AND (generation, transaction_id, \"offset\") < ($8, $9::TEXT::XID8, $10)";

const RELEASE: &str = "UPDATE consumer_streams AS t \
     SET attempt = greatest(t.attempt - 1, 0), available_at = gavel_time_in($4), lease = NULL, leased_through = NULL \
     FROM gavel_consumer($1, $2) AS c, gavel_leased($1, $2, $3) AS held \
     WHERE t.lease = held.lease AND t.namespace = c.namespace AND t.consumer = c.consumer \
     RETURNING TRUE";

const RETRY_PARKED: &str = "WITH retried AS ( \
         UPDATE consumer_streams AS t SET parked_at = NULL, attempt = 0, available_at = clock_timestamp() \
         WHERE t.namespace = $1 AND t.consumer = $2 AND t.parked_at IS NOT NULL \
         RETURNING TRUE \
     ) SELECT (SELECT count(*) FROM retried) AS retried FROM gavel_consumer($1, $2)";

const HAS_ROOM: &str = "SELECT EXISTS (SELECT FROM consumers WHERE namespace = $1 AND consumer = $2) \
     OR (SELECT count(*) FROM consumers WHERE namespace = $1) < $3 AS has_room";

/// The statement `sql`, whose first two values name a consumer.
fn of_consumer<'q>(sql: &'static str, id: &ConsumerId) -> Statement<'q> {
    sqlx::query(sql)
        .bind(id.namespace().as_str().to_owned())
        .bind(id.name().to_owned())
}

/// The three values of a position.
pub(super) fn bind_position(statement: Statement<'_>, position: Position) -> Statement<'_> {
    statement
        .bind(i32::try_from(position.generation()).unwrap_or(i32::MAX))
        .bind(position.transaction().to_string())
        .bind(i64::try_from(position.offset()).unwrap_or(i64::MAX))
}

/// The four values that `gavel_start` reads.
fn bind_start(statement: Statement<'_>, start: Start) -> Statement<'_> {
    match start {
        Start::Beginning => {
            bind_position(statement.bind(None::<OffsetDateTime>), Position::BEGINNING)
        }
        Start::After(position) => bind_position(statement.bind(None::<OffsetDateTime>), position),
        Start::Now => bind_nowhere(statement.bind(None::<OffsetDateTime>)),
        Start::Since(time) => bind_nowhere(statement.bind(time)),
    }
}

fn bind_nowhere(statement: Statement<'_>) -> Statement<'_> {
    statement
        .bind(None::<i32>)
        .bind(None::<String>)
        .bind(None::<i64>)
}

fn consumer(row: &PgRow) -> Result<Consumer, Error> {
    rows::consumer(row).map_err(|reason| reason.of("consumer"))
}

fn whole_milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The one value that a function gives back.
fn answer<T>(rows: &[PgRow], read: impl FnOnce(&PgRow) -> Read<T>) -> Result<T, Error> {
    let row = rows
        .first()
        .ok_or_else(|| Error::Unavailable("no row".into()))?;
    read(row).map_err(|reason| reason.of("consumer"))
}

impl PostgresStore {
    /// Reads a page of the consumers of a namespace, or of all, after the consumer of these names.
    async fn consumers(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
        look: u32,
        after: Option<&(String, String)>,
        limit: u32,
    ) -> Result<Vec<PgRow>, Error> {
        let (after_namespace, after_name) = after.cloned().unzip();
        let statement = || {
            sqlx::query(CONSUMERS)
                .bind(namespace)
                .bind(name)
                .bind(i64::from(look))
                .bind(after_namespace.clone())
                .bind(after_name.clone())
                .bind(i64::from(limit))
        };
        self.read(statement).await
    }

    /// Runs a statement that changes one consumer, and gives back a row if there is such a
    /// consumer.
    async fn change(&self, statement: Statement<'_>) -> Result<(), ConsumerError> {
        let found = run(&self.pool, statement).await?;
        if found.is_empty() {
            return Err(ConsumerError::NotFound);
        }
        Ok(())
    }

    /// Takes the events from one that cannot be read out of a lease; with its first one the stream
    /// is parked.
    async fn cut(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        error: &Error,
    ) -> Result<(), ConsumerError> {
        let Error::Malformed { position, raw, .. } = error else {
            return Ok(());
        };
        let statement = of_consumer("SELECT gavel_cut_lease($1, $2, $3, $4, $5)", id)
            .bind(lease)
            .bind(i64::try_from(position.offset()).unwrap_or(i64::MAX))
            .bind(format!("{error}; it is stored as: {raw}"));
        match run(&self.pool, statement)
            .await
            .map_err(ConsumerError::from)
        {
            // The worker that has taken over finds the same.
            Ok(_) | Err(ConsumerError::LeaseLost) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl ConsumerStore for PostgresStore {
    async fn put_consumer(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        start: Start,
    ) -> Result<bool, Error> {
        let push = settings.push.as_ref();
        let statement = of_consumer(
            "SELECT gavel_put_consumer($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::TEXT::XID8, $13, $14) AS is_new",
            id,
        )
        .bind(&settings.filter.deciders)
        .bind(&settings.filter.events)
        .bind(whole_milliseconds(settings.lock_timeout))
        .bind(i64::from(settings.max_attempts))
        .bind(whole_milliseconds(settings.backoff))
        .bind(settings.push_url())
        .bind(push.and_then(|push| push.secret.as_ref()));
        let statement = bind_start(statement, start).bind(&settings.filter.tags);
        let found = run(&self.pool, statement).await?;
        answer(&found, |row| column(row, "is_new"))
    }

    async fn consumer(&self, id: &ConsumerId, look: u32) -> Result<Consumer, ConsumerError> {
        let (namespace, name) = (id.namespace().as_str(), id.name());
        let found = self.consumers(Some(namespace), Some(name), look, None, 1);
        let found = found.await?;
        let row = found.first().ok_or(ConsumerError::NotFound)?;
        Ok(consumer(row)?)
    }

    async fn consumer_cursor(
        &self,
        id: &ConsumerId,
    ) -> Result<(ConsumerSettings, Position), ConsumerError> {
        let found = run(&self.pool, of_consumer(CURSOR, id)).await?;
        Ok(answer(&found, rows::cursor)?)
    }

    async fn pass_over(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        from: Position,
        to: Position,
    ) -> Result<(), ConsumerError> {
        let statement = of_consumer(PASS_OVER, id)
            .bind(settings.filter.deciders.clone())
            .bind(settings.filter.events.clone());
        let statement =
            bind_position(bind_position(statement, from), to).bind(settings.filter.tags.clone());
        run(&self.pool, statement).await?;
        Ok(())
    }

    async fn list_consumers(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&ConsumerId>,
        limit: u32,
        look: u32,
    ) -> Result<Page<Consumer>, Error> {
        let namespace = namespace.map(Namespace::as_str);
        let mut after = after.map(|after| {
            (
                after.namespace().as_str().to_owned(),
                after.name().to_owned(),
            )
        });
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut items = Vec::new();
        loop {
            // One more than there is room for shows whether there is more.
            let wanted = room.rows() + 1;
            let found = self.consumers(namespace, None, look, after.as_ref(), wanted);
            let found = found.await?;
            for row in &found {
                let Some(consumer) = readable(consumer(row))? else {
                    continue;
                };
                if !room.take_bytes(consumer.size_bytes()) {
                    return Ok(Page {
                        items,
                        has_more: true,
                    });
                }
                items.push(consumer);
            }
            let Some(last) = found.last().filter(|_| found.len() == wanted as usize) else {
                return Ok(Page {
                    items,
                    has_more: false,
                });
            };
            let names = rows::names(last).map_err(|reason| reason.of("consumer"))?;
            after = Some(names);
        }
    }

    async fn has_room(&self, id: &ConsumerId, most: u32) -> Result<bool, Error> {
        let found = self
            .read(|| of_consumer(HAS_ROOM, id).bind(i64::from(most)))
            .await?;
        answer(&found, |row| column(row, "has_room"))
    }

    async fn delete_consumer(&self, id: &ConsumerId) -> Result<(), ConsumerError> {
        let sql = "DELETE FROM consumers WHERE namespace = $1 AND consumer = $2 RETURNING TRUE";
        self.change(of_consumer(sql, id)).await
    }

    async fn pause_consumer(&self, id: &ConsumerId, is_paused: bool) -> Result<(), ConsumerError> {
        let sql = "UPDATE consumers SET paused = $3, paused_reason = NULL, updated_at = clock_timestamp() \
                   WHERE namespace = $1 AND consumer = $2 RETURNING TRUE";
        self.change(of_consumer(sql, id).bind(is_paused)).await
    }

    async fn pause_for(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        reason: &str,
    ) -> Result<bool, ConsumerError> {
        let sql = "UPDATE consumers SET paused = TRUE, paused_reason = $4, updated_at = clock_timestamp() \
                   WHERE namespace = $1 AND consumer = $2 AND push_url IS NOT DISTINCT FROM $3 AND NOT paused RETURNING TRUE";
        let statement = of_consumer(sql, id).bind(settings.push_url());
        let statement = statement.bind(reason);
        Ok(!run(&self.pool, statement).await?.is_empty())
    }

    async fn reset_consumer(&self, id: &ConsumerId, start: Start) -> Result<(), ConsumerError> {
        let sql = "SELECT gavel_reset_consumer($1, $2, $3, $4, $5::TEXT::XID8, $6)";
        self.change(bind_start(of_consumer(sql, id), start)).await
    }

    async fn lease(
        &self,
        id: &ConsumerId,
        max_streams: u32,
        max_events: u32,
    ) -> Result<Leased, ConsumerError> {
        let statement = of_consumer(LEASE, id)
            .bind(i64::from(max_streams))
            .bind(i64::from(max_events));
        let found = run(&self.pool, statement).await?;
        let mut leased = Leased {
            leases: Vec::<Lease>::new(),
            caught_up: false,
            next_in: None,
        };
        let mut broken: Option<LeaseId> = None;
        for row in &found {
            match rows::lease(row)? {
                LeaseRow::Event(next) if Some(next.id) == broken => {}
                LeaseRow::Event(next) => match leased.leases.last_mut() {
                    Some(lease) if lease.id == next.id => lease.events.extend(next.events),
                    _ => leased.leases.push(*next),
                },
                LeaseRow::Unreadable(lease, error) if Some(lease) != broken => {
                    self.cut(id, lease, &error).await?;
                    broken = Some(lease);
                }
                LeaseRow::Unreadable(..) => {}
                LeaseRow::End { caught_up, next_in } => {
                    // Of those that could not be read, others may be free instead.
                    leased.caught_up = caught_up && broken.is_none();
                    leased.next_in = next_in;
                }
            }
        }
        Ok(leased)
    }

    async fn ack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        through: Position,
        keep: bool,
    ) -> Result<Option<OffsetDateTime>, ConsumerError> {
        let sql = "SELECT gavel_ack($1, $2, $3, $4, $5::TEXT::XID8, $6, $7) AS expires_at";
        let statement = bind_position(of_consumer(sql, id).bind(lease), through).bind(keep);
        let refused = |failure: StatementError| not_acknowledged(failure, through);
        let found = run(&self.pool, statement).await.map_err(refused)?;
        let expires_at: Option<Time> = answer(&found, |row| column(row, "expires_at"))?;
        Ok(expires_at.map(|Time(time)| time))
    }

    async fn nack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Option<Duration>,
        reason: &str,
    ) -> Result<Nacked, ConsumerError> {
        let statement = of_consumer("SELECT gavel_nack($1, $2, $3, $4, $5) AS rest_ms", id)
            .bind(lease)
            .bind(delay.map(whole_milliseconds))
            // The one character that PostgreSQL's text cannot hold.
            .bind(reason.replace('\0', "\u{fffd}"));
        let found = run(&self.pool, statement).await?;
        let rest: Option<i64> = answer(&found, |row| column(row, "rest_ms"))?;
        Ok(rest.map_or(Nacked::Parked, |rest| Nacked::Delayed(milliseconds(rest))))
    }

    async fn release(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Duration,
    ) -> Result<(), ConsumerError> {
        let statement = of_consumer(RELEASE, id)
            .bind(lease)
            .bind(whole_milliseconds(delay));
        if run(&self.pool, statement).await?.is_empty() {
            return Err(ConsumerError::LeaseLost);
        }
        Ok(())
    }

    async fn extend(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
    ) -> Result<OffsetDateTime, ConsumerError> {
        let sql = "SELECT gavel_extend($1, $2, $3) AS expires_at";
        let found = run(&self.pool, of_consumer(sql, id).bind(lease)).await?;
        Ok(answer(&found, |row| time(row, "expires_at"))?)
    }

    async fn list_parked(
        &self,
        id: &ConsumerId,
        after: Option<&StreamId>,
        limit: u32,
    ) -> Result<Vec<Parked>, ConsumerError> {
        // A row without a stream if there are none, and none at all without the consumer.
        let sql = "SELECT s.namespace, s.decider, s.decider_id, s.next_version, s.next_offset, s.attempt, left(s.reason, 1000) AS reason, s.parked_at, \
                          s.next_generation AS generation, s.next_transaction_id::TEXT AS transaction_text \
                   FROM gavel_consumer($1, $2) AS c \
                   LEFT JOIN consumer_streams AS s ON s.namespace = c.namespace AND s.consumer = c.consumer \
                   AND s.parked_at IS NOT NULL AND (s.decider, s.decider_id) > ($3, $4) \
                   ORDER BY s.decider, s.decider_id LIMIT $5";
        let (decider, stream) =
            after.map_or(("", ""), |after| (after.decider().as_str(), after.id()));
        let statement = of_consumer(sql, id)
            .bind(decider)
            .bind(stream)
            .bind(i64::from(limit));
        let found = run(&self.pool, statement).await?;
        let is_stream = |row: &&PgRow| !matches!(column::<Option<&str>>(row, "decider"), Ok(None));
        let parked: Result<_, _> = found.iter().filter(is_stream).map(rows::parked).collect();
        parked.map_err(|reason| ConsumerError::Store(reason.of("parked stream")))
    }

    async fn unpark(
        &self,
        id: &ConsumerId,
        stream: &StreamId,
        how: Unpark,
    ) -> Result<(), ConsumerError> {
        let statement = of_consumer("SELECT gavel_unpark($1, $2, $3, $4, $5)", id)
            .bind(stream.decider().as_str())
            .bind(stream.id())
            .bind(how == Unpark::Skip);
        run(&self.pool, statement).await?;
        Ok(())
    }

    async fn retry_parked(&self, id: &ConsumerId) -> Result<u64, ConsumerError> {
        let found = run(&self.pool, of_consumer(RETRY_PARKED, id)).await?;
        let retried: i64 = answer(&found, |row| column(row, "retried"))?;
        Ok(retried.unsigned_abs())
    }
}
