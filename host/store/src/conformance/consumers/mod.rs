//! Consumers: leases, their ends, and streams that fail.

mod failures;
mod keeping;
mod leases;

use std::time::Duration;

use gavel_model::{
    Consumer, ConsumerId, ConsumerSettings, EventFilter, Lease, Namespace, NewEvent, Parked,
    Position, Push, RecordedEvent, Start, StreamId,
};

pub(crate) use failures::*;
pub(crate) use keeping::*;
pub(crate) use leases::*;

use super::support::*;
use crate::{ConsumerError, Nacked, PAGE_BYTES, Store, Unpark};

/// The time limit for an expected event.
const DEADLINE: Duration = Duration::from_secs(30);

fn consumer(name: &str) -> ConsumerId {
    ConsumerId::new(Namespace::default(), name).unwrap()
}

fn settings() -> ConsumerSettings {
    ConsumerSettings {
        filter: EventFilter::default(),
        lock_timeout: Duration::from_secs(3_600),
        max_attempts: 3,
        backoff: Duration::ZERO,
        push: None,
    }
}

/// A filter of events with these names.
fn of_events(names: &[&str]) -> EventFilter {
    EventFilter {
        events: names.iter().map(|&name| name.to_owned()).collect(),
        ..EventFilter::default()
    }
}

/// Leases that are over as soon as they are there.
fn hasty() -> ConsumerSettings {
    ConsumerSettings {
        lock_timeout: Duration::from_millis(1),
        ..settings()
    }
}

/// A consumer of all there is.
async fn create(store: &dyn Store, name: &str, settings: &ConsumerSettings) -> ConsumerId {
    let id = consumer(name);
    let is_new = store.put_consumer(&id, settings, Start::Beginning).await;
    assert!(is_new.unwrap());
    id
}

/// Appends `count` events to each of the streams, one after the other, and waits until the log
/// shows all of them.
async fn fill(store: &dyn Store, ids: &[&str], count: usize) -> Vec<RecordedEvent> {
    activate_counter(store).await;
    for id in ids {
        grow(store, &stream(id), count).await;
    }
    log_of(store, &Namespace::default(), ids.len() * count).await
}

/// Waits until anything can be leased, and leases it.
async fn lease(store: &dyn Store, id: &ConsumerId, streams: u32, events: u32) -> Vec<Lease> {
    let leasing = async {
        loop {
            let leased = store.lease(id, streams, events).await.unwrap();
            if !leased.leases.is_empty() {
                return leased.leases;
            }
            tokio::task::yield_now().await;
        }
    };
    let leased = tokio::time::timeout(DEADLINE, leasing).await;
    leased.expect("something can be leased")
}

/// The one lease there is.
async fn lease_one(store: &dyn Store, id: &ConsumerId) -> Lease {
    lease(store, id, 1, 100).await.remove(0)
}

/// The one lease there is, once it holds `events`: what others do on the server may hold some back
/// for a moment.
async fn lease_whole(store: &dyn Store, id: &ConsumerId, events: usize) -> Lease {
    let leasing = async {
        loop {
            // More than the one that is free is asked for, so that new events are looked for.
            let held = lease(store, id, 16, 100).await.remove(0);
            if held.events.len() == events {
                return held;
            }
            store.release(id, held.id, Duration::ZERO).await.unwrap();
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, leasing).await;
    in_time.expect("the whole stream can be leased")
}

/// Asserts that nothing is free although the whole log was looked at.
async fn assert_nothing(store: &dyn Store, id: &ConsumerId) {
    loop {
        let leased = store.lease(id, 16, 100).await.unwrap();
        assert_eq!(leased.leases, []);
        if leased.caught_up {
            return;
        }
    }
}

async fn done(store: &dyn Store, id: &ConsumerId, lease: &Lease) {
    let through = last_of(lease);
    let kept = store.ack(id, lease.id, through, false).await.unwrap();
    assert_eq!(kept, None);
}

fn last_of(lease: &Lease) -> Position {
    lease.events.last().unwrap().position
}

fn versions(lease: &Lease) -> Vec<u64> {
    lease
        .events
        .iter()
        .map(|event| event.version.get())
        .collect()
}

async fn report(store: &dyn Store, id: &ConsumerId) -> Consumer {
    store.consumer(id, 1_000).await.unwrap()
}

#[track_caller]
fn assert_lost<T: std::fmt::Debug>(answer: Result<T, ConsumerError>) {
    assert!(
        matches!(answer, Err(ConsumerError::LeaseLost)),
        "{answer:?}"
    );
}

/// Leases and acknowledges until `count` events have come and there are no more.
async fn drain(store: &dyn Store, id: &ConsumerId, count: usize) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    let draining = async {
        loop {
            let leased = store.lease(id, 16, 100).await.unwrap();
            let is_all = leased.leases.is_empty() && leased.caught_up && events.len() >= count;
            for lease in leased.leases {
                done(store, id, &lease).await;
                events.extend(lease.events);
            }
            if is_all {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, draining).await;
    assert!(in_time.is_ok(), "{count} events come");
    events
}
