//! Instances that cannot fold an input, and the inputs behind them.

use std::sync::Arc;

use super::support::*;
use crate::Store;
use crate::processes::{InstanceFilter, ParkedInstance, RosterCommitError};

pub(crate) async fn a_parked_instance_is_told_with_what_it_holds(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    work.list("o-1", &[send("a", "c-1")]).await;
    let mut change = work.change();
    change.parked.push(parked_at("o-1", 2));
    change.parked.push(parked_at("new", 2));
    change
        .held
        .extend([4, 3].map(|offset| (key("o-1"), at(offset))));
    work.commit(change).await;
    let mut change = work.change();
    change
        .held
        .extend([3, 5].map(|offset| (key("o-1"), at(offset))));
    work.commit(change).await;

    let held = async |after, limit| {
        let key = key("o-1");
        let held = store.held_inputs(work.id, &key, at(after), limit);
        held.await.unwrap()
    };
    assert_eq!(held(0, 10).await, [3, 4, 5].map(at));
    assert_eq!(held(3, 1).await, [at(4)]);
    let found = store.instances(work.id, &["o-1", "new"].map(key)).await;
    let found = found.unwrap();
    assert!(found.iter().all(|found| found.is_parked));
    assert_eq!((found[0].birth, found[1].birth), (Some(BIRTH), None));
    let roster = work.roster().await;
    assert_eq!((roster.instances, roster.parked_instances), (1, 2));

    let listed = store
        .list_instances(work.id, InstanceFilter::Parked, None, 10)
        .await;
    let listed = listed.unwrap().items;
    assert_eq!(listed[0].key, key("new"));
    assert_eq!(listed[0].parked, Some(parked_at("new", 2)));
    assert_eq!(
        (&listed[0].state, listed[0].birth),
        (&None, listed[0].parked.as_ref().unwrap().event_id)
    );
    assert_eq!(listed[1].parked, Some(parked_at("o-1", 2)));
    assert_eq!(listed[1].position, at(1));
}

pub(crate) async fn an_instance_that_is_not_parked_any_more_holds_nothing(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let mut change = work.change();
    change.parked.push(parked_at("o-1", 1));
    change.held.push((key("o-1"), at(2)));
    work.commit(change).await;
    let mut change = work.change();
    change.unparked.push(key("o-1"));
    change.put.push(instance_at("o-1", "{}", at(2)));
    work.commit(change).await;
    let held = store.held_inputs(work.id, &key("o-1"), at(0), 10).await;
    assert_eq!(held.unwrap(), []);
    assert_eq!(work.roster().await.parked_instances, 0);

    // Parked once more, it holds nothing of before.
    let mut change = work.change();
    change.parked.push(parked_at("o-1", 3));
    work.commit(change).await;
    let held = store.held_inputs(work.id, &key("o-1"), at(0), 10).await;
    assert_eq!(held.unwrap(), []);
}

pub(crate) async fn what_is_held_after_the_input_that_an_instance_is_parked_at_is_held_on(
    store: Arc<dyn Store>,
) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let mut change = work.change();
    change.parked.push(parked_at("o-1", 1));
    change
        .held
        .extend([2, 3, 4].map(|offset| (key("o-1"), at(offset))));
    work.commit(change).await;
    let mut change = work.change();
    let further = ParkedInstance {
        reason: "another one".to_owned(),
        ..parked_at("o-1", 3)
    };
    change.parked.push(further.clone());
    change.held.push((key("o-1"), at(5)));
    work.commit(change).await;
    let held = store.held_inputs(work.id, &key("o-1"), at(0), 10).await;
    assert_eq!(held.unwrap(), [4, 5].map(at));
    let listed = store
        .list_instances(work.id, InstanceFilter::Open, None, 10)
        .await;
    assert_eq!(listed.unwrap().items[0].parked, Some(further));
}

pub(crate) async fn no_input_is_held_behind_an_instance_that_was_retried_meanwhile(
    store: Arc<dyn Store>,
) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let mut change = work.change();
    change.parked.push(parked_at("o-1", 1));
    work.commit(change).await;
    let mut late = work.change();
    late.held.push((key("o-1"), late.to));
    late.put.push(instance_at("o-2", "{}", late.to));
    // Retried in place: the roster does not move.
    let mut retried = work.change();
    retried.to = retried.from;
    retried.unparked.push(key("o-1"));
    retried.put.push(instance_at("o-1", "{}", at(1)));
    work.commit(retried).await;

    let refused = store.commit_instances(late).await;
    assert!(
        matches!(refused, Err(RosterCommitError::Moved)),
        "{refused:?}"
    );
    let roster = work.roster().await;
    assert_eq!((roster.position, roster.instances), (at(1), 1));
}
