//! Reading the past of deciders. Each page is a range of an index that holds it in order.

use std::borrow::Cow;
use std::collections::HashMap;

use async_trait::async_trait;
use gavel_model::{
    CommandId, CommandRecord, DeciderName, Event, EventId, Namespace, Position, RecordedEvent,
    Version,
};
use gavel_store::toolkit::Segments;
use gavel_store::{Counted, Error, Moment, PastPage, PastRange, PastStore, Place, Room};
use sqlx::postgres::PgRow;
use time::{Duration, OffsetDateTime};

use super::PostgresStore;
use super::consumers::bind_position;
use super::history::{self, HISTORY_COLUMNS, Unusable, history_columns, past_event};
use super::ledger::{self, ledger_columns};
use super::query::Statement;
use super::rows::{self, event_columns};

/// The condition that an event was stored before the moment given by the values for generation and
/// snapshot. In another cluster transaction ids have another meaning, so that the generation comes
/// first. A snapshot is read once, and not for each row.
macro_rules! event_is_before {
    ($generation:literal, $snapshot:literal) => {
        concat!(
            "(generation < ",
            $generation,
            " OR generation = ",
            $generation,
            " AND pg_visible_in_snapshot(transaction_id, (SELECT ",
            $snapshot,
            "::TEXT::PG_SNAPSHOT)))"
        )
    };
}

pub(super) use event_is_before;

/// The same for a row of the ledger, which does not keep its transaction: `xmin` are the lower 32
/// bits of it, and the bits above them are those with which it is next to the snapshot. What was
/// decided before the time is taken for old without a look at them.
macro_rules! command_is_before {
    ($snapshot:literal, $time:literal) => {
        concat!(
            "(now < ", $time, " OR pg_visible_in_snapshot((SELECT greatest(0, near + ((xmin::TEXT::BIGINT - near + 2147483648) & 4294967295) \
             - 2147483648)::TEXT::XID8 FROM (SELECT pg_snapshot_xmax(", $snapshot, "::TEXT::PG_SNAPSHOT)::TEXT::BIGINT AS near) AS snapshot), \
             (SELECT ", $snapshot, "::TEXT::PG_SNAPSHOT)))"
        )
    };
}

/// Events of all streams, after the place that the first values name, and before the moment that
/// the last ones do. Streams are found by their first events, for the index of all events has those
/// of other deciders between them; each of them but the first gives at least that event.
macro_rules! of_all_streams {
    ($columns:expr) => {
        concat!(
            "SELECT found.* FROM unnest(ARRAY( \
                 SELECT decider_id FROM events WHERE namespace = $1 AND decider = $2 AND decider_id >= $3 AND previous_id IS NULL \
                 AND ($6::INTEGER IS NULL OR ",
            event_is_before!("$6", "$7"),
            ") ORDER BY decider_id LIMIT $5 + 1 \
             )) WITH ORDINALITY AS wanted (id, place) CROSS JOIN LATERAL (SELECT ",
            $columns,
            " FROM events WHERE namespace = $1 AND decider = $2 AND decider_id = wanted.id \
             AND version > CASE wanted.id WHEN $3 THEN $4 ELSE 0 END AND ($6::INTEGER IS NULL OR ",
            event_is_before!("$6", "$7"),
            ") ORDER BY version LIMIT $5) AS found ORDER BY wanted.place, found.version LIMIT $5"
        )
    };
}

/// Takes the same values, but many places: each in a stream of its own, in order. The inner LIMIT
/// keeps it at one part of the index for each of them, whatever the planner thinks of the table; a
/// stream is not looked into once there are enough of those before it.
macro_rules! of_some_streams {
    ($columns:expr) => {
        concat!(
            "SELECT found.* FROM unnest($3::TEXT[], $4::BIGINT[]) WITH ORDINALITY AS wanted (id, after, place) CROSS JOIN LATERAL (SELECT ",
            $columns,
            " FROM events WHERE namespace = $1 AND decider = $2 AND decider_id = wanted.id AND version > wanted.after \
             AND ($6::INTEGER IS NULL OR ",
            event_is_before!("$6", "$7"),
            ") ORDER BY version LIMIT $5) AS found ORDER BY wanted.place, found.version LIMIT $5"
        )
    };
}

/// The columns that [`lean`] reads.
macro_rules! passage_columns {
    () => {
        concat!(history_columns!(), ", command_id, decider_id")
    };
}

/// The places of the columns after those of a history.
const COMMAND_ID: usize = HISTORY_COLUMNS;
const DECIDER_ID: usize = HISTORY_COLUMNS + 1;

/// The statements for a page, and those for whole events instead; each for all streams and for
/// some.
pub(super) const PASSAGES: [&str; 2] = [
    of_all_streams!(passage_columns!()),
    of_some_streams!(passage_columns!()),
];
const WHOLE: [&str; 2] = [
    of_all_streams!(event_columns!()),
    of_some_streams!(event_columns!()),
];

/// Commands between the moments that the last values name: after the first, before the second.
macro_rules! between_moments {
    () => {
        concat!(
            " AND events = 0 AND ($7::TEXT IS NULL OR NOT ",
            command_is_before!("$7", "$8"),
            ") AND ($9::TEXT IS NULL OR ",
            command_is_before!("$9", "$10"),
            ")"
        )
    };
}

/// The statements for commands without events, for all streams and for some.
pub(super) const EVENTLESS: [&str; 2] = [
    concat!(
        "SELECT ",
        ledger_columns!(),
        " FROM commands WHERE namespace = $1 AND decider = $2 AND (decider_id, version, command_id) > ($3, $4, $5)",
        between_moments!(),
        " ORDER BY decider_id, version, command_id LIMIT $6"
    ),
    concat!(
        "SELECT found.* FROM unnest($3::TEXT[], $4::BIGINT[], $5::UUID[]) WITH ORDINALITY AS wanted (id, after, after_command, place) \
         CROSS JOIN LATERAL (SELECT ",
        ledger_columns!(),
        " FROM commands WHERE namespace = $1 AND decider = $2 AND decider_id = wanted.id \
         AND (version, command_id) > (wanted.after, wanted.after_command)",
        between_moments!(),
        " ORDER BY version, command_id LIMIT $6) AS found ORDER BY wanted.place, found.version, found.command_id LIMIT $6"
    ),
];

/// Finds commands by id, each in one step into the index, whatever the planner thinks of the table:
/// that is why there is a LIMIT.
const COMMANDS: &str = concat!(
    "SELECT found.* FROM unnest($2::UUID[]) AS wanted (id) CROSS JOIN LATERAL (SELECT ",
    ledger_columns!(),
    " FROM commands WHERE commands.namespace = $1 AND commands.command_id = wanted.id LIMIT 1) AS found"
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

/// The statement for a page of events.
fn page<'q>(
    [all, some]: [&'static str; 2],
    range: &PastRange,
    after: &Place,
    limit: u32,
) -> Statement<'q> {
    let statement = match range.starts_after(after) {
        None => of_range(all, range)
            .bind(after.id.clone())
            .bind(after.version.to_sql()),
        Some(starts) => {
            let (ids, versions): (Vec<_>, Vec<_>) = starts.map(columns_of).unzip();
            of_range(some, range).bind(ids).bind(versions)
        }
    };
    let through = range.through.as_ref();
    statement
        .bind(i64::from(limit))
        .bind(through.map(generation_of))
        .bind(through.map(|through| MomentMark::of(through).snapshot))
}

/// The statement for a page of commands without events.
fn eventless<'q>(range: &PastRange, after: &(Place, CommandId), limit: u32) -> Statement<'q> {
    let [all, some] = EVENTLESS;
    let statement = match range.command_starts_after(after) {
        None => {
            let (place, command_id) = after;
            of_range(all, range)
                .bind(place.id.clone())
                .bind(place.version.to_sql())
                .bind(*command_id)
        }
        Some(starts) => {
            let starts = starts.map(|(place, command_id)| (columns_of(place), command_id));
            let (places, command_ids): (Vec<_>, Vec<_>) = starts.unzip();
            let (ids, versions): (Vec<_>, Vec<_>) = places.into_iter().unzip();
            of_range(some, range)
                .bind(ids)
                .bind(versions)
                .bind(command_ids)
        }
    };
    let marks = [&range.eventless_since, &range.through];
    let marks = marks.map(|moment| moment.as_ref().map(MomentMark::of));
    let statement = statement.bind(i64::from(limit));
    marks.into_iter().fold(statement, |statement, mark| {
        let (snapshot, recent_from) = mark.map(|mark| (mark.snapshot, mark.recent_from)).unzip();
        statement.bind(snapshot).bind(recent_from)
    })
}

/// A statement whose first values name the decider.
fn of_range<'q>(statement: &'static str, range: &PastRange) -> Statement<'q> {
    sqlx::query(statement)
        .bind(range.namespace.as_str().to_owned())
        .bind(range.decider.as_str().to_owned())
}

fn columns_of(place: Place) -> (String, i64) {
    (place.id, place.version.to_sql())
}

/// The streams with rows after a place of the log that were not stored before the moment; some rows
/// after that place were.
const MOVED_SINCE: &str = concat!(
    "SELECT decider_id, min(version) AS version FROM (\
         SELECT decider_id, version - 1 AS version FROM events \
         WHERE namespace = $1 AND decider = $2 AND (generation, transaction_id, \"offset\") > ($4, $5::TEXT::XID8, $6) AND NOT ",
    event_is_before!("$4", "$7"),
    " UNION ALL \
         SELECT decider_id, version FROM commands WHERE namespace = $1 AND decider = $2 AND events = 0 AND now >= $8 AND NOT ",
    command_is_before!("$7", "$8"),
    ") AS moved GROUP BY decider_id ORDER BY decider_id LIMIT $3"
);

const MOMENT: &str = "SELECT h.generation, h.transaction_id::TEXT::BIGINT AS oldest_open, \
     pg_current_snapshot()::TEXT AS snapshot, extract(epoch FROM clock_timestamp())::BIGINT AS seconds FROM gavel_horizon() AS h";

/// The difference of the hosts' clocks to the database's that is allowed for, plus the time that an
/// append may take. A command without events that was decided earlier than this before a moment is
/// not looked for among those stored after it.
const LATENESS: Duration = Duration::hours(1);

/// The number of transactions after which the lower bits of their ids may mean others.
const TRANSACTIONS_TOLD_APART: u64 = 1 << 30;

/// The mark of a moment: the snapshot, and the time in seconds since 1970.
pub(super) struct MomentMark {
    pub(super) snapshot: String,
    /// The decision time from which a command must be checked against the snapshot; earlier
    /// commands were stored before the moment.
    recent_from: OffsetDateTime,
}

impl MomentMark {
    /// A mark that comes before everything, if this store did not name the moment.
    pub(super) fn of(moment: &Moment) -> Self {
        let parts = moment.mark.split_once(' ');
        let parsed = parts.and_then(|(snapshot, seconds)| {
            let time = OffsetDateTime::from_unix_timestamp(seconds.parse().ok()?).ok()?;
            Some((snapshot, time))
        });
        let (snapshot, time) = parsed.unwrap_or(("1:1:", OffsetDateTime::UNIX_EPOCH));
        Self {
            snapshot: snapshot.to_owned(),
            recent_from: time - LATENESS,
        }
    }
}

pub(super) fn generation_of(moment: &Moment) -> i32 {
    i32::try_from(moment.settled.generation()).unwrap_or(i32::MAX)
}

/// An event of the past: the id of its stream, its version, itself, and its command.
type PastEvent<'r> = (Cow<'r, str>, Version, Event, CommandId);

impl PostgresStore {
    /// A page of events, which `step` makes of rows.
    async fn past<E>(
        &self,
        statements: [&'static str; 2],
        step: for<'r> fn(&'r PgRow) -> Result<PastEvent<'r>, E>,
        range: &PastRange,
        first: &Place,
        limit: u32,
    ) -> Result<Result<PastPage, E>, Error> {
        let mut room = Room::of_history(limit);
        let mut segments = Segments::default();
        let mut has_more = true;
        while has_more && !room.is_full() && !room.is_used_up() {
            let wanted = room.rows();
            let after = segments.end();
            let after = after.as_ref().unwrap_or(first);
            let found = self.read(|| page(statements, range, after, wanted)).await?;
            has_more = found.len() >= wanted as usize;
            for row in &found {
                let (id, version, event, command_id) = match step(row) {
                    Ok(step) => step,
                    Err(error) => return Ok(Err(error)),
                };
                if !room.take_bytes(event.size_bytes()) {
                    has_more = true;
                    break;
                }
                segments.push(&id, version, event, command_id);
            }
        }
        Ok(Ok(segments.into_page(has_more)))
    }
}

#[async_trait]
impl PastStore for PostgresStore {
    async fn segments(
        &self,
        range: &PastRange,
        after: &Place,
        limit: u32,
    ) -> Result<PastPage, Error> {
        if let Ok(page) = self.past(PASSAGES, lean, range, after, limit).await? {
            return Ok(page);
        }
        // Whole events tell which one it is, and what is wrong with it.
        self.past(WHOLE, whole, range, after, limit).await?
    }

    async fn eventless(
        &self,
        range: &PastRange,
        after: &(Place, CommandId),
        limit: u32,
    ) -> Result<Vec<CommandRecord>, Error> {
        let found = self.read(|| eventless(range, after, limit)).await?;
        let commands: Result<_, _> = found.iter().map(ledger::read).collect();
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
            let command = ledger::read(row)?;
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

    async fn moment(&self, _namespace: &Namespace) -> Result<Moment, Error> {
        let found = self.read(|| sqlx::query(MOMENT)).await?;
        let moment = found.first().map(|row| {
            let generation: i32 = rows::column(row, "generation")?;
            let oldest_open: i64 = rows::column(row, "oldest_open")?;
            let snapshot: String = rows::column(row, "snapshot")?;
            let seconds: i64 = rows::column(row, "seconds")?;
            Ok::<_, rows::Unreadable>(Moment {
                settled: Position::new(
                    u64::try_from(generation).map_err(rows::unreadable)?,
                    u64::try_from(oldest_open.saturating_sub(1)).map_err(rows::unreadable)?,
                    i64::MAX.unsigned_abs(),
                ),
                mark: format!("{snapshot} {seconds}"),
            })
        });
        let moment = moment.transpose();
        Ok(moment
            .map_err(|reason| reason.of("moment"))?
            .unwrap_or_default())
    }

    async fn moved_since(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        since: &Moment,
        limit: u32,
    ) -> Result<Option<Vec<Place>>, Error> {
        let (then, now) = (since.settled, self.moment(namespace).await?.settled);
        let transactions = now.transaction().saturating_sub(then.transaction());
        if then.generation() != now.generation() || transactions > TRANSACTIONS_TOLD_APART {
            return Ok(None);
        }
        // One more tells that there are too many.
        let most = i64::from(limit) + 1;
        let statement = || moved_since(namespace, decider, since, most);
        let found = self.read(statement).await?;
        let places = found.iter().map(|row| {
            Ok(Place {
                id: rows::column(row, "decider_id")?,
                version: rows::version_column(row)?,
            })
        });
        let places: Result<Vec<_>, rows::Unreadable> = places.collect();
        let places = places.map_err(|reason| reason.of("stream"))?;
        Ok((places.len() <= limit as usize).then_some(places))
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

/// The first streams in which something was stored after a moment.
pub(super) fn moved_since<'q>(
    namespace: &'q Namespace,
    decider: &'q DeciderName,
    since: &Moment,
    most: i64,
) -> Statement<'q> {
    let mark = MomentMark::of(since);
    let statement = sqlx::query(MOVED_SINCE)
        .bind(namespace.as_str())
        .bind(decider.as_str())
        .bind(most);
    bind_position(statement, since.settled)
        .bind(mark.snapshot)
        .bind(mark.recent_from)
}

fn lean(row: &PgRow) -> Result<PastEvent<'_>, Unusable> {
    let id: &str = history::column(row, DECIDER_ID)?;
    let command_id = history::column(row, COMMAND_ID)?;
    Ok((
        id.into(),
        history::version(row)?,
        past_event(row)?,
        command_id,
    ))
}

fn whole(row: &PgRow) -> Result<PastEvent<'_>, Error> {
    let recorded = rows::event(row)?;
    let (id, version) = (recorded.stream.id().to_owned(), recorded.version);
    let command_id = recorded.event.command_id;
    Ok((id.into(), version, recorded.event.into(), command_id))
}
