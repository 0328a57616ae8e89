//! Changes at random, on the store and on the one in memory.

use std::sync::Arc;

use gavel_model::{Position, StreamKey, Task, TaskId};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::support::*;
use crate::conformance::support::{UnsteadyClock, decider};
use crate::processes::{
    InstanceFilter, InstancesChange, Listing, ParkedInstance, ProcessStore as _, RetryTasks,
    SettledTask, Settlement, StoredTask, TaskState,
};
use crate::{MemoryStore, Store};

const INSTANCES: [&str; 4] = ["a", "b", "é", "z"];

/// All tasks that instances may list.
fn tasks() -> Vec<Task> {
    vec![
        send("a", "c-1"),
        send("b", "c-1"),
        send_to("c", "account", "c-1", "[2]"),
        wait("w", PAST),
        wait("w", FUTURE),
        wait("x", FUTURE),
    ]
}

/// A task without what differs from store to store.
fn told(mut task: StoredTask) -> StoredTask {
    task.place = 0;
    if let TaskState::Parked { since, .. } = &mut task.state {
        *since = PAST;
    }
    task
}

/// All that is told of a roster.
async fn all(store: &dyn Store, work: &Work<'_>, others: &[Work<'_>]) -> String {
    let mut roster = work.roster().await;
    roster.created_at = PAST;
    let keys = INSTANCES.map(key);
    let instances = store.instances(work.id, &keys).await.unwrap();
    let mut texts = vec![format!("{roster:?}"), format!("{instances:?}")];
    for key in &keys {
        let tasks = store.tasks_of(work.id, key).await.unwrap();
        let tasks: Vec<_> = tasks.into_iter().map(told).collect();
        let held = store.held_inputs(work.id, key, Position::BEGINNING, 100);
        texts.push(format!("{key}: {tasks:?} {:?}", held.await.unwrap()));
    }
    for resting in [&[][..], &[decider("account")]] {
        let sends = store.sends(work.id, 0, resting, 100).await.unwrap();
        texts.push(format!("{:?}", ids(&sends.items)));
    }
    let due = store.due_waits(work.id, 100).await.unwrap();
    texts.push(format!("{:?} {}", ids(&due.waits), due.next.is_some()));
    for filter in [InstanceFilter::Open, InstanceFilter::Parked] {
        let listed = store.list_instances(work.id, filter, None, 100).await;
        texts.push(format!("{:?}", listed.unwrap()));
    }
    for other in others.iter().filter(|other| other.process == work.process) {
        let active = (other.id != work.id).then_some(other.id);
        let page = store.task_differences(work.id, active, None, 100).await;
        for difference in page.unwrap().items {
            let [one, other] = [difference.candidate, difference.active].map(|task| task.map(told));
            texts.push(format!("{one:?} against {other:?}"));
        }
    }
    texts.join("\n")
}

/// A change at random of a roster.
fn change_of(random: &mut StdRng, work: &Work<'_>) -> InstancesChange {
    let mut change = work.change();
    let to = change.to;
    let offset = to.offset();
    for instance in INSTANCES {
        match random.random_range(0..6) {
            0..3 => change
                .put
                .push(instance_at(instance, &format!("{offset}"), to)),
            3 => change.ended.push(key(instance)),
            _ => {}
        }
        for task in tasks() {
            let mut listed = work.listed(instance, task);
            let is_once = instance == INSTANCES[0];
            match random.random_range(0..6) {
                0 => change.gone.push(listed.effect),
                1 if !is_once => change.added.push(listed),
                1 => {
                    listed.listing = Listing::Once;
                    change.added.push(listed);
                }
                2 if !is_once => {
                    change.gone.push(listed.effect);
                    change.added.push(listed);
                }
                _ => {}
            }
        }
        match random.random_range(0..8) {
            0 => change.unparked.push(key(instance)),
            1 => {
                change.parked.push(ParkedInstance {
                    reason: format!("at {offset}"),
                    ..parked_at(instance, offset.saturating_sub(2))
                });
                change.held.push((key(instance), to));
            }
            2 => change.held.push((key(instance), to)),
            _ => {}
        }
    }
    change
}

/// A thing that is done to all rosters of a process, or to one of them, besides changes.
#[derive(Debug)]
enum Deed {
    Settle(Vec<(&'static str, usize, Settlement)>),
    Retry(RetryTasks),
    Restart,
    Skip(Option<usize>),
}

fn deed_of(random: &mut StdRng) -> Deed {
    match random.random_range(0..12) {
        0..6 => {
            let settled = (0..4).map(|_| {
                let outcome = match random.random_range(0..2) {
                    0 => Settlement::Done,
                    _ => Settlement::Parked(format!("for {}", random.random_range(0..99))),
                };
                let instance = INSTANCES.choose(random).unwrap();
                (*instance, random.random_range(0..tasks().len()), outcome)
            });
            Deed::Settle(settled.collect())
        }
        6..8 => Deed::Retry(RetryTasks::To(decider("counter"))),
        8..10 => {
            let instance: StreamKey = key(INSTANCES.choose(random).unwrap());
            Deed::Retry(RetryTasks::One(instance, TaskId::new("w").unwrap()))
        }
        10 => Deed::Restart,
        _ => Deed::Skip([None, Some(0), Some(1)].choose(random).copied().flatten()),
    }
}

async fn carry_out(store: &dyn Store, works: &mut [Work<'_>], which: usize, deed: &Deed) -> String {
    let process = works[which].process.clone();
    match deed {
        Deed::Settle(settled) => {
            let settled = settled.iter().map(|(instance, task, outcome)| SettledTask {
                effect: works[which].effect(instance, &tasks()[*task]),
                outcome: outcome.clone(),
            });
            let settled: Vec<SettledTask> = settled.collect();
            store.settle(&process, &settled).await.unwrap();
            String::new()
        }
        Deed::Retry(retried) => {
            let opened = store.retry_tasks(&process, retried).await.unwrap();
            format!("{opened} opened")
        }
        Deed::Restart => {
            works[which].restart().await;
            String::new()
        }
        Deed::Skip(active) => {
            let active = active.map(|active| &works[active]);
            let active = active.filter(|active| active.process == process);
            let active = active.map(|active| active.id);
            let active = active.filter(|active| *active != works[which].id);
            store.skip_tasks(works[which].id, active).await.unwrap();
            String::new()
        }
    }
}

async fn begin(store: &dyn Store) -> [Work<'_>; 3] {
    let fulfilment = process("fulfilment");
    // The ids of rosters are those of a store that had no others.
    assert_eq!(store.rosters().await.unwrap(), []);
    [
        Work::begin(store, &fulfilment, "v1").await,
        Work::begin(store, &fulfilment, "v2").await,
        Work::begin(store, &process_of("other", "fulfilment"), "v1").await,
    ]
}

pub(crate) async fn changes_of_rosters_follow_the_model(store: Arc<dyn Store>) {
    let mut random = StdRng::seed_from_u64(18);
    let model = MemoryStore::new(Arc::new(UnsteadyClock::default()));
    let (mut works, mut models) = (begin(&*store).await, begin(&model).await);
    for step in 0..120 {
        let which = random.random_range(0..3);
        let said = if random.random_range(0..3) < 2 {
            let change = change_of(&mut random, &works[which]);
            let mut copy = change.clone();
            copy.roster = models[which].id;
            let outcome = store.commit_instances(change.clone()).await;
            let expected = model.commit_instances(copy).await;
            assert_eq!(
                format!("{outcome:?}"),
                format!("{expected:?}"),
                "{change:?}"
            );
            if outcome.is_ok() {
                works[which].moved_to(change.to);
                models[which].moved_to(change.to);
            }
            format!("{change:?}")
        } else {
            let deed = deed_of(&mut random);
            let outcome = carry_out(&*store, &mut works, which, &deed).await;
            let expected = carry_out(&model, &mut models, which, &deed).await;
            assert_eq!(outcome, expected, "{deed:?}");
            format!("{deed:?}")
        };
        for (work, other) in works.iter().zip(&models) {
            let (found, expected) = (
                all(&*store, work, &works).await,
                all(&model, other, &models).await,
            );
            let differences = found
                .lines()
                .zip(expected.lines())
                .filter(|(one, other)| one != other);
            let differences: Vec<_> = differences.collect();
            assert!(
                found == expected,
                "step {step}, roster {which}: {said}\n{differences:#?}"
            );
        }
    }
}
