//! Instances of processes and their tasks, in the database of the log. What changes them is in
//! `migrations/postgres/0040_processes.sql`: one call, which is a transaction, for any number.

mod change;
mod hold;
mod reads;
mod rows;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{DeciderName, Position, ProcessId, StreamKey};
use gavel_store::processes::{
    DueWaits, InstanceFilter, InstanceSummary, InstancesChange, NewRoster, ProcessStore,
    RetryTasks, Roster, RosterCommitError, RosterHold, RosterId, SettledTask, Settlement,
    StoredInstance, StoredTask, TaskDifference,
};
use gavel_store::{Error, Page};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PostgresStore;
use super::query::{Statement, run};
use super::rows::{Read, column, unreadable};

const CREATE: &str = "SELECT gavel_create_roster($1, $2, $3, $4, $5)";

const EMPTY: &str = "SELECT gavel_empty_roster($1, $2)";

const PAUSE: &str = "SELECT gavel_pause_process($1, $2, $3)";

const SETTLE: &str = "SELECT gavel_settle_tasks($1, $2, $3, $4, $5)";

const RETRY: &str = "SELECT gavel_retry_tasks($1, $2, $3, $4, $5) AS opened";

const SKIP: &str = "SELECT gavel_skip_tasks($1, $2) AS are_there";

/// The statement `sql`, whose first two values name a process.
fn of_process<'q>(sql: &'static str, process: &ProcessId) -> Statement<'q> {
    sqlx::query(sql)
        .bind(process.namespace().as_str().to_owned())
        .bind(process.name().as_str().to_owned())
}

/// Reads the one row of an answer.
fn answer<T>(found: &[PgRow], read: impl FnOnce(&PgRow) -> Read<T>) -> Result<T, Error> {
    let row = found
        .first()
        .ok_or_else(|| unreadable("there is no answer"));
    row.and_then(read)
        .map_err(|reason| reason.of("answer about a roster"))
}

fn gone(roster: RosterId) -> Error {
    Error::Refused(format!("there is no roster {roster}"))
}

#[async_trait]
impl ProcessStore for PostgresStore {
    async fn rosters(&self) -> Result<Vec<Roster>, Error> {
        self.all_rosters().await
    }

    async fn create_roster(&self, new: NewRoster) -> Result<Roster, Error> {
        let statement = of_process(CREATE, &new.process)
            .bind(new.digest.to_string())
            .bind(new.start.to_string())
            .bind(Position::BEGINNING.to_string());
        run(&self.pool, statement).await?;
        self.find_roster(&new).await
    }

    async fn restart_roster(&self, roster: RosterId) -> Result<(), Error> {
        let statement = sqlx::query(EMPTY).bind(roster.get()).bind(false);
        run(&self.pool, statement).await?;
        Ok(())
    }

    async fn drop_roster(&self, roster: RosterId) -> Result<(), Error> {
        let statement = sqlx::query(EMPTY).bind(roster.get()).bind(true);
        run(&self.pool, statement).await?;
        Ok(())
    }

    async fn pause_process(&self, process: &ProcessId, is_paused: bool) -> Result<(), Error> {
        run(&self.pool, of_process(PAUSE, process).bind(is_paused)).await?;
        Ok(())
    }

    async fn instances(
        &self,
        roster: RosterId,
        keys: &[StreamKey],
    ) -> Result<Vec<StoredInstance>, Error> {
        self.instances_of(roster, keys).await
    }

    async fn commit_instances(&self, change: InstancesChange) -> Result<(), RosterCommitError> {
        let found = run(&self.pool, change::statement(&change)).await;
        change::outcome(&found.map_err(Error::from)?)
    }

    async fn sends(
        &self,
        roster: RosterId,
        after: i64,
        resting: &[DeciderName],
        limit: u32,
    ) -> Result<Page<StoredTask>, Error> {
        self.open_sends(roster, after, resting, limit).await
    }

    async fn due_waits(&self, roster: RosterId, limit: u32) -> Result<DueWaits, Error> {
        self.waits_over(roster, limit).await
    }

    async fn settle(&self, process: &ProcessId, settled: &[SettledTask]) -> Result<(), Error> {
        // What is done stays so, and of reasons the last one holds.
        let mut outcomes = BTreeMap::new();
        for SettledTask { effect, outcome } in settled {
            let known = outcomes.entry(effect).or_insert(outcome);
            if **known != Settlement::Done {
                *known = outcome;
            }
        }
        let (mut done, mut parked, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
        for (effect, outcome) in outcomes {
            match outcome {
                Settlement::Done => done.push(*effect),
                Settlement::Parked(reason) => {
                    parked.push(*effect);
                    reasons.push(reason.as_str());
                }
            }
        }
        let statement = of_process(SETTLE, process)
            .bind(done)
            .bind(parked)
            .bind(reasons);
        run(&self.pool, statement).await?;
        Ok(())
    }

    async fn retry_tasks(&self, process: &ProcessId, which: &RetryTasks) -> Result<u64, Error> {
        let (key, task, decider) = match which {
            RetryTasks::One(key, task) => (Some(key.as_str()), Some(task.as_str()), None),
            RetryTasks::To(decider) => (None, None, Some(decider.as_str())),
        };
        let statement = of_process(RETRY, process)
            .bind(key)
            .bind(task)
            .bind(decider);
        let found = run(&self.pool, statement).await?;
        answer(&found, |row| rows::count(row, "opened"))
    }

    async fn tasks_of(&self, roster: RosterId, key: &StreamKey) -> Result<Vec<StoredTask>, Error> {
        self.all_tasks_of(roster, key).await
    }

    async fn list_instances(
        &self,
        roster: RosterId,
        filter: InstanceFilter,
        after: Option<&StreamKey>,
        limit: u32,
    ) -> Result<Page<InstanceSummary>, Error> {
        self.page_of_instances(roster, filter, after, limit).await
    }

    async fn held_inputs(
        &self,
        roster: RosterId,
        key: &StreamKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error> {
        self.inputs_held(roster, key, after, limit).await
    }

    async fn task_differences(
        &self,
        candidate: RosterId,
        active: Option<RosterId>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Page<TaskDifference>, Error> {
        self.differences(candidate, active, after, limit).await
    }

    async fn skip_tasks(&self, candidate: RosterId, active: Option<RosterId>) -> Result<(), Error> {
        let statement = sqlx::query(SKIP)
            .bind(candidate.get())
            .bind(active.map(RosterId::get));
        let found = run(&self.pool, statement).await?;
        match answer(&found, |row| column(row, "are_there"))? {
            true => Ok(()),
            false => Err(gone(candidate)),
        }
    }

    async fn hold_rosters(
        &self,
        rosters: &[RosterId],
        longest: Duration,
    ) -> Result<Box<dyn RosterHold>, Error> {
        self.hold_these_rosters(rosters, longest).await
    }
}
