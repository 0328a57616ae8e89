//! What becomes of tasks, in all rosters of a process.

use std::sync::Arc;

use gavel_model::TaskId;

use super::support::*;
use crate::Store;
use crate::conformance::support::decider;
use crate::processes::Listing::{Listed, Once};
use crate::processes::{RetryTasks, SettledTask, Settlement, TaskDifference, TaskState};

pub(crate) async fn rosters_of_a_process_share_what_was_recorded_and_settled(
    store: Arc<dyn Store>,
) {
    let mut active = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let mut candidate = Work::begin(&*store, &process("fulfilment"), "v2").await;
    let mut other = Work::begin(&*store, &process("billing"), "v1").await;
    let names = ["done", "parked", "open", "later"];
    let recorded = names.map(|name| send(name, "c-1"));
    let computed = names.map(|name| send_to(name, "counter", "c-1", "2"));
    active.list("o-1", &recorded).await;
    other.list("o-1", &recorded).await;
    active.done("o-1", &recorded[0]).await;
    active.park("o-1", &recorded[1]).await;
    candidate.commit(candidate.change()).await;
    candidate.list("o-1", &computed).await;

    let mine = store.tasks_of(active.id, &key("o-1")).await.unwrap();
    let theirs = store.tasks_of(candidate.id, &key("o-1")).await.unwrap();
    assert_eq!(mine.len(), 4);
    for (mine, theirs) in mine.iter().zip(&theirs) {
        assert_eq!((&mine.task, &mine.origin), (&theirs.task, &theirs.origin));
        assert_eq!(mine.state, theirs.state);
    }
    assert_eq!(reason_of(&theirs[1]), "it cannot be done");

    // From the candidate to the active one as well, and to no other process.
    let settled = [
        (3, Settlement::Done),
        (2, Settlement::Parked("once".to_owned())),
        (2, Settlement::Parked("twice".to_owned())),
        (1, Settlement::Done),
        (1, Settlement::Parked("late".to_owned())),
    ];
    let settled = settled.map(|(place, outcome)| SettledTask {
        effect: theirs[place].effect,
        outcome,
    });
    store.settle(&candidate.process, &settled).await.unwrap();
    for work in [&active, &candidate] {
        let told = store.tasks_of(work.id, &key("o-1")).await.unwrap();
        let states: Vec<_> = told.iter().map(|task| task.state.as_str()).collect();
        assert_eq!(states, ["done", "done", "parked", "done"]);
        assert_eq!(reason_of(&told[2]), "twice");
    }
    assert_eq!(other.roster().await.open_tasks, 4);
}

pub(crate) async fn parked_tasks_are_opened_again(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let mut second = Work::begin(&*store, &process("fulfilment"), "v2").await;
    let tasks = [
        send("a", "c-1"),
        send("b", "c-2"),
        send_to("c", "account", "c-3", "1"),
        wait("w", PAST),
        send("done", "c-4"),
    ];
    for instance in ["o-1", "o-2"] {
        work.list(instance, &tasks).await;
        second.list(instance, &tasks).await;
        for task in &tasks[..4] {
            work.park(instance, task).await;
        }
        work.done(instance, &tasks[4]).await;
    }
    let roster = work.roster().await;
    assert_eq!((roster.parked_tasks, roster.open_tasks), (8, 0));

    let one = |id: &str| RetryTasks::One(key("o-1"), TaskId::new(id).unwrap());
    for (which, count, sends) in [
        (one("a"), 1, vec!["a"]),
        (one("a"), 0, vec!["a"]),
        (one("done"), 0, vec!["a"]),
        (
            RetryTasks::To(decider("counter")),
            3,
            vec!["a", "b", "a", "b"],
        ),
        (one("w"), 1, vec!["a", "b", "a", "b"]),
    ] {
        let opened = store.retry_tasks(&work.process, &which).await.unwrap();
        assert_eq!(opened, count, "{which:?}");
        assert_eq!(work.sends().await, sends);
        assert_eq!(second.sends().await, sends);
    }
    let due = store.due_waits(work.id, 10).await.unwrap();
    assert_eq!(due.waits.len(), 1);
    assert_eq!(due.waits[0].state, TaskState::Open);
}

async fn differences(
    store: &dyn Store,
    candidate: &Work<'_>,
    active: Option<&Work<'_>>,
    limit: u32,
) -> Vec<TaskDifference> {
    let active = active.map(|active| active.id);
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.task_differences(candidate.id, active, after, limit);
        let page = page.await.unwrap();
        assert!(page.items.len() <= limit as usize);
        all.extend(page.items);
        if !page.has_more {
            return all;
        }
        let last: &TaskDifference = all.last().unwrap();
        let task = last.candidate.as_ref().or(last.active.as_ref()).unwrap();
        after = Some(task.effect);
    }
}

/// The ids of tasks that only one lists.
fn lopsided(found: &[TaskDifference]) -> (Vec<String>, Vec<String>) {
    let (mut appear, mut vanish) = (Vec::new(), Vec::new());
    for difference in found {
        match (&difference.candidate, &difference.active) {
            (Some(task), None) => appear.push(task.task.id.as_str().to_owned()),
            (None, Some(task)) => vanish.push(task.task.id.as_str().to_owned()),
            other => panic!("{other:?}"),
        }
    }
    appear.sort_unstable();
    vanish.sort_unstable();
    (appear, vanish)
}

pub(crate) async fn tasks_by_which_two_rosters_differ_are_told(store: Arc<dyn Store>) {
    let mut active = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let mut candidate = Work::begin(&*store, &process("fulfilment"), "v2").await;
    let [both, old, sent, stuck, withdrawn, new, again] =
        ["both", "old", "sent", "stuck", "withdrawn", "new", "again"].map(|id| send(id, id));
    let [at_one, at_another] = [wait("w", PAST), wait("w", FUTURE)];
    let mine = [&both, &old, &sent, &stuck, &withdrawn, &at_one].map(Clone::clone);
    active.list("o-1", &mine).await;
    active.done("o-1", &sent).await;
    active.park("o-1", &stuck).await;
    active.withdraw("o-1", &withdrawn).await;
    let theirs = [&both, &new, &again, &withdrawn, &at_another].map(Clone::clone);
    candidate.list("o-1", &theirs).await;
    candidate.done("o-1", &again).await;

    for limit in [1, 2, 100] {
        let found = differences(&*store, &candidate, Some(&active), limit).await;
        let (appear, vanish) = lopsided(&found);
        assert_eq!(appear, ["new", "w", "withdrawn"]);
        assert_eq!(vanish, ["old", "stuck", "w"]);
    }
    let found = differences(&*store, &candidate, None, 2).await;
    assert_eq!(lopsided(&found).0, ["both", "new", "w", "withdrawn"]);
    store.drop_roster(active.id).await.unwrap();
    let gone = store.task_differences(candidate.id, Some(active.id), None, 9);
    assert!(gone.await.is_err());
}

pub(crate) async fn skipped_tasks_are_done_also_when_they_are_listed_again(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let tasks = [send("a", "c-1"), wait("w", PAST), send("parked", "c-2")];
    work.list("o-1", &tasks).await;
    work.park("o-1", &tasks[2]).await;
    let mut change = work.change();
    let mut once = work.listed("e-1", send("once", "c-3"));
    once.listing = Once;
    change.added.push(once.clone());
    work.commit(change).await;
    store.skip_tasks(work.id, None).await.unwrap();
    assert_eq!(work.roster().await.skipped_through, at(2));
    let done = ["a", "w", "parked"].map(|id| (id.to_owned(), Listed, "done"));
    assert_eq!(work.tasks_of("o-1").await, done);
    assert_eq!(work.tasks_of("e-1").await, []);

    work.restart().await;
    assert_eq!(work.roster().await.skipped_through, at(2));
    work.list("o-1", &tasks).await;
    let mut change = work.change();
    change.added.push(once);
    work.commit(change).await;
    assert_eq!(work.tasks_of("o-1").await, done);
    assert_eq!(work.tasks_of("e-1").await, []);
    work.list("o-2", &[send("after", "c-1")]).await;
    assert_eq!(work.sends().await, ["after"]);
    store.drop_roster(work.id).await.unwrap();
    assert!(store.skip_tasks(work.id, None).await.is_err());
}

pub(crate) async fn what_the_active_roster_has_is_not_skipped(store: Arc<dyn Store>) {
    let mut active = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let mut candidate = Work::begin(&*store, &process("fulfilment"), "v2").await;
    let mut former = Work::begin(&*store, &process("fulfilment"), "v0").await;
    let [both, new] = [send("both", "c-1"), send("new", "c-2")];
    active.list("o-1", std::slice::from_ref(&both)).await;
    former.list("o-1", std::slice::from_ref(&new)).await;
    let all = [both, new];
    candidate.list("o-1", &all).await;
    store
        .skip_tasks(candidate.id, Some(active.id))
        .await
        .unwrap();
    assert_eq!(candidate.sends().await, ["both"]);
    assert_eq!(active.sends().await, ["both"]);
    // All rosters of a process agree.
    assert_eq!(former.sends().await, Vec::<String>::new());
    candidate.restart().await;
    candidate.list("o-1", &all).await;
    assert_eq!(candidate.sends().await, ["both"]);
}
