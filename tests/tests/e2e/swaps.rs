//! Modules are swapped while commands come in.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use futures::future::join_all;
use gavel_tests::{
    COUNTER, Client, Event, Host, LIMIT, Store, assert_sound, component, eventually,
    on_every_store, revision,
};
use tokio::sync::Semaphore;

const SWAPS: usize = 20;
const COMMANDS: usize = 5_000;
const SENDERS: usize = 16;
const FEW_SENDERS: usize = 2;
const STREAMS: usize = 200;

on_every_store! {
    twenty_swaps_under_load_fail_no_command_and_are_obeyed_at_once,
}

/// A command, and the time for which it was under way.
pub(crate) struct Decided {
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    pub(crate) event: Event,
}

/// The work of senders until they are stopped.
#[derive(Debug)]
pub(crate) struct Load {
    /// The number of commands that were decided so far.
    decided: AtomicUsize,
    /// The number of commands from which on only a few senders send at the same time.
    goal: AtomicUsize,
    few: Semaphore,
    stop: AtomicBool,
}

impl Load {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            decided: AtomicUsize::new(0),
            goal: AtomicUsize::new(usize::MAX),
            few: Semaphore::new(FEW_SENDERS),
            stop: AtomicBool::new(false),
        })
    }

    /// Waits until `more` further commands are decided.
    pub(crate) async fn wait_for(&self, more: usize) {
        let goal = self.decided.load(Ordering::Relaxed) + more;
        let reached = async || (self.decided.load(Ordering::Relaxed) >= goal).then_some(());
        eventually("more commands are decided", LIMIT, reached).await;
    }

    /// Waits as [`Self::wait_for`] does, and lets only a few send after that: commands come before
    /// rehearsals, so that with all senders the past to rehearse would grow from one swap to the
    /// next as fast as the host can decide.
    async fn wait_at(&self, more: usize) {
        let goal = self.decided.load(Ordering::Relaxed) + more;
        self.goal.store(goal, Ordering::Relaxed);
        self.wait_for(more).await;
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A swap, and the time for which it was under way.
pub(crate) struct Swap {
    pub(crate) requested: Instant,
    pub(crate) acknowledged: Instant,
    pub(crate) digest: String,
}

/// Checks that each command was decided by what could decide it: the newest module that was
/// acknowledged before, or one that was asked for meanwhile.
#[track_caller]
pub(crate) fn assert_obeyed(swaps: &[Swap], decided: &[Decided]) {
    for Decided {
        sent,
        answered,
        event,
    } in decided
    {
        let newest = swaps
            .iter()
            .rposition(|swap| swap.acknowledged <= *sent)
            .unwrap_or(0);
        let candidates = swaps[newest..]
            .iter()
            .take_while(|swap| swap.requested <= *answered);
        let candidates: HashSet<_> = candidates.map(|swap| swap.digest.as_str()).collect();
        assert!(
            candidates.contains(event.module()),
            "after swap {newest} {} has decided",
            event.module()
        );
    }
}

async fn twenty_swaps_under_load_fail_no_command_and_are_obeyed_at_once(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let one = client.deploy_example(COUNTER).await;
    let two = client
        .upload(revision(component(COUNTER), 2))
        .await
        .json(201)["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let load = Load::new();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| tokio::spawn(send(client.clone(), COUNTER, "c", sender, load.clone())))
        .collect();

    let start = Instant::now();
    let mut swaps = vec![Swap {
        requested: start,
        acknowledged: start,
        digest: one.clone(),
    }];
    for number in 1..=SWAPS {
        load.wait_at(COMMANDS / SWAPS).await;
        let digest = if number % 2 == 1 {
            two.clone()
        } else {
            one.clone()
        };
        let requested = Instant::now();
        client.activate(COUNTER, &digest).await.expect(201);
        swaps.push(Swap {
            requested,
            acknowledged: Instant::now(),
            digest,
        });
    }
    load.wait_for(2 * SENDERS).await;
    load.stop();
    let decided: Vec<_> = join_all(senders)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();

    assert!(decided.len() >= COMMANDS);
    assert_obeyed(&swaps, &decided);
    let after_the_last = decided
        .iter()
        .filter(|decided| decided.sent >= swaps[SWAPS].acknowledged);
    assert!(after_the_last.count() > 0);

    let mut stored = 0;
    for stream in 0..STREAMS {
        let history = client
            .stream(COUNTER, &format!("c-{stream}"))
            .history()
            .await;
        assert_sound(&history);
        stored += history.len();
    }
    assert_eq!(stored, decided.len());
}

/// Increments the counters `<name>-<number>` of a decider, one command after the other, until the
/// load is stopped.
pub(crate) async fn send(
    client: Client,
    decider: &str,
    name: &str,
    sender: usize,
    load: Arc<Load>,
) -> Vec<Decided> {
    let mut decided = Vec::new();
    while !load.stop.load(Ordering::Relaxed) {
        let are_few = load.decided.load(Ordering::Relaxed) >= load.goal.load(Ordering::Relaxed);
        let _one_of_few = match are_few {
            true => Some(load.few.acquire().await.unwrap()),
            false => None,
        };
        let stream = client.stream(
            decider,
            &format!("{name}-{}", (sender * 31 + decided.len() * 7) % STREAMS),
        );
        let sent = Instant::now();
        let mut answer = stream.increment().await.accepted();
        let event = answer.events.remove(0);
        assert_eq!(
            event.module(),
            answer.module,
            "an event names the module that decided"
        );
        decided.push(Decided {
            sent,
            answered: Instant::now(),
            event,
        });
        load.decided.fetch_add(1, Ordering::Relaxed);
    }
    decided
}
