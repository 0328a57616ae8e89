//! Reading the past of deciders. Each page is a range of an index that holds it in order.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::generations::Generations;
use super::read::COMMAND;
use super::rows::{self, command_columns, log_columns, passage_columns};
use crate::core::{CommandId, CommandRecord, DeciderName, EventId, Namespace, RecordedEvent};
use crate::store::past::Passages;
use crate::store::{Counted, Error, Moment, PastPage, PastRange, PastStore, Place, Room};

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
    command_columns!(),
    " FROM commands INDEXED BY commands_eventless
    WHERE namespace = ?1 AND decider = ?2 AND (decider_id, version, command_id) > (?3, ?4, ?5) AND events = 0
        AND rowid > ?7 AND rowid <= ?8
    ORDER BY decider_id, version, command_id LIMIT ?6"
);

/// Takes the values of [`EVENTLESS`], within the stream that they name.
pub(super) const EVENTLESS_OF_STREAM: &str = concat!(
    "SELECT ",
    command_columns!(),
    " FROM commands INDEXED BY commands_eventless
    WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND (version, command_id) > (?4, ?5) AND events = 0
        AND rowid > ?7 AND rowid <= ?8
    ORDER BY version, command_id LIMIT ?6"
);

/// The place of the newest row of each table. One writer at a time: what is not there yet comes after all that is.
const MOMENT: &str = "SELECT (SELECT coalesce(max(\"offset\"), 0) FROM events), (SELECT coalesce(max(rowid), 0) FROM commands)";

/// The indexes keep it to what is behind a moment, however much there is of the decider.
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
    async fn passages(
        &self,
        range: &PastRange,
        after: &Place,
        limit: u32,
    ) -> Result<PastPage, Error> {
        let Some(after) = range.enter(after) else {
            return Ok(Passages::default().into_page(false));
        };
        let range = range.clone();
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
        let Some((after, command_id)) = range.enter_commands(after) else {
            return Ok(Vec::new());
        };
        let range = range.clone();
        let found = self.readers.read(move |database| {
            let statement = of(&range, EVENTLESS, EVENTLESS_OF_STREAM);
            let [namespace, decider] = names(&range);
            let (version, command_id) = (after.version.to_sql(), command_id.as_bytes());
            let since = range.eventless_since.as_ref().map_or(0, rows_before);
            let through = range.through.as_ref().map_or(i64::MAX, rows_before);
            let values = params![
                namespace, decider, after.id, version, command_id, limit, since, through
            ];
            rows::all(database, statement, values, rows::command)
        });
        found.await
    }

    async fn commands(
        &self,
        namespace: &Namespace,
        ids: &[CommandId],
    ) -> Result<HashMap<CommandId, CommandRecord>, Error> {
        let (namespace, ids) = (namespace.clone(), ids.to_vec());
        let found = self.readers.read(move |database| {
            // One transaction: by itself, each look-up would take and release the locks of the file.
            let reading = database.unchecked_transaction()?;
            let mut select = reading.prepare_cached(COMMAND)?;
            let mut found = HashMap::with_capacity(ids.len());
            for id in ids {
                let mut command = select.query(params![namespace.as_str(), id.as_bytes()])?;
                if let Some(row) = command.next()? {
                    found.insert(id, rows::command(row)?);
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
) -> Result<Vec<Place>, Error> {
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
) -> Result<PastPage, Error> {
    let [namespace, decider] = names(range);
    let statement = of(range, PASSAGES, PASSAGES_OF_STREAM);
    let mut select = database.prepare_cached(statement)?;
    let version = after.version.to_sql();
    let generations = Generations::of(database);
    let through = match &range.through {
        Some(through) => generations.offset(through.settled)?,
        None => i64::MAX,
    };
    let values = params![namespace, decider, after.id, version, limit, through];
    let mut found = select.query(values)?;
    let mut room = Room::of_history(limit);
    let mut passages = Passages::default();
    while let Some(row) = found.next()? {
        let (id, version, event, command_id) = rows::event_of_past(row, &generations, range)?;
        if !room.take_bytes(event.size_bytes()) {
            break;
        }
        passages.push(id, version, event, command_id);
    }
    Ok(passages.into_page(room.is_full() || room.is_used_up()))
}

/// How far the ledger's rows went at a moment.
fn rows_before(moment: &Moment) -> i64 {
    moment.mark.parse().unwrap_or(0)
}

/// The statement for all streams, or that for one.
fn of(range: &PastRange, all: &'static str, one: &'static str) -> &'static str {
    if range.id.is_none() { all } else { one }
}

fn names(range: &PastRange) -> [&str; 2] {
    [range.namespace.as_str(), range.decider.as_str()]
}
