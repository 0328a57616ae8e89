//! Holds of rosters.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::Store;
use crate::conformance::support::DEADLINE;
use crate::processes::{InstancesChange, RosterCommitError};

/// Commits a change once nothing is held any more.
async fn commit_in_time(store: &dyn Store, change: &InstancesChange) {
    let committing = async {
        loop {
            match store.commit_instances(change.clone()).await {
                Err(RosterCommitError::Held) => tokio::task::yield_now().await,
                outcome => return outcome.unwrap(),
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, committing).await;
    in_time.expect("the hold has ended");
}

pub(crate) async fn a_hold_keeps_changes_of_rosters_away_until_it_is_dropped(
    store: Arc<dyn Store>,
) {
    let mut first = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let mut second = Work::begin(&*store, &process("fulfilment"), "v2").await;
    let gone = Work::begin(&*store, &process("fulfilment"), "v3").await;
    store.drop_roster(gone.id).await.unwrap();
    let a = send("a", "c-1");
    first.list("o-1", std::slice::from_ref(&a)).await;
    let held = [second.id, gone.id, first.id];
    let hold = store.hold_rosters(&held, DEADLINE).await.unwrap();
    let positions = hold.positions().await.unwrap();
    assert_eq!(positions, [Some(at(0)), None, Some(at(1))]);
    let changes = [first.change(), second.change()];
    for change in &changes {
        let refused = store.commit_instances(change.clone()).await;
        assert!(
            matches!(refused, Err(RosterCommitError::Held)),
            "{refused:?}"
        );
    }
    // All else goes on.
    first.park("o-1", &a).await;
    assert_eq!(first.roster().await.parked_tasks, 1);
    store.skip_tasks(first.id, Some(second.id)).await.unwrap();
    assert_eq!(first.roster().await.skipped_through, at(1));
    assert_eq!(hold.positions().await.unwrap(), positions);
    drop(hold);
    for change in &changes {
        commit_in_time(&*store, change).await;
    }
    second
        .commit(InstancesChange::moving(second.id, at(1), at(2)))
        .await;
}

pub(crate) async fn a_hold_of_rosters_ends_after_its_time(store: Arc<dyn Store>) {
    let work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let held = [work.id];
    let hold = store.hold_rosters(&held, Duration::from_millis(50));
    let hold = hold.await.unwrap();
    commit_in_time(&*store, &work.change()).await;
    assert!(hold.positions().await.is_err());
}
