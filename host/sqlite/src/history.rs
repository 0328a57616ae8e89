//! Reading streams for folding, which reads more events than all else together: few columns.

use gavel_model::{StreamId, Version};
use gavel_store::{History, Room};
use rusqlite::{Connection, params};

use super::error::SqliteError;
use super::generations::Generations;
use super::rows::{self, history_columns};

const HISTORY: &str = concat!(
    "SELECT ",
    history_columns!(),
    " FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND version > ?4 AND version <= ?5
    ORDER BY version LIMIT ?6"
);

/// Reads events after `after` for as long as there is room, on one connection.
pub(super) fn history_in(
    database: &Connection,
    stream: &StreamId,
    after: Version,
    through: Option<Version>,
    limit: u32,
) -> Result<History, SqliteError> {
    let [namespace, decider, id] = rows::names(stream);
    let through = through.map_or(i64::MAX, Version::to_sql);
    let values = params![namespace, decider, id, after.to_sql(), through, limit];
    let generations = Generations::of(database);
    let mut room = Room::of_history(limit);
    let mut history = History::default();
    let mut select = database.prepare_cached(HISTORY)?;
    let mut found = select.query(values)?;
    while let Some(row) = found.next()? {
        let (event, head) = rows::past_event(row, &generations, stream)?;
        if !room.take_bytes(event.size_bytes()) {
            break;
        }
        history.events.push(event);
        history.head = Some(head);
    }
    history.has_more = room.is_full() || room.is_used_up();
    Ok(history)
}
