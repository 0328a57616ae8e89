//! Reading the log.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use tokio::sync::watch;

use super::PostgresStore;
use super::consumers::bind_position;
use super::rows::{self, event_columns};
use crate::core::{Namespace, Position};
use crate::store::{Error, LogFilter, LogPage, LogStore, PAGE_BYTES, ResumeError, Room};

/// A filtered page looks at no fewer events than this, so that a rare event is found in few round trips,
const SCAN: u32 = 1_000;
/// unless they take up more than this, in bytes.
const SCAN_BYTES: usize = 8 * PAGE_BYTES;

/// Only what no transaction can come before any more.
const LOG: &str = concat!(
    "WITH horizon AS MATERIALIZED (SELECT h.generation, h.transaction_id FROM gavel_horizon() AS h) SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = $1 \
     AND (generation, transaction_id, \"offset\") > ($2, $3::TEXT::XID8, $4) \
     AND (generation, transaction_id) < ((SELECT h.generation FROM horizon AS h), (SELECT h.transaction_id FROM horizon AS h)) \
     ORDER BY generation, transaction_id, \"offset\" LIMIT $5"
);

const EVENT: &str = "SELECT TRUE FROM events WHERE generation = $1 AND transaction_id = $2::TEXT::XID8 AND \"offset\" = $3";

/// The last position before another one.
const BEFORE: &str = "SELECT generation, transaction_id::TEXT AS transaction_text, \"offset\" FROM events WHERE namespace = $1 \
     AND (generation, transaction_id, \"offset\") < ($2, $3::TEXT::XID8, $4) \
     AND (generation, transaction_id) < ((SELECT h.generation FROM gavel_horizon() AS h), \
                                         (SELECT h.transaction_id FROM gavel_horizon() AS h)) \
     ORDER BY generation DESC, transaction_id DESC, \"offset\" DESC LIMIT 1";

impl PostgresStore {
    async fn log_after(
        &self,
        namespace: &Namespace,
        after: Position,
        rows: u32,
    ) -> Result<Vec<PgRow>, Error> {
        let statement = || {
            let statement = sqlx::query(LOG).bind(namespace.as_str().to_owned());
            bind_position(statement, after).bind(i64::from(rows))
        };
        self.read(statement).await
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
        };
        loop {
            let rows = look.rows();
            let found = self.log_after(namespace, page.next, rows).await?;
            for row in &found {
                let event = match rows::event(row) {
                    Ok(event) => event,
                    // What comes before a malformed event is delivered; the next call begins with it.
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

    fn wakeups(&self) -> watch::Receiver<()> {
        self.notices.wakeups()
    }
}
