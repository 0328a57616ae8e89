//! A stream of a shard, and the next step for it.
//!
//! ```text
//! waiting ──decide──▶ decided ──hand over──▶ under way ──durable──▶ answered
//!    ▲                   │                       │
//!    └──── load, fold ◀──┴────────failed─────────┘
//! ```
//!
//! A stream has one append under way at a time. Commands that arrive meanwhile are decided on the
//! state that this append is about to make durable, and their decisions are handed over together
//! once it is. **Invariants:** nothing is refused on a state that is not durable yet; a state is
//! dropped when an append that it was advanced for fails.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel_model::{StreamId, Version};
use gavel_sandbox::{Fault, State};
use gavel_store::{self as store, Claim, LARGE_APPEND_BYTES, StreamAppend, StreamHead};
use tokio::sync::oneshot;

use super::history::{HistoryPage, HistoryStart};
use super::pool::{CallSubject, Company, Pool};
use super::queued::{Pending, QueuedCommand, Stop};
use super::shard::{Reservation, Shard};
use crate::command::Error;
use crate::command::decision::after;
use crate::command::metrics::HOT_LOADS;

/// Most commands of one stream that are stored together, so that no transaction grows without
/// bound.
const COMMANDS_PER_APPEND: usize = 256;

/// Most bytes of them, but for what the last one adds: less than what a store takes for a large
/// append, unless a single command is that large.
const BYTES_PER_APPEND: usize = LARGE_APPEND_BYTES / 4 * 3;

/// A hot stream.
#[derive(Debug)]
pub(super) struct HotStream {
    id: StreamId,
    /// The state after all that was decided; none when it has to be loaded. The state ends with its
    /// instance, too.
    state: Option<State>,
    /// The head of the stream at that state.
    head: StreamHead,
    waiting: VecDeque<Waiter>,
    decided: Vec<(StreamAppend, Pending)>,
    decided_bytes: usize,
    is_under_way: bool,
    is_loading: bool,
    is_reserved: bool,
    /// Tells whether another host won the last race. Then the next load claims the stream: a host
    /// that has the state at hand, and appends without a break, would never let in another one that
    /// has to load the state first.
    is_overtaken: bool,
    /// Keeps the other hosts away until what is decided is stored.
    claim: Option<Box<dyn Claim>>,
    /// Tells whether this stream has crashed an instance before.
    is_suspect: bool,
    /// The number of next commands that are stored one by one, to find the one that cannot be
    /// stored.
    one_by_one: usize,
    /// The version of its newest snapshot.
    snapshot: Version,
    /// The time that it took to fold the events after that snapshot.
    replay: Duration,
    /// The time of the last use, in milliseconds since the process started.
    pub(super) used_ms: u64,
}

#[derive(Debug)]
enum Waiter {
    Command(Box<QueuedCommand>),
    Reservation(oneshot::Sender<Reservation>),
}

impl HotStream {
    pub(super) fn new(id: StreamId) -> Self {
        Self {
            id,
            state: None,
            head: StreamHead::default(),
            waiting: VecDeque::new(),
            decided: Vec::new(),
            decided_bytes: 0,
            is_under_way: false,
            is_loading: false,
            is_reserved: false,
            is_overtaken: false,
            claim: None,
            is_suspect: false,
            one_by_one: 0,
            snapshot: Version::EMPTY,
            replay: Duration::ZERO,
            used_ms: 0,
        }
    }

    /// Gives the state, unless its instance has ended.
    pub(super) fn state(&self, pool: &Pool) -> Option<&State> {
        self.state.as_ref().filter(|state| pool.has(state))
    }

    /// Tells whether the stream has nothing to do: no command, append, load or reservation.
    pub(super) fn is_idle(&self) -> bool {
        let is_busy = self.is_loading || self.is_reserved;
        self.is_quiet() && self.waiting.is_empty() && !is_busy
    }

    /// Tells whether the stream can be forgotten without loss. A stream that has crashed an
    /// instance is remembered, or it would crash many.
    pub(super) fn is_forgettable(&self, pool: &Pool) -> bool {
        self.is_idle() && !self.is_suspect && self.state(pool).is_none()
    }

    /// Tells whether the state is durable as far as this host knows.
    fn is_quiet(&self) -> bool {
        !self.is_under_way && self.decided.is_empty()
    }

    pub(super) fn push_command(&mut self, job: Box<QueuedCommand>) {
        self.waiting.push_back(Waiter::Command(job));
    }

    pub(super) fn push_reservation(&mut self, grant: oneshot::Sender<Reservation>) {
        self.waiting.push_back(Waiter::Reservation(grant));
    }

    /// Ends a reservation; its holder may have appended.
    pub(super) fn released(&mut self, pool: &mut Pool) {
        self.is_reserved = false;
        self.forget(pool);
    }

    /// Takes in that the stream was found to be at `head`.
    pub(super) fn moved(&mut self, head: StreamHead, pool: &mut Pool) {
        if self.is_quiet() && self.head != head {
            self.forget(pool);
        }
    }

    /// Lets go of the state.
    pub(super) fn forget(&mut self, pool: &mut Pool) {
        if let Some(state) = self.state.take() {
            pool.release(state);
        }
    }

    /// Does what can be done now for what waits.
    pub(super) fn advance(&mut self, pool: &mut Pool, shard: &Arc<Shard>) {
        while !self.is_reserved && !self.is_loading {
            // Others come between, so that a snapshot can be taken of what is durable.
            if self.is_under_way && self.is_snapshot_due(shard) {
                return;
            }
            match self.waiting.pop_front() {
                None => {
                    self.waiting.shrink_to_fit();
                    return;
                }
                Some(Waiter::Reservation(grant)) if self.is_quiet() => {
                    self.is_reserved = true;
                    // If nobody waits for it any more it ends here, which comes back as a message.
                    let _ = grant.send(Reservation::new(shard.clone(), self.id.clone()));
                }
                Some(Waiter::Command(job)) if job.is_unwanted() => {}
                Some(Waiter::Command(job)) if self.state(pool).is_some() && !self.is_full() => {
                    if let Err(job) = self.decide(job, pool, shard) {
                        return self.waiting.push_front(Waiter::Command(job));
                    }
                }
                Some(other) => {
                    if matches!(other, Waiter::Command(_)) && self.is_quiet() {
                        self.begin_loading(HistoryStart::Newest, pool, shard);
                    }
                    return self.waiting.push_front(other);
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        let limit = if self.one_by_one > 0 {
            1
        } else {
            COMMANDS_PER_APPEND
        };
        self.decided.len() >= limit || self.decided_bytes >= BYTES_PER_APPEND
    }

    /// Decides a command. Gives it back if it has to wait for what is not durable yet.
    fn decide(
        &mut self,
        job: Box<QueuedCommand>,
        pool: &mut Pool,
        shard: &Arc<Shard>,
    ) -> Result<(), Box<QueuedCommand>> {
        if let Err(error) = job.task.check_head(&self.head) {
            return self.refuse(job, error);
        }
        // Of two commands with one id, the second is told what became of the first.
        let id = job.task.command_id;
        if self
            .decided
            .iter()
            .any(|(_, first)| first.command_id() == id)
        {
            return Err(job);
        }
        let Some(state) = self.state.take() else {
            return Err(job);
        };
        let head = self.head;
        let subject = CallSubject {
            stream: &self.id,
            command_id: Some(id),
        };
        let decided = pool.with(&state, subject, |instance| {
            let decided = job
                .task
                .decide(&*shard.env.clock, instance, &state, &head)?;
            let shown = job
                .return_state
                .then(|| instance.snapshot(&state))
                .transpose()?;
            Ok((decided, shown))
        });
        match decided {
            Ok((decided, shown)) => {
                self.head = after(head, &decided.part.events);
                if self.decided.is_empty() {
                    self.decided.reserve_exact(1);
                }
                self.decided_bytes += decided.part.size_bytes();
                self.decided.push(job.pending(decided, shown));
                if pool.is_outgrown(&state) {
                    self.is_suspect = true;
                    pool.retire(state.instance());
                } else {
                    self.state = Some(state);
                }
                Ok(())
            }
            Err(fault) => {
                self.failed(state, pool, &fault);
                self.refuse(job, shard.fault(fault))
            }
        }
    }

    /// Takes in that a call on `state` has failed.
    fn failed(&mut self, state: State, pool: &mut Pool, fault: &Fault) {
        self.is_suspect |= !pool.has(&state) && *fault != Fault::NoRoom;
        pool.release(state);
    }

    /// Refuses a command if that follows from a durable state.
    fn refuse(&mut self, job: Box<QueuedCommand>, error: Error) -> Result<(), Box<QueuedCommand>> {
        if !self.is_quiet() {
            return Err(job);
        }
        let head = self.head;
        job.stop(Stop::Unconfirmed { error, head });
        Ok(())
    }

    /// Gives what is to be stored, and those who wait for it.
    pub(super) fn hand_over(&mut self) -> Option<Handed> {
        if self.is_under_way {
            return None;
        }
        if self.decided.is_empty() {
            if !self.is_loading {
                self.claim = None;
            }
            return None;
        }
        self.is_under_way = true;
        self.decided_bytes = 0;
        // With what it has reserved: most of the time most streams have nothing to store.
        let (parts, pending) = std::mem::take(&mut self.decided).into_iter().unzip();
        Some(Handed {
            parts,
            pending,
            claim: self.claim.take(),
        })
    }

    /// Takes the outcome of the append that was under way, after its senders were answered. The
    /// commands `again` are decided once more, before those that came later.
    pub(super) fn settled(&mut self, outcome: Settled, again: Vec<QueuedCommand>, pool: &mut Pool) {
        self.is_under_way = false;
        self.one_by_one = self.one_by_one.saturating_sub(1);
        match outcome {
            Settled::Durable => return,
            Settled::Overtaken => self.is_overtaken = true,
            Settled::OnePoisonsBatch => self.one_by_one = again.len(),
            Settled::Failed => {}
        }
        self.forget(pool);
        // In their order, before those that came later.
        self.decided_bytes = 0;
        let decided = std::mem::take(&mut self.decided).into_iter();
        let decided = decided.map(|(_, pending)| pending.into_job());
        let jobs = again.into_iter().chain(decided).map(Box::new);
        let later = std::mem::take(&mut self.waiting);
        self.waiting = jobs.map(Waiter::Command).chain(later).collect();
    }

    fn begin_loading(&mut self, start: HistoryStart, pool: &mut Pool, shard: &Arc<Shard>) {
        self.is_loading = true;
        if matches!(start, HistoryStart::Newest) {
            self.forget(pool);
            self.claim = None;
            self.head = StreamHead::default();
            self.snapshot = Version::EMPTY;
            self.replay = Duration::ZERO;
            metrics::counter!(HOT_LOADS).increment(1);
        }
        shard.load(self.id.clone(), start);
    }

    /// Takes the next page of its history.
    pub(super) fn loaded(
        &mut self,
        page: Result<HistoryPage, store::Error>,
        pool: &mut Pool,
        shard: &Arc<Shard>,
    ) {
        self.is_loading = false;
        let page = match page {
            Ok(page) => page,
            Err(error) => return self.refuse_waiting(|| Error::Store(error.clone_for_waiter())),
        };
        let began = Instant::now();
        let next = self.fold(page, pool);
        self.replay += began.elapsed();
        match next {
            Ok(None) => {}
            Ok(Some(start)) => self.begin_loading(start, pool, shard),
            Err(fault) => self.refuse_waiting(|| shard.fault(fault.clone())),
        }
    }

    /// Folds a page. Gives what has to be loaded next.
    fn fold(
        &mut self,
        mut page: HistoryPage,
        pool: &mut Pool,
    ) -> Result<Option<HistoryStart>, Fault> {
        let state = match self.state.take().filter(|state| pool.has(state)) {
            Some(state) => state,
            None if page.snapshot.is_some() || page.after == Version::EMPTY => {
                let company = if self.is_suspect {
                    Company::None
                } else {
                    Company::Others
                };
                let snapshot = page.snapshot.as_ref();
                let (state, is_restored) = pool
                    .place(&self.id, company, snapshot)
                    .inspect_err(|fault| self.is_suspect |= *fault != Fault::NoRoom)?;
                if page.snapshot.is_some() && !is_restored {
                    pool.release(state);
                    return Ok(Some(HistoryStart::First));
                }
                self.head.version = page.after;
                self.snapshot = page.after;
                state
            }
            // Its instance has ended between two pages.
            None => return Ok(Some(HistoryStart::Newest)),
        };
        self.head = page.history.head.unwrap_or(self.head);
        let events = page.history.events;
        if !events.is_empty()
            && let Err(fault) = pool.with(&state, (&self.id).into(), |instance| {
                instance.evolve(&state, &events)
            })
        {
            self.failed(state, pool, &fault);
            return Err(fault);
        }
        self.state = Some(state);
        self.claim = page.claim.take().or(self.claim.take());
        if let Some(next) = page.next {
            return Ok(Some(HistoryStart::Ahead(next)));
        }
        // Once, whether that can be had or not; and late, so that the others wait for a short page
        // only.
        let is_overtaken = std::mem::take(&mut self.is_overtaken);
        Ok(is_overtaken.then_some(HistoryStart::Claimed(self.head.version)))
    }

    /// Refuses all commands that wait for a history that cannot be read. Later commands have it
    /// loaded again.
    fn refuse_waiting(&mut self, error: impl Fn() -> Error) {
        let waiting = std::mem::take(&mut self.waiting);
        for waiting in waiting {
            match waiting {
                Waiter::Command(job) => job.stop(Stop::Unfit(error())),
                reservation @ Waiter::Reservation(_) => self.waiting.push_back(reservation),
            }
        }
    }

    fn is_snapshot_due(&self, shard: &Shard) -> bool {
        let policy = &shard.env.snapshots;
        let events = self.head.version.get().saturating_sub(self.snapshot.get());
        events >= policy.events || (events > 0 && self.replay >= policy.replay)
    }

    /// Takes a snapshot if one is due, of a state that is durable.
    pub(super) fn take_snapshot(&mut self, pool: &mut Pool, shard: &Arc<Shard>) {
        // A stream that has ended is decided no more.
        let is_wanted = self.is_snapshot_due(shard) && !self.head.is_final;
        if !is_wanted || !self.is_quiet() || self.is_loading {
            return;
        }
        let Some(state) = self.state.take().filter(|state| pool.has(state)) else {
            return;
        };
        // Also when it fails: the next one is tried after as many events again.
        self.snapshot = self.head.version;
        self.replay = Duration::ZERO;
        match pool.with(&state, (&self.id).into(), |instance| {
            instance.snapshot(&state)
        }) {
            Ok(json) => {
                shard.keep_snapshot(self.id.clone(), self.head.version, json);
                self.state = Some(state);
            }
            Err(fault) => {
                tracing::warn!(stream = %self.id, error = %fault, "no snapshot can be taken");
                self.failed(state, pool, &fault);
            }
        }
    }
}

/// The decisions to store together.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) parts: Vec<StreamAppend>,
    /// The answers that wait for the parts, in the same order.
    pub(super) pending: Vec<Pending>,
    pub(super) claim: Option<Box<dyn Claim>>,
}

/// The outcome of an append to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// The append is durable.
    Durable,
    /// The append failed; the stream has to be loaded again.
    Failed,
    /// Not stored: another host appended first.
    Overtaken,
    /// Not stored: one of the commands can never be stored, and which one is unknown.
    OnePoisonsBatch,
}
