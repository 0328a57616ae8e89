//! The builders of the rosters, changes and tasks that the cases use.

use gavel_model::{
    Life, Metadata, ModuleDigest, Order, Position, ProcessId, StreamKey, Task, TaskAction, TaskId,
};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use crate::Store;
use crate::conformance::support::{decider, json, namespace};
use crate::processes::{
    InstancesChange, ListedTask, Listing, NewRoster, ParkedInstance, PutInstance, Roster, RosterId,
    SettledTask, Settlement, StoredTask, TaskOrigin, TaskState,
};

/// A time that is past by every clock, and one that is to come.
pub(super) const PAST: OffsetDateTime = datetime!(2001-02-03 04:05:06.789 UTC);
pub(super) const FUTURE: OffsetDateTime = datetime!(2999-02-03 04:05:06.789 UTC);

pub(super) fn process(name: &str) -> ProcessId {
    process_of("default", name)
}

pub(super) fn process_of(namespace_name: &str, name: &str) -> ProcessId {
    ProcessId::new(namespace(namespace_name), name).unwrap()
}

pub(super) fn key(text: &str) -> StreamKey {
    StreamKey::new(text).unwrap()
}

/// The position of the `offset`th event.
pub(super) fn at(offset: u64) -> Position {
    Position::new(7, 0, offset)
}

/// The event that instances begin with.
pub(super) const BIRTH: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

/// A command to `counter/<stream>`.
pub(super) fn send(id: &str, stream: &str) -> Task {
    send_to(id, "counter", stream, r#"{"by":1}"#)
}

pub(super) fn send_to(id: &str, decider_name: &str, stream: &str, data: &str) -> Task {
    Task {
        id: TaskId::new(id).unwrap(),
        action: TaskAction::Send(Order {
            decider: decider(decider_name),
            stream: key(stream),
            command: "Increment".to_owned(),
            data: json(data),
            expected_version: None,
            metadata: Metadata::default(),
        }),
    }
}

pub(super) fn wait(id: &str, until: OffsetDateTime) -> Task {
    Task {
        id: TaskId::new(id).unwrap(),
        action: TaskAction::WaitUntil(until),
    }
}

/// A roster that is changed step by step.
pub(super) struct Work<'s> {
    store: &'s dyn Store,
    pub(super) process: ProcessId,
    pub(super) id: RosterId,
    offset: u64,
}

impl<'s> Work<'s> {
    /// Makes the roster of a process and of the module whose bytes are `wasm`.
    pub(super) async fn begin(store: &'s dyn Store, process: &ProcessId, wasm: &str) -> Self {
        let new = NewRoster {
            process: process.clone(),
            digest: ModuleDigest::of(wasm.as_bytes()),
            start: at(0),
        };
        let roster = store.create_roster(new).await.unwrap();
        Self {
            store,
            process: process.clone(),
            id: roster.id,
            offset: 0,
        }
    }

    /// A change that moves the roster by one event.
    pub(super) fn change(&self) -> InstancesChange {
        InstancesChange::moving(self.id, at(self.offset), at(self.offset + 1))
    }

    pub(super) async fn commit(&mut self, change: InstancesChange) {
        self.moved_to(change.to);
        self.store.commit_instances(change).await.unwrap();
    }

    /// Says that a change has moved the roster.
    pub(super) fn moved_to(&mut self, position: Position) {
        self.offset = position.offset();
    }

    /// Begins again, as does the roster.
    pub(super) async fn restart(&mut self) {
        self.store.restart_roster(self.id).await.unwrap();
        self.offset = 0;
    }

    pub(super) fn listed(&self, instance: &str, task: Task) -> ListedTask {
        let life = Life {
            process: self.process.clone(),
            key: key(instance),
            birth: BIRTH,
        };
        ListedTask {
            effect: life.effect_of(&task),
            key: life.key,
            birth: BIRTH,
            task,
            origin: TaskOrigin {
                event: Uuid::from_u128(u128::from(self.offset)),
                correlation: format!("c-{}", self.offset),
                depth: 3,
            },
            listing: Listing::Listed,
        }
    }

    pub(super) fn effect(&self, instance: &str, task: &Task) -> Uuid {
        self.listed(instance, task.clone()).effect
    }

    /// Lists tasks anew, all of one instance, which is put.
    pub(super) async fn list(&mut self, instance: &str, tasks: &[Task]) {
        let mut change = self.change();
        change.put.push(instance_at(instance, "{}", change.to));
        let added = tasks.iter().map(|task| self.listed(instance, task.clone()));
        change.added.extend(added);
        self.commit(change).await;
    }

    /// Lists a task no longer.
    pub(super) async fn withdraw(&mut self, instance: &str, task: &Task) {
        let mut change = self.change();
        change.gone.push(self.effect(instance, task));
        self.commit(change).await;
    }

    pub(super) async fn settle(&self, instance: &str, task: &Task, outcome: Settlement) {
        let effect = self.effect(instance, task);
        let settled = [SettledTask { effect, outcome }];
        self.store.settle(&self.process, &settled).await.unwrap();
    }

    pub(super) async fn done(&self, instance: &str, task: &Task) {
        self.settle(instance, task, Settlement::Done).await;
    }

    pub(super) async fn park(&self, instance: &str, task: &Task) {
        let reason = "it cannot be done".to_owned();
        self.settle(instance, task, Settlement::Parked(reason))
            .await;
    }

    pub(super) async fn roster(&self) -> Roster {
        find(self.store, self.id).await.unwrap()
    }

    /// The tasks of an instance: id, listing and name of the state.
    pub(super) async fn tasks_of(&self, instance: &str) -> Vec<(String, Listing, &'static str)> {
        let found = self.store.tasks_of(self.id, &key(instance)).await.unwrap();
        let told = found.iter().map(|task| {
            let id = task.task.id.as_str().to_owned();
            (id, task.listing, task.state.as_str())
        });
        told.collect()
    }

    /// The ids of all tasks that are to be sent.
    pub(super) async fn sends(&self) -> Vec<String> {
        let sends = self.store.sends(self.id, 0, &[], 1_000).await.unwrap();
        assert!(!sends.has_more);
        ids(&sends.items)
    }
}

pub(super) fn ids(tasks: &[StoredTask]) -> Vec<String> {
    let ids = tasks.iter().map(|task| task.task.id.as_str().to_owned());
    ids.collect()
}

pub(super) async fn find(store: &dyn Store, id: RosterId) -> Option<Roster> {
    let mut rosters = store.rosters().await.unwrap().into_iter();
    rosters.find(|roster| roster.id == id)
}

pub(super) fn instance_at(instance: &str, state: &str, position: Position) -> PutInstance {
    PutInstance {
        key: key(instance),
        birth: BIRTH,
        state: json(state),
        position,
    }
}

/// An instance that cannot fold the `offset`th event.
pub(super) fn parked_at(instance: &str, offset: u64) -> ParkedInstance {
    ParkedInstance {
        key: key(instance),
        position: at(offset),
        event_id: Uuid::from_u128(u128::from(offset)),
        reason: "a field is missing".to_owned(),
        since: datetime!(2026-02-03 04:05:06.789 UTC),
    }
}

/// The reason of what is parked.
pub(super) fn reason_of(task: &StoredTask) -> &str {
    match &task.state {
        TaskState::Parked { reason, .. } => reason,
        state => panic!("the task is {state:?}"),
    }
}
