//! The events of some streams in the order of the log, each found in its stream's index.

use gavel_model::{Position, RecordedEvent, StreamId};
use gavel_store::{Error, Moment, PAGE_BYTES, Page, Room};

use super::PostgresStore;
use super::consumers::bind_position;
use super::past::{MomentMark, event_is_before, generation_of};
use super::rows::{self, event_columns};

/// The condition that an event is one of the wanted stream.
macro_rules! is_of_stream {
    ($event:literal) => {
        concat!(
            $event,
            ".namespace = $1 AND ",
            $event,
            ".decider = wanted.decider AND ",
            $event,
            ".decider_id = wanted.id"
        )
    };
}

/// Selects the first events after a position, of all streams together. Where each stream goes on is
/// found by halving: versions have no gaps, and positions ascend with them.
const PAGE: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM (SELECT found.* FROM unnest($5::TEXT[], $6::TEXT[]) AS wanted (decider, id) \
         CROSS JOIN LATERAL ( \
             WITH RECURSIVE halving (known, newest) AS ( \
                 (SELECT 0::BIGINT, head.version FROM events AS head WHERE ",
    is_of_stream!("head"),
    " ORDER BY head.version DESC LIMIT 1) \
                 UNION ALL \
                 SELECT CASE WHEN middle.is_known THEN middle.version ELSE halving.known END, \
                        CASE WHEN middle.is_known THEN halving.newest ELSE middle.version - 1 END \
                 FROM halving CROSS JOIN LATERAL ( \
                     SELECT e.version, (e.generation, e.transaction_id, e.\"offset\") <= ($2, $3::TEXT::XID8, $4) AS is_known \
                     FROM events AS e WHERE ",
    is_of_stream!("e"),
    " AND e.version = (halving.known + halving.newest + 1) / 2 LIMIT 1 \
                 ) AS middle WHERE halving.known < halving.newest \
             ) SELECT known FROM halving WHERE known = newest \
         ) AS start \
         CROSS JOIN LATERAL (SELECT * FROM events WHERE ",
    is_of_stream!("events"),
    " AND version > start.known AND ",
    event_is_before!("$8", "$9"),
    " ORDER BY version LIMIT $7) AS found \
     ) AS events ORDER BY events.generation, events.transaction_id, events.\"offset\" LIMIT $7"
);

impl PostgresStore {
    pub(super) async fn events_of_streams(
        &self,
        streams: &[StreamId],
        after: Position,
        through: &Moment,
        limit: u32,
    ) -> Result<Page<RecordedEvent>, Error> {
        let mut page = Page {
            items: Vec::new(),
            has_more: false,
        };
        let Some(first) = streams.first() else {
            return Ok(page);
        };
        let deciders = streams.iter().map(|stream| stream.decider().as_str());
        let deciders: Vec<String> = deciders.map(str::to_owned).collect();
        let ids: Vec<String> = streams.iter().map(|s| s.id().to_owned()).collect();
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut position = after;
        loop {
            // One more than there is room for tells that there is more.
            let wanted = room.rows().saturating_add(1);
            let statement = || {
                let statement = sqlx::query(PAGE).bind(first.namespace().as_str().to_owned());
                bind_position(statement, position)
                    .bind(deciders.clone())
                    .bind(ids.clone())
                    .bind(i64::from(wanted))
                    .bind(generation_of(through))
                    .bind(MomentMark::of(through).snapshot)
            };
            let found = self.read(statement).await?;
            for row in &found {
                let event = match rows::event(row) {
                    Ok(event) => event,
                    // The next page begins with it.
                    Err(_) if !page.items.is_empty() => {
                        page.has_more = true;
                        return Ok(page);
                    }
                    Err(error) => return Err(error),
                };
                if !room.take(&event) {
                    page.has_more = true;
                    return Ok(page);
                }
                position = event.position;
                page.items.push(event);
            }
            if u32::try_from(found.len()).is_ok_and(|count| count < wanted) {
                return Ok(page);
            }
        }
    }
}
