//! The tails of all namespaces that are followed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use gavel_model::{Clock, Namespace, Position};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::log_tail::LogTail;
use super::page_reader::PageReader;
use super::ring::{Ring, RingRead};
use super::tail_budget::TailBudget;
use super::tail_page::TailPage;

/// Starts a tail with its first follower, and ends it with its last.
#[derive(Debug)]
pub(super) struct TailRegistry {
    reader: PageReader,
    tail_reader: PageReader,
    clock: Arc<dyn Clock>,
    budget: TailBudget,
    running: Mutex<HashMap<Namespace, Weak<RunningTail>>>,
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

impl TailRegistry {
    pub(super) fn new(reader: PageReader, clock: Arc<dyn Clock>) -> Self {
        Self {
            tail_reader: reader.apart(),
            reader,
            clock,
            budget: TailBudget::default(),
            running: Mutex::default(),
        }
    }

    /// Gives the reader of the store for subscriptions that are behind.
    pub(super) fn reader(&self) -> &PageReader {
        &self.reader
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
            self.budget.share_among(running.len());
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
        let tail = LogTail {
            namespace: namespace.clone(),
            reader: self.tail_reader.clone(),
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
                RingRead::Dropped => return None,
                // Fails never: we hold a sender.
                RingRead::End => self.ring.changed().await.ok()?,
            }
        }
    }
}
