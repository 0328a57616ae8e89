//! The cases of several hosts on one backend, and of a backend that loses data or does not report
//! the outcome.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use gavel_model::{
    ActivationNumber, CommandId, CommandRecord, ConsumerId, ConsumerSettings, DeciderName,
    EventFilter, ExpectedVersion, ModuleDigest, Namespace, Position, RecordedEvent, Start,
    StreamId, Version,
};
use tokio::sync::watch;

use super::Composed;
use super::snapshots::SNAPSHOTS_BYTES;
use crate::conformance::support::*;
use crate::{
    ActivateError, ActivationSet, Append, AppendError, Appended, ConsumerStore as _, Error,
    EventStore, LogFilter, LogPage, LogStore, MemoryLog, ModuleStore as _, PastStore as _,
    ResumeError, Snapshot, SnapshotStore as _, StreamHead, StreamRange, StreamSummary,
};

/// A backend that can be put back to its beginning, and that can keep its answer to itself.
#[derive(Debug)]
struct Shaky {
    log: Mutex<Arc<MemoryLog>>,
    is_silent: AtomicBool,
}

impl Shaky {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::new(Self::empty()),
            is_silent: AtomicBool::new(false),
        })
    }

    fn empty() -> Arc<MemoryLog> {
        Arc::new(MemoryLog::new(Arc::new(UnsteadyClock::default())))
    }

    fn put_back(&self) {
        *self.log.lock().unwrap() = Self::empty();
    }

    fn log(&self) -> Arc<MemoryLog> {
        Arc::clone(&self.log.lock().unwrap())
    }

    /// Another host on this backend.
    fn host(self: &Arc<Self>) -> Composed<Self> {
        Composed::on(Arc::clone(self), Arc::new(UnsteadyClock::default()))
    }
}

#[async_trait]
impl EventStore for Shaky {
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError> {
        let appended = self.log().append(append).await;
        if self.is_silent.swap(false, Ordering::Relaxed) {
            return Err(AppendError::OutcomeUnknown("the line is dead".into()));
        }
        appended
    }

    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error> {
        self.log().head(stream).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error> {
        self.log().read_stream(stream, range).await
    }

    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error> {
        let log = self.log();
        log.list_streams(namespace, decider, after, limit).await
    }

    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error> {
        self.log().command(namespace, command_id).await
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl LogStore for Shaky {
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error> {
        self.log().read_log(namespace, after, filter, limit).await
    }

    async fn events_at(
        &self,
        namespace: &Namespace,
        positions: &[Position],
    ) -> Result<Vec<RecordedEvent>, Error> {
        self.log().events_at(namespace, positions).await
    }

    async fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        self.log().check_position(namespace, position).await
    }

    fn wakeups(&self) -> watch::Receiver<()> {
        self.log().wakeups()
    }
}

fn everything() -> ConsumerSettings {
    ConsumerSettings {
        filter: EventFilter::default(),
        lock_timeout: Duration::from_secs(30),
        max_attempts: 3,
        backoff: Duration::from_secs(1),
        push: None,
    }
}

#[tokio::test]
async fn what_one_host_has_activated_every_host_obeys() {
    let backend = Shaky::new();
    let (one, other) = (backend.host(), backend.host());
    let of = stream("c");
    let first = activate_counter(&one).await;
    append(&other, decided(&of, first, 0, increments(1)))
        .await
        .unwrap();
    let second = activate_counter(&one).await;
    let stale = append(&other, decided(&of, first, 1, increments(1))).await;
    assert!(
        matches!(stale, Err(AppendError::Fenced { current, .. }) if current == second.number),
        "{stale:?}"
    );
    append(&other, decided(&of, second, 1, increments(1)))
        .await
        .unwrap();

    // Event types that the other host has not heard of.
    let mut next = activation(&of, second.number, "counter 0");
    next.events.push(event_type("Unheard"));
    one.activate_one(next).await.unwrap();
    let unheard = import(&of, ExpectedVersion::Any, vec![event("Unheard")]);
    append(&other, unheard).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_one_host_holds_the_appends_of_another_wait_for() {
    let backend = Shaky::new();
    let (one, other) = (backend.host(), backend.host());
    let of = stream("c");
    let fence = activate_counter(&one).await;
    append(&other, decided(&of, fence, 0, increments(1)))
        .await
        .unwrap();

    let hold = one.hold(&BTreeSet::from([key(&of)])).await.unwrap();
    let looked_through = one.moment(of.namespace()).await.unwrap();
    let mut waiting = Box::pin(append(&other, decided(&of, fence, 1, increments(1))));
    assert!(waiting.as_mut().now_or_never().is_none());
    let next = activation(&of, fence.number, "counter 0");
    let next = next.into();
    let activated = hold.activate(next, &looked_through).await.unwrap();
    let refused = waiting.await;
    assert!(
        matches!(refused, Err(AppendError::Fenced { current, .. }) if current == activated[0].number),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_holds_for_too_long_is_overtaken_by_who_has_waited() {
    let backend = Shaky::new();
    let (one, other) = (backend.host(), backend.host());
    let of = stream("c");
    let fence = activate_counter(&one).await;
    let hold = one.hold(&BTreeSet::from([key(&of)])).await.unwrap();
    let looked_through = one.moment(of.namespace()).await.unwrap();
    append(&other, decided(&of, fence, 0, increments(1)))
        .await
        .unwrap();

    let next = activation(&of, fence.number, "counter 0");
    let late = hold.activate(next.clone().into(), &looked_through).await;
    assert!(
        matches!(late, Err(ActivateError::Overtaken { .. })),
        "{late:?}"
    );
    // Another one who wants to hold it waits as long, and then holds it.
    std::mem::forget(one.hold(&BTreeSet::from([key(&of)])).await.unwrap());
    let hold = other.hold(&BTreeSet::from([key(&of)])).await.unwrap();
    let looked_through = other.moment(of.namespace()).await.unwrap();
    hold.activate(next.into(), &looked_through).await.unwrap();
}

#[tokio::test]
async fn hosts_share_the_work_of_a_consumer_however_much_of_it_there_was() {
    let backend = Shaky::new();
    let (one, other) = (backend.host(), backend.host());
    activate_counter(&one).await;
    let id = ConsumerId::new(Namespace::default(), "all").unwrap();
    one.put_consumer(&id, &everything(), Start::Beginning)
        .await
        .unwrap();
    let mut seen = Vec::new();
    for round in 0..70 {
        grow(&one, &stream(&format!("c-{round}")), 1).await;
        grow(&one, &stream("parked"), 1).await;
        let host = if round % 2 == 0 { &one } else { &other };
        let (first, second) = tokio::join!(one.lease(&id, 1, 1), other.lease(&id, 1, 1));
        for leased in [first.unwrap(), second.unwrap()] {
            for lease in leased.leases {
                let last = lease.events.last().unwrap();
                seen.push((lease.stream.clone(), last.version));
                host.ack(&id, lease.id, last.position, false).await.unwrap();
            }
        }
    }
    assert_eq!(seen.len(), 140);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 140);

    // A host that begins now finds what the others know.
    grow(&one, &stream("last"), 3).await;
    let lease = one.lease(&id, 1, 1).await.unwrap().leases.remove(0);
    let late = backend.host();
    let shown = late.consumer(&id, 100).await.unwrap();
    assert_eq!((shown.lag_events, shown.in_flight), (3, 1));
    late.extend(&id, lease.id).await.unwrap();
}

#[tokio::test]
async fn a_backend_that_was_put_back_is_known_as_it_is_then() {
    let backend = Shaky::new();
    let (host, asleep) = (backend.host(), backend.host());
    let of = stream("c");
    activate_counter(&host).await;
    let lost = activate_counter(&host).await;
    append(&asleep, decided(&of, lost, 0, increments(1)))
        .await
        .unwrap();
    let id = ConsumerId::new(Namespace::default(), "all").unwrap();
    host.put_consumer(&id, &everything(), Start::Beginning)
        .await
        .unwrap();
    let moment = host.moment(of.namespace()).await.unwrap();
    backend.put_back();

    assert_eq!(host.active(&key(&of)).await.unwrap(), None);
    let digest = ModuleDigest::of(b"counter 0");
    assert_eq!(host.module(digest).await.unwrap(), None);
    assert!(host.consumer(&id, 1).await.is_err());
    let moved = host.moved_since(of.namespace(), of.decider(), &moment, 9);
    assert_eq!(moved.await.unwrap(), None);
    let stale = append(&host, decided(&of, lost, 0, increments(1))).await;
    assert!(
        matches!(stale, Err(AppendError::Fenced { current, .. }) if current == ActivationNumber::NONE),
        "{stale:?}"
    );
    // As many entries as were lost say something else.
    activate_counter(&host).await;
    let _hold = host.hold(&BTreeSet::from([key(&of)])).await.unwrap();
    let stale = append(&asleep, decided(&of, lost, 0, increments(1))).await;
    assert!(
        matches!(stale, Err(AppendError::Fenced { .. })),
        "{stale:?}"
    );
}

#[tokio::test]
async fn what_the_backend_did_without_an_answer_is_found_to_be_done() {
    let backend = Shaky::new();
    let host = backend.host();
    let of = stream("c");
    let fence = activate_counter(&host).await;
    let id = ConsumerId::new(Namespace::default(), "all").unwrap();
    backend.is_silent.store(true, Ordering::Relaxed);
    let is_new = host.put_consumer(&id, &everything(), Start::Now).await;
    assert!(is_new.unwrap());
    backend.is_silent.store(true, Ordering::Relaxed);
    let next = activation(&of, fence.number, "counter 0");
    assert_eq!(
        host.activate_one(next).await.unwrap().number,
        fence.number.next()
    );
    let meter = stream_of("default", "meter", "c");
    let of_meter = activate(&host, &meter).await;
    let both = [
        activation(&of, fence.number.next(), "counter 0"),
        activation(&meter, of_meter.number, "meter 0"),
    ];
    let both = ActivationSet::new(both.into()).unwrap();
    backend.is_silent.store(true, Ordering::Relaxed);
    assert_eq!(host.activate(both).await.unwrap().len(), 2);
    // Of a command nothing is known: whoever sent it looks it up.
    backend.is_silent.store(true, Ordering::Relaxed);
    let unknown = append(&host, import(&of, ExpectedVersion::Any, increments(1))).await;
    assert!(
        matches!(unknown, Err(AppendError::OutcomeUnknown(_))),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn snapshots_take_up_no_more_than_they_may() {
    let host = Shaky::new().host();
    activate_counter(&host).await;
    let large = json(&format!("\"{}\"", "x".repeat(SNAPSHOTS_BYTES / 4)));
    let module = ModuleDigest::of(b"counter 0");
    for id in ["a", "b", "c", "d"] {
        grow(&host, &stream(id), 1).await;
        let snapshot = Snapshot {
            stream: stream(id),
            module,
            version: Version::EMPTY.next(),
            state: large.clone(),
        };
        host.put_snapshots(vec![snapshot]).await.unwrap();
    }
    let mut kept = Vec::new();
    for id in ["a", "b", "c", "d"] {
        let loaded = host.load(&stream(id), module, 1).await.unwrap();
        kept.extend(loaded.snapshot.map(|_| id));
    }
    assert_eq!(kept, ["b", "c", "d"]);
}
