//! The rules of streams that were parked.

use gavel_model::{ConsumerId, StreamId};
use time::OffsetDateTime;

use super::{go_on_while, registered};
use crate::toolkit::consumers::rows::Rows;
use crate::{ConsumerError, Unpark};

/// Carries out [`ConsumerStore::unpark`](crate::ConsumerStore::unpark).
pub fn unpark(
    rows: &mut impl Rows,
    id: &ConsumerId,
    stream: &StreamId,
    how: Unpark,
    now: OffsetDateTime,
) -> Result<(), ConsumerError> {
    let consumer = registered(rows, id)?;
    let parked = rows.backlog(id, stream)?;
    let Some(mut backlog) = parked.filter(|backlog| backlog.parked_at.is_some()) else {
        return Err(ConsumerError::NotParked);
    };
    if how == Unpark::Skip {
        let mut next = None;
        rows.each_entry(
            stream,
            backlog.next.version.next(),
            backlog.last,
            &mut |entry| {
                next = consumer.wants(&entry).then_some(entry.place);
                go_on_while(next.is_none())
            },
        )?;
        let Some(next) = next else {
            return Ok(rows.remove_backlog(id, stream)?);
        };
        backlog.next = next;
        backlog.pending = backlog.pending.saturating_sub(1);
    }
    backlog.retry(now);
    Ok(rows.keep_backlog(id, stream, &backlog)?)
}

/// Carries out [`ConsumerStore::retry_parked`](crate::ConsumerStore::retry_parked).
pub fn retry_parked(
    rows: &mut impl Rows,
    id: &ConsumerId,
    now: OffsetDateTime,
) -> Result<u64, ConsumerError> {
    registered(rows, id)?;
    Ok(rows.retry_parked(id, now)?)
}
