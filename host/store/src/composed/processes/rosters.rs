//! All rosters of a process of the host.

use std::collections::{BTreeMap, BTreeSet};

use gavel_model::{Position, ProcessId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::roster::KeptRoster;
use crate::processes::{
    InstancesChange, ListedTask, NewRoster, RetryTasks, Roster, RosterCommitError, RosterId,
    SettledTask, Settlement, StoredTask, TaskDifference, TaskState,
};
use crate::{Error, Page};

/// Rosters by id.
#[derive(Debug, Default)]
pub(super) struct Rosters {
    newest: i64,
    rosters: BTreeMap<RosterId, KeptRoster>,
}

impl Rosters {
    pub(super) fn all(&self) -> Vec<Roster> {
        self.rosters.values().map(KeptRoster::told).collect()
    }

    pub(super) fn known(&self, id: RosterId) -> Option<&KeptRoster> {
        self.rosters.get(&id)
    }

    pub(super) fn found(&mut self, id: RosterId) -> Result<&mut KeptRoster, Error> {
        let found = self.rosters.get_mut(&id);
        found.ok_or_else(|| Error::Refused(format!("there is no roster {id}")))
    }

    fn of<'r>(&'r self, process: &ProcessId) -> impl Iterator<Item = &'r KeptRoster> {
        let rosters = self.rosters.values();
        rosters.filter(move |roster| roster.info.process == *process)
    }

    fn of_mut<'r>(&'r mut self, process: &ProcessId) -> impl Iterator<Item = &'r mut KeptRoster> {
        let rosters = self.rosters.values_mut();
        rosters.filter(move |roster| roster.info.process == *process)
    }

    pub(super) fn create(&mut self, new: NewRoster, now: OffsetDateTime) -> Roster {
        let known: Vec<&KeptRoster> = self.of(&new.process).collect();
        if let Some(known) = known.iter().find(|known| known.info.digest == new.digest) {
            return known.told();
        }
        let is_paused = known.iter().any(|known| known.info.is_paused);
        self.newest += 1;
        let id = RosterId::new(self.newest);
        let roster = KeptRoster::new(Roster {
            id,
            process: new.process,
            digest: new.digest,
            start: new.start,
            position: new.start,
            skipped_through: Position::BEGINNING,
            is_paused,
            instances: 0,
            parked_instances: 0,
            open_tasks: 0,
            parked_tasks: 0,
            created_at: now,
        });
        let told = roster.told();
        self.rosters.insert(id, roster);
        told
    }

    pub(super) fn restart(&mut self, id: RosterId) {
        if let Some(roster) = self.rosters.get_mut(&id) {
            roster.restart();
        }
    }

    pub(super) fn forget(&mut self, id: RosterId) {
        self.rosters.remove(&id);
    }

    pub(super) fn pause(&mut self, process: &ProcessId, is_paused: bool) {
        for roster in self.of_mut(process) {
            roster.info.is_paused = is_paused;
        }
    }

    pub(super) fn positions(&self, ids: &[RosterId]) -> Vec<Option<Position>> {
        let found = ids.iter().map(|id| self.rosters.get(id));
        found.map(|roster| Some(roster?.info.position)).collect()
    }

    pub(super) fn commit(&mut self, change: InstancesChange) -> Result<(), RosterCommitError> {
        let roster = self.rosters.get(&change.roster);
        let roster = roster.ok_or(RosterCommitError::Gone)?;
        if !roster.is_where(&change) {
            return Err(RosterCommitError::Moved);
        }
        let recorded = |task: &ListedTask| {
            let mut others = self
                .of(&roster.info.process)
                .filter(|other| other.info.id != change.roster);
            others.find_map(|other| other.task(task.effect).cloned())
        };
        let recorded: Vec<Option<StoredTask>> = change.added.iter().map(recorded).collect();
        if let Some(roster) = self.rosters.get_mut(&change.roster) {
            roster.commit(change, recorded);
        }
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        process: &ProcessId,
        settled: &[SettledTask],
        now: OffsetDateTime,
    ) {
        for roster in self.of_mut(process) {
            for SettledTask { effect, outcome } in settled {
                let state = match outcome {
                    Settlement::Done => TaskState::Done,
                    Settlement::Parked(reason) => TaskState::Parked {
                        reason: reason.clone(),
                        since: now,
                    },
                };
                roster.settle(*effect, state);
            }
        }
    }

    pub(super) fn retry(&mut self, process: &ProcessId, which: &RetryTasks) -> u64 {
        let rosters = self.of_mut(process);
        let effects: BTreeSet<Uuid> = rosters.flat_map(|roster| roster.retry(which)).collect();
        effects.len() as u64
    }

    pub(super) fn skip(
        &mut self,
        candidate: RosterId,
        active: Option<RosterId>,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let mut effects = self.found(candidate)?.unfinished();
        if let Some(active) = active {
            let active = self.found(active)?;
            effects.retain(|effect| active.task(*effect).is_none());
        }
        let candidate = self.found(candidate)?;
        candidate.info.skipped_through = candidate.info.position;
        let process = candidate.info.process.clone();
        let done = |effect| SettledTask {
            effect,
            outcome: Settlement::Done,
        };
        let done: Vec<SettledTask> = effects.into_iter().map(done).collect();
        self.settle(&process, &done, now);
        Ok(())
    }
}

/// A page of the tasks by which two rosters differ.
pub(super) fn differences(
    mut candidate: BTreeMap<Uuid, StoredTask>,
    mut active: BTreeMap<Uuid, StoredTask>,
    limit: u32,
) -> Page<TaskDifference> {
    let effects: BTreeSet<Uuid> = candidate.keys().chain(active.keys()).copied().collect();
    let differences = effects.iter().filter_map(|effect| {
        let difference = TaskDifference {
            candidate: candidate.remove(effect),
            active: active.remove(effect),
        };
        let differs = match (&difference.candidate, &difference.active) {
            (Some(one), Some(other)) => one.task != other.task,
            (Some(task), None) | (None, Some(task)) => task.state != TaskState::Done,
            (None, None) => false,
        };
        differs.then_some(difference)
    });
    Page::of(differences, limit, TaskDifference::size_bytes)
}
