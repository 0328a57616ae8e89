//! Changes of rosters and instances.

use std::collections::HashSet;

use gavel_model::{Position, StreamKey, TaskAction};
use gavel_store::Error;
use gavel_store::processes::{
    InstancesChange, ListedTask, Listing, Roster, RosterCommitError, RosterId, TaskState,
};
use gavel_store::toolkit::orders;
use gavel_store::toolkit::writes::{
    CarryOut, CommitInstances, CreateRoster, DropRoster, PauseProcess, RestartRoster,
};
use rusqlite::{Connection, params};
use time::OffsetDateTime;

use super::reads;
use super::rows::{self, task_columns};
use crate::cells::milliseconds;
use crate::error::SqliteError;
use crate::query;
use crate::rows::corrupt;
use crate::tables::Tables;

const CREATE: &str = "
INSERT INTO rosters (namespace, process, digest, start, position, skipped_through, is_paused, created_at)
VALUES (?1, ?2, ?3, ?4, ?4, ?5, EXISTS (SELECT 1 FROM rosters WHERE namespace = ?1 AND process = ?2 AND is_paused), ?6)
ON CONFLICT (namespace, process, digest) DO NOTHING";

const RESTART: &str = "UPDATE rosters SET position = start, instance_count = 0 WHERE id = ?1";

const DROP: &str = "DELETE FROM rosters WHERE id = ?1";

/// The statements that empty a roster.
const EMPTY: [&str; 4] = [
    "DELETE FROM instances WHERE roster_id = ?1",
    "DELETE FROM parked_instances WHERE roster_id = ?1",
    "DELETE FROM held_inputs WHERE roster_id = ?1",
    "DELETE FROM tasks WHERE roster_id = ?1",
];

const PAUSE: &str = "UPDATE rosters SET is_paused = ?3 WHERE namespace = ?1 AND process = ?2";

const MOVE: &str = "
UPDATE rosters SET position = ?3 WHERE id = ?1 AND position = ?2 RETURNING newest_place, skipped_through";

const COUNT: &str = "
UPDATE rosters SET instance_count = instance_count + ?2, newest_place = newest_place + ?3 WHERE id = ?1";

const IS_PARKED: &str = "SELECT 1 FROM parked_instances WHERE roster_id = ?1 AND key = ?2";

const ADD_INSTANCE: &str = "
INSERT INTO instances (roster_id, key, birth, state, position) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (roster_id, key) DO NOTHING";

const CHANGE_INSTANCE: &str =
    "UPDATE instances SET birth = ?3, state = ?4, position = ?5 WHERE roster_id = ?1 AND key = ?2";

const END: &str = "DELETE FROM instances WHERE roster_id = ?1 AND key = ?2";

const WITHDRAW: &str = "
UPDATE tasks SET listing = 'withdrawn' WHERE roster_id = ?1 AND effect = ?2 AND state = 'open' AND due_at IS NULL";

const FORGET: &str = "DELETE FROM tasks WHERE roster_id = ?1 AND effect = ?2";

/// The task of an effect in any roster of the process, that of the roster itself first.
const RECORDED: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks
    WHERE effect = ?2 AND roster_id IN (
        SELECT other.id FROM rosters AS own JOIN rosters AS other USING (namespace, process) WHERE own.id = ?1
    )
    ORDER BY roster_id <> ?1, roster_id LIMIT 1"
);

const LIST: &str = concat!(
    "INSERT INTO tasks (roster_id, ",
    task_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
);

const UNPARK: &str = "DELETE FROM parked_instances WHERE roster_id = ?1 AND key = ?2";

const FORGET_HELD: &str = "DELETE FROM held_inputs WHERE roster_id = ?1 AND key = ?2";

const FORGET_HELD_UNTIL: &str =
    "DELETE FROM held_inputs WHERE roster_id = ?1 AND key = ?2 AND position <= ?3";

const PARK: &str = "
INSERT OR REPLACE INTO parked_instances (roster_id, key, position, event_id, reason, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const HOLD: &str =
    "INSERT OR IGNORE INTO held_inputs (roster_id, key, position) VALUES (?1, ?2, ?3)";

impl CarryOut<CreateRoster> for Tables<'_> {
    fn carry_out(&mut self, change: CreateRoster, now: OffsetDateTime) -> Result<Roster, Error> {
        let new = change.new;
        let digest = new.digest.to_string();
        let names = [
            new.process.namespace().as_str(),
            new.process.name().as_str(),
            &digest,
        ];
        let [namespace, process, digest] = names;
        let (start, beginning) = (new.start.to_string(), Position::BEGINNING.to_string());
        let now = milliseconds(now);
        let values = params![namespace, process, digest, start, beginning, now];
        self.run(CREATE, values)?;
        let lost = || corrupt("roster")("the roster is not there".to_owned());
        Ok(reads::find(self.database, names)?.ok_or_else(lost)?)
    }
}

impl CarryOut<RestartRoster> for Tables<'_> {
    fn carry_out(&mut self, change: RestartRoster, _: OffsetDateTime) -> Result<(), Error> {
        let roster = change.roster.get();
        for statement in EMPTY.into_iter().chain([RESTART]) {
            self.run(statement, [roster])?;
        }
        Ok(())
    }
}

impl CarryOut<DropRoster> for Tables<'_> {
    fn carry_out(&mut self, change: DropRoster, _: OffsetDateTime) -> Result<(), Error> {
        let roster = change.roster.get();
        for statement in EMPTY.into_iter().chain([DROP]) {
            self.run(statement, [roster])?;
        }
        Ok(())
    }
}

impl CarryOut<PauseProcess> for Tables<'_> {
    fn carry_out(&mut self, change: PauseProcess, _: OffsetDateTime) -> Result<(), Error> {
        let PauseProcess { process, is_paused } = change;
        let [namespace, name] = [process.namespace().as_str(), process.name().as_str()];
        self.run(PAUSE, params![namespace, name, is_paused])?;
        Ok(())
    }
}

impl CarryOut<CommitInstances> for Tables<'_> {
    fn carry_out(
        &mut self,
        CommitInstances { change }: CommitInstances,
        _: OffsetDateTime,
    ) -> Result<(), RosterCommitError> {
        let (database, roster) = (self.database, change.roster);
        let moved = move_on(database, &change)?;
        let Some((newest_place, skipped_through)) = moved else {
            return Err(match reads::position(database, roster)? {
                Some(_) => RosterCommitError::Moved,
                None => RosterCommitError::Gone,
            });
        };
        if !are_parked(database, &change)? {
            return Err(RosterCommitError::Moved);
        }
        let grown = self.write_instances(&change)?;
        for effect in &change.gone {
            let values = params![roster.get(), effect.as_bytes()];
            if self.run(WITHDRAW, values)? == 0 {
                self.run(FORGET, values)?;
            }
        }
        let is_skipped = change.to <= skipped_through;
        for (task, place) in change.added.iter().zip(newest_place + 1..) {
            self.list(roster, place, task, is_skipped)?;
        }
        let listed = i64::try_from(change.added.len()).unwrap_or(i64::MAX);
        self.run(COUNT, params![roster.get(), grown, listed])?;
        self.write_parked(&change)?;
        Ok(())
    }
}

/// Moves a roster on from where a change begins. Gives the place of its newest task, and the
/// position through which tasks are skipped.
fn move_on(
    database: &Connection,
    change: &InstancesChange,
) -> Result<Option<(i64, Position)>, SqliteError> {
    let [from, to] = [change.from, change.to].map(|position| position.to_string());
    let values = params![change.roster.get(), from, to];
    query::one(database, MOVE, values, |row| {
        let skipped_through: String = row.get(1)?;
        let skipped_through = skipped_through.parse::<Position>();
        let skipped_through =
            skipped_through.map_err(|error| corrupt("roster")(error.to_string()))?;
        Ok((row.get(0)?, skipped_through))
    })
}

/// Tells whether the instances behind which inputs are to be held are parked.
fn are_parked(database: &Connection, change: &InstancesChange) -> Result<bool, SqliteError> {
    let parked: HashSet<&StreamKey> = change.parked.iter().map(|parked| &parked.key).collect();
    let held = change.held.iter().map(|(key, _)| key);
    for key in held.filter(|key| !parked.contains(key)) {
        let values = params![change.roster.get(), key.as_str()];
        let is_parked = database.prepare_cached(IS_PARKED)?.exists(values)?;
        if !is_parked || change.unparked.contains(key) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Tables<'_> {
    /// Writes the instances, and gives by how many there are more.
    fn write_instances(&self, change: &InstancesChange) -> Result<i64, SqliteError> {
        let roster = change.roster.get();
        let mut grown = 0;
        for instance in &change.put {
            let (key, state) = (instance.key.as_str(), instance.state.as_str());
            let position = instance.position.to_string();
            let values = params![roster, key, instance.birth.as_bytes(), state, position];
            if self.run(ADD_INSTANCE, values)? == 1 {
                grown += 1;
            } else {
                self.run(CHANGE_INSTANCE, values)?;
            }
        }
        for key in &change.ended {
            if self.run(END, params![roster, key.as_str()])? == 1 {
                grown -= 1;
            }
        }
        Ok(grown)
    }

    fn list(
        &self,
        roster: RosterId,
        place: i64,
        task: &ListedTask,
        is_skipped: bool,
    ) -> Result<(), SqliteError> {
        let values = params![roster.get(), task.effect.as_bytes()];
        let recorded = query::one(self.database, RECORDED, values, rows::task)?;
        self.run(FORGET, values)?;
        let anew = match is_skipped {
            true => TaskState::Done,
            false => TaskState::Open,
        };
        let (content, origin, state) = match &recorded {
            Some(recorded) => (&recorded.task, &recorded.origin, &recorded.state),
            None => (&task.task, &task.origin, &anew),
        };
        if task.listing != Listing::Listed && *state == TaskState::Done {
            return Ok(());
        }
        let (order, due_at) = match &content.action {
            TaskAction::Send(order) => (Some(order), None),
            TaskAction::WaitUntil(time) => (None, Some(milliseconds(*time))),
        };
        let (reason, since) = match state {
            TaskState::Parked { reason, since } => (Some(reason), Some(milliseconds(*since))),
            TaskState::Open | TaskState::Done => (None, None),
        };
        self.run(
            LIST,
            params![
                roster.get(),
                place,
                task.effect.as_bytes(),
                task.key.as_str(),
                task.birth.as_bytes(),
                content.id.as_str(),
                order.map(|order| order.decider.as_str()),
                order.map(|order| order.stream.as_str()),
                order.map(orders::text_of),
                due_at,
                origin.event.as_bytes(),
                origin.correlation,
                origin.depth,
                task.listing.as_str(),
                state.as_str(),
                reason,
                since,
            ],
        )?;
        Ok(())
    }

    fn write_parked(&self, change: &InstancesChange) -> Result<(), SqliteError> {
        let roster = change.roster.get();
        for key in &change.unparked {
            self.run(UNPARK, params![roster, key.as_str()])?;
            self.run(FORGET_HELD, params![roster, key.as_str()])?;
        }
        for parked in &change.parked {
            let (key, position) = (parked.key.as_str(), parked.position.to_string());
            self.run(FORGET_HELD_UNTIL, params![roster, key, position])?;
            let (event, since) = (parked.event_id.as_bytes(), milliseconds(parked.since));
            let values = params![roster, key, position, event, parked.reason, since];
            self.run(PARK, values)?;
        }
        for (key, position) in &change.held {
            let values = params![roster, key.as_str(), position.to_string()];
            self.run(HOLD, values)?;
        }
        Ok(())
    }
}
