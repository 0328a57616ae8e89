//! Lists of instances.

use std::sync::Arc;

use gavel_model::Position;

use super::support::*;
use crate::processes::{InstanceFilter, InstanceSummary, Listing};
use crate::{PAGE_BYTES, Store};

/// The keys of a list, in pages.
async fn keys_of(
    store: &dyn Store,
    work: &Work<'_>,
    filter: InstanceFilter,
    limit: u32,
) -> Vec<String> {
    let (mut all, mut after) = (Vec::<InstanceSummary>::new(), None);
    loop {
        let page = store.list_instances(work.id, filter, after.as_ref(), limit);
        let page = page.await.unwrap();
        assert!(page.items.len() <= limit as usize);
        all.extend(page.items);
        if !page.has_more {
            return all.iter().map(|found| found.key.to_string()).collect();
        }
        after = all.last().map(|last| last.key.clone());
    }
}

pub(crate) async fn instances_are_listed_by_the_bytes_of_their_keys(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let names = ["Z", "a", "a-", "a/1", "aB", "ab", "é", "日"];
    let mut change = work.change();
    let puts = names
        .iter()
        .rev()
        .map(|name| instance_at(name, "{}", at(1)));
    change.put.extend(puts);
    work.commit(change).await;
    for limit in [1, 3, 100] {
        assert_eq!(
            keys_of(&*store, &work, InstanceFilter::Open, limit).await,
            names
        );
    }
    assert_eq!(
        keys_of(&*store, &work, InstanceFilter::Parked, 3).await,
        Vec::<String>::new()
    );
}

pub(crate) async fn pages_of_instances_are_bounded_in_bytes(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let large = format!("\"{}\"", "x".repeat(PAGE_BYTES * 2 / 3));
    let mut change = work.change();
    let names = ["a", "b", "c"];
    change
        .put
        .extend(names.map(|name| instance_at(name, &large, at(1))));
    work.commit(change).await;
    let page = store
        .list_instances(work.id, InstanceFilter::Open, None, 100)
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.has_more), (1, true));
    assert_eq!(
        keys_of(&*store, &work, InstanceFilter::Open, 100).await,
        names
    );
}

pub(crate) async fn instances_are_listed_while_something_is_left_to_do(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let (a, w) = (send("a", "c-1"), wait("w", FUTURE));
    let tasks = [a.clone(), w, wait("earlier", PAST), send("stuck", "c-2")];
    work.list("begun", &tasks).await;
    work.park("begun", &tasks[3]).await;
    let mut change = work.change();
    change.put.push(instance_at("quiet", "3", change.to));
    let mut once = work.listed("once", a.clone());
    once.listing = Listing::Once;
    change.added.push(once.clone());
    change.parked.push(parked_at("parked", 2));
    work.commit(change).await;

    let open = ["begun", "once", "parked", "quiet"];
    for limit in [1, 100] {
        assert_eq!(
            keys_of(&*store, &work, InstanceFilter::Open, limit).await,
            open
        );
        let parked = keys_of(&*store, &work, InstanceFilter::Parked, limit).await;
        assert_eq!(parked, ["begun", "parked"]);
    }
    let listed = store.list_instances(work.id, InstanceFilter::Open, None, 10);
    let listed = listed.await.unwrap().items;
    let begun = &listed[0];
    assert_eq!((begun.birth, begun.position), (BIRTH, at(1)));
    assert_eq!((begun.open_tasks, begun.parked_tasks), (3, 1));
    assert_eq!((begun.next_wait, &begun.parked), (Some(PAST), &None));
    let saga = &listed[1];
    assert_eq!((saga.birth, &saga.state), (BIRTH, &None));
    assert_eq!((saga.open_tasks, saga.next_wait), (1, None));
    assert_eq!(saga.position, Position::BEGINNING);

    work.done("once", &a).await;
    work.done("begun", &tasks[3]).await;
    let open = ["begun", "parked", "quiet"];
    assert_eq!(
        keys_of(&*store, &work, InstanceFilter::Open, 10).await,
        open
    );
    let parked = keys_of(&*store, &work, InstanceFilter::Parked, 10).await;
    assert_eq!(parked, ["parked"]);
}
