//! Reads of rosters, instances and tasks.

use gavel_model::{EventId, Json, Position, StreamKey};
use gavel_store::processes::{
    DueWaits, InstanceFilter, InstanceSummary, Roster, RosterId, StoredInstance, StoredTask,
    TaskDifference,
};
use gavel_store::{Error, Page};
use rusqlite::{Connection, params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::rows::{self, parked_columns, task_columns};
use crate::cells::{Cells, Reason, milliseconds};
use crate::error::SqliteError;
use crate::query::{self, page};
use crate::rows::{corrupt, json_text};

/// The columns of a roster with its counts.
macro_rules! select_rosters {
    () => {
        "SELECT id, namespace, process, digest, start, position, skipped_through, is_paused, instance_count,
            (SELECT count(*) FROM parked_instances WHERE roster_id = r.id),
            (SELECT count(*) FROM tasks WHERE roster_id = r.id AND state = 'open' AND due_at IS NULL AND listing <> 'withdrawn')
                + (SELECT count(*) FROM tasks WHERE roster_id = r.id AND state = 'open' AND due_at IS NOT NULL),
            (SELECT count(*) FROM tasks WHERE roster_id = r.id AND state = 'parked'),
            created_at
        FROM rosters AS r"
    };
}

const ROSTERS: &str = concat!(select_rosters!(), " ORDER BY id");

const FIND: &str = concat!(
    select_rosters!(),
    " WHERE namespace = ?1 AND process = ?2 AND digest = ?3"
);

const POSITION: &str = "SELECT position FROM rosters WHERE id = ?1";

const INSTANCE: &str =
    "SELECT birth, state, position FROM instances WHERE roster_id = ?1 AND key = ?2";

const PARKED: &str = concat!(
    "SELECT ",
    parked_columns!(),
    " FROM parked_instances WHERE roster_id = ?1 AND key = ?2"
);

const TASKS_OF: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks WHERE roster_id = ?1 AND key = ?2 ORDER BY place"
);

const LISTED: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks WHERE roster_id = ?1 AND key = ?2 AND birth = ?3 AND listing = 'listed' ORDER BY place"
);

const SENDS: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks AS t
    WHERE roster_id = ?1 AND state = 'open' AND due_at IS NULL AND place > ?2
        AND decider NOT IN (SELECT value FROM json_each(?3))
        AND NOT EXISTS (
            SELECT 1 FROM tasks AS p
            WHERE p.roster_id = ?1 AND p.state = 'parked' AND p.key = t.key AND p.place < t.place
                AND p.decider = t.decider AND p.decider_id = t.decider_id
        )
    ORDER BY place LIMIT ?4"
);

const DUE: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks
    WHERE roster_id = ?1 AND state = 'open' AND due_at IS NOT NULL AND due_at <= ?2
    ORDER BY due_at, place LIMIT ?3"
);

const NEXT_DUE: &str = "
SELECT due_at FROM tasks WHERE roster_id = ?1 AND state = 'open' AND due_at IS NOT NULL AND due_at > ?2 ORDER BY due_at LIMIT 1";

const OPEN_KEYS: &str = "
SELECT key FROM instances WHERE roster_id = ?1 AND key > ?2
UNION SELECT key FROM parked_instances WHERE roster_id = ?1 AND key > ?2
UNION SELECT key FROM tasks WHERE roster_id = ?1 AND key > ?2 AND state <> 'done'
ORDER BY key LIMIT ?3";

const PARKED_KEYS: &str = "
SELECT key FROM parked_instances WHERE roster_id = ?1 AND key > ?2
UNION SELECT key FROM tasks WHERE roster_id = ?1 AND key > ?2 AND state = 'parked'
ORDER BY key LIMIT ?3";

const HELD: &str = "
SELECT position FROM held_inputs WHERE roster_id = ?1 AND key = ?2 AND position > ?3 ORDER BY position LIMIT ?4";

/// The effects by which two rosters differ; the second one may be none.
const DIFFERENCES: &str = r#"
SELECT effect FROM tasks AS one
WHERE roster_id = ?1 AND listing <> 'withdrawn' AND effect > ?3
    AND CASE WHEN EXISTS (SELECT 1 FROM tasks WHERE roster_id = ?2 AND effect = one.effect AND listing <> 'withdrawn')
        THEN EXISTS (SELECT 1 FROM tasks WHERE roster_id = ?2 AND effect = one.effect AND "order" <> one."order")
        ELSE state <> 'done' END
UNION ALL
SELECT effect FROM tasks AS other
WHERE roster_id = ?2 AND listing <> 'withdrawn' AND effect > ?3 AND state <> 'done'
    AND NOT EXISTS (SELECT 1 FROM tasks WHERE roster_id = ?1 AND effect = other.effect AND listing <> 'withdrawn')
ORDER BY effect LIMIT ?4"#;

const LISTED_TASK: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks WHERE roster_id = ?1 AND effect = ?2 AND listing <> 'withdrawn'"
);

pub(super) fn rosters(database: &Connection) -> Result<Vec<Roster>, SqliteError> {
    query::all(database, ROSTERS, [], rows::roster)
}

/// The roster of a process and a module.
pub(super) fn find(database: &Connection, names: [&str; 3]) -> Result<Option<Roster>, SqliteError> {
    query::one(database, FIND, names, rows::roster)
}

/// The position of a roster; none if it is not there.
pub(super) fn position(
    database: &Connection,
    roster: RosterId,
) -> Result<Option<Position>, SqliteError> {
    query::one(database, POSITION, [roster.get()], rows::position)
}

pub(super) fn positions(
    database: &Connection,
    rosters: &[RosterId],
) -> Result<Vec<Option<Position>>, SqliteError> {
    let found = rosters.iter().map(|roster| position(database, *roster));
    found.collect()
}

/// Refuses a roster that is not there.
pub(super) fn require(database: &Connection, roster: RosterId) -> Result<Position, SqliteError> {
    let gone = || Error::Refused(format!("there is no roster {roster}"));
    Ok(position(database, roster)?.ok_or_else(gone)?)
}

/// An instance that has a state, as it is stored.
struct BegunInstance {
    birth: EventId,
    state: Json,
    position: Position,
}

fn begun(
    database: &Connection,
    roster: RosterId,
    key: &str,
) -> Result<Option<BegunInstance>, SqliteError> {
    query::one(database, INSTANCE, params![roster.get(), key], |row| {
        let read = |cells: &mut Cells<'_>| -> Result<BegunInstance, Reason> {
            Ok(BegunInstance {
                birth: cells.take_id()?,
                state: cells.take_json()?,
                position: cells.take_position()?,
            })
        };
        read(&mut Cells::of(row)).map_err(corrupt("instance"))
    })
}

pub(super) fn instances(
    database: &Connection,
    roster: RosterId,
    keys: &[StreamKey],
) -> Result<Vec<StoredInstance>, SqliteError> {
    require(database, roster)?;
    let found = keys.iter().map(|key| {
        let values = params![roster.get(), key.as_str()];
        let is_parked = database.prepare_cached(PARKED)?.exists(values)?;
        let Some(begun) = begun(database, roster, key.as_str())? else {
            return Ok(StoredInstance {
                is_parked,
                ..StoredInstance::default()
            });
        };
        let values = params![roster.get(), key.as_str(), begun.birth.as_bytes()];
        let listed = query::all(database, LISTED, values, rows::task)?;
        Ok(StoredInstance {
            birth: Some(begun.birth),
            state: Some(begun.state),
            is_parked,
            listed: listed
                .into_iter()
                .map(|task| (task.effect, task.task))
                .collect(),
        })
    });
    found.collect()
}

pub(super) fn sends(
    database: &Connection,
    roster: RosterId,
    after: i64,
    resting: &[String],
    limit: u32,
) -> Result<Page<StoredTask>, SqliteError> {
    let values = params![
        roster.get(),
        after,
        json_text(&resting),
        i64::from(limit) + 1
    ];
    page(
        database,
        SENDS,
        values,
        limit,
        rows::task,
        StoredTask::size_bytes,
    )
}

pub(super) fn due_waits(
    database: &Connection,
    roster: RosterId,
    now: OffsetDateTime,
    limit: u32,
) -> Result<DueWaits, SqliteError> {
    let until = milliseconds(now);
    let values = params![roster.get(), until, limit];
    let waits = query::all(database, DUE, values, rows::task)?;
    let values = params![roster.get(), until];
    let next = query::one(database, NEXT_DUE, values, |row| {
        Cells::of(row).take_time().map_err(corrupt("task"))
    })?;
    let next = next.map(|next| (next - now).try_into().unwrap_or_default());
    Ok(DueWaits { waits, next })
}

pub(super) fn tasks_of(
    database: &Connection,
    roster: RosterId,
    key: &StreamKey,
) -> Result<Vec<StoredTask>, SqliteError> {
    let values = params![roster.get(), key.as_str()];
    query::all(database, TASKS_OF, values, rows::task)
}

pub(super) fn list(
    database: &Connection,
    roster: RosterId,
    filter: InstanceFilter,
    after: Option<&StreamKey>,
    limit: u32,
) -> Result<Page<InstanceSummary>, SqliteError> {
    let keys = match filter {
        InstanceFilter::Open => OPEN_KEYS,
        InstanceFilter::Parked => PARKED_KEYS,
    };
    let after = after.map(StreamKey::as_str).unwrap_or_default();
    let values = params![roster.get(), after, i64::from(limit) + 1];
    page(
        database,
        keys,
        values,
        limit,
        |row| {
            let key = Cells::of(row).take_stream_key();
            summary(database, roster, key.map_err(corrupt("instance"))?)
        },
        InstanceSummary::size_bytes,
    )
}

/// The summary of an instance of which something is there.
fn summary(
    database: &Connection,
    roster: RosterId,
    key: StreamKey,
) -> Result<InstanceSummary, SqliteError> {
    let begun = begun(database, roster, key.as_str())?;
    let values = params![roster.get(), key.as_str()];
    let parked = query::one(database, PARKED, values, rows::parked_instance)?;
    let tasks = tasks_of(database, roster, &key)?;
    let open = tasks.iter().filter(|task| task.state.is_open());
    let births = [
        begun.as_ref().map(|begun| begun.birth),
        tasks.last().map(|task| task.birth),
        parked.as_ref().map(|parked| parked.event_id),
    ];
    let birth = births.into_iter().flatten().next();
    let (state, position) = begun.map(|begun| (begun.state, begun.position)).unzip();
    Ok(InstanceSummary {
        birth: birth.ok_or_else(|| corrupt("instance")(format!("nothing is left of {key}")))?,
        key,
        state,
        position: position.unwrap_or(Position::BEGINNING),
        parked,
        open_tasks: open.clone().count() as u64,
        parked_tasks: tasks.iter().filter(|task| task.state.is_parked()).count() as u64,
        next_wait: open.filter_map(StoredTask::waits_until).min(),
    })
}

pub(super) fn held(
    database: &Connection,
    roster: RosterId,
    key: &StreamKey,
    after: Position,
    limit: u32,
) -> Result<Vec<Position>, SqliteError> {
    let values = params![roster.get(), key.as_str(), after.to_string(), limit];
    query::all(database, HELD, values, rows::position)
}

pub(super) fn differences(
    database: &Connection,
    candidate: RosterId,
    active: Option<RosterId>,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Page<TaskDifference>, SqliteError> {
    require(database, candidate)?;
    active.map(|active| require(database, active)).transpose()?;
    let listed = |roster: RosterId, effect: Uuid| {
        let values = params![roster.get(), effect.as_bytes()];
        query::one(database, LISTED_TASK, values, rows::task)
    };
    let after = after.map_or(Vec::new(), |after| after.as_bytes().to_vec());
    let values = params![
        candidate.get(),
        active.map(RosterId::get),
        after,
        i64::from(limit) + 1
    ];
    page(
        database,
        DIFFERENCES,
        values,
        limit,
        |row| {
            let effect = Cells::of(row).take_id().map_err(corrupt("task"))?;
            let active = active.map(|active| listed(active, effect)).transpose()?;
            Ok(TaskDifference {
                candidate: listed(candidate, effect)?,
                active: active.flatten(),
            })
        },
        TaskDifference::size_bytes,
    )
}
