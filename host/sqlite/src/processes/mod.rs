//! Instances of processes and their tasks, in the file of the log.

mod changes;
mod reads;
mod rows;
mod settling;

use std::convert::identity;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{DeciderName, Position, ProcessId, StreamKey};
use gavel_store::processes::{
    DueWaits, InstanceFilter, InstanceSummary, InstancesChange, NewRoster, ProcessStore,
    RetryTasks, Roster, RosterCommitError, RosterHold, RosterId, SettledTask, StoredInstance,
    StoredTask, TaskDifference,
};
use gavel_store::toolkit::roster_holds::HeldRosters;
use gavel_store::toolkit::writes::{
    CarryOut, Change, CommitInstances, CreateRoster, DropRoster, OpenTasks, PauseProcess,
    RestartRoster, SettleTasks, SkipTasks,
};
use gavel_store::{Error, Page};
use uuid::Uuid;

use super::SqliteStore;
use super::readers::Readers;
use super::tables::Tables;

impl SqliteStore {
    async fn change_rosters<C>(&self, change: C) -> Result<C::Answer, Error>
    where
        C: Change<Error = Error>,
        for<'t> Tables<'t>: CarryOut<C>,
    {
        let written = self.writer.carry_out(change);
        written.await.map_err(|error| error.into_error(identity))
    }
}

#[async_trait]
impl ProcessStore for SqliteStore {
    async fn rosters(&self) -> Result<Vec<Roster>, Error> {
        self.readers.read(reads::rosters).await
    }

    async fn create_roster(&self, new: NewRoster) -> Result<Roster, Error> {
        self.change_rosters(CreateRoster { new }).await
    }

    async fn restart_roster(&self, roster: RosterId) -> Result<(), Error> {
        self.change_rosters(RestartRoster { roster }).await
    }

    async fn drop_roster(&self, roster: RosterId) -> Result<(), Error> {
        self.change_rosters(DropRoster { roster }).await
    }

    async fn pause_process(&self, process: &ProcessId, is_paused: bool) -> Result<(), Error> {
        let process = process.clone();
        self.change_rosters(PauseProcess { process, is_paused })
            .await
    }

    async fn instances(
        &self,
        roster: RosterId,
        keys: &[StreamKey],
    ) -> Result<Vec<StoredInstance>, Error> {
        let keys = keys.to_vec();
        let found = move |database: &_| reads::instances(database, roster, &keys);
        self.readers.read(found).await
    }

    /// Dropped midway, the change is whole or absent, and a hold waits for its end all the same.
    async fn commit_instances(&self, change: InstancesChange) -> Result<(), RosterCommitError> {
        let passed = self.roster_holds.pass().ok_or(RosterCommitError::Held)?;
        let writer = Arc::clone(&self.writer);
        let committing = tokio::spawn(async move {
            let _passed = passed;
            writer.carry_out(CommitInstances { change }).await
        });
        match committing.await {
            Ok(written) => written.map_err(|error| error.into_error(RosterCommitError::Store)),
            Err(error) => Err(match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(cancelled) => RosterCommitError::from(gavel_store::Source::from(cancelled)),
            }),
        }
    }

    async fn sends(
        &self,
        roster: RosterId,
        after: i64,
        resting: &[DeciderName],
        limit: u32,
    ) -> Result<Page<StoredTask>, Error> {
        let resting: Vec<String> = resting
            .iter()
            .map(|decider| decider.as_str().to_owned())
            .collect();
        let found = move |database: &_| reads::sends(database, roster, after, &resting, limit);
        self.readers.read(found).await
    }

    async fn due_waits(&self, roster: RosterId, limit: u32) -> Result<DueWaits, Error> {
        let now = self.clock.now();
        let found = move |database: &_| reads::due_waits(database, roster, now, limit);
        self.readers.read(found).await
    }

    async fn settle(&self, process: &ProcessId, settled: &[SettledTask]) -> Result<(), Error> {
        let (process, settled) = (process.clone(), settled.to_vec());
        self.change_rosters(SettleTasks { process, settled }).await
    }

    async fn retry_tasks(&self, process: &ProcessId, which: &RetryTasks) -> Result<u64, Error> {
        let (process, which) = (process.clone(), which.clone());
        self.change_rosters(OpenTasks { process, which }).await
    }

    async fn tasks_of(&self, roster: RosterId, key: &StreamKey) -> Result<Vec<StoredTask>, Error> {
        let key = key.clone();
        let found = move |database: &_| reads::tasks_of(database, roster, &key);
        self.readers.read(found).await
    }

    async fn list_instances(
        &self,
        roster: RosterId,
        filter: InstanceFilter,
        after: Option<&StreamKey>,
        limit: u32,
    ) -> Result<Page<InstanceSummary>, Error> {
        let after = after.cloned();
        let found =
            move |database: &_| reads::list(database, roster, filter, after.as_ref(), limit);
        self.readers.read(found).await
    }

    async fn held_inputs(
        &self,
        roster: RosterId,
        key: &StreamKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error> {
        let key = key.clone();
        let found = move |database: &_| reads::held(database, roster, &key, after, limit);
        self.readers.read(found).await
    }

    async fn task_differences(
        &self,
        candidate: RosterId,
        active: Option<RosterId>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Page<TaskDifference>, Error> {
        let found =
            move |database: &_| reads::differences(database, candidate, active, after, limit);
        self.readers.read(found).await
    }

    async fn skip_tasks(&self, candidate: RosterId, active: Option<RosterId>) -> Result<(), Error> {
        self.change_rosters(SkipTasks { candidate, active }).await
    }

    async fn hold_rosters(
        &self,
        rosters: &[RosterId],
        longest: Duration,
    ) -> Result<Box<dyn RosterHold>, Error> {
        Ok(Box::new(SqliteRosterHold {
            held: self.roster_holds.hold(longest).await?,
            readers: self.readers.clone(),
            named: rosters.to_vec(),
        }))
    }
}

/// Holds all rosters: as far as processes of this host change them, which is one at a time.
#[derive(Debug)]
struct SqliteRosterHold {
    held: HeldRosters,
    readers: Readers,
    named: Vec<RosterId>,
}

#[async_trait]
impl RosterHold for SqliteRosterHold {
    async fn positions(&self) -> Result<Vec<Option<Position>>, Error> {
        let named = self.named.clone();
        let positions = move |database: &_| reads::positions(database, &named);
        let positions = self.readers.read(positions).await?;
        self.held.check()?;
        Ok(positions)
    }
}
