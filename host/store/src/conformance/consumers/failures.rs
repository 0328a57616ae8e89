//! The fate of streams whose events cannot be processed, and of leases whose workers fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use rand::Rng as _;

use super::*;

pub(crate) async fn a_stream_that_fails_comes_again_and_is_parked_in_the_end(
    store: Arc<dyn Store>,
) {
    let log = fill(&*store, &["bad", "good"], 2).await;
    let id = create(&*store, "all", &settings()).await;
    for attempt in 1..=3 {
        let held = lease(&*store, &id, 1, 100).await.remove(0);
        assert_eq!((held.stream.id(), held.attempt), ("bad", attempt));
        let nacked = store
            .nack(&id, held.id, None, &format!("no {attempt}"))
            .await;
        let expected = match attempt {
            3 => Nacked::Parked,
            _ => Nacked::Delayed(Duration::ZERO),
        };
        assert_eq!(nacked.unwrap(), expected);
        assert_lost(store.nack(&id, held.id, None, "again").await);
    }
    let good = lease_one(&*store, &id).await;
    assert_eq!(
        good.stream,
        stream("good"),
        "what is parked holds up nobody"
    );
    done(&*store, &id, &good).await;
    grow(&*store, &stream("bad"), 1).await;
    log_of(&*store, &Namespace::default(), 5).await;
    assert_nothing(&*store, &id).await;

    let parked = store.list_parked(&id, None, 10).await.unwrap();
    let [parked] = &parked[..] else {
        panic!("{parked:?}")
    };
    assert_eq!(parked.stream, stream("bad"));
    assert_eq!(
        (parked.version.get(), parked.position),
        (1, log[0].position)
    );
    assert_eq!((parked.attempts, &*parked.reason), (3, "no 3"));
    let progress = report(&*store, &id).await;
    assert_eq!((progress.parked, progress.lag_events), (1, 3));

    store
        .unpark(&id, &stream("bad"), Unpark::Retry)
        .await
        .unwrap();
    let again = lease_whole(&*store, &id, 3).await;
    assert_eq!((versions(&again), again.attempt), (vec![1, 2, 3], 1));
    let twice = store.unpark(&id, &stream("bad"), Unpark::Retry).await;
    assert!(matches!(twice, Err(ConsumerError::NotParked)), "{twice:?}");
}

pub(crate) async fn of_what_is_said_of_a_failure_so_much_is_kept(store: Arc<dyn Store>) {
    fill(&*store, &["a"], 1).await;
    let id = create(&*store, "all", &settings()).await;
    let kept = "é".repeat(Parked::REASON_CHARACTERS);
    for said in [format!("{kept}!"), kept.clone(), format!("{kept} and more")] {
        let held = lease_one(&*store, &id).await;
        store.nack(&id, held.id, None, &said).await.unwrap();
    }
    let parked = store.list_parked(&id, None, 10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].reason == kept, "{}", parked[0].reason.len());
}

pub(crate) async fn a_parked_event_can_be_skipped(store: Arc<dyn Store>) {
    fill(&*store, &["a", "b"], 2).await;
    let once = ConsumerSettings {
        max_attempts: 1,
        ..settings()
    };
    let id = create(&*store, "all", &once).await;
    for held in lease(&*store, &id, 2, 100).await {
        let nacked = store.nack(&id, held.id, Some(Duration::ZERO), "no").await;
        assert_eq!(nacked.unwrap(), Nacked::Parked);
    }
    let first = store.list_parked(&id, None, 1).await.unwrap();
    assert_eq!(first[0].stream, stream("a"));
    let rest = store
        .list_parked(&id, Some(&stream("a")), 10)
        .await
        .unwrap();
    assert_eq!(rest[0].stream, stream("b"));

    store.unpark(&id, &stream("a"), Unpark::Skip).await.unwrap();
    let held = lease_one(&*store, &id).await;
    assert_eq!((held.stream.id(), versions(&held)), ("a", vec![2]));
    store.nack(&id, held.id, None, "no").await.unwrap();
    store.unpark(&id, &stream("a"), Unpark::Skip).await.unwrap();
    assert_nothing(&*store, &id).await;
    assert_eq!(report(&*store, &id).await.lag_events, 2, "those of b");
}

pub(crate) async fn all_that_is_parked_is_retried_at_once(store: Arc<dyn Store>) {
    fill(&*store, &["a", "b", "c"], 2).await;
    let once = ConsumerSettings {
        max_attempts: 1,
        ..settings()
    };
    let id = create(&*store, "all", &once).await;
    let other = create(&*store, "other", &once).await;
    for id in [&id, &other] {
        for held in lease(&*store, id, 2, 100).await {
            let nacked = store.nack(id, held.id, None, "no").await;
            assert_eq!(nacked.unwrap(), Nacked::Parked);
        }
    }
    let held = lease_one(&*store, &id).await;
    assert_eq!(store.retry_parked(&id).await.unwrap(), 2);
    assert_eq!(store.retry_parked(&id).await.unwrap(), 0);
    let again = lease(&*store, &id, 3, 100).await;
    let again: Vec<_> = again
        .iter()
        .map(|lease| (lease.stream.id(), versions(lease), lease.attempt))
        .collect();
    assert_eq!(again, [("a", vec![1, 2], 1), ("b", vec![1, 2], 1)]);
    done(&*store, &id, &held).await;
    assert_eq!(report(&*store, &other).await.parked, 2);
    store.delete_consumer(&id).await.unwrap();
    let gone = store.retry_parked(&id).await;
    assert!(matches!(gone, Err(ConsumerError::NotFound)), "{gone:?}");
}

pub(crate) async fn a_lease_that_is_given_back_costs_no_attempt(store: Arc<dyn Store>) {
    fill(&*store, &["a", "b"], 1).await;
    let id = create(&*store, "all", &settings()).await;
    for _ in 0..5 {
        let held = lease(&*store, &id, 1, 100).await.remove(0);
        assert_eq!((held.stream.id(), held.attempt), ("a", 1));
        let released = store.release(&id, held.id, Duration::ZERO).await;
        released.unwrap();
        assert_lost(store.release(&id, held.id, Duration::ZERO).await);
    }
    let held = lease(&*store, &id, 1, 100).await.remove(0);
    let rest = Duration::from_secs(600);
    store.release(&id, held.id, rest).await.unwrap();
    assert_eq!(lease_one(&*store, &id).await.stream, stream("b"));
    assert_eq!(report(&*store, &id).await.in_flight, 1);
}

pub(crate) async fn a_lease_that_expires_at_the_last_attempt_parks_the_stream(
    store: Arc<dyn Store>,
) {
    fill(&*store, &["a"], 1).await;
    let id = create(&*store, "all", &hasty()).await;
    for attempt in 1..=3 {
        assert_eq!(lease_one(&*store, &id).await.attempt, attempt);
    }
    let parking = async {
        while store.list_parked(&id, None, 1).await.unwrap().is_empty() {
            assert_eq!(store.lease(&id, 1, 1).await.unwrap().leases, []);
        }
    };
    tokio::time::timeout(DEADLINE, parking).await.unwrap();
}

pub(crate) async fn a_nack_with_a_delay_lets_the_stream_rest(store: Arc<dyn Store>) {
    fill(&*store, &["a", "b"], 1).await;
    let id = create(&*store, "all", &settings()).await;
    let held = lease(&*store, &id, 1, 1).await.remove(0);
    let delay = Duration::from_secs(600);
    let nacked = store
        .nack(&id, held.id, Some(delay), "later")
        .await
        .unwrap();
    assert_eq!(nacked, Nacked::Delayed(delay));
    let other = lease_one(&*store, &id).await;
    assert_eq!(other.stream, stream("b"));
    done(&*store, &id, &other).await;
    let none = store.lease(&id, 1, 1).await.unwrap();
    assert_eq!((none.leases, none.caught_up), (Vec::new(), true));
    let next_in = none.next_in.unwrap();
    assert!(next_in > delay / 2 && next_in < 2 * delay, "{next_in:?}");

    let short = create(&*store, "short", &settings()).await;
    let held = lease(&*store, &short, 1, 1).await.remove(0);
    store
        .nack(&short, held.id, Some(Duration::from_millis(1)), "soon")
        .await
        .unwrap();
    let again = lease(&*store, &short, 2, 2).await;
    assert!(again.iter().all(|lease| lease.id != held.id));
}

pub(crate) async fn workers_that_race_and_fail_do_everything_in_order(store: Arc<dyn Store>) {
    const WORKERS: usize = 8;
    const STREAMS: usize = 24;
    const EVENTS: u64 = 6;
    let unreliable = ConsumerSettings {
        max_attempts: u32::MAX >> 1,
        lock_timeout: Duration::from_millis(300),
        ..settings()
    };
    let id = create(&*store, "all", &unreliable).await;
    activate_counter(&*store).await;
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..EVENTS / 2 {
                for index in 0..STREAMS {
                    grow(&*store, &stream(&format!("s-{index}")), 2).await;
                }
            }
        })
    };
    // By stream, the versions in the order in which they were acknowledged.
    let acknowledged: Arc<Mutex<BTreeMap<StreamId, Vec<u64>>>> = Arc::default();
    let workers = (0..WORKERS).map(|_| {
        let (store, id, acknowledged) = (Arc::clone(&store), id.clone(), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            let total = || -> usize { acknowledged.lock().unwrap().values().map(Vec::len).sum() };
            while total() < STREAMS * usize::try_from(EVENTS).unwrap() {
                for lease in store.lease(&id, 3, 9).await.unwrap().leases {
                    let luck = rand::rng().random_range(0..10);
                    if luck == 0 {
                        continue; // the worker has crashed
                    }
                    if luck == 1 {
                        let _ = store.nack(&id, lease.id, None, "bad luck").await;
                        continue;
                    }
                    let count = rand::rng().random_range(1..=lease.events.len());
                    let through = lease.events[count - 1].position;
                    if store.ack(&id, lease.id, through, false).await.is_ok() {
                        let mut acknowledged = acknowledged.lock().unwrap();
                        let done = acknowledged.entry(lease.stream).or_default();
                        done.extend(lease.events[..count].iter().map(|e| e.version.get()));
                    }
                }
                tokio::task::yield_now().await;
            }
        })
    });
    let working = join_all(workers.collect::<Vec<_>>());
    let ended = tokio::time::timeout(2 * DEADLINE, working).await;
    for worker in ended.expect("everything is done in time") {
        worker.unwrap();
    }
    writer.await.unwrap();
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    assert_eq!(acknowledged.len(), STREAMS);
    for (stream, versions) in &acknowledged {
        let mut sorted = versions.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            (1..=EVENTS).collect::<Vec<_>>(),
            "{stream}: each once"
        );
    }
    assert_eq!(report(&*store, &id).await.lag_events, 0);
}
