//! The composition and the order of batches, on a database that commits only when the test says so.

use std::time::Duration;

use gavel_model::ExpectedVersion;

use super::*;
use crate::conformance::support::{import, stream};
use crate::{LARGE_APPEND_BYTES, QueueLimit};

/// A database that commits only when the test says so.
#[derive(Debug)]
struct Gate {
    open: Semaphore,
    /// The first streams of the appends, batch by batch.
    batches: Mutex<Vec<Vec<StreamId>>>,
}

impl Gate {
    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(Vec::len).collect()
    }

    /// Waits until `batches` batches have begun.
    async fn begun(&self, batches: usize) {
        while self.batches.lock().unwrap().len() < batches {
            tokio::task::yield_now().await;
        }
    }

    /// The batch that a stream was in.
    fn batch_of(&self, id: &StreamId) -> usize {
        let batches = self.batches.lock().unwrap();
        let batch = batches.iter().position(|batch| batch.contains(id));
        batch.expect("it was stored")
    }
}

#[async_trait]
impl Commit for Gate {
    type Session = ();

    const LARGE_BYTES: usize = LARGE_APPEND_BYTES;

    async fn commit(&self, _session: &mut (), batch: &[Append]) -> Result<Vec<Verdict>, Failed> {
        let streams = batch.iter().map(|append| append.parts[0].stream.clone());
        self.batches.lock().unwrap().push(streams.collect());
        self.open.acquire().await.unwrap().forget();
        Ok(batch.iter().map(|_| Verdict::Settled(stored())).collect())
    }

    async fn commit_held(&self, _append: &Append) -> Result<Outcome, Failed> {
        Ok(stored())
    }
}

fn gate() -> Arc<Gate> {
    Arc::new(Gate {
        open: Semaphore::new(0),
        batches: Mutex::default(),
    })
}

fn alone(id: usize) -> Append {
    of("counter", id, 1)
}

/// Makes an append of `events` events of a decider, on a stream of its own.
fn of(decider: &str, id: usize, events: usize) -> Append {
    let stream = stream_of("default", decider, &format!("s{id}"));
    Append {
        parts: vec![import(&stream, ExpectedVersion::Any, increments(events))],
    }
}

/// The limits of a queue with more room than any test needs.
const ROOMY: GroupLimits = GroupLimits {
    appends: 100_000,
    bytes: usize::MAX / 4,
};

#[tokio::test]
async fn a_lone_append_goes_at_once_and_what_comes_meanwhile_goes_together() {
    let gate = gate();
    let group = Group::start(Arc::clone(&gate), 1, GroupLimits::default());
    let mut first = Box::pin(group.append(alone(0)));
    assert!(futures::poll!(first.as_mut()).is_pending());
    gate.begun(1).await;
    let rest = futures::future::join_all((1..=300).map(|id| group.append(alone(id))));
    let mut rest = Box::pin(rest);
    assert!(futures::poll!(rest.as_mut()).is_pending());
    gate.open.add_permits(3);
    first.await.unwrap();
    assert!(rest.await.iter().all(Result::is_ok));
    assert_eq!(gate.sizes(), [1, MAX_BATCH_APPENDS, 44]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_takes_again_when_there_is_room() {
    let gate = gate();
    let limits = GroupLimits {
        appends: 2,
        bytes: 100_000,
    };
    let group = Group::start(Arc::clone(&gate), 1, limits);
    let mut waiting = Box::pin(futures::future::join(
        group.append(alone(0)),
        group.append(of("account", 0, 1)),
    ));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    assert_refused(group.append(alone(2)).await, QueueLimit::Appends(2));
    gate.open.add_permits(10);
    let (first, second) = waiting.await;
    assert!(first.is_ok() && second.is_ok());

    // The largest append goes when nothing else waits, and keeps others out.
    gate.open.forget_permits(10);
    let mut waiting = Box::pin(group.append(of("counter", 0, 1_000)));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    let refused = group.append(of("account", 3, 1)).await;
    assert_refused(refused, QueueLimit::Bytes(100_000));
    gate.open.add_permits(10);
    waiting.await.unwrap();
    group.append(alone(3)).await.unwrap();
    group.close().await;
    let closed = group.append(alone(4)).await;
    assert!(
        matches!(closed, Err(AppendError::Unavailable(_))),
        "{closed:?}"
    );
}

fn assert_refused(outcome: Outcome, expected: QueueLimit) {
    match outcome {
        Err(AppendError::Overloaded { limit }) => assert_eq!(limit, expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_decider_never_fills_the_queue() {
    let gate = gate();
    let small = alone(0).parts[0].size_bytes();
    let by_count = GroupLimits {
        appends: 100,
        ..ROOMY
    };
    let by_bytes = GroupLimits {
        bytes: 100 * small,
        ..ROOMY
    };
    for limits in [by_count, by_bytes] {
        let is_counted = limits.appends == 100;
        let limit = |appends| match is_counted {
            true => QueueLimit::Appends(appends),
            false => QueueLimit::Bytes(appends * small),
        };
        let group = Group::start(Arc::clone(&gate), 1, limits);
        let fill = |decider: &'static str, count| {
            let group = &group;
            let appends = (0..count).map(move |id| group.append(of(decider, id, 1)));
            Box::pin(futures::future::join_all(appends))
        };
        let mut greedy = fill("counter", 50);
        assert!(futures::poll!(greedy.as_mut()).is_pending());
        assert_refused(group.append(alone(50)).await, limit(50));
        // Another one has half of what is left, and a third one the same.
        let mut second = fill("account", 25);
        assert!(futures::poll!(second.as_mut()).is_pending());
        assert_refused(group.append(of("account", 25, 1)).await, limit(25));
        let mut third = fill("order", 12);
        assert!(futures::poll!(third.as_mut()).is_pending());
        gate.open.add_permits(100);
        let all = futures::future::join3(greedy, second, third).await;
        let mut all = [all.0, all.1, all.2].into_iter().flatten();
        assert!(all.all(|outcome| outcome.is_ok()));
        // There is room again.
        group.append(alone(50)).await.unwrap();
        gate.open.forget_permits(100);
    }
}

#[tokio::test]
async fn an_append_is_in_the_next_batch_however_much_another_decider_has_waiting() {
    let gate = gate();
    let group = Group::start(Arc::clone(&gate), 1, ROOMY);
    let pile = futures::future::join_all((0..1_000).map(|id| group.append(of("counter", id, 60))));
    let mut pile = Box::pin(pile);
    assert!(futures::poll!(pile.as_mut()).is_pending());
    gate.begun(1).await;
    // While the first batch is under way; the others come while theirs is.
    for id in 0..3 {
        let mut neighbour = Box::pin(group.append(of("account", id, 1)));
        assert!(futures::poll!(neighbour.as_mut()).is_pending());
        gate.open.add_permits(2);
        neighbour.await.unwrap();
        let stream = stream_of("default", "account", &format!("s{id}"));
        assert_eq!(gate.batch_of(&stream), 2 * id + 1);
        gate.begun(2 * id + 3).await;
    }
    gate.open.add_permits(1_000);
    assert!(pile.await.iter().all(Result::is_ok));
    // Batches are large only until another decider writes.
    let sizes = gate.sizes();
    assert_eq!(
        sizes[0],
        MAX_BATCH_BYTES / of("counter", 0, 60).parts[0].size_bytes()
    );
    assert!(sizes[1..].iter().all(|size| *size <= 4), "{sizes:?}");
    let arrived = (0..1_000).map(|id| stream(&format!("s{id}")));
    let batches = gate.batches.lock().unwrap();
    let stored = batches
        .iter()
        .flatten()
        .filter(|stream| stream.decider().as_str() == "counter");
    assert!(
        stored.eq(&arrived.collect::<Vec<_>>()),
        "the order of arrival"
    );
}

#[tokio::test]
async fn a_large_append_holds_up_no_others() {
    let gate = gate();
    let group = Group::start(Arc::clone(&gate), 1, ROOMY);
    let mut large = Box::pin(group.append(of("counter", 0, 300)));
    assert!(futures::poll!(large.as_mut()).is_pending());
    gate.begun(1).await;
    let mut small = Box::pin(group.append(alone(1)));
    assert!(futures::poll!(small.as_mut()).is_pending());
    gate.begun(2).await;
    assert_eq!(gate.sizes(), [1, 1]);
    gate.open.add_permits(2);
    large.await.unwrap();
    small.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn large_appends_leave_most_of_the_time_to_small_ones_that_come_in() {
    let gate = gate();
    let group = Group::start(Arc::clone(&gate), 1, ROOMY);
    let pile = futures::future::join_all((0..4).map(|id| group.append(of("counter", id, 300))));
    let mut pile = Box::pin(pile);
    assert!(futures::poll!(pile.as_mut()).is_pending());
    gate.begun(1).await;
    let took = Duration::from_millis(10);
    let end_large = async || {
        tokio::time::advance(took).await;
        gate.open.add_permits(1);
    };

    // Nobody else writes: one follows the other.
    end_large().await;
    gate.begun(2).await;
    let mut small = Box::pin(group.append(alone(4)));
    assert!(futures::poll!(small.as_mut()).is_pending());
    gate.begun(3).await;
    end_large().await;
    gate.open.add_permits(1);
    small.await.unwrap();
    tokio::time::advance(took * 3 - Duration::from_millis(1)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.sizes(), [1, 1, 1], "it rests");
    tokio::time::advance(Duration::from_millis(2)).await;
    gate.begun(4).await;

    // The others have gone.
    tokio::time::advance(Duration::from_secs(1)).await;
    gate.open.add_permits(1);
    gate.begun(5).await;
    gate.open.add_permits(1);
    assert!(pile.await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn an_append_of_several_deciders_is_paid_by_the_one_that_most_of_it_is_of() {
    let gate = gate();
    let group = Group::start(Arc::clone(&gate), 1, ROOMY);
    let pretended = |id| {
        let mut append = of("account", 1_000 + id, 1);
        append.parts.extend(of("counter", id, 60).parts);
        append
    };
    let pile = futures::future::join_all((0..100).map(|id| group.append(pretended(id))));
    let mut pile = Box::pin(pile);
    assert!(futures::poll!(pile.as_mut()).is_pending());
    gate.begun(1).await;
    let mut neighbour = Box::pin(group.append(of("account", 0, 1)));
    assert!(futures::poll!(neighbour.as_mut()).is_pending());
    gate.open.add_permits(2);
    neighbour.await.unwrap();
    assert_eq!(gate.batch_of(&stream_of("default", "account", "s0")), 1);
    gate.open.add_permits(100);
    assert!(pile.await.iter().all(Result::is_ok));
}
