//! Tasks: listed, gone, and what is to be done.

use std::sync::Arc;
use std::time::Duration;

use time::macros::datetime;

use super::support::*;
use crate::conformance::support::decider;
use crate::processes::Listing::{Listed, Once, Withdrawn};
use crate::{PAGE_BYTES, Store};

pub(crate) async fn an_open_send_that_is_withdrawn_stays_until_it_is_settled(
    store: Arc<dyn Store>,
) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let a = send("a", "c-1");
    work.list("o-1", std::slice::from_ref(&a)).await;
    work.withdraw("o-1", &a).await;
    assert_eq!(
        work.tasks_of("o-1").await,
        [("a".to_owned(), Withdrawn, "open")]
    );
    assert_eq!(work.sends().await, ["a"]);
    assert_eq!(work.roster().await.open_tasks, 0);
    let found = store.instances(work.id, &[key("o-1")]).await.unwrap();
    assert_eq!(found[0].listed, []);

    work.done("o-1", &a).await;
    assert_eq!(work.tasks_of("o-1").await, []);
    assert_eq!(work.sends().await, Vec::<String>::new());
}

pub(crate) async fn a_settled_send_or_a_wait_that_goes_is_forgotten(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let tasks = [
        send("done", "c-1"),
        send("parked", "c-2"),
        wait("due", PAST),
        wait("to come", FUTURE),
    ];
    work.list("o-1", &tasks).await;
    work.done("o-1", &tasks[0]).await;
    work.park("o-1", &tasks[1]).await;
    let mut change = work.change();
    change
        .gone
        .extend(tasks.iter().map(|task| work.effect("o-1", task)));
    // Of what is not there nothing stays.
    change.gone.push(work.effect("o-2", &tasks[0]));
    work.commit(change).await;
    assert_eq!(work.tasks_of("o-1").await, []);
    let due = store.due_waits(work.id, 10).await.unwrap();
    assert_eq!((due.waits.len(), due.next), (0, None));
}

pub(crate) async fn a_send_that_is_listed_again_is_the_one_recorded_first(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let (first, again) = (
        send_to("a", "counter", "c-1", r#"{"by":1}"#),
        send_to("a", "account", "c-2", r#"{"by":2}"#),
    );
    work.list("o-1", &[first.clone(), send("b", "c-3")]).await;
    let recorded = store
        .tasks_of(work.id, &key("o-1"))
        .await
        .unwrap()
        .remove(0);
    work.withdraw("o-1", &first).await;
    work.list("o-1", std::slice::from_ref(&again)).await;

    let told = store.tasks_of(work.id, &key("o-1")).await.unwrap();
    assert_eq!(ids(&told), ["b", "a"]);
    assert_eq!((&told[1].task, told[1].listing), (&first, Listed));
    assert_eq!(told[1].origin, recorded.origin);
    assert!(told[1].place > told[0].place);

    // Also in one change, and no longer once it is forgotten.
    let mut change = work.change();
    change.gone.push(recorded.effect);
    change.added.push(work.listed("o-1", again.clone()));
    work.commit(change).await;
    let told = store.tasks_of(work.id, &key("o-1")).await.unwrap();
    assert_eq!((&told[1].task, told[1].listing), (&first, Listed));
    work.done("o-1", &again).await;
    work.withdraw("o-1", &again).await;
    work.list("o-1", std::slice::from_ref(&again)).await;
    let told = store.tasks_of(work.id, &key("o-1")).await.unwrap();
    assert_eq!(told[1].task, again);
    assert_eq!(work.sends().await, ["b", "a"]);
}

pub(crate) async fn a_task_that_is_done_stays_while_it_is_listed(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let tasks = [send("a", "c-1"), wait("w", PAST)];
    work.list("o-1", &tasks).await;
    for task in &tasks {
        work.done("o-1", task).await;
        // What is done stays so.
        work.park("o-1", task).await;
    }
    let done = ["a", "w"].map(|id| (id.to_owned(), Listed, "done"));
    assert_eq!(work.tasks_of("o-1").await, done);
    assert_eq!(work.sends().await, Vec::<String>::new());
    let due = store.due_waits(work.id, 10).await.unwrap();
    assert_eq!((due.waits.len(), due.next), (0, None));
    let found = store.instances(work.id, &[key("o-1")]).await.unwrap();
    assert_eq!(found[0].listed.len(), 2);
    assert_eq!(work.roster().await.open_tasks, 0);
}

pub(crate) async fn a_task_that_is_listed_once_is_forgotten_when_it_is_done(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("saga"), "v1").await;
    let tasks = [send("a", "c-1"), send("b", "c-2"), wait("w", PAST)];
    let mut change = work.change();
    for task in &tasks {
        let mut listed = work.listed("e-1", task.clone());
        listed.listing = Once;
        change.added.push(listed);
    }
    work.commit(change).await;
    assert_eq!(work.roster().await.open_tasks, 3);
    assert_eq!(work.sends().await, ["a", "b"]);
    work.done("e-1", &tasks[0]).await;
    work.park("e-1", &tasks[1]).await;
    work.done("e-1", &tasks[2]).await;
    assert_eq!(
        work.tasks_of("e-1").await,
        [("b".to_owned(), Once, "parked")]
    );
    work.done("e-1", &tasks[1]).await;
    assert_eq!(work.tasks_of("e-1").await, []);
}

pub(crate) async fn a_parked_send_holds_back_what_follows_it_to_its_stream(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let parked = send("b", "c-1");
    let tasks = [
        send("a", "c-1"),
        parked.clone(),
        send("c", "c-1"),
        send("d", "c-2"),
        send_to("e", "account", "c-1", "1"),
    ];
    work.list("o-1", &tasks).await;
    work.list("o-2", &[send("f", "c-1")]).await;
    work.park("o-1", &parked).await;
    assert_eq!(work.sends().await, ["a", "d", "e", "f"]);
    work.done("o-1", &parked).await;
    assert_eq!(work.sends().await, ["a", "c", "d", "e", "f"]);
}

pub(crate) async fn sends_to_deciders_that_rest_are_left_out(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let tasks = [
        send("a", "c-1"),
        send_to("b", "account", "a-1", "1"),
        send_to("c", "order", "o-1", "1"),
    ];
    work.list("o-1", &tasks).await;
    let resting = [decider("counter"), decider("order"), decider("nobody")];
    let sends = store.sends(work.id, 0, &resting, 10).await.unwrap();
    assert_eq!(ids(&sends.items), ["b"]);
    let sends = store.sends(work.id, 0, &resting[..1], 1).await.unwrap();
    assert_eq!(
        (ids(&sends.items), sends.has_more),
        (vec!["b".to_owned()], true)
    );
}

pub(crate) async fn pages_of_sends_join_by_place(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let large = format!("\"{}\"", "x".repeat(PAGE_BYTES / 3));
    for number in 0..9 {
        let data = if number == 4 { "1" } else { &*large };
        let id = format!("t-{number}");
        work.list(
            &format!("o-{number}"),
            &[send_to(&id, "counter", "c", data)],
        )
        .await;
    }
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = store.sends(work.id, after, &[], 100).await.unwrap();
        assert!((1..=3).contains(&page.items.len()), "{}", page.items.len());
        after = page.items.last().unwrap().place;
        all.extend(ids(&page.items));
        if !page.has_more {
            break;
        }
    }
    let expected: Vec<String> = (0..9).map(|number| format!("t-{number}")).collect();
    assert_eq!(all, expected);
    let page = store.sends(work.id, after, &[], 100).await.unwrap();
    assert_eq!((page.items.len(), page.has_more), (0, false));
}

pub(crate) async fn waits_are_due_in_the_order_of_their_times(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let later = PAST + time::Duration::milliseconds(1);
    let tasks = [
        wait("third", later),
        wait("to come", FUTURE),
        wait("second", PAST),
        wait("first", datetime!(1999-12-31 23:59:59 UTC)),
        wait("last", datetime!(9999-12-31 23:59:59.999 UTC)),
        send("send", "c-1"),
    ];
    work.list("o-1", &tasks).await;
    let due = store.due_waits(work.id, 2).await.unwrap();
    assert_eq!(ids(&due.waits), ["first", "second"]);
    let due = store.due_waits(work.id, 10).await.unwrap();
    assert_eq!(ids(&due.waits), ["first", "second", "third"]);
    assert_eq!(due.waits[2].waits_until(), Some(later));
    assert!(due.next.unwrap() > Duration::from_secs(1));
    for task in &tasks[1..4] {
        work.done("o-1", task).await;
    }
    work.park("o-1", &tasks[0]).await;
    let due = store.due_waits(work.id, 10).await.unwrap();
    assert_eq!(due.waits.len(), 0);
    assert!(due.next.is_some());
    work.done("o-1", &tasks[4]).await;
    assert_eq!(store.due_waits(work.id, 10).await.unwrap().next, None);
}
