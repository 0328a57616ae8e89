//! The lives of the log, and the positions that tell them apart.
//!
//! Each opening of the file by a host begins a generation. It owns the offsets behind those that
//! were there, so that events do not have to name it, and whatever a column holds of a position is
//! the offset alone.

use std::cell::Cell;

use gavel_model::{Namespace, Position};
use gavel_store::{Error, ResumeError};
use rusqlite::{Connection, Row, params};
use time::OffsetDateTime;

use super::cells::milliseconds;
use super::error::SqliteError;
use super::query;

/// Begins a generation. Its number is that of the clock, so that it differs from those that were
/// begun since a copy was made that this file may be.
const BEGIN: &str = r#"
INSERT OR REPLACE INTO generations (begins_after, generation)
SELECT coalesce(max("offset"), 0), max(?1, (SELECT max(generation) + 1 FROM generations)) FROM events"#;

const TOUCH: &str = "UPDATE generations SET generation = generation WHERE begins_after = -1";

const NEWEST: &str = "SELECT max(generation) FROM generations";

/// The columns that [`Generation`] has.
macro_rules! columns {
    () => {
        "generation, begins_after, (SELECT next.begins_after FROM generations AS next WHERE next.begins_after > g.begins_after
             ORDER BY next.begins_after LIMIT 1) AS through FROM generations AS g"
    };
}

const OF_OFFSET: &str = concat!(
    "SELECT ",
    columns!(),
    " WHERE begins_after < ?1 ORDER BY begins_after DESC LIMIT 1"
);

const UP_TO: &str = concat!(
    "SELECT ",
    columns!(),
    " WHERE generation <= ?1 ORDER BY generation DESC LIMIT 1"
);

const EVENT: &str = r#"SELECT 1 FROM events WHERE "offset" = ?1"#;

const LAST_THROUGH: &str = r#"
SELECT "offset" FROM events INDEXED BY events_namespace
WHERE namespace = ?1 AND "offset" <= ?2 ORDER BY "offset" DESC LIMIT 1"#;

/// Begins a generation at the end of the log.
pub(super) fn begin_in_tx(tx: &Connection, now: OffsetDateTime) -> Result<(), SqliteError> {
    tx.execute(BEGIN, [milliseconds(now)])?;
    Ok(())
}

/// Writes without changing anything.
pub(super) fn touch_in_tx(tx: &Connection) -> Result<(), SqliteError> {
    tx.execute(TOUCH, [])?;
    Ok(())
}

/// The generation that is written in.
pub(super) fn newest_in_tx(tx: &Connection) -> Result<u64, SqliteError> {
    let newest = query::one(tx, NEWEST, [], |row| Ok(row.get::<_, i64>(0)?))?;
    Ok(newest.unwrap_or_default().unsigned_abs())
}

/// The generations of a file, as one connection sees them. Keeps the one that was looked at last.
#[derive(Debug)]
pub(super) struct Generations<'c> {
    database: &'c Connection,
    last: Cell<Generation>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Generation {
    number: u64,
    /// The offset after which the generation begins; exclusive.
    begins_after: i64,
    /// The last offset of the generation; inclusive. That of the newest generation is the largest
    /// possible one.
    through: i64,
}

impl<'c> Generations<'c> {
    pub(super) fn of(database: &'c Connection) -> Self {
        Self {
            database,
            last: Cell::default(),
        }
    }

    /// The position of the row at `offset`.
    pub(super) fn position(&self, offset: i64) -> Result<Position, SqliteError> {
        let mut generation = self.last.get();
        if offset <= generation.begins_after || offset > generation.through {
            generation = self.find(OF_OFFSET, offset)?;
            self.last.set(generation);
        }
        let offset = u64::try_from(offset).unwrap_or_default();
        Ok(Position::new(generation.number, 0, offset))
    }

    /// The last offset at or before `position`, which may be a position of another log.
    pub(super) fn offset(&self, position: Position) -> Result<i64, SqliteError> {
        let number = i64::try_from(position.generation()).unwrap_or(i64::MAX);
        let generation = self.find(UP_TO, number)?;
        if position.generation() > generation.number || position.transaction() > 0 {
            return Ok(generation.through);
        }
        let offset = i64::try_from(position.offset()).unwrap_or(i64::MAX);
        Ok(offset.clamp(generation.begins_after, generation.through))
    }

    /// Finds an event at `position`, or says where the log of the namespace ends before that.
    pub(super) fn check(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        let offset = self.offset(position)?;
        let is_event = query::one(self.database, EVENT, [offset], |_| Ok(()))?.is_some();
        if position == Position::BEGINNING || is_event && self.position(offset)? == position {
            return Ok(());
        }
        let values = params![namespace.as_str(), offset];
        let last = query::one(self.database, LAST_THROUGH, values, |row| Ok(row.get(0)?))?;
        let end = self.position(last.unwrap_or_default())?;
        Err(ResumeError::Lost { position, end })
    }

    fn find(&self, statement: &str, value: i64) -> Result<Generation, SqliteError> {
        let read = |row: &Row<'_>| {
            Ok(Generation {
                number: row.get::<_, i64>(0)?.unsigned_abs(),
                begins_after: row.get::<_, i64>(1)?,
                through: row.get::<_, Option<i64>>(2)?.unwrap_or(i64::MAX),
            })
        };
        let found = query::one(self.database, statement, [value], read)?;
        Ok(found.ok_or_else(|| Error::Corrupt {
            what: "generation",
            reason: "the first one is missing".to_owned(),
        })?)
    }
}
