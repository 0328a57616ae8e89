//! The tails of all namespaces that are followed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use gavel_model::{Clock, Namespace, Position};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::page::TailPage;
use super::pages::Pages;
use super::ring::{Ring, RingRead};
use super::tail::Tail;

/// Most that the pages of one tail take up, in bytes.
const RING_BYTES: usize = 4 * 1024 * 1024;
/// Most that the pages of all tails take up together, in bytes.
const ALL_RINGS_BYTES: usize = 64 * 1024 * 1024;

/// The number of fruitless looks a second that all tails together take while some log is busy.
const QUIET_LOOKS: u32 = 5_000;
/// The number of looks a second that all tails together take without being woken.
const IDLE_LOOKS: u32 = 1_000;

/// Starts a tail with its first follower, and ends it with its last.
#[derive(Debug)]
pub(super) struct Tails {
    pages: Pages,
    newest_pages: Pages,
    clock: Arc<dyn Clock>,
    budget: TailBudget,
    running: Mutex<HashMap<Namespace, Weak<RunningTail>>>,
}

/// The share of memory and looks that a single tail has: clients determine how many tails there
/// are.
#[derive(Debug, Clone, Default)]
pub(super) struct TailBudget(Arc<AtomicU32>);

impl TailBudget {
    fn tails(&self) -> u32 {
        self.0.load(Ordering::Relaxed).max(1)
    }

    /// Gives the memory for the pages of a tail, in bytes.
    pub(super) fn bytes(&self) -> usize {
        (ALL_RINGS_BYTES / self.tails() as usize).min(RING_BYTES)
    }

    /// Gives the shortest pause after a look for nothing.
    pub(super) fn quiet_gap(&self) -> Duration {
        Duration::from_secs(1) * self.tails() / QUIET_LOOKS
    }

    /// Gives the shortest pause before a look without being woken, once nothing comes.
    pub(super) fn idle_poll(&self) -> Duration {
        Duration::from_secs(1) * self.tails() / IDLE_LOOKS
    }
}

#[derive(Debug)]
struct RunningTail {
    ring: watch::Sender<Ring>,
    _task: AbortOnDropHandle<()>,
}

/// The place of one follower at a tail, which runs for as long as it has a follower.
#[derive(Debug)]
pub(super) struct Follower {
    ring: watch::Receiver<Ring>,
    _running: Arc<RunningTail>,
}

impl Tails {
    pub(super) fn new(pages: Pages, clock: Arc<dyn Clock>) -> Self {
        Self {
            newest_pages: pages.apart(),
            pages,
            clock,
            budget: TailBudget::default(),
            running: Mutex::default(),
        }
    }

    /// Gives the reader of the store for subscriptions that are behind.
    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Joins the tail of a namespace. A new tail begins at `end` (inclusive), where its first
    /// follower has just found the end of the log.
    pub(super) fn follow(&self, namespace: &Namespace, end: Position) -> Follower {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let known = running.get(namespace).and_then(Weak::upgrade);
        let tail = known.unwrap_or_else(|| {
            let tail = Arc::new(self.start(namespace, end));
            running.retain(|_, tail| tail.strong_count() > 0);
            running.insert(namespace.clone(), Arc::downgrade(&tail));
            let tails = u32::try_from(running.len()).unwrap_or(u32::MAX);
            self.budget.0.store(tails, Ordering::Relaxed);
            tail
        });
        Follower {
            ring: tail.ring.subscribe(),
            _running: tail,
        }
    }

    /// Corrects a tail that is beyond the end of the log, because its first follower gave a
    /// position that no event has ever had.
    pub(super) fn rewind(&self, namespace: &Namespace, end: Position) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tail) = running.get(namespace).and_then(Weak::upgrade) {
            tail.ring.send_if_modified(|ring| {
                ring.rewind(end);
                false
            });
        }
    }

    fn start(&self, namespace: &Namespace, end: Position) -> RunningTail {
        let ring = watch::Sender::new(Ring::new(end));
        let tail = Tail {
            namespace: namespace.clone(),
            pages: self.newest_pages.clone(),
            clock: Arc::clone(&self.clock),
            budget: self.budget.clone(),
            ring: ring.clone(),
        };
        RunningTail {
            ring,
            _task: AbortOnDropHandle::new(tokio::spawn(tail.run())),
        }
    }
}

impl Follower {
    /// Waits for the page with the events after `position` (exclusive); none when the tail has
    /// dropped that page, and only the store has it. Dropped midway, nothing is lost.
    pub(super) async fn after(&mut self, position: Position) -> Option<Arc<TailPage>> {
        loop {
            let found = self.ring.borrow_and_update().after(position);
            match found {
                RingRead::Page(page) => return Some(page),
                RingRead::Gone => return None,
                // Fails never: we hold a sender.
                RingRead::End => self.ring.changed().await.ok()?,
            }
        }
    }
}
