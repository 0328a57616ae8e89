//! Reading streams for folding, which reads more events than all else together: few columns, found
//! by their places.

use gavel_model::{Event, Json, StreamId, Version};
use gavel_store::{
    Direction, Error, EventStore as _, History, PAGE_BYTES, Room, StreamHead, StreamRange,
};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json as SqlJson;
use sqlx::{Decode, Postgres, Type};

use super::PostgresStore;
use super::query::of_stream;

/// The columns that [`past_events`] reads, in the order of [`place`]. `data` comes in its binary
/// form: the detour by way of TEXT costs two copies.
macro_rules! history_columns {
    () => {
        "event, event_version, data, final, tags, version, event_id"
    };
}
pub(super) use history_columns;

/// The number of columns of `history_columns!`.
pub(super) const HISTORY_COLUMNS: usize = 7;

/// The places of [`history_columns`] in a row; others may follow.
mod place {
    pub(super) const EVENT: usize = 0;
    pub(super) const EVENT_VERSION: usize = 1;
    pub(super) const DATA: usize = 2;
    pub(super) const FINAL: usize = 3;
    pub(super) const TAGS: usize = 4;
    pub(super) const VERSION: usize = 5;
    pub(super) const EVENT_ID: usize = 6;
}

const HISTORY: &str = concat!(
    "SELECT ",
    history_columns!(),
    " FROM events WHERE namespace = $1 AND decider = $2 AND decider_id = $3 AND version > $4 AND version <= $5 \
     ORDER BY version LIMIT $6"
);

/// A row of which folding cannot use something. What that is, and where, the whole events tell.
#[derive(Debug)]
pub(super) struct Unusable;

impl PostgresStore {
    pub(super) async fn read_history(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<History, Error> {
        let filling = Filling::new(limit);
        match self.fill(filling, stream, after, through).await? {
            Ok(history) => Ok(history),
            Err(Unusable) => {
                let range = StreamRange {
                    after,
                    through,
                    limit,
                    bytes: PAGE_BYTES,
                    direction: Direction::Forward,
                };
                let whole = self.read_stream(stream, range).await?;
                Ok(History {
                    has_more: true,
                    ..History::from(whole)
                })
            }
        }
    }

    /// Reads events after `after` for as long as there is room.
    pub(super) async fn fill(
        &self,
        mut filling: Filling,
        stream: &StreamId,
        mut after: Version,
        through: Option<Version>,
    ) -> Result<Result<History, Unusable>, Error> {
        let last = through.map_or(i64::MAX, Version::to_sql);
        while let Some(wanted) = filling.rows() {
            let statement = || {
                of_stream(HISTORY, stream)
                    .bind(after.to_sql())
                    .bind(last)
                    .bind(i64::from(wanted))
            };
            let found = self.read(statement).await?;
            if let Err(unusable) = filling.add(&found, wanted) {
                return Ok(Err(unusable));
            }
            after = filling.end().unwrap_or(after);
        }
        Ok(Ok(filling.history))
    }
}

/// A page of a history that is being read.
#[derive(Debug)]
pub(super) struct Filling {
    room: Room,
    history: History,
}

impl Filling {
    pub(super) fn new(limit: u32) -> Self {
        let history = History {
            has_more: true,
            ..History::default()
        };
        Self {
            room: Room::of_history(limit),
            history,
        }
    }

    /// The number of rows to read next; none once the page is done.
    pub(super) fn rows(&self) -> Option<u32> {
        let is_done = !self.history.has_more || self.room.is_full() || self.room.is_used_up();
        (!is_done).then(|| self.room.rows())
    }

    /// The version of the last event.
    pub(super) fn end(&self) -> Option<Version> {
        self.history.head.map(|head| head.version)
    }

    /// Adds rows with the columns of `history_columns!`, and compares their number with the number
    /// wanted.
    pub(super) fn add<'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r PgRow>,
        wanted: u32,
    ) -> Result<(), Unusable> {
        let mut count = 0;
        for row in rows {
            count += 1;
            let event = past_event(row)?;
            if !self.room.take_bytes(event.size_bytes()) {
                return Ok(());
            }
            self.history.head = Some(head_after(row)?);
            self.history.events.push(event);
        }
        self.history.has_more = count >= wanted;
        Ok(())
    }
}

pub(super) fn past_event(row: &PgRow) -> Result<Event, Unusable> {
    let schema_version: i64 = column(row, place::EVENT_VERSION)?;
    let SqlJson(data) = column(row, place::DATA)?;
    Ok(Event {
        name: column(row, place::EVENT)?,
        schema_version: schema_version.try_into().map_err(|_| Unusable)?,
        data: Json::from_raw(data),
        is_final: column(row, place::FINAL)?,
        tags: column(row, place::TAGS)?,
    })
}

fn head_after(row: &PgRow) -> Result<StreamHead, Unusable> {
    Ok(StreamHead {
        version: version(row)?,
        last_event_id: Some(column(row, place::EVENT_ID)?),
        is_final: column(row, place::FINAL)?,
    })
}

pub(super) fn version(row: &PgRow) -> Result<Version, Unusable> {
    Version::from_sql(column(row, place::VERSION)?).ok_or(Unusable)
}

pub(super) fn column<'r, T>(row: &'r PgRow, place: usize) -> Result<T, Unusable>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(place).map_err(|_| Unusable)
}
