//! Instances of processes and their tasks, which each process of the host keeps in its own memory:
//! they follow from the log and the ledger.

mod roster;
mod rosters;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{DeciderName, Position, ProcessId, StreamKey};
use uuid::Uuid;

use self::rosters::Rosters;
use super::{Composed, Core};
use crate::processes::{
    DueWaits, InstanceFilter, InstanceSummary, InstancesChange, NewRoster, ProcessStore,
    RetryTasks, Roster, RosterCommitError, RosterHold, RosterId, SettledTask, StoredInstance,
    StoredTask, TaskDifference,
};
use crate::toolkit::roster_holds::{HeldRosters, RosterHolds};
use crate::{Error, Page};

/// All rosters, and the holds of them.
#[derive(Debug, Default)]
pub(super) struct KeptRosters {
    rosters: Arc<Mutex<Rosters>>,
    holds: RosterHolds,
}

impl KeptRosters {
    fn lock(&self) -> MutexGuard<'_, Rosters> {
        lock(&self.rosters)
    }
}

/// Locks the rosters; each change is whole before anything can panic, so that a poisoned lock
/// guards sound data.
fn lock(rosters: &Mutex<Rosters>) -> MutexGuard<'_, Rosters> {
    rosters.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl<B: Core> ProcessStore for Composed<B> {
    async fn rosters(&self) -> Result<Vec<Roster>, Error> {
        Ok(self.processes.lock().all())
    }

    async fn create_roster(&self, new: NewRoster) -> Result<Roster, Error> {
        let now = self.clock.now();
        Ok(self.processes.lock().create(new, now))
    }

    async fn restart_roster(&self, roster: RosterId) -> Result<(), Error> {
        self.processes.lock().restart(roster);
        Ok(())
    }

    async fn drop_roster(&self, roster: RosterId) -> Result<(), Error> {
        self.processes.lock().forget(roster);
        Ok(())
    }

    async fn pause_process(&self, process: &ProcessId, is_paused: bool) -> Result<(), Error> {
        self.processes.lock().pause(process, is_paused);
        Ok(())
    }

    async fn instances(
        &self,
        roster: RosterId,
        keys: &[StreamKey],
    ) -> Result<Vec<StoredInstance>, Error> {
        let mut rosters = self.processes.lock();
        let roster = rosters.found(roster)?;
        Ok(keys.iter().map(|key| roster.instance(key)).collect())
    }

    async fn commit_instances(&self, change: InstancesChange) -> Result<(), RosterCommitError> {
        let passed = self.processes.holds.pass();
        let _passed = passed.ok_or(RosterCommitError::Held)?;
        self.processes.lock().commit(change)
    }

    async fn sends(
        &self,
        roster: RosterId,
        after: i64,
        resting: &[DeciderName],
        limit: u32,
    ) -> Result<Page<StoredTask>, Error> {
        let rosters = self.processes.lock();
        let roster = rosters.known(roster);
        Ok(roster
            .map(|roster| roster.sends(after, resting, limit))
            .unwrap_or_default())
    }

    async fn due_waits(&self, roster: RosterId, limit: u32) -> Result<DueWaits, Error> {
        let now = self.clock.now();
        let rosters = self.processes.lock();
        let roster = rosters.known(roster);
        Ok(roster
            .map(|roster| roster.due_waits(now, limit))
            .unwrap_or_default())
    }

    async fn settle(&self, process: &ProcessId, settled: &[SettledTask]) -> Result<(), Error> {
        let now = self.clock.now();
        self.processes.lock().settle(process, settled, now);
        Ok(())
    }

    async fn retry_tasks(&self, process: &ProcessId, which: &RetryTasks) -> Result<u64, Error> {
        Ok(self.processes.lock().retry(process, which))
    }

    async fn tasks_of(&self, roster: RosterId, key: &StreamKey) -> Result<Vec<StoredTask>, Error> {
        let rosters = self.processes.lock();
        let roster = rosters.known(roster);
        Ok(roster
            .map(|roster| roster.tasks_of(key))
            .unwrap_or_default())
    }

    async fn list_instances(
        &self,
        roster: RosterId,
        filter: InstanceFilter,
        after: Option<&StreamKey>,
        limit: u32,
    ) -> Result<Page<InstanceSummary>, Error> {
        let rosters = self.processes.lock();
        let roster = rosters.known(roster);
        Ok(roster
            .map(|roster| roster.list_instances(filter, after, limit))
            .unwrap_or_default())
    }

    async fn held_inputs(
        &self,
        roster: RosterId,
        key: &StreamKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error> {
        let rosters = self.processes.lock();
        let roster = rosters.known(roster);
        Ok(roster
            .map(|roster| roster.held(key, after, limit))
            .unwrap_or_default())
    }

    async fn task_differences(
        &self,
        candidate: RosterId,
        active: Option<RosterId>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Page<TaskDifference>, Error> {
        let mut rosters = self.processes.lock();
        let candidate = rosters.found(candidate)?.listed_by_effect(after);
        let active = active.map(|active| Ok(rosters.found(active)?.listed_by_effect(after)));
        let active = active.transpose()?.unwrap_or_default();
        Ok(rosters::differences(candidate, active, limit))
    }

    async fn skip_tasks(&self, candidate: RosterId, active: Option<RosterId>) -> Result<(), Error> {
        let now = self.clock.now();
        self.processes.lock().skip(candidate, active, now)
    }

    async fn hold_rosters(
        &self,
        rosters: &[RosterId],
        longest: Duration,
    ) -> Result<Box<dyn RosterHold>, Error> {
        Ok(Box::new(MemoryRosterHold {
            held: self.processes.holds.hold(longest).await?,
            rosters: Arc::clone(&self.processes.rosters),
            named: rosters.to_vec(),
        }))
    }
}

/// Holds all rosters.
#[derive(Debug)]
struct MemoryRosterHold {
    held: HeldRosters,
    rosters: Arc<Mutex<Rosters>>,
    named: Vec<RosterId>,
}

#[async_trait]
impl RosterHold for MemoryRosterHold {
    async fn positions(&self) -> Result<Vec<Option<Position>>, Error> {
        let positions = lock(&self.rosters).positions(&self.named);
        self.held.check()?;
        Ok(positions)
    }
}
