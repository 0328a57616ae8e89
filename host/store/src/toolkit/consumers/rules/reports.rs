//! The reports on the progress of consumers.

use std::time::Duration;

use gavel_model::{Consumer, ConsumerId};
use time::OffsetDateTime;

use super::{go_on_while, registered};
use crate::toolkit::consumers::rows::{Rows, readable};
use crate::{ConsumerError, Error, PAGE_BYTES, Page, Room};

/// Carries out [`ConsumerStore::consumer`](crate::ConsumerStore::consumer).
pub fn report(
    rows: &impl Rows,
    id: &ConsumerId,
    look: u32,
    now: OffsetDateTime,
) -> Result<Consumer, ConsumerError> {
    let consumer = registered(rows, id)?;
    let progress = rows.progress(id, now)?;
    let (mut looked, mut ahead, mut oldest) = (0, 0, progress.oldest);
    rows.each_after(id, consumer.cursor, &mut |entry| {
        looked += 1;
        if looked <= look && consumer.wants(&entry) {
            ahead += 1;
            oldest = oldest
                .min(Some(entry.place.created_at))
                .or(Some(entry.place.created_at));
        }
        go_on_while(looked < look)
    })?;
    let age = oldest.map(|oldest| Duration::try_from(now - oldest).unwrap_or_default());
    Ok(Consumer {
        id: id.clone(),
        settings: consumer.settings,
        is_paused: consumer.is_paused,
        paused_reason: consumer.paused_reason.filter(|_| consumer.is_paused),
        created_at: consumer.created_at,
        lag_events: progress.pending + ahead,
        lag: age.unwrap_or_default(),
        in_flight: progress.in_flight,
        parked: progress.parked,
    })
}

/// Reports of the first names after one of them, which are sorted. Those that are not there any
/// more or cannot be read are left out.
pub fn report_page(
    rows: &impl Rows,
    names: &[ConsumerId],
    after: Option<&ConsumerId>,
    limit: u32,
    look: u32,
    now: OffsetDateTime,
) -> Result<Page<Consumer>, Error> {
    let mut room = Room::new(limit, PAGE_BYTES);
    let mut items = Vec::new();
    let first = names.partition_point(|id| after.is_some_and(|after| id <= after));
    for id in &names[first..] {
        let report = match report(rows, id, look, now) {
            Ok(report) => Some(report),
            Err(ConsumerError::Store(error)) => readable(Err(error))?,
            Err(_) => None,
        };
        let Some(report) = report else { continue };
        if !room.take_bytes(report.size_bytes()) {
            break;
        }
        items.push(report);
    }
    Ok(Page {
        items,
        has_more: room.is_full(),
    })
}
