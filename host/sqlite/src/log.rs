//! Reading the log of a namespace.

use async_trait::async_trait;
use gavel_model::{Namespace, Position, RecordedEvent};
use gavel_store::{Error, LogFilter, LogPage, LogStore, PAGE_BYTES, ResumeError, Room};
use rusqlite::{Connection, Row, params};
use tokio::sync::watch;

use super::SqliteStore;
use super::error::SqliteError;
use super::generations::Generations;
use super::rows::{self, log_columns};

/// Selects the newest offset of a namespace, in which the rowid ascends. `INDEXED BY` excludes the
/// other index that begins with the namespace, by which the log would have to be sorted.
const NEWEST: &str = r#"
SELECT "offset" FROM events INDEXED BY events_namespace
WHERE namespace = ?1 ORDER BY "offset" DESC LIMIT 1"#;

const PAGE: &str = concat!(
    "SELECT ",
    log_columns!(),
    r#" FROM events INDEXED BY events_namespace WHERE namespace = ?1 AND "offset" > ?2 AND "offset" <= ?3 ORDER BY "offset""#
);

const AT: &str = concat!(
    "SELECT ",
    log_columns!(),
    r#" FROM events WHERE namespace = ?1 AND "offset" = ?2"#
);

/// The number of events that a page looks at, so that a reader whose filter passes hardly any event
/// does not keep others from reading.
const SCAN: usize = 10_000;

#[async_trait]
impl LogStore for SqliteStore {
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error> {
        let (namespace, filter) = (namespace.clone(), filter.clone());
        self.readers
            .read(move |database| page_in(database, &namespace, after, &filter, limit))
            .await
    }

    async fn events_at(
        &self,
        namespace: &Namespace,
        positions: &[Position],
    ) -> Result<Vec<RecordedEvent>, Error> {
        let (namespace, mut positions) = (namespace.clone(), positions.to_vec());
        positions.sort_unstable();
        positions.dedup();
        let found = self.readers.read(move |database| {
            let generations = Generations::of(database);
            let mut events = Vec::with_capacity(positions.len());
            for position in positions {
                let values = params![namespace.as_str(), generations.offset(position)?];
                let read = |row: &Row<'_>| rows::event_of_log(row, &generations);
                let found: Option<RecordedEvent> = rows::one(database, AT, values, read)?;
                events.extend(found.filter(|event| event.position == position));
            }
            Ok(events)
        });
        found.await
    }

    async fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        let namespace = namespace.clone();
        let checked = self
            .readers
            .read(move |database| Ok(Generations::of(database).check(&namespace, position)));
        checked.await?
    }

    fn wakeups(&self) -> watch::Receiver<()> {
        self.group.commits()
    }
}

/// A page as of the newest event at its start.
///
/// Offsets are given under the write lock and so become visible in their order: what has an offset
/// up to the newest is all there, in the statement after as well, and nothing will be added to it.
/// A malformed event ends the page before it, and fails the one that begins with it.
fn page_in(
    database: &Connection,
    namespace: &Namespace,
    after: Position,
    filter: &LogFilter,
    limit: u32,
) -> Result<LogPage, SqliteError> {
    let newest = rows::one(
        database,
        NEWEST,
        [namespace.as_str()],
        |row| Ok(row.get(0)?),
    )?;
    let newest: i64 = newest.unwrap_or_default();
    let mut page = LogPage {
        events: Vec::new(),
        next: after,
        caught_up: false,
        is_withheld: false,
    };
    let generations = Generations::of(database);
    let mut select = database.prepare_cached(PAGE)?;
    let values = params![namespace.as_str(), generations.offset(after)?, newest];
    let mut found = select.query(values)?;
    let is_all = *filter == LogFilter::default();
    let mut room = Room::new(limit, PAGE_BYTES);
    let mut looked_at = 0;
    while let Some(row) = found.next()? {
        if looked_at == SCAN {
            return Ok(page);
        }
        let passes = is_all || passes(filter, row)?;
        if passes && u32::try_from(page.events.len()).is_ok_and(|count| count >= limit) {
            return Ok(page);
        }
        looked_at += 1;
        if !passes {
            page.next = generations.position(row.get("offset")?)?;
            continue;
        }
        match rows::event_of_log(row, &generations) {
            Ok(event) if !room.take(&event) => return Ok(page),
            Ok(event) => {
                page.next = event.position;
                page.events.push(event);
            }
            Err(_) if page.next > after => return Ok(page),
            Err(error) => return Err(error),
        }
    }
    page.next = after.max(generations.position(newest)?);
    page.caught_up = true;
    Ok(page)
}

/// Tells whether the filter selects an event, before all of the event is read.
fn passes(filter: &LogFilter, row: &Row<'_>) -> Result<bool, SqliteError> {
    let text = |column| -> Result<&str, rusqlite::Error> {
        Ok(row.get_ref(column)?.as_str().unwrap_or_default())
    };
    // Tags that cannot be read let the event pass: read as a whole, it is reported.
    let passes_tags = |tags| {
        filter.events.tags.is_empty()
            || serde_json::from_str(tags)
                .map_or(true, |tags: Vec<String>| filter.events.passes_tags(&tags))
    };
    Ok(filter.events.passes_names(text("decider")?, text("event")?)
        && filter.passes_id(text("decider_id")?)
        && passes_tags(text("tags")?))
}
