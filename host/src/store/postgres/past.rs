//! Reading the past of deciders. Each page is a range of an index that holds it in order.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::consumers::bind_position;
use super::history::{self, HISTORY_COLUMNS, Unusable, history_columns, past_event};
use super::query::Statement;
use super::rows::{self, command_columns, event_columns};
use crate::core::{
    CommandId, CommandRecord, DeciderName, EventId, Namespace, Position, RecordedEvent,
};
use crate::store::past::Passages;
use crate::store::{Counted, Error, Frontier, Passage, PastRange, PastStore, Place};

/// Events of all streams, after the place that the last values name.
macro_rules! of_all_streams {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM events WHERE namespace = $1 AND decider = $2 AND (decider_id, version) > ($3, $4) \
             AND (generation, transaction_id, \"offset\") <= ($6, $7::TEXT::XID8, $8) \
             ORDER BY decider_id, version LIMIT $5"
        )
    };
}

/// Takes the same values, within the stream that they name.
macro_rules! of_one_stream {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM events WHERE namespace = $1 AND decider = $2 AND decider_id = $3 AND version > $4 \
             AND (generation, transaction_id, \"offset\") <= ($6, $7::TEXT::XID8, $8) \
             ORDER BY version LIMIT $5"
        )
    };
}

/// The columns that [`push`] reads.
macro_rules! passage_columns {
    () => {
        concat!(history_columns!(), ", command_id, decider_id")
    };
}

/// The places of those that follow the columns of a history.
const COMMAND_ID: usize = HISTORY_COLUMNS;
const DECIDER_ID: usize = HISTORY_COLUMNS + 1;

/// For a page, and for whole events instead; each for all streams and for one.
pub(super) const PASSAGES: [&str; 2] = [
    of_all_streams!(passage_columns!()),
    of_one_stream!(passage_columns!()),
];
const WHOLE: [&str; 2] = [
    of_all_streams!(event_columns!()),
    of_one_stream!(event_columns!()),
];

/// For all streams and for one, as above.
pub(super) const EVENTLESS: [&str; 2] = [
    concat!(
        "SELECT ",
        command_columns!(),
        " FROM commands WHERE namespace = $1 AND decider = $2 AND (decider_id, version, command_id) > ($3, $4, $5) AND events = 0 \
         ORDER BY decider_id, version, command_id LIMIT $6"
    ),
    concat!(
        "SELECT ",
        command_columns!(),
        " FROM commands WHERE namespace = $1 AND decider = $2 AND decider_id = $3 AND (version, command_id) > ($4, $5) AND events = 0 \
         ORDER BY version, command_id LIMIT $6"
    ),
];

/// LIMIT keeps it at one step into the index for each id, whatever the planner thinks of the table.
const COMMANDS: &str = concat!(
    "SELECT found.* FROM unnest($2::UUID[]) AS wanted (id) CROSS JOIN LATERAL (SELECT ",
    command_columns!(),
    " FROM commands AS c WHERE c.namespace = $1 AND c.command_id = wanted.id LIMIT 1) AS found"
);

const EVENT: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE namespace = $1 AND event_id = $2"
);

/// Versions have no gaps, so that the heads tell how many events there are.
const COUNT: &str = "SELECT coalesce(sum(version), 0)::BIGINT AS events, count(*) AS streams, max(decider_id) AS last \
     FROM (SELECT decider_id, version FROM stream_heads WHERE namespace = $1 AND decider = $2 AND decider_id > $3 \
           ORDER BY decider_id LIMIT $4) AS page";

/// The statement for all streams or that for one, whose first values name the place to go on after.
fn following<'q>(statements: [&'static str; 2], range: &PastRange, after: &Place) -> Statement<'q> {
    let [all, one] = statements;
    sqlx::query(if range.id.is_none() { all } else { one })
        .bind(range.namespace.as_str().to_owned())
        .bind(range.decider.as_str().to_owned())
        .bind(after.id.clone())
        .bind(after.version.to_sql())
}

/// The statement for a page of events.
fn page<'q>(
    statements: [&'static str; 2],
    range: &PastRange,
    after: &Place,
    limit: u32,
) -> Statement<'q> {
    let last = Position::new(i32::MAX.unsigned_abs(), u64::MAX, i64::MAX.unsigned_abs());
    let statement = following(statements, range, after).bind(i64::from(limit));
    bind_position(statement, range.through.unwrap_or(last))
}

const MOVED_SINCE: &str = "SELECT DISTINCT decider_id FROM events \
     WHERE namespace = $1 AND decider = $2 \
       AND (generation, transaction_id, \"offset\") > ($4, $5::TEXT::XID8, $6) \
     ORDER BY decider_id LIMIT $3";

const FRONTIER: &str = "SELECT max(generation) AS generation, \
     pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT AS oldest_open, \
     pg_snapshot_xmax(pg_current_snapshot())::TEXT::BIGINT AS next FROM generations";

#[async_trait]
impl PastStore for PostgresStore {
    async fn passages(
        &self,
        range: &PastRange,
        after: &Place,
        limit: u32,
    ) -> Result<Vec<Passage>, Error> {
        let Some(after) = range.enter(after) else {
            return Ok(Vec::new());
        };
        let found = self.read(|| page(PASSAGES, range, &after, limit)).await?;
        if let Ok(passages) = passages(&found) {
            return Ok(passages);
        }
        // Whole events tell which one it is, and what is wrong with it.
        let found = self.read(|| page(WHOLE, range, &after, limit)).await?;
        let mut passages = Passages::default();
        for row in &found {
            let recorded = rows::event(row)?;
            let (version, command_id) = (recorded.version, recorded.event.command_id);
            let event = recorded.event.into();
            passages.push(recorded.stream.id(), version, event, command_id);
        }
        Ok(passages.into_vec())
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
        let statement = || {
            following(EVENTLESS, range, &after)
                .bind(command_id)
                .bind(i64::from(limit))
        };
        let found = self.read(statement).await?;
        let commands: Result<_, _> = found.iter().map(rows::command).collect();
        commands.map_err(|reason| reason.of("command"))
    }

    async fn commands(
        &self,
        namespace: &Namespace,
        ids: &[CommandId],
    ) -> Result<HashMap<CommandId, CommandRecord>, Error> {
        let statement = || sqlx::query(COMMANDS).bind(namespace.as_str()).bind(ids);
        let found = self.read(statement).await?;
        let commands = found.iter().map(|row| {
            let command = rows::command(row)?;
            Ok((command.command_id, command))
        });
        let commands: Result<_, rows::Unreadable> = commands.collect();
        commands.map_err(|reason| reason.of("command"))
    }

    async fn event(
        &self,
        namespace: &Namespace,
        event_id: EventId,
    ) -> Result<Option<RecordedEvent>, Error> {
        let statement = || sqlx::query(EVENT).bind(namespace.as_str()).bind(event_id);
        let found = self.read(statement).await?;
        found.first().map(rows::event).transpose()
    }

    async fn frontier(&self, _namespace: &Namespace) -> Result<Frontier, Error> {
        let found = self.read(|| sqlx::query(FRONTIER)).await?;
        let before = |row: &PgRow, column: &str| {
            let transaction: i64 = rows::column(row, column)?;
            let generation: i32 = rows::column(row, "generation")?;
            Ok::<_, rows::Unreadable>(Position::new(
                u32::try_from(generation).map_err(rows::unreadable)?,
                u64::try_from(transaction.saturating_sub(1)).map_err(rows::unreadable)?,
                i64::MAX.unsigned_abs(),
            ))
        };
        let frontier = found.first().map(|row| {
            Ok::<_, rows::Unreadable>(Frontier {
                settled: before(row, "oldest_open")?,
                newest: before(row, "next")?,
            })
        });
        let frontier = frontier.transpose();
        Ok(frontier
            .map_err(|reason| reason.of("frontier"))?
            .unwrap_or(Frontier {
                settled: Position::BEGINNING,
                newest: Position::BEGINNING,
            }))
    }

    async fn moved_since(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        since: Position,
        limit: u32,
    ) -> Result<Option<Vec<String>>, Error> {
        let statement = || {
            let statement = sqlx::query(MOVED_SINCE)
                .bind(namespace.as_str())
                .bind(decider.as_str())
                // One more tells that there are too many.
                .bind(i64::from(limit) + 1);
            bind_position(statement, since)
        };
        let found = self.read(statement).await?;
        let ids = found.iter().map(|row| rows::column(row, "decider_id"));
        let ids: Result<Vec<String>, rows::Unreadable> = ids.collect();
        let ids = ids.map_err(|reason| reason.of("stream"))?;
        Ok((ids.len() <= limit as usize).then_some(ids))
    }

    async fn count_events(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: &Place,
        limit: u32,
    ) -> Result<Counted, Error> {
        let statement = || {
            sqlx::query(COUNT)
                .bind(namespace.as_str())
                .bind(decider.as_str())
                .bind(&after.id)
                .bind(i64::from(limit))
        };
        let found = self.read(statement).await?;
        let counted = found.first().map(|row| rows::counted(row, limit));
        let counted = counted.transpose();
        Ok(counted
            .map_err(|reason| reason.of("number of events"))?
            .unwrap_or_default())
    }
}

fn passages(found: &[PgRow]) -> Result<Vec<Passage>, Unusable> {
    let mut passages = Passages::default();
    for row in found {
        push(&mut passages, row)?;
    }
    Ok(passages.into_vec())
}

fn push(passages: &mut Passages, row: &PgRow) -> Result<(), Unusable> {
    let id = history::column(row, DECIDER_ID)?;
    let command_id = history::column(row, COMMAND_ID)?;
    passages.push(id, history::version(row)?, past_event(row)?, command_id);
    Ok(())
}
