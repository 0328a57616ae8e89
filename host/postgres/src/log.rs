//! Reading the log.

use async_trait::async_trait;
use gavel_model::{Namespace, Position, RecordedEvent};
use gavel_store::{
    Error, LogFilter, LogPage, LogStore, Moment, PAGE_BYTES, ResumeError, Room, Withholding,
};
use sqlx::postgres::PgRow;
use tokio::sync::watch;

use super::PostgresStore;
use super::consumers::bind_position;
use super::consumers::milliseconds;
use super::past::{MomentMark, event_is_before, generation_of};
use super::rows::{self, event_columns};

/// A filtered page looks at no fewer events than this, so that a rare event is found in few round
/// trips,
const SCAN: u32 = 1_000;
/// unless they take up more than this, in bytes.
const SCAN_BYTES: usize = 8 * PAGE_BYTES;

/// Selects only events that no open transaction can precede any more. A row without an event stands
/// for a page without any. `OFFSET 0` makes the state be looked at once, and not row by row.
pub(super) const LOG: &str = concat!(
    "SELECT state.is_withheld, page.* \
     FROM ( \
         SELECT h.generation, h.transaction_id, EXISTS ( \
             SELECT FROM events AS e \
             WHERE e.namespace = $1 AND (e.generation, e.transaction_id) >= (h.generation, h.transaction_id) \
         ) AS is_withheld \
         FROM gavel_horizon() AS h \
         OFFSET 0 \
     ) AS state \
     LEFT JOIN LATERAL (SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = $1 \
         AND (generation, transaction_id, \"offset\") > ($2, $3::TEXT::XID8, $4) \
         AND (generation, transaction_id) < (state.generation, state.transaction_id) \
         ORDER BY events.generation, events.transaction_id, events.\"offset\" LIMIT $5 \
     ) AS page ON TRUE"
);

/// Selects events that were stored before a moment, whatever may still precede them.
const LOG_THROUGH: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = $1 AND (generation, transaction_id, \"offset\") > ($2, $3::TEXT::XID8, $4) AND ",
    event_is_before!("$6", "$7"),
    " ORDER BY events.generation, events.transaction_id, events.\"offset\" LIMIT $5"
);

/// Selects the transaction that withholds events, by comparison with the newest event of all
/// namespaces, which the others are practically never behind; and the floor of the schema. A row
/// without a holder means that nothing is withheld.
const WITHHOLDING: &str = "SELECT gavel_schema_floor() AS floor, withheld.* FROM (SELECT) AS always LEFT JOIN ( \
     SELECT coalesce('process ' || a.pid, 'prepared transaction ' || p.gid, 'a session of another role') AS holder, \
     (extract(EPOCH FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000)::BIGINT AS age_ms, \
     nullif(regexp_replace(left(a.query, 100), '\\s+', ' ', 'g'), '') AS query \
     FROM gavel_horizon() AS h \
     LEFT JOIN pg_stat_activity AS a ON a.backend_xid = h.transaction_id::XID AND a.datname = current_database() \
     LEFT JOIN pg_prepared_xacts AS p ON p.transaction = h.transaction_id::XID AND p.database = current_database() \
     WHERE (h.generation, h.transaction_id) \
         <= (SELECT newest.generation, newest.transaction_id FROM events AS newest ORDER BY newest.\"offset\" DESC LIMIT 1) \
     ) AS withheld ON TRUE";

const AT: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = $1 AND \"offset\" = ANY($2)"
);

const EVENT: &str = "SELECT TRUE FROM events WHERE generation = $1 AND transaction_id = $2::TEXT::XID8 AND \"offset\" = $3";

/// The last position before another one.
const BEFORE: &str = "SELECT generation, transaction_id::TEXT AS transaction_text, \"offset\" FROM events WHERE namespace = $1 \
     AND (generation, transaction_id, \"offset\") < ($2, $3::TEXT::XID8, $4) \
     AND (generation, transaction_id) < ((SELECT h.generation FROM gavel_horizon() AS h), \
                                         (SELECT h.transaction_id FROM gavel_horizon() AS h)) \
     ORDER BY generation DESC, transaction_id DESC, \"offset\" DESC LIMIT 1";

impl PostgresStore {
    /// The first events after a position, and whether others are withheld.
    async fn log_after(
        &self,
        namespace: &Namespace,
        after: Position,
        rows: u32,
    ) -> Result<(Vec<PgRow>, bool), Error> {
        let statement = || {
            let statement = sqlx::query(LOG).bind(namespace.as_str().to_owned());
            bind_position(statement, after).bind(i64::from(rows))
        };
        let mut found = self.read(statement).await?;
        let is_withheld = found
            .first()
            .map(|row| rows::column(row, "is_withheld"))
            .transpose()
            .map_err(|reason| reason.of("horizon"))?;
        found.retain(|row| !matches!(rows::column::<Option<i64>>(row, "offset"), Ok(None)));
        Ok((found, is_withheld.unwrap_or_default()))
    }

    /// The first events after a position that were stored before a moment.
    async fn log_through(
        &self,
        namespace: &Namespace,
        after: Position,
        through: &Moment,
        rows: u32,
    ) -> Result<Vec<PgRow>, Error> {
        let statement = || {
            let statement = sqlx::query(LOG_THROUGH).bind(namespace.as_str().to_owned());
            bind_position(statement, after)
                .bind(i64::from(rows))
                .bind(generation_of(through))
                .bind(MomentMark::of(through).snapshot)
        };
        self.read(statement).await
    }

    /// A page of the log, all of it or what was stored before a moment.
    async fn log_page(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        through: Option<&Moment>,
        limit: u32,
    ) -> Result<LogPage, Error> {
        // One more than is asked for tells whether there is more.
        let wanted = limit.saturating_add(1);
        let mut look = if *filter == LogFilter::default() {
            Room::new(wanted, PAGE_BYTES)
        } else {
            Room::new(wanted.max(SCAN), SCAN_BYTES)
        };
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut page = LogPage {
            events: Vec::new(),
            next: after,
            caught_up: false,
            is_withheld: false,
        };
        loop {
            let rows = look.rows();
            let found;
            (found, page.is_withheld) = match through {
                None => self.log_after(namespace, page.next, rows).await?,
                Some(through) => (
                    self.log_through(namespace, page.next, through, rows)
                        .await?,
                    false,
                ),
            };
            for row in &found {
                let event = match rows::event(row) {
                    Ok(event) => event,
                    // What comes before a malformed event is delivered; the next call begins with
                    // it.
                    Err(_) if page.next > after => return Ok(page),
                    Err(error) => return Err(error),
                };
                if !look.take(&event) {
                    return Ok(page);
                }
                let position = event.position;
                if filter.passes(&event) {
                    if !room.take(&event) {
                        return Ok(page);
                    }
                    page.events.push(event);
                }
                page.next = position;
            }
            if u32::try_from(found.len()).is_ok_and(|count| count < rows) {
                page.caught_up = true;
                return Ok(page);
            }
            if look.rows() == 0 {
                return Ok(page);
            }
        }
    }
}

#[async_trait]
impl LogStore for PostgresStore {
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error> {
        self.log_page(namespace, after, filter, None, limit).await
    }

    async fn read_log_through(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        through: &Moment,
        limit: u32,
    ) -> Result<LogPage, Error> {
        self.log_page(namespace, after, filter, Some(through), limit)
            .await
    }

    async fn events_at(
        &self,
        namespace: &Namespace,
        positions: &[Position],
    ) -> Result<Vec<RecordedEvent>, Error> {
        let offsets = positions.iter();
        let offsets: Vec<i64> = offsets
            .filter_map(|position| i64::try_from(position.offset()).ok())
            .collect();
        let statement = || {
            let statement = sqlx::query(AT).bind(namespace.as_str().to_owned());
            statement.bind(offsets.clone())
        };
        let found = self.read(statement).await?;
        let found: Result<Vec<RecordedEvent>, Error> = found.iter().map(rows::event).collect();
        let mut events = found?;
        // Of another log there may be events at the same offsets.
        events.retain(|event| positions.contains(&event.position));
        events.sort_unstable_by_key(|event| event.position);
        Ok(events)
    }

    async fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        if position == Position::BEGINNING {
            return Ok(());
        }
        let found = self
            .read(|| bind_position(sqlx::query(EVENT), position))
            .await?;
        if !found.is_empty() {
            return Ok(());
        }
        let before = || {
            let statement = sqlx::query(BEFORE).bind(namespace.as_str().to_owned());
            bind_position(statement, position)
        };
        let found = self.read(before).await?;
        let end = found
            .first()
            .map(|row| rows::position(row, rows::column(row, "offset")?));
        let end = end.transpose().map_err(|reason| reason.of("event"))?;
        Err(ResumeError::Lost {
            position,
            end: end.unwrap_or(Position::BEGINNING),
        })
    }

    async fn withholding(&self) -> Result<Option<Withholding>, Error> {
        let found = self.read(|| sqlx::query(WITHHOLDING)).await?;
        let read = |row: &PgRow| {
            let age: Option<i64> = rows::column(row, "age_ms")?;
            let holder: Option<String> = rows::column(row, "holder")?;
            let query = rows::column(row, "query")?;
            let withholding = holder.map(|holder| Withholding {
                age: age.map(milliseconds),
                holder,
                query,
            });
            Ok::<_, rows::Unreadable>((withholding, rows::column(row, "floor")?))
        };
        let found = found.first().map(read).transpose();
        let Some((withholding, floor)) = found.map_err(|reason| reason.of("horizon"))? else {
            return Ok(None);
        };
        let met = self.floor.check(floor);
        met.map_err(|outdated| Error::Unavailable(outdated.into()))?;
        Ok(withholding)
    }

    fn wakeups(&self) -> watch::Receiver<()> {
        self.notices.wakeups()
    }
}
