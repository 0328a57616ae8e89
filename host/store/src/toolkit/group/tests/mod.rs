//! A simulation: random schedules against a database that fails, stalls and refuses, on one thread,
//! from a seed.
//!
//! The clock is paused, and moves only for tasks that sleep: a slow commit is one that yields
//! often.

mod batches;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use gavel_model::{StreamId, Version};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::*;
use crate::conformance::support::{decided, increments, stream_of};
use crate::{Fence, StreamAppend};

const SEEDS: u64 = 200;

/// The number of an append, which is also the seed of its first command id or event id.
type Number = u128;

/// A database in memory that does to batches whatever a database may do.
#[derive(Debug)]
struct Unreliable {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    /// Streams, command ids and event ids of what is under way.
    busy: HashSet<String>,
    /// The appends in the order of their commits.
    committed: Vec<Number>,
    /// The appends that fail every batch that contains them.
    poisonous: HashSet<Number>,
    batches: usize,
    largest_batch: usize,
}

impl Unreliable {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks all that the appends touch as busy, so that no other batch may touch it.
    fn begin(&self, batch: &[Append]) -> Vec<String> {
        let touched: Vec<String> = batch.iter().flat_map(touched).collect();
        let mut state = self.state();
        state.batches += 1;
        state.largest_batch = state.largest_batch.max(batch.len());
        for key in &touched {
            assert!(state.busy.insert(key.clone()), "{key} is under way twice");
        }
        touched
    }

    fn end(&self, touched: &[String]) {
        let mut state = self.state();
        for key in touched {
            state.busy.remove(key);
        }
    }

    async fn work(&self) {
        let turns = self.state().rng.random_range(0..6);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
}

/// The streams and ids that the append needs for itself while it is under way, each once.
fn touched(append: &Append) -> HashSet<String> {
    let part = |part: &StreamAppend| {
        let mut keys = vec![part.stream.to_string()];
        keys.extend(part.command.as_ref().map(|c| c.command_id.to_string()));
        keys.extend(part.events.iter().map(|event| event.event_id.to_string()));
        keys
    };
    append.parts.iter().flat_map(part).collect()
}

fn number_of(append: &Append) -> Number {
    let command = append.parts[0].command.as_ref();
    command.map_or(0, |command| command.seed.into())
}

fn stored() -> Outcome {
    Ok(vec![Appended {
        version: Version::EMPTY,
        events: Vec::new(),
    }])
}

fn refused(append: &Append) -> Outcome {
    Err(AppendError::StreamFinal {
        stream: append.parts[0].stream.clone(),
        version: Version::EMPTY,
    })
}

#[async_trait]
impl Commit for Unreliable {
    type Session = ();

    /// The size above which an append is large: an append of two parts is.
    const LARGE_BYTES: usize = 3_000;

    async fn commit(&self, _session: &mut (), batch: &[Append]) -> Result<Vec<Verdict>, Failed> {
        let touched = self.begin(batch);
        self.work().await;
        let result = {
            let mut state = self.state();
            let is_poisoned = batch
                .iter()
                .any(|append| state.poisonous.contains(&number_of(append)));
            match state.rng.random_range(0..20) {
                _ if is_poisoned => Err(Failed::Refused(AppendError::Unavailable(
                    "a row is refused".into(),
                ))),
                0 => Err(Failed::NotSent("no connection".into())),
                1 => {
                    // Lost before or after the commit: nobody can tell.
                    if state.rng.random() {
                        state.committed.extend(batch.iter().map(number_of));
                    }
                    Err(Failed::Lost("the connection is gone".into()))
                }
                2 => Err(Failed::Refused(AppendError::Unavailable("deadlock".into()))),
                3 => {
                    drop(state);
                    self.end(&touched);
                    panic!("a bug, as a test of those who wait");
                }
                _ => {
                    let verdicts = batch
                        .iter()
                        .map(|append| match state.rng.random_range(0..8) {
                            0 => Verdict::Settled(refused(append)),
                            1 => Verdict::Held,
                            _ => {
                                state.committed.push(number_of(append));
                                Verdict::Settled(stored())
                            }
                        });
                    Ok(verdicts.collect())
                }
            }
        };
        // The answer is on its way: what it says is durable, and nobody knows yet.
        self.work().await;
        self.end(&touched);
        result
    }

    async fn commit_held(&self, append: &Append) -> Result<Outcome, Failed> {
        let touched = self.begin(std::slice::from_ref(append));
        self.work().await;
        let result = {
            let mut state = self.state();
            match state.rng.random_range(0..6) {
                0 => Err(Failed::Lost("the connection is gone".into())),
                1 => Err(Failed::Refused(AppendError::Unavailable(
                    "waited too long".into(),
                ))),
                _ => {
                    state.committed.push(number_of(append));
                    Ok(stored())
                }
            }
        };
        self.end(&touched);
        result
    }
}

/// An append on one or two of a few streams, some of them with ids that others have too.
fn any_append(rng: &mut StdRng, number: u64) -> Append {
    let parts = (0..rng.random_range(1..=2)).map(|_| {
        let id = format!("s{}", rng.random_range(0..6));
        let decider = ["counter", "account"][rng.random_range(0..2)];
        let mut part = decided(
            &stream_of("default", decider, &id),
            Fence::of_decider(gavel_model::ActivationNumber::NONE),
            0,
            increments(1),
        );
        if let Some(command) = &mut part.command {
            command.seed = number;
            if rng.random_range(0..8) == 0 {
                command.command_id = Uuid::from_u128(rng.random_range(0..3));
            }
        }
        if rng.random_range(0..8) == 0 {
            part.events[0].event_id = Uuid::from_u128(rng.random_range(10..13));
        }
        part
    });
    Append {
        parts: parts.collect(),
    }
}

#[derive(Debug, Default)]
struct Seen {
    /// The accepted appends in the order of arrival, with their streams.
    arrived: Vec<(Number, Vec<StreamId>)>,
    answers: HashMap<Number, Outcome>,
}

async fn simulate(seed: u64) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    let state = State {
        rng: StdRng::seed_from_u64(seed ^ 0x5eed),
        busy: HashSet::new(),
        committed: Vec::new(),
        poisonous: HashSet::new(),
        batches: 0,
        largest_batch: 0,
    };
    let database = Arc::new(Unreliable {
        state: Mutex::new(state),
    });
    let limits = GroupLimits {
        appends: rng.random_range(4..200),
        bytes: rng.random_range(1_000..200_000),
    };
    let group = Group::start(Arc::clone(&database), rng.random_range(1..=3), limits);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut callers = Vec::new();
    let arrivals = rng.random_range(1..120);
    let group = Arc::new(group);
    for number in 1..=arrivals {
        let append = any_append(&mut rng, number);
        let streams = append
            .parts
            .iter()
            .map(|part| part.stream.clone())
            .collect();
        let number = Number::from(number);
        if rng.random_range(0..25) == 0 {
            database.state().poisonous.insert(number);
        }
        let (group, database, seen) =
            (Arc::clone(&group), Arc::clone(&database), Arc::clone(&seen));
        let patience = if rng.random_range(0..10) == 0 {
            2
        } else {
            usize::MAX
        };
        // Entered here, so that the order of arrival is known; answered in a task of its own.
        let mut appending = Box::pin(async move { group.append(append).await });
        let first = futures::poll!(appending.as_mut());
        let is_taken = !matches!(
            first,
            std::task::Poll::Ready(Err(AppendError::Overloaded { .. }))
        );
        if is_taken {
            seen.lock().unwrap().arrived.push((number, streams));
        }
        callers.push(tokio::spawn(async move {
            let outcome = match first {
                std::task::Poll::Ready(outcome) => outcome,
                std::task::Poll::Pending if patience < usize::MAX => {
                    for _ in 0..patience {
                        tokio::task::yield_now().await;
                    }
                    // The caller goes away.
                    return;
                }
                std::task::Poll::Pending => appending.await,
            };
            let was_committed = database.state().committed.contains(&number);
            match &outcome {
                Ok(_) => assert!(was_committed, "{number} was answered before its commit"),
                Err(AppendError::OutcomeUnknown(_)) => {}
                Err(error) => assert!(!was_committed, "{number} is stored: {error:?}"),
            }
            let repeated = seen.lock().unwrap().answers.insert(number, outcome);
            assert!(repeated.is_none(), "{number} was answered twice");
        }));
        for _ in 0..rng.random_range(0..4) {
            tokio::task::yield_now().await;
        }
    }
    if rng.random() {
        // Whether the store is closed or dropped, what is queued is finished.
        group.close().await;
    }
    drop(group);
    for caller in callers {
        caller.await.unwrap();
    }
    while Arc::strong_count(&database) > 1 {
        tokio::task::yield_now().await;
    }

    let seen = seen.lock().unwrap();
    let state = database.state();
    assert!(state.busy.is_empty());
    let once: HashSet<_> = state.committed.iter().collect();
    assert_eq!(
        once.len(),
        state.committed.len(),
        "something was stored twice"
    );
    for (number, outcome) in &seen.answers {
        if outcome.is_ok() {
            assert!(once.contains(number));
        }
        assert!(!(state.poisonous.contains(number) && outcome.is_ok()));
    }
    // On each stream, what is stored came in the order of its arrival.
    let mut last: HashMap<&StreamId, usize> = HashMap::new();
    for number in &state.committed {
        let place = seen
            .arrived
            .iter()
            .position(|(arrived, _)| arrived == number);
        let place = place.expect("only what arrived is stored");
        for stream in &seen.arrived[place].1 {
            let before = last.insert(stream, place);
            assert!(
                before.is_none_or(|before| before <= place),
                "{stream} is out of order"
            );
        }
    }
    state.largest_batch
}

#[test]
fn whatever_the_database_does_each_append_is_answered_once_for_itself_and_in_its_order() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    // The panics of the simulated database are part of it, and many.
    let hook = std::panic::take_hook();
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    std::panic::set_hook(Box::new(move |info| {
        let is_ours = info.payload_as_str() == Some("a bug, as a test of those who wait");
        if !(QUIET.get() && is_ours) {
            hook(info);
        }
    }));
    QUIET.set(true);
    let largest = (0..SEEDS).map(|seed| runtime().block_on(simulate(seed)));
    assert!(largest.max() > Some(2), "batches were shared");
}
