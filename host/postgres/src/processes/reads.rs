//! Reads of rosters, instances and tasks.

use std::collections::HashMap;
use std::time::Duration;

use gavel_model::{DeciderName, Position, StreamKey};
use gavel_store::processes::{
    DueWaits, InstanceFilter, InstanceSummary, NewRoster, Roster, RosterId, StoredInstance,
    StoredTask, TaskDifference,
};
use gavel_store::{Error, Page};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::rows::{self, task_columns};
use super::{answer, gone, of_process};
use crate::PostgresStore;
use crate::rows::{Read, Unreadable, column};

/// The columns of a roster with its counts.
macro_rules! select_rosters {
    () => {
        "SELECT r.*, \
             (SELECT count(*) FROM parked_instances AS p WHERE p.roster_id = r.id) AS parked_instances, \
             (SELECT count(*) FROM tasks AS t \
                 WHERE t.roster_id = r.id AND t.state = 'open' AND t.due_at IS NULL AND t.listing <> 'withdrawn') \
             + (SELECT count(*) FROM tasks AS t WHERE t.roster_id = r.id AND t.state = 'open' AND t.due_at IS NOT NULL) AS open_tasks, \
             (SELECT count(*) FROM tasks AS t WHERE t.roster_id = r.id AND t.state = 'parked') AS parked_tasks \
         FROM rosters AS r"
    };
}

const ROSTERS: &str = concat!(select_rosters!(), " ORDER BY r.id");

const FIND: &str = concat!(
    select_rosters!(),
    " WHERE r.namespace = $1 AND r.process = $2 AND r.digest = $3"
);

const ARE_THERE: &str = "SELECT count(*) FROM rosters WHERE id = ANY($1)";

/// Selects an empty row if the roster is there, a row for each key, and then rows of the tasks that
/// are listed.
const INSTANCES: &str = concat!(
    "SELECT NULL::BIGINT AS number, NULL::UUID AS own_birth, NULL::TEXT AS state_text, FALSE AS is_parked, ",
    task_columns!("t", ""),
    " FROM rosters AS r LEFT JOIN tasks AS t ON FALSE WHERE r.id = $1 \
     UNION ALL \
     SELECT k.number, i.birth, i.state::TEXT, p.key IS NOT NULL, ",
    task_columns!("t", ""),
    " FROM unnest($2::TEXT[]) WITH ORDINALITY AS k (key, number) \
     LEFT JOIN instances AS i ON i.roster_id = $1 AND i.key = k.key \
     LEFT JOIN parked_instances AS p ON p.roster_id = $1 AND p.key = k.key \
     LEFT JOIN tasks AS t ON FALSE \
     UNION ALL \
     (SELECT k.number, NULL, NULL, FALSE, ",
    task_columns!("t", ""),
    " FROM unnest($2::TEXT[]) WITH ORDINALITY AS k (key, number) \
     JOIN instances AS i ON i.roster_id = $1 AND i.key = k.key \
     JOIN tasks AS t ON t.roster_id = $1 AND t.key = k.key AND t.birth = i.birth AND t.listing = 'listed' \
     ORDER BY k.number, t.place)"
);

const TASKS_OF: &str = concat!(
    "SELECT ",
    task_columns!("t", ""),
    " FROM tasks AS t WHERE t.roster_id = $1 AND t.key = $2 ORDER BY t.place"
);

/// Selects open sends. `OFFSET 0` makes parked ones be looked up by the key of each.
const SENDS: &str = concat!(
    "SELECT ",
    task_columns!("t", ""),
    " FROM tasks AS t \
     WHERE t.roster_id = $1 AND t.state = 'open' AND t.due_at IS NULL AND t.place > $2 AND t.decider <> ALL ($3::TEXT[]) \
       AND NOT EXISTS ( \
           SELECT FROM tasks AS p \
           WHERE p.roster_id = $1 AND p.state = 'parked' AND p.key = t.key AND p.place < t.place \
             AND p.decider = t.decider AND p.decider_id = t.decider_id \
           OFFSET 0 \
       ) \
     ORDER BY t.place LIMIT $4"
);

/// Selects the waits that are over, and behind them a row without a task that tells the
/// milliseconds until the next one.
const DUE: &str = concat!(
    "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now) \
     (SELECT NULL::BIGINT AS next_ms, ",
    task_columns!("t", ""),
    " FROM clock CROSS JOIN LATERAL ( \
         SELECT * FROM tasks AS w \
         WHERE w.roster_id = $1 AND w.state = 'open' AND w.due_at IS NOT NULL AND w.due_at <= clock.now \
         ORDER BY w.due_at, w.place LIMIT $2 \
     ) AS t) \
     UNION ALL \
     (SELECT ceil(extract(EPOCH FROM next.due_at - clock.now) * 1000)::BIGINT, ",
    task_columns!("t", ""),
    " FROM clock CROSS JOIN LATERAL ( \
         SELECT w.due_at FROM tasks AS w \
         WHERE w.roster_id = $1 AND w.state = 'open' AND w.due_at IS NOT NULL AND w.due_at > clock.now \
         ORDER BY w.due_at LIMIT 1 \
     ) AS next LEFT JOIN tasks AS t ON FALSE)"
);

/// The columns of the instances whose keys are those of `found`.
macro_rules! select_summaries {
    ($found:literal) => {
        concat!(
            "WITH found AS MATERIALIZED (",
            $found,
            " ORDER BY key LIMIT $3) \
             SELECT found.key, coalesce(i.birth, work.birth, p.event_id) AS birth, i.state::TEXT AS state_text, i.position, \
                    p.position AS parked_position, p.event_id, p.reason, p.since, work.open_tasks, work.parked_tasks, work.next_wait \
             FROM found \
             LEFT JOIN instances AS i ON i.roster_id = $1 AND i.key = found.key \
             LEFT JOIN parked_instances AS p ON p.roster_id = $1 AND p.key = found.key \
             CROSS JOIN LATERAL ( \
                 SELECT count(*) FILTER (WHERE t.state = 'open') AS open_tasks, count(*) FILTER (WHERE t.state = 'parked') AS parked_tasks, \
                        min(t.due_at) FILTER (WHERE t.state = 'open') AS next_wait, (array_agg(t.birth ORDER BY t.place DESC))[1] AS birth \
                 FROM tasks AS t WHERE t.roster_id = $1 AND t.key = found.key \
             ) AS work \
             ORDER BY found.key"
        )
    };
}

const OPEN: &str = select_summaries!(
    "(SELECT key FROM instances WHERE roster_id = $1 AND key > $2 ORDER BY key LIMIT $3) \
     UNION (SELECT key FROM parked_instances WHERE roster_id = $1 AND key > $2 ORDER BY key LIMIT $3) \
     UNION (SELECT DISTINCT key FROM tasks WHERE roster_id = $1 AND key > $2 AND state <> 'done' ORDER BY key LIMIT $3)"
);

const PARKED: &str = select_summaries!(
    "(SELECT key FROM parked_instances WHERE roster_id = $1 AND key > $2 ORDER BY key LIMIT $3) \
     UNION (SELECT DISTINCT key FROM tasks WHERE roster_id = $1 AND key > $2 AND state = 'parked' ORDER BY key LIMIT $3)"
);

const HELD: &str = "\
SELECT position FROM held_inputs WHERE roster_id = $1 AND key = $2 AND position > $3 ORDER BY position LIMIT $4";

/// Selects tasks of a candidate and of the active roster beside each other: those that differ. Of
/// both no more are read than a page has, in the order of the index.
const DIFFERENCES: &str = concat!(
    "SELECT ",
    task_columns!("mine", "mine_"),
    ", ",
    task_columns!("theirs", "theirs_"),
    " FROM ( \
         (SELECT t.effect FROM tasks AS t \
          LEFT JOIN tasks AS other ON other.roster_id = $2 AND other.effect = t.effect AND other.listing <> 'withdrawn' \
          WHERE t.roster_id = $1 AND t.listing <> 'withdrawn' AND t.effect > $3 \
            AND CASE WHEN other.effect IS NULL THEN t.state <> 'done' ELSE t.\"order\"::TEXT <> other.\"order\"::TEXT END \
          ORDER BY t.effect LIMIT $4) \
         UNION ALL \
         (SELECT t.effect FROM tasks AS t \
          WHERE t.roster_id = $2 AND t.listing <> 'withdrawn' AND t.effect > $3 AND t.state <> 'done' \
            AND NOT EXISTS (SELECT FROM tasks AS other WHERE other.roster_id = $1 AND other.effect = t.effect AND other.listing <> 'withdrawn') \
          ORDER BY t.effect LIMIT $4) \
         ORDER BY effect LIMIT $4 \
     ) AS found \
     LEFT JOIN tasks AS mine ON mine.roster_id = $1 AND mine.effect = found.effect AND mine.listing <> 'withdrawn' \
     LEFT JOIN tasks AS theirs ON theirs.roster_id = $2 AND theirs.effect = found.effect AND theirs.listing <> 'withdrawn' \
     ORDER BY found.effect"
);

fn of(what: &'static str) -> impl Fn(Unreadable) -> Error {
    move |reason| reason.of(what)
}

/// Reads all rows.
fn all<T>(
    found: &[PgRow],
    what: &'static str,
    read: impl Fn(&PgRow) -> Read<T>,
) -> Result<Vec<T>, Error> {
    let all: Read<Vec<T>> = found.iter().map(read).collect();
    all.map_err(of(what))
}

impl PostgresStore {
    pub(super) async fn all_rosters(&self) -> Result<Vec<Roster>, Error> {
        let found = self.read(|| sqlx::query(ROSTERS)).await?;
        all(&found, "roster", rows::roster)
    }

    pub(super) async fn find_roster(&self, new: &NewRoster) -> Result<Roster, Error> {
        let digest = new.digest.to_string();
        let statement = || of_process(FIND, &new.process).bind(digest.clone());
        answer(&self.read(statement).await?, rows::roster)
    }

    /// Refuses rosters of which one is not there.
    async fn require_rosters(&self, rosters: &[RosterId]) -> Result<(), Error> {
        let ids: Vec<_> = rosters.iter().map(|roster| roster.get()).collect();
        let found = self.read(|| sqlx::query(ARE_THERE).bind(ids.clone())).await;
        let found = answer(&found?, |row| rows::count(row, "count"))?;
        match rosters {
            [roster, ..] if found != rosters.len() as u64 => Err(gone(*roster)),
            _ => Ok(()),
        }
    }

    pub(super) async fn instances_of(
        &self,
        roster: RosterId,
        keys: &[StreamKey],
    ) -> Result<Vec<StoredInstance>, Error> {
        let texts: Vec<_> = keys.iter().map(|key| key.as_str().to_owned()).collect();
        let statement = || {
            sqlx::query(INSTANCES)
                .bind(roster.get())
                .bind(texts.clone())
        };
        let found = self.read(statement).await?;
        let mut is_there = false;
        let mut instances: HashMap<i64, StoredInstance> = HashMap::new();
        for row in &found {
            let mut read = || -> Read<()> {
                let number: Option<i64> = column(row, "number")?;
                let Some(number) = number else {
                    is_there = true;
                    return Ok(());
                };
                let instance = instances.entry(number).or_default();
                if let Some(task) = rows::optional_task(row, "")? {
                    instance.listed.push((task.effect, task.task));
                } else {
                    instance.birth = column(row, "own_birth")?;
                    instance.state = rows::document(row, "state_text")?;
                    instance.is_parked = column(row, "is_parked")?;
                }
                Ok(())
            };
            read().map_err(of("instance"))?;
        }
        if !is_there {
            return Err(gone(roster));
        }
        let numbers = (1..).take(keys.len());
        let instance = |number| instances.remove(&number).unwrap_or_default();
        Ok(numbers.map(instance).collect())
    }

    pub(super) async fn open_sends(
        &self,
        roster: RosterId,
        after: i64,
        resting: &[DeciderName],
        limit: u32,
    ) -> Result<Page<StoredTask>, Error> {
        let resting: Vec<_> = resting
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect();
        let statement = |last: Option<&StoredTask>, wanted| {
            sqlx::query(SENDS)
                .bind(roster.get())
                .bind(last.map_or(after, |last| last.place))
                .bind(resting.clone())
                .bind(wanted)
        };
        let read = |row: &PgRow| rows::task(row).map_err(of("task"));
        self.read_page(limit, statement, read, StoredTask::size_bytes)
            .await
    }

    pub(super) async fn waits_over(&self, roster: RosterId, limit: u32) -> Result<DueWaits, Error> {
        let statement = || sqlx::query(DUE).bind(roster.get()).bind(i64::from(limit));
        let found = self.read(statement).await?;
        let mut due = DueWaits::default();
        for row in &found {
            let mut read = || -> Read<()> {
                match rows::optional_task(row, "")? {
                    Some(task) => due.waits.push(task),
                    None => due.next = Some(Duration::from_millis(rows::count(row, "next_ms")?)),
                }
                Ok(())
            };
            read().map_err(of("task"))?;
        }
        Ok(due)
    }

    pub(super) async fn all_tasks_of(
        &self,
        roster: RosterId,
        key: &StreamKey,
    ) -> Result<Vec<StoredTask>, Error> {
        let statement = || {
            let key = key.as_str().to_owned();
            sqlx::query(TASKS_OF).bind(roster.get()).bind(key)
        };
        all(&self.read(statement).await?, "task", rows::task)
    }

    pub(super) async fn page_of_instances(
        &self,
        roster: RosterId,
        filter: InstanceFilter,
        after: Option<&StreamKey>,
        limit: u32,
    ) -> Result<Page<InstanceSummary>, Error> {
        let list = match filter {
            InstanceFilter::Open => OPEN,
            InstanceFilter::Parked => PARKED,
        };
        let statement = |last: Option<&InstanceSummary>, wanted| {
            let after = last.map(|last| &last.key).or(after);
            // No key is empty.
            let after = after.map(StreamKey::as_str).unwrap_or_default();
            sqlx::query(list)
                .bind(roster.get())
                .bind(after.to_owned())
                .bind(wanted)
        };
        let read = |row: &PgRow| rows::summary(row).map_err(of("instance"));
        self.read_page(limit, statement, read, InstanceSummary::size_bytes)
            .await
    }

    pub(super) async fn inputs_held(
        &self,
        roster: RosterId,
        key: &StreamKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error> {
        let statement = || {
            sqlx::query(HELD)
                .bind(roster.get())
                .bind(key.as_str().to_owned())
                .bind(after.to_string())
                .bind(i64::from(limit))
        };
        let found = self.read(statement).await?;
        all(&found, "held input", |row| rows::position(row, "position"))
    }

    pub(super) async fn differences(
        &self,
        candidate: RosterId,
        active: Option<RosterId>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Page<TaskDifference>, Error> {
        let named: Vec<_> = [Some(candidate), active].into_iter().flatten().collect();
        self.require_rosters(&named).await?;
        let statement = |last: Option<&TaskDifference>, wanted| {
            let last = last.and_then(|last| last.candidate.as_ref().or(last.active.as_ref()));
            // No effect is this one, which is not derived.
            let after = last
                .map(|task| task.effect)
                .or(after)
                .unwrap_or(Uuid::nil());
            sqlx::query(DIFFERENCES)
                .bind(candidate.get())
                .bind(active.map(RosterId::get))
                .bind(after)
                .bind(wanted)
        };
        let read = |row: &PgRow| {
            let read = || -> Read<TaskDifference> {
                Ok(TaskDifference {
                    candidate: rows::optional_task(row, "mine_")?,
                    active: rows::optional_task(row, "theirs_")?,
                })
            };
            read().map_err(of("task"))
        };
        self.read_page(limit, statement, read, TaskDifference::size_bytes)
            .await
    }
}
