//! Reading the past of deciders. Each page is a range of an index that holds it in order.

use std::collections::HashMap;

use async_trait::async_trait;
use gavel_model::{CommandId, CommandRecord, DeciderName, EventId, Namespace, RecordedEvent};
use gavel_store::toolkit::Segments;
use gavel_store::{Counted, Error, Moment, PastPage, PastRange, PastStore, Place, Room};
use rusqlite::{Connection, Row, Statement, params};

use super::SqliteStore;
use super::error::SqliteError;
use super::generations::Generations;
use super::ledger::{self, ledger_columns};
use super::rows::{self, log_columns, passage_columns};

pub(super) const PASSAGES: &str = concat!(
    "SELECT ",
    passage_columns!(),
    " FROM events WHERE namespace = ?1 AND decider = ?2 AND (decider_id, version) > (?3, ?4)
        AND \"offset\" <= ?6
    ORDER BY decider_id, version LIMIT ?5"
);

/// Takes the values of [`PASSAGES`], within the stream that they name.
pub(super) const PASSAGES_OF_STREAM: &str = concat!(
    "SELECT ",
    passage_columns!(),
    " FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND version > ?4
        AND \"offset\" <= ?6
    ORDER BY version LIMIT ?5"
);

pub(super) const EVENTLESS: &str = concat!(
    "SELECT ",
    ledger_columns!(),
    " FROM commands INDEXED BY commands_eventless
    WHERE namespace = ?1 AND decider = ?2 AND (decider_id, version, command_id) > (?3, ?4, ?5) AND events = 0
        AND rowid > ?7 AND rowid <= ?8
    ORDER BY decider_id, version, command_id LIMIT ?6"
);

/// Takes the values of [`EVENTLESS`], within the stream that they name.
pub(super) const EVENTLESS_OF_STREAM: &str = concat!(
    "SELECT ",
    ledger_columns!(),
    " FROM commands INDEXED BY commands_eventless
    WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND (version, command_id) > (?4, ?5) AND events = 0
        AND rowid > ?7 AND rowid <= ?8
    ORDER BY version, command_id LIMIT ?6"
);

/// The place of the newest row of each table. One writer at a time: what is not there yet comes
/// after all that is.
const MOMENT: &str = "SELECT (SELECT coalesce(max(\"offset\"), 0) FROM events), (SELECT coalesce(max(rowid), 0) FROM commands)";

/// Selects the streams that have moved since a moment. The indexes limit the work to the rows after
/// the moment, however many the decider has.
const MOVED_SINCE: &str = "
SELECT decider_id, min(version) FROM (
    SELECT decider_id, version - 1 AS version FROM events INDEXED BY events_namespace
    WHERE namespace = ?1 AND decider = ?2 AND \"offset\" > ?3
    UNION ALL
    SELECT decider_id, version FROM commands INDEXED BY commands_eventless_stored
    WHERE namespace = ?1 AND decider = ?2 AND events = 0 AND rowid > ?4
) GROUP BY decider_id ORDER BY decider_id LIMIT ?5";

const EVENT: &str = concat!(
    "SELECT ",
    log_columns!(),
    " FROM events WHERE event_id = ?2 AND namespace = ?1"
);

/// The last event of a page, without the others: the index alone is read.
const END_OF_PAGE: &str = "
SELECT decider_id, version FROM events WHERE namespace = ?1 AND decider = ?2 AND (decider_id, version) > (?3, ?4)
ORDER BY decider_id, version LIMIT 1 OFFSET ?5 - 1";

const COUNT: &str = "SELECT count(*) FROM events WHERE namespace = ?1 AND decider = ?2 AND (decider_id, version) > (?3, ?4)";

#[async_trait]
impl PastStore for SqliteStore {
    async fn segments(
        &self,
        range: &PastRange,
        after: &Place,
        limit: u32,
    ) -> Result<PastPage, Error> {
        let (range, after) = (range.clone(), after.clone());
        let found = self
            .readers
            .read(move |database| passages_in(database, &range, &after, limit));
        found.await
    }

    async fn eventless(
        &self,
        range: &PastRange,
        after: &(Place, CommandId),
        limit: u32,
    ) -> Result<Vec<CommandRecord>, Error> {
        let (range, after) = (range.clone(), after.clone());
        let found = self
            .readers
            .read(move |database| eventless_in(database, &range, &after, limit));
        found.await
    }

    async fn commands(
        &self,
        namespace: &Namespace,
        ids: &[CommandId],
    ) -> Result<HashMap<CommandId, CommandRecord>, Error> {
        let (namespace, ids) = (namespace.clone(), ids.to_vec());
        let found = self.readers.read(move |database| {
            // One transaction: by itself, each look-up would take and release the locks of the
            // file.
            let reading = database.unchecked_transaction()?;
            let mut select = reading.prepare_cached(ledger::FIND)?;
            let mut found = HashMap::with_capacity(ids.len());
            for id in ids {
                let mut command = select.query(params![namespace.as_str(), id.as_bytes()])?;
                if let Some(row) = command.next()? {
                    found.insert(id, ledger::read(&reading, row)?);
                }
            }
            Ok(found)
        });
        found.await
    }

    async fn event(
        &self,
        namespace: &Namespace,
        event_id: EventId,
    ) -> Result<Option<RecordedEvent>, Error> {
        let namespace = namespace.clone();
        let found = self.readers.read(move |database| {
            let values = params![namespace.as_str(), event_id.as_bytes()];
            let generations = Generations::of(database);
            rows::one(database, EVENT, values, |row| {
                rows::event_of_log(row, &generations)
            })
        });
        found.await
    }

    async fn moment(&self, _namespace: &Namespace) -> Result<Moment, Error> {
        let found = self.readers.read(|database| {
            let generations = Generations::of(database);
            rows::one(database, MOMENT, [], |row| {
                Ok(Moment {
                    settled: generations.position(row.get(0)?)?,
                    mark: row.get::<_, i64>(1)?.to_string(),
                })
            })
        });
        Ok(found.await?.unwrap_or_default())
    }

    async fn moved_since(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        since: &Moment,
        limit: u32,
    ) -> Result<Option<Vec<Place>>, Error> {
        let (namespace, decider) = (namespace.clone(), decider.clone());
        let since = since.clone();
        // One more tells that there are too many.
        let most = i64::from(limit) + 1;
        let found = self
            .readers
            .read(move |database| moved_since(database, &namespace, &decider, &since, most));
        let places = found.await?;
        Ok((places.len() <= limit as usize).then_some(places))
    }

    async fn count_events(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: &Place,
        limit: u32,
    ) -> Result<Counted, Error> {
        let (namespace, decider, after) = (namespace.clone(), decider.clone(), after.clone());
        let counted = self.readers.read(move |database| {
            // Both statements see the same.
            let reading = database.unchecked_transaction()?;
            let (namespace, decider) = (namespace.as_str(), decider.as_str());
            let version = after.version.to_sql();
            let values = params![namespace, decider, after.id, version, limit];
            let end = rows::one(&reading, END_OF_PAGE, values, rows::place)?;
            let events = match end {
                Some(_) => u64::from(limit),
                None => {
                    let values = params![namespace, decider, after.id, version];
                    let count = |row: &Row<'_>| Ok(row.get::<_, i64>(0)?.unsigned_abs());
                    rows::one(&reading, COUNT, values, count)?.unwrap_or_default()
                }
            };
            Ok(Counted { events, end })
        });
        counted.await
    }
}

/// The first streams in which something was stored after a moment.
pub(super) fn moved_since(
    database: &Connection,
    namespace: &Namespace,
    decider: &DeciderName,
    since: &Moment,
    most: i64,
) -> Result<Vec<Place>, SqliteError> {
    let offset = Generations::of(database).offset(since.settled)?;
    let (namespace, decider) = (namespace.as_str(), decider.as_str());
    let values = params![namespace, decider, offset, rows_before(since), most];
    rows::all(database, MOVED_SINCE, values, rows::place)
}

fn passages_in(
    database: &Connection,
    range: &PastRange,
    after: &Place,
    limit: u32,
) -> Result<PastPage, SqliteError> {
    let generations = Generations::of(database);
    let through = match &range.through {
        Some(through) => generations.offset(through.settled)?,
        None => i64::MAX,
    };
    let (mut room, mut left) = (Room::of_history(limit), limit);
    let mut segments = Segments::default();
    // Gives whether there is room for more.
    let mut read = |select: &mut Statement<'_>, after: &Place| -> Result<bool, SqliteError> {
        let (namespace, decider) = (range.namespace.as_str(), range.decider.as_str());
        let version = after.version.to_sql();
        let values = params![namespace, decider, after.id, version, left, through];
        let mut found = select.query(values)?;
        while let Some(row) = found.next()? {
            let (id, version, event, command_id) = rows::event_of_past(row, &generations, range)?;
            if !room.take_bytes(event.size_bytes()) {
                break;
            }
            segments.push(id, version, event, command_id);
            left -= 1;
        }
        Ok(!room.is_full() && !room.is_used_up())
    };
    // All streams are read at one moment.
    let reading = database.unchecked_transaction()?;
    let mut has_room = true;
    match range.starts_after(after) {
        None => has_room = read(&mut *reading.prepare_cached(PASSAGES)?, after)?,
        Some(starts) => {
            let mut select = reading.prepare_cached(PASSAGES_OF_STREAM)?;
            for start in starts {
                has_room = read(&mut select, &start)?;
                if !has_room {
                    break;
                }
            }
        }
    }
    Ok(segments.into_page(!has_room))
}

fn eventless_in(
    database: &Connection,
    range: &PastRange,
    after: &(Place, CommandId),
    limit: u32,
) -> Result<Vec<CommandRecord>, SqliteError> {
    let since = range.eventless_since.as_ref().map_or(0, rows_before);
    let through = range.through.as_ref().map_or(i64::MAX, rows_before);
    let read = |statement, (after, command_id): &(Place, CommandId), limit: u32| {
        let (namespace, decider) = (range.namespace.as_str(), range.decider.as_str());
        let (version, command_id) = (after.version.to_sql(), command_id.as_bytes());
        let values = params![
            namespace, decider, after.id, version, command_id, limit, since, through
        ];
        rows::all(database, statement, values, |row| {
            ledger::read(database, row)
        })
    };
    let Some(starts) = range.command_starts_after(after) else {
        return read(EVENTLESS, after, limit);
    };
    let mut found = Vec::new();
    // All streams are read at one moment.
    let _reading = database.unchecked_transaction()?;
    for start in starts {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        found.extend(read(EVENTLESS_OF_STREAM, &start, left)?);
    }
    Ok(found)
}

/// The last row of the ledger at a moment.
fn rows_before(moment: &Moment) -> i64 {
    moment.mark.parse().unwrap_or(0)
}
