//! Rosters: made, emptied, dropped and paused.

use std::sync::Arc;

use gavel_model::{ModuleDigest, Position};

use super::support::*;
use crate::Store;
use crate::processes::{InstanceFilter, NewRoster, RosterCommitError};

pub(crate) async fn a_roster_is_made_once_for_a_process_and_a_module(store: Arc<dyn Store>) {
    let new = NewRoster {
        process: process("fulfilment"),
        digest: ModuleDigest::of(b"v1"),
        start: at(7),
    };
    let made = store.create_roster(new.clone()).await.unwrap();
    assert_eq!((&made.process, made.digest), (&new.process, new.digest));
    let positions = (made.start, made.position, made.skipped_through);
    assert_eq!(positions, (at(7), at(7), Position::BEGINNING));
    let counts = [made.instances, made.parked_instances];
    assert_eq!((counts, made.open_tasks, made.parked_tasks), ([0; 2], 0, 0));
    assert!(!made.is_paused);

    let elsewhere = NewRoster {
        start: at(9),
        ..new.clone()
    };
    assert_eq!(store.create_roster(elsewhere).await.unwrap(), made);
    let other = NewRoster {
        digest: ModuleDigest::of(b"v2"),
        ..new
    };
    let other = store.create_roster(other).await.unwrap();
    assert!(other.id > made.id);
    assert_eq!(store.rosters().await.unwrap(), [made, other]);
}

pub(crate) async fn a_roster_that_begins_again_is_empty_and_where_it_began(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let begun = work.roster().await;
    let (a, b) = (send("a", "c-1"), send("b", "c-2"));
    work.list("o-1", &[a.clone(), b.clone()]).await;
    work.done("o-1", &a).await;
    work.park("o-1", &b).await;
    let mut change = work.change();
    change.parked.push(parked_at("o-2", 2));
    change.held.push((key("o-2"), at(3)));
    work.commit(change).await;

    work.restart().await;
    assert_eq!(work.roster().await, begun);
    assert_eq!(work.tasks_of("o-1").await, []);
    let listed = store
        .list_instances(work.id, InstanceFilter::Open, None, 10)
        .await;
    assert_eq!(listed.unwrap().items, []);
    let held = store.held_inputs(work.id, &key("o-2"), at(0), 10).await;
    assert_eq!(held.unwrap(), []);

    work.list("o-1", &[a, b]).await;
    assert_eq!(work.sends().await, ["a", "b"]);
}

pub(crate) async fn a_roster_that_is_dropped_is_gone_for_good(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    work.list("o-1", &[send("a", "c-1")]).await;
    store.drop_roster(work.id).await.unwrap();
    store.drop_roster(work.id).await.unwrap();
    assert_eq!(store.rosters().await.unwrap(), []);
    let refused = store.commit_instances(work.change()).await;
    assert!(matches!(refused, Err(RosterCommitError::Gone)));
    assert!(store.instances(work.id, &[key("o-1")]).await.is_err());
    assert_eq!(work.sends().await, Vec::<String>::new());

    let again = Work::begin(&*store, &process("fulfilment"), "v1").await;
    assert!(again.id > work.id);
    assert_eq!(again.sends().await, Vec::<String>::new());
}

pub(crate) async fn a_process_is_paused_with_all_its_rosters(store: Arc<dyn Store>) {
    let (paused, other) = (process("fulfilment"), process("billing"));
    let first = Work::begin(&*store, &paused, "v1").await;
    let beside = Work::begin(&*store, &other, "v1").await;
    store.pause_process(&paused, true).await.unwrap();
    let second = Work::begin(&*store, &paused, "v2").await;
    assert!(first.roster().await.is_paused && second.roster().await.is_paused);
    assert!(!beside.roster().await.is_paused);

    store.pause_process(&paused, false).await.unwrap();
    assert!(!first.roster().await.is_paused && !second.roster().await.is_paused);

    store.pause_process(&paused, true).await.unwrap();
    store.drop_roster(first.id).await.unwrap();
    store.drop_roster(second.id).await.unwrap();
    let anew = Work::begin(&*store, &paused, "v1").await;
    assert!(!anew.roster().await.is_paused);
}

pub(crate) async fn rosters_in_two_namespaces_share_nothing(store: Arc<dyn Store>) {
    let mut here = Work::begin(&*store, &process_of("here", "fulfilment"), "v1").await;
    let mut there = Work::begin(&*store, &process_of("there", "fulfilment"), "v1").await;
    assert_ne!(here.id, there.id);
    // The same effect, as no two processes have it.
    let listed = here.listed("o-1", send("a", "c-1"));
    for work in [&mut here, &mut there] {
        let mut change = work.change();
        change.added.push(listed.clone());
        work.commit(change).await;
    }
    here.park("o-1", &send("a", "c-1")).await;
    store.pause_process(&here.process, true).await.unwrap();
    assert_eq!(here.sends().await, Vec::<String>::new());
    assert_eq!(there.sends().await, ["a"]);
    assert!(!there.roster().await.is_paused);
}
