//! The rows of consumers, and of the events that they are for.

use std::ops::ControlFlow;
use std::time::Duration;

use gavel_model::{
    ConsumerId, ConsumerSettings, EventFilter, LeaseId, NameError, Namespace, Position, Push,
    RecordedEvent, StreamId, Version,
};
use gavel_store::Error;
use gavel_store::toolkit::consumers::rows::{
    Backlog, ConsumerProgress, EventCoordinates, Holder, LogEntry, Registered, Rows, Visit, named,
    readable,
};
use rusqlite::{Row, params};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::SqliteError;
use crate::generations::Generations;
use crate::rows::{self, event_columns};
use crate::tables::Tables;

const FIND: &str = "
SELECT deciders, events, lock_timeout_ms, max_attempts, backoff_ms, push_url, push_secret, paused, since, cursor, created_at,
    paused_reason, tags FROM consumers WHERE namespace = ?1 AND consumer = ?2";

const KEEP: &str = "
INSERT INTO consumers (namespace, consumer, deciders, events, lock_timeout_ms, max_attempts, backoff_ms, push_url, push_secret,
    paused, since, cursor, created_at, paused_reason, tags) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT (namespace, consumer) DO UPDATE
    SET deciders = excluded.deciders, events = excluded.events, tags = excluded.tags, lock_timeout_ms = excluded.lock_timeout_ms,
        max_attempts = excluded.max_attempts, backoff_ms = excluded.backoff_ms, push_url = excluded.push_url, push_secret = excluded.push_secret,
        paused = excluded.paused, paused_reason = excluded.paused_reason, since = excluded.since, cursor = excluded.cursor";

const REMOVE: &str = "DELETE FROM consumers WHERE namespace = ?1 AND consumer = ?2";

const NAMES: &str = "
SELECT namespace, consumer FROM consumers WHERE ?1 IS NULL OR namespace = ?1 ORDER BY namespace, consumer";

const HAS_ROOM: &str = "
SELECT EXISTS (SELECT 1 FROM consumers WHERE namespace = ?1 AND consumer = ?2)
    OR (SELECT count(*) FROM consumers WHERE namespace = ?1) < ?3";

/// The columns that [`backlog`] reads, in its order.
macro_rules! backlog_columns {
    () => {
        "decider, decider_id, next_version, next_offset, next_created_at, last_version, pending, attempt, available_at, lease, \
         leased_through, parked_at, reason, available_since"
    };
}

/// The condition that [`Backlog::is_available`] is, at the time `?3`.
macro_rules! is_available {
    () => {
        "(available_at <= ?3 OR available_since - ?3 > available_at - available_since)"
    };
}

const BACKLOG: &str = concat!(
    "SELECT ",
    backlog_columns!(),
    " FROM consumer_streams WHERE namespace = ?1 AND consumer = ?2 AND decider = ?3 AND decider_id = ?4"
);

const LEASED: &str = concat!(
    "SELECT ",
    backlog_columns!(),
    " FROM consumer_streams WHERE lease = ?3 AND namespace = ?1 AND consumer = ?2"
);

const FREE: &str = concat!(
    "SELECT ",
    backlog_columns!(),
    " FROM consumer_streams INDEXED BY consumer_streams_next
    WHERE namespace = ?1 AND consumer = ?2 AND parked_at IS NULL AND ",
    is_available!(),
    " ORDER BY next_offset LIMIT ?4"
);

const PARKED: &str = concat!(
    "SELECT ",
    backlog_columns!(),
    " FROM consumer_streams
    WHERE namespace = ?1 AND consumer = ?2 AND parked_at IS NOT NULL AND (decider, decider_id) > (?3, ?4)
    ORDER BY decider, decider_id LIMIT ?5"
);

const KEEP_BACKLOG: &str = "
INSERT OR REPLACE INTO consumer_streams (namespace, consumer, decider, decider_id, next_version, next_offset, next_created_at,
    last_version, pending, attempt, available_at, lease, leased_through, parked_at, reason, available_since)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

const REMOVE_BACKLOG: &str = "
DELETE FROM consumer_streams WHERE namespace = ?1 AND consumer = ?2 AND decider = ?3 AND decider_id = ?4";

const REMOVE_BACKLOGS: &str = "DELETE FROM consumer_streams WHERE namespace = ?1 AND consumer = ?2";

const RETRY_PARKED: &str = "
UPDATE consumer_streams SET parked_at = NULL, attempt = 0, available_at = ?3, available_since = ?3
WHERE namespace = ?1 AND consumer = ?2 AND parked_at IS NOT NULL";

const NEXT_AVAILABLE: &str = "
SELECT min(available_at) FROM consumer_streams WHERE namespace = ?1 AND consumer = ?2 AND parked_at IS NULL";

const PROGRESS: &str = concat!(
    "SELECT coalesce(sum(pending), 0), min(next_created_at), count(*) FILTER (WHERE lease IS NOT NULL AND NOT ",
    is_available!(),
    "), count(parked_at) FROM consumer_streams WHERE namespace = ?1 AND consumer = ?2"
);

const AFTER: &str = r#"
SELECT decider, decider_id, event, version, "offset", created_at, tags FROM events INDEXED BY events_namespace
WHERE namespace = ?1 AND "offset" > ?2 ORDER BY "offset""#;

const ENTRIES: &str = r#"
SELECT decider, decider_id, event, version, "offset", created_at, tags FROM events
WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND version >= ?4 AND version <= ?5 ORDER BY version"#;

const EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = ?1 AND decider = ?2 AND decider_id = ?3 AND version >= ?4 AND version <= ?5 ORDER BY version"
);

const END: &str = r#"
SELECT "offset" FROM events INDEXED BY events_namespace WHERE namespace = ?1 ORDER BY "offset" DESC LIMIT 1"#;

const SINCE: &str = r#"
SELECT "offset" - 1 FROM events INDEXED BY events_namespace
WHERE namespace = ?1 AND created_at >= ?2 ORDER BY "offset" LIMIT 1"#;

impl Tables<'_> {
    fn each<T>(
        &self,
        statement: &str,
        values: impl rusqlite::Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, SqliteError>,
        visit: Visit<'_, T>,
    ) -> Result<(), SqliteError> {
        let mut statement = self.database.prepare_cached(statement)?;
        let mut found = statement.query(values)?;
        while let Some(row) = found.next()? {
            if visit(read(row)?) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn backlogs(
        &self,
        id: &ConsumerId,
        statement: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<(StreamId, Backlog)>, SqliteError> {
        let found = rows::all(self.database, statement, values, |row| {
            Ok(readable(
                backlog(row, &self.generations, id).map_err(Error::from),
            )?)
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The consumers of a namespace, or all.
    pub(super) fn names(&self, namespace: Option<&str>) -> Result<Vec<ConsumerId>, SqliteError> {
        let found = rows::all(self.database, NAMES, [namespace], |row| {
            Ok(readable(consumer_id(row).map_err(Error::from))?)
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Tells whether the consumer exists or its namespace has fewer than `most` consumers.
    pub(super) fn has_room(&self, id: &ConsumerId, most: u32) -> Result<bool, SqliteError> {
        let [namespace, name] = names(id);
        let mut statement = self.database.prepare_cached(HAS_ROOM)?;
        Ok(statement.query_row(params![namespace, name, most], |row| row.get(0))?)
    }

    /// The parked streams after this one, by decider and id.
    pub(super) fn parked(
        &self,
        id: &ConsumerId,
        decider: &str,
        stream: &str,
        limit: u32,
    ) -> Result<Vec<(StreamId, Backlog)>, SqliteError> {
        let [namespace, name] = names(id);
        self.backlogs(id, PARKED, params![namespace, name, decider, stream, limit])
    }
}

impl Rows for Tables<'_> {
    fn find(&self, id: &ConsumerId) -> Result<Option<Registered>, Error> {
        let found = rows::one(self.database, FIND, names(id), |row| {
            registered(row, &self.generations)
        });
        Ok(found?)
    }

    fn keep(&mut self, id: &ConsumerId, consumer: &Registered) -> Result<(), Error> {
        let [namespace, name] = names(id);
        let settings = &consumer.settings;
        let push = settings.push.as_ref();
        let values = params![
            namespace,
            name,
            rows::json_text(&settings.filter.deciders),
            rows::json_text(&settings.filter.events),
            length(settings.lock_timeout),
            settings.max_attempts,
            length(settings.backoff),
            push.map(|push| push.url.as_str()),
            push.and_then(|push| push.secret.as_deref()),
            consumer.is_paused,
            consumer.since.map(rows::milliseconds),
            self.generations.offset(consumer.cursor)?,
            rows::milliseconds(consumer.created_at),
            consumer.paused_reason,
            rows::json_text(&settings.filter.tags),
        ];
        self.run(KEEP, values)?;
        Ok(())
    }

    fn remove(&mut self, id: &ConsumerId) -> Result<bool, Error> {
        Ok(self.run(REMOVE, names(id))? > 0)
    }

    fn backlog(&self, id: &ConsumerId, stream: &StreamId) -> Result<Option<Backlog>, Error> {
        let [namespace, name] = names(id);
        let values = params![namespace, name, stream.decider().as_str(), stream.id()];
        let found = rows::one(self.database, BACKLOG, values, |row| {
            backlog(row, &self.generations, id)
        })?;
        Ok(found.map(|(_, backlog)| backlog))
    }

    fn leased(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
    ) -> Result<Option<(StreamId, Backlog)>, Error> {
        let [namespace, name] = names(id);
        let values = params![namespace, name, lease.as_bytes()];
        let found = rows::one(self.database, LEASED, values, |row| {
            backlog(row, &self.generations, id)
        });
        Ok(found?)
    }

    fn keep_backlog(
        &mut self,
        id: &ConsumerId,
        stream: &StreamId,
        backlog: &Backlog,
    ) -> Result<(), Error> {
        let [namespace, name] = names(id);
        let values = params![
            namespace,
            name,
            stream.decider().as_str(),
            stream.id(),
            backlog.next.version.to_sql(),
            self.generations.offset(backlog.next.position)?,
            rows::milliseconds(backlog.next.created_at),
            backlog.last.to_sql(),
            i64::try_from(backlog.pending).unwrap_or(i64::MAX),
            backlog.attempt,
            rows::milliseconds(backlog.available_at),
            backlog.lease.as_ref().map(|holder| holder.id.as_bytes()),
            backlog.lease.map(|holder| holder.through.to_sql()),
            backlog.parked_at.map(rows::milliseconds),
            backlog.reason,
            rows::milliseconds(backlog.available_since),
        ];
        self.run(KEEP_BACKLOG, values)?;
        Ok(())
    }

    fn remove_backlog(&mut self, id: &ConsumerId, stream: &StreamId) -> Result<(), Error> {
        let [namespace, name] = names(id);
        let values = params![namespace, name, stream.decider().as_str(), stream.id()];
        self.run(REMOVE_BACKLOG, values)?;
        Ok(())
    }

    fn remove_backlogs(&mut self, id: &ConsumerId) -> Result<(), Error> {
        self.run(REMOVE_BACKLOGS, names(id))?;
        Ok(())
    }

    fn retry_parked(&mut self, id: &ConsumerId, now: OffsetDateTime) -> Result<u64, Error> {
        let [namespace, name] = names(id);
        let values = params![namespace, name, rows::milliseconds(now)];
        Ok(self.run(RETRY_PARKED, values)? as u64)
    }

    fn free(
        &self,
        id: &ConsumerId,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<(StreamId, Backlog)>, Error> {
        let [namespace, name] = names(id);
        let values = params![namespace, name, rows::milliseconds(now), limit];
        Ok(self.backlogs(id, FREE, values)?)
    }

    fn next_available(&self, id: &ConsumerId) -> Result<Option<OffsetDateTime>, Error> {
        let found = rows::one(self.database, NEXT_AVAILABLE, names(id), |row| {
            Ok(row.get::<_, Option<i64>>(0)?.map(rows::nearest_time))
        });
        Ok(found?.flatten())
    }

    fn progress(&self, id: &ConsumerId, now: OffsetDateTime) -> Result<ConsumerProgress, Error> {
        let [namespace, name] = names(id);
        let values = params![namespace, name, rows::milliseconds(now)];
        let found = rows::one(self.database, PROGRESS, values, |row| {
            Ok(ConsumerProgress {
                pending: count(row, 0)?,
                oldest: row.get::<_, Option<i64>>(1)?.map(rows::nearest_time),
                in_flight: count(row, 2)?,
                parked: count(row, 3)?,
            })
        });
        Ok(found?.unwrap_or_default())
    }

    fn each_after(
        &self,
        id: &ConsumerId,
        after: Position,
        visit: Visit<'_, LogEntry>,
    ) -> Result<(), Error> {
        let values = params![id.namespace().as_str(), self.generations.offset(after)?];
        Ok(self.each(AFTER, values, |row| entry(row, &self.generations), visit)?)
    }

    fn end(&self, id: &ConsumerId) -> Result<Position, Error> {
        let values = [id.namespace().as_str()];
        let newest = rows::one(self.database, END, values, |row| Ok(row.get(0)?))?;
        Ok(self.generations.position(newest.unwrap_or_default())?)
    }

    fn before(&self, id: &ConsumerId, time: OffsetDateTime) -> Result<Position, Error> {
        let values = params![id.namespace().as_str(), rows::milliseconds(time)];
        match rows::one(self.database, SINCE, values, |row| Ok(row.get(0)?))? {
            Some(offset) => Ok(self.generations.position(offset)?),
            None => self.end(id),
        }
    }

    fn each_entry(
        &self,
        stream: &StreamId,
        from: Version,
        through: Version,
        visit: Visit<'_, LogEntry>,
    ) -> Result<(), Error> {
        let [namespace, decider, id] = rows::names(stream);
        let values = params![namespace, decider, id, from.to_sql(), through.to_sql()];
        Ok(self.each(ENTRIES, values, |row| entry(row, &self.generations), visit)?)
    }

    fn each_event(
        &self,
        stream: &StreamId,
        from: Version,
        through: Version,
        visit: Visit<'_, Result<RecordedEvent, Error>>,
    ) -> Result<(), Error> {
        let [namespace, decider, id] = rows::names(stream);
        let values = params![namespace, decider, id, from.to_sql(), through.to_sql()];
        let read =
            |row: &Row<'_>| Ok(rows::event(row, &self.generations, stream).map_err(Error::from));
        Ok(self.each(EVENTS, values, read, visit)?)
    }
}

fn names(id: &ConsumerId) -> [&str; 2] {
    [id.namespace().as_str(), id.name()]
}

/// A length of time as a column holds it.
fn length(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn duration_of(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}

fn count(row: &Row<'_>, column: usize) -> Result<u64, SqliteError> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

fn corrupt(what: &'static str) -> impl FnOnce(String) -> SqliteError {
    move |reason| Error::Corrupt { what, reason }.into()
}

fn version_of(number: i64) -> Result<Version, SqliteError> {
    let version = Version::from_sql(number).ok_or_else(|| "it is negative".to_owned());
    version.map_err(corrupt("version of a consumer"))
}

fn registered(row: &Row<'_>, generations: &Generations<'_>) -> Result<Registered, SqliteError> {
    let list = |text: String| -> Result<Vec<String>, SqliteError> {
        serde_json::from_str(&text)
            .map_err(|error| corrupt("filter of a consumer")(error.to_string()))
    };
    let (url, secret): (Option<String>, _) = (row.get(5)?, row.get(6)?);
    Ok(Registered {
        settings: ConsumerSettings {
            filter: EventFilter {
                deciders: list(row.get(0)?)?,
                events: list(row.get(1)?)?,
                tags: list(row.get(12)?)?,
            },
            lock_timeout: duration_of(row.get(2)?),
            max_attempts: row.get(3)?,
            backoff: duration_of(row.get(4)?),
            push: url.map(|url| Push { url, secret }),
        },
        is_paused: row.get(7)?,
        since: row.get::<_, Option<i64>>(8)?.map(rows::nearest_time),
        cursor: generations.position(row.get(9)?)?,
        created_at: rows::nearest_time(row.get(10)?),
        paused_reason: row.get(11)?,
    })
}

fn backlog(
    row: &Row<'_>,
    generations: &Generations<'_>,
    id: &ConsumerId,
) -> Result<(StreamId, Backlog), SqliteError> {
    let (decider, stream): (String, String) = (row.get(0)?, row.get(1)?);
    let stream = named(id, &decider, &stream)?;
    let (lease, through): (Option<[u8; 16]>, Option<i64>) = (row.get(9)?, row.get(10)?);
    let lease = lease.zip(through).map(|(lease, through)| {
        Ok::<_, SqliteError>(Holder {
            id: Uuid::from_bytes(lease),
            through: version_of(through)?,
        })
    });
    let backlog = Backlog {
        next: EventCoordinates {
            version: version_of(row.get(2)?)?,
            position: generations.position(row.get(3)?)?,
            created_at: rows::nearest_time(row.get(4)?),
        },
        last: version_of(row.get(5)?)?,
        pending: count(row, 6)?,
        attempt: row.get(7)?,
        available_at: rows::nearest_time(row.get(8)?),
        available_since: rows::nearest_time(row.get(13)?),
        lease: lease.transpose()?,
        parked_at: row.get::<_, Option<i64>>(11)?.map(rows::nearest_time),
        reason: row.get(12)?,
    };
    Ok((stream, backlog))
}

fn entry(row: &Row<'_>, generations: &Generations<'_>) -> Result<LogEntry, SqliteError> {
    Ok(LogEntry {
        decider: row.get(0)?,
        id: row.get(1)?,
        event: row.get(2)?,
        tags: serde_json::from_str(row.get_ref(6)?.as_str().unwrap_or_default()).ok(),
        place: EventCoordinates {
            version: version_of(row.get(3)?)?,
            position: generations.position(row.get(4)?)?,
            created_at: rows::nearest_time(row.get(5)?),
        },
    })
}

fn consumer_id(row: &Row<'_>) -> Result<ConsumerId, SqliteError> {
    let malformed = |error: NameError| corrupt("name of a consumer")(error.to_string());
    let namespace = Namespace::new(row.get::<_, String>(0)?).map_err(malformed)?;
    ConsumerId::new(namespace, row.get::<_, String>(1)?).map_err(malformed)
}
