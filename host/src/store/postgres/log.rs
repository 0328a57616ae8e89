//! Reading the log.

use async_trait::async_trait;
use tokio::sync::watch;

use super::PostgresStore;
use super::rows::{self, event_columns};
use crate::core::{Namespace, Position};
use crate::store::{Error, LogFilter, LogPage, LogStore};

/// A filtered page looks at no fewer events than this, so that a rare event is found in few round trips.
const SCAN: i64 = 1_000;

/// Only what no transaction can come before any more: all of older generations, and in the newest one what was written by
/// transactions older than every one that is still under way.
const LOG: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = $1 \
     AND (generation, transaction_id, \"offset\") > ($2, $3::TEXT::XID8, $4) \
     AND (generation, transaction_id) < ((SELECT max(g.generation) FROM generations AS g), \
                                         (SELECT pg_snapshot_xmin(pg_current_snapshot()))) \
     ORDER BY generation, transaction_id, \"offset\" LIMIT $5"
);

#[async_trait]
impl LogStore for PostgresStore {
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error> {
        let is_filtered = *filter != LogFilter::default();
        // One more than is asked for tells whether there is more.
        let wanted = i64::from(limit) + 1;
        let scan = if is_filtered {
            wanted.max(SCAN)
        } else {
            wanted
        };
        let statement = || {
            sqlx::query(LOG)
                .bind(namespace.as_str().to_owned())
                .bind(i32::try_from(after.generation()).unwrap_or(i32::MAX))
                .bind(after.transaction().to_string())
                .bind(i64::try_from(after.offset()).unwrap_or(i64::MAX))
                .bind(scan)
        };
        let found = self.read(statement).await?;
        let is_last = i64::try_from(found.len()).is_ok_and(|count| count < scan);
        let mut page = LogPage {
            events: Vec::new(),
            next: after,
            caught_up: is_last,
        };
        for row in &found {
            let event = match rows::event(row) {
                Ok(event) => event,
                // What comes before a malformed event is delivered; the next call begins with it.
                Err(_) if page.next > after => {
                    page.caught_up = false;
                    break;
                }
                Err(error) => return Err(error),
            };
            if filter.passes(&event) {
                if page.events.len() >= limit as usize {
                    page.caught_up = false;
                    break;
                }
                page.next = event.position;
                page.events.push(event);
            } else {
                page.next = event.position;
            }
        }
        Ok(page)
    }

    fn wakeups(&self) -> watch::Receiver<()> {
        self.notices.wakeups()
    }
}
