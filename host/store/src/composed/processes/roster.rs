//! One roster: instances by key, and tasks by place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use gavel_model::{DeciderName, Position, StreamKey, TaskAction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Page;
use crate::processes::{
    DueWaits, InstanceFilter, InstanceSummary, InstancesChange, ListedTask, Listing,
    ParkedInstance, PutInstance, RetryTasks, Roster, StoredInstance, StoredTask, TaskState,
};

/// A roster with its instances and tasks.
#[derive(Debug)]
pub(super) struct KeptRoster {
    /// The roster as it is told, without the counts.
    pub(super) info: Roster,
    instances: BTreeMap<StreamKey, PutInstance>,
    parked: BTreeMap<StreamKey, HoldingInstance>,
    tasks: BTreeMap<i64, StoredTask>,
    /// The places of the tasks by their effects.
    places: HashMap<Uuid, i64>,
    /// The places of the tasks by their instances.
    places_of: HashMap<StreamKey, BTreeSet<i64>>,
    newest_place: i64,
}

/// An instance that is parked, and the inputs held behind it.
#[derive(Debug)]
struct HoldingInstance {
    instance: ParkedInstance,
    held: BTreeSet<Position>,
}

impl KeptRoster {
    pub(super) fn new(info: Roster) -> Self {
        Self {
            info,
            instances: BTreeMap::new(),
            parked: BTreeMap::new(),
            tasks: BTreeMap::new(),
            places: HashMap::new(),
            places_of: HashMap::new(),
            newest_place: 0,
        }
    }

    pub(super) fn restart(&mut self) {
        let info = self.info.clone();
        *self = Self {
            newest_place: self.newest_place,
            ..Self::new(Roster {
                position: info.start,
                ..info
            })
        };
    }

    /// The roster as it is told.
    pub(super) fn told(&self) -> Roster {
        let count = |wanted: fn(&StoredTask) -> bool| {
            let tasks = self.tasks.values().filter(|task| wanted(task));
            tasks.count() as u64
        };
        Roster {
            instances: self.instances.len() as u64,
            parked_instances: self.parked.len() as u64,
            open_tasks: count(|task| task.listing != Listing::Withdrawn && task.state.is_open()),
            parked_tasks: count(|task| task.state.is_parked()),
            ..self.info.clone()
        }
    }

    pub(super) fn task(&self, effect: Uuid) -> Option<&StoredTask> {
        self.tasks.get(self.places.get(&effect)?)
    }

    fn task_mut(&mut self, effect: Uuid) -> Option<&mut StoredTask> {
        self.tasks.get_mut(self.places.get(&effect)?)
    }

    fn forget(&mut self, effect: Uuid) -> Option<StoredTask> {
        let task = self.tasks.remove(&self.places.remove(&effect)?)?;
        if let Some(places) = self.places_of.get_mut(&task.key) {
            places.remove(&task.place);
            if places.is_empty() {
                self.places_of.remove(&task.key);
            }
        }
        Some(task)
    }

    /// The tasks of an instance, by place.
    fn of_instance(&self, key: &StreamKey) -> impl DoubleEndedIterator<Item = &StoredTask> {
        let places = self.places_of.get(key).into_iter().flatten();
        places.filter_map(|place| self.tasks.get(place))
    }

    pub(super) fn instance(&self, key: &StreamKey) -> StoredInstance {
        let instance = self.instances.get(key);
        let listed = |instance: &PutInstance| {
            let tasks = self
                .of_instance(key)
                .filter(|task| task.birth == instance.birth && task.listing == Listing::Listed);
            tasks.map(|task| (task.effect, task.task.clone())).collect()
        };
        StoredInstance {
            birth: instance.map(|instance| instance.birth),
            state: instance.map(|instance| instance.state.clone()),
            is_parked: self.parked.contains_key(key),
            listed: instance.map(listed).unwrap_or_default(),
        }
    }

    /// Tells whether a change begins here, and holds inputs behind parked instances only.
    pub(super) fn is_where(&self, change: &InstancesChange) -> bool {
        let is_parked = |key: &StreamKey| {
            let is_from_now_on = change.parked.iter().any(|parked| parked.key == *key);
            is_from_now_on || self.parked.contains_key(key) && !change.unparked.contains(key)
        };
        self.info.position == change.from && change.held.iter().all(|(key, _)| is_parked(key))
    }

    /// Carries out a change that begins here. `recorded` are the tasks of other rosters with the
    /// effects of those that are listed anew.
    pub(super) fn commit(&mut self, change: InstancesChange, recorded: Vec<Option<StoredTask>>) {
        for instance in change.put {
            self.instances.insert(instance.key.clone(), instance);
        }
        for key in &change.ended {
            self.instances.remove(key);
        }
        for effect in change.gone {
            self.withdraw(effect);
        }
        let is_skipped = change.to <= self.info.skipped_through;
        for (task, recorded) in change.added.into_iter().zip(recorded) {
            self.list(task, recorded, is_skipped);
        }
        for key in &change.unparked {
            self.parked.remove(key);
        }
        for instance in change.parked {
            let holding = self.parked.remove(&instance.key);
            let mut held = holding.map(|holding| holding.held).unwrap_or_default();
            held.retain(|position| *position > instance.position);
            let key = instance.key.clone();
            self.parked.insert(key, HoldingInstance { instance, held });
        }
        for (key, position) in change.held {
            if let Some(holding) = self.parked.get_mut(&key) {
                holding.held.insert(position);
            }
        }
        self.info.position = change.to;
    }

    fn withdraw(&mut self, effect: Uuid) {
        let Some(task) = self.task_mut(effect) else {
            return;
        };
        if task.state.is_open() && matches!(task.task.action, TaskAction::Send(_)) {
            task.listing = Listing::Withdrawn;
        } else {
            self.forget(effect);
        }
    }

    fn list(&mut self, task: ListedTask, recorded: Option<StoredTask>, is_skipped: bool) {
        let recorded = self.forget(task.effect).or(recorded);
        let state = if is_skipped {
            TaskState::Done
        } else {
            TaskState::Open
        };
        self.newest_place += 1;
        let anew = StoredTask {
            place: self.newest_place,
            effect: task.effect,
            key: task.key,
            birth: task.birth,
            task: task.task,
            origin: task.origin,
            listing: task.listing,
            state,
        };
        let listed = match recorded {
            Some(recorded) => StoredTask {
                task: recorded.task,
                origin: recorded.origin,
                state: recorded.state,
                ..anew
            },
            None => anew,
        };
        if listed.listing == Listing::Listed || listed.state != TaskState::Done {
            self.places.insert(listed.effect, listed.place);
            let places = self.places_of.entry(listed.key.clone()).or_default();
            places.insert(listed.place);
            self.tasks.insert(listed.place, listed);
        }
    }

    pub(super) fn settle(&mut self, effect: Uuid, state: TaskState) {
        let Some(task) = self.task_mut(effect) else {
            return;
        };
        if state == TaskState::Done && task.listing != Listing::Listed {
            self.forget(effect);
        } else if task.state != TaskState::Done {
            task.state = state;
        }
    }

    /// Opens parked tasks again, and gives their effects.
    pub(super) fn retry(&mut self, which: &RetryTasks) -> Vec<Uuid> {
        let is_meant = |task: &StoredTask| match (which, &task.task.action) {
            (RetryTasks::One(key, id), _) => task.key == *key && task.task.id == *id,
            (RetryTasks::To(decider), TaskAction::Send(order)) => order.decider == *decider,
            (RetryTasks::To(_), TaskAction::WaitUntil(_)) => false,
        };
        let tasks = self.tasks.values_mut();
        let meant = tasks.filter(|task| task.state.is_parked() && is_meant(task));
        meant
            .map(|task| {
                task.state = TaskState::Open;
                task.effect
            })
            .collect()
    }

    /// The effects of all tasks that are not done.
    pub(super) fn unfinished(&self) -> Vec<Uuid> {
        let tasks = self.tasks.values();
        let unfinished = tasks.filter(|task| task.state != TaskState::Done);
        unfinished.map(|task| task.effect).collect()
    }

    pub(super) fn sends(
        &self,
        after: i64,
        resting: &[DeciderName],
        limit: u32,
    ) -> Page<StoredTask> {
        let mut blocked = BTreeSet::new();
        let sends = self.tasks.values().filter(|task| {
            let TaskAction::Send(order) = &task.task.action else {
                return false;
            };
            let lane = (&task.key, &order.decider, &order.stream);
            if task.state.is_parked() {
                blocked.insert(lane);
            }
            let may_go = !blocked.contains(&lane) && !resting.contains(&order.decider);
            task.place > after && task.state.is_open() && may_go
        });
        Page::of(sends.cloned(), limit, StoredTask::size_bytes)
    }

    pub(super) fn due_waits(&self, now: OffsetDateTime, limit: u32) -> DueWaits {
        let open = self.tasks.values().filter(|task| task.state.is_open());
        let mut waits: Vec<(OffsetDateTime, &StoredTask)> = open
            .filter_map(|task| Some((task.waits_until()?, task)))
            .collect();
        waits.sort_by_key(|(until, task)| (*until, task.place));
        let due = waits.partition_point(|(until, _)| *until <= now);
        let next = waits.get(due).map(|(until, _)| *until - now);
        let due = waits[..due].iter().take(limit as usize);
        DueWaits {
            waits: due.map(|(_, task)| (*task).clone()).collect(),
            next: next.map(|next| next.try_into().unwrap_or_default()),
        }
    }

    pub(super) fn tasks_of(&self, key: &StreamKey) -> Vec<StoredTask> {
        self.of_instance(key).cloned().collect()
    }

    /// The tasks that are listed, after one of them.
    pub(super) fn listed_by_effect(&self, after: Option<Uuid>) -> BTreeMap<Uuid, StoredTask> {
        let tasks = self.tasks.values().filter(|task| {
            task.listing != Listing::Withdrawn && after.is_none_or(|after| task.effect > after)
        });
        tasks.map(|task| (task.effect, task.clone())).collect()
    }

    pub(super) fn list_instances(
        &self,
        filter: InstanceFilter,
        after: Option<&StreamKey>,
        limit: u32,
    ) -> Page<InstanceSummary> {
        let tasks = self.tasks.values().filter(|task| match filter {
            InstanceFilter::Open => task.state != TaskState::Done,
            InstanceFilter::Parked => task.state.is_parked(),
        });
        let mut keys: BTreeSet<&StreamKey> = tasks.map(|task| &task.key).collect();
        keys.extend(self.parked.keys());
        if filter == InstanceFilter::Open {
            keys.extend(self.instances.keys());
        }
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = keys.range::<StreamKey, _>((after, Bound::Unbounded));
        let summaries = keys.filter_map(|key| self.summary(key));
        Page::of(summaries, limit, InstanceSummary::size_bytes)
    }

    fn summary(&self, key: &StreamKey) -> Option<InstanceSummary> {
        let instance = self.instances.get(key);
        let parked = self.parked.get(key).map(|parked| parked.instance.clone());
        let tasks: Vec<&StoredTask> = self.of_instance(key).collect();
        let open = tasks.iter().filter(|task| task.state.is_open());
        let is_parked = |task: &&&StoredTask| task.state.is_parked();
        Some(InstanceSummary {
            key: key.clone(),
            birth: instance
                .map(|instance| instance.birth)
                .or(tasks.last().map(|task| task.birth))
                .or(parked.as_ref().map(|parked| parked.event_id))?,
            state: instance.map(|instance| instance.state.clone()),
            position: instance.map_or(Position::BEGINNING, |instance| instance.position),
            parked,
            open_tasks: open.clone().count() as u64,
            parked_tasks: tasks.iter().filter(is_parked).count() as u64,
            next_wait: open.filter_map(|task| task.waits_until()).min(),
        })
    }

    pub(super) fn held(&self, key: &StreamKey, after: Position, limit: u32) -> Vec<Position> {
        let held = self.parked.get(key).into_iter();
        let held = held.flat_map(|parked| &parked.held).copied();
        let held = held.filter(|position| *position > after);
        held.take(limit as usize).collect()
    }
}
