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
//! once it is. A batch that has reserved the stream keeps other commands waiting, and has its own
//! decided here; it appends by itself. What a stream needs of the world it says in what its methods
//! give back. **Invariants:** nothing is refused on a state that is not durable yet; a state is
//! dropped when an append that it was advanced for fails.

use std::collections::VecDeque;

use gavel_model::{Json, StreamId, Version};
use gavel_sandbox::State;
use gavel_store::{self as store, Claim, LARGE_APPEND_BYTES, StreamAppend, StreamHead};
use tokio::sync::oneshot;

use super::pool::Pool;
use super::queued::{Pending, QueuedCommand, ReservedCommand, ReservedDecision};
use super::settled::Settled;
use super::state::{CallFailure, HotState, StreamRules};
use crate::command::Error;
use crate::command::history::{HistoryPage, HistoryStart};
use crate::command::metrics::HOT_LOADS;
use crate::command::stop::Stop;

/// Most commands of one stream that are stored together, so that no transaction grows without
/// bound.
const COMMANDS_PER_APPEND: usize = 256;

/// Most bytes of them, but for what the last one adds: less than what a store takes for a large
/// append, unless a single command is that large.
const BYTES_PER_APPEND: usize = LARGE_APPEND_BYTES / 4 * 3;

/// A hot stream.
#[derive(Debug)]
pub(super) struct HotStream {
    state: HotState,
    waiting: VecDeque<Waiter>,
    /// The decisions that are not handed over yet.
    decided: Vec<StreamAppend>,
    /// The answers that wait for it, in the same order.
    pending: Vec<Pending>,
    decided_bytes: usize,
    is_under_way: bool,
    is_loading: bool,
    /// The batch that has the stream for itself.
    holder: Option<HoldingBatch>,
    /// Tells whether another host won the last race. Then the next load claims the stream: a host
    /// that has the state at hand, and appends without a break, would never let in another one that
    /// has to load the state first.
    is_overtaken: bool,
    /// Keeps the other hosts away until what is decided is stored.
    claim: Option<Box<dyn Claim>>,
    /// The number of next commands that are stored one by one, to find the one that cannot be
    /// stored.
    one_by_one: usize,
    /// The time of the last use, in milliseconds since the process started.
    pub(super) used_ms: u64,
}

#[derive(Debug)]
enum Waiter {
    Command(Box<QueuedCommand>),
    Batch(u64, oneshot::Sender<()>),
}

/// A batch that has a stream for itself.
#[derive(Debug)]
struct HoldingBatch {
    reservation: u64,
    /// The head of the stream before the first command of the batch; none before that.
    durable: Option<StreamHead>,
    /// The command that is to be decided next.
    command: Option<Box<ReservedCommand>>,
}

impl HotStream {
    pub(super) fn new(id: StreamId) -> Self {
        Self {
            state: HotState::new(id),
            waiting: VecDeque::new(),
            decided: Vec::new(),
            pending: Vec::new(),
            decided_bytes: 0,
            is_under_way: false,
            is_loading: false,
            holder: None,
            is_overtaken: false,
            claim: None,
            one_by_one: 0,
            used_ms: 0,
        }
    }

    /// Gives the state, unless its instance has ended.
    pub(super) fn state(&self, pool: &Pool) -> Option<&State> {
        self.state.get(pool)
    }

    /// Tells whether the stream has nothing to do: no command, append, load or reservation.
    pub(super) fn is_idle(&self) -> bool {
        let is_busy = self.is_loading || self.holder.is_some();
        self.is_quiet() && self.waiting.is_empty() && !is_busy
    }

    /// Tells whether there is something to do for the stream as soon as its append is durable.
    pub(super) fn awaits_outcome(&self, rules: &StreamRules) -> bool {
        let is_anything_waiting = !self.decided.is_empty() || !self.waiting.is_empty();
        self.is_under_way && (is_anything_waiting || self.state.is_snapshot_due(rules))
    }

    /// Tells whether the stream can be forgotten without loss. A stream that has crashed an
    /// instance is remembered, or it would crash many.
    pub(super) fn is_forgettable(&self, pool: &Pool) -> bool {
        self.is_idle() && !self.state.is_suspect() && self.state(pool).is_none()
    }

    /// Tells whether no append of single commands is under way or to be made.
    fn is_quiet(&self) -> bool {
        !self.is_under_way && self.decided.is_empty()
    }

    /// Tells whether a batch has advanced the state by what it has not stored.
    fn is_advanced(&self) -> bool {
        let durable = self.holder.as_ref().and_then(|holder| holder.durable);
        durable.is_some_and(|durable| durable != self.state.head())
    }

    pub(super) fn push_command(&mut self, queued: Box<QueuedCommand>) {
        self.waiting.push_back(Waiter::Command(queued));
    }

    pub(super) fn push_reservation(&mut self, reservation: u64, grant: oneshot::Sender<()>) {
        self.waiting.push_back(Waiter::Batch(reservation, grant));
    }

    /// Takes a command of the batch that has the stream for itself.
    pub(super) fn push_reserved(&mut self, reservation: u64, command: Box<ReservedCommand>) {
        match &mut self.holder {
            Some(holder) if holder.reservation == reservation => holder.command = Some(command),
            // The stream was forgotten with its shard.
            _ => command.stop(Stop::Again),
        }
    }

    /// Ends a reservation, with the outcome of its append if there was one. The state stays unless
    /// it was advanced by what was not stored, or is that of another stream's history.
    pub(super) fn released(&mut self, reservation: u64, outcome: Option<Settled>, pool: &mut Pool) {
        let is_holder = |holder: &mut HoldingBatch| holder.reservation == reservation;
        let is_advanced = self.is_advanced();
        if self.holder.take_if(is_holder).is_none() {
            return;
        }
        self.state.pin(pool, false);
        match outcome {
            Some(Settled::Durable) => return,
            None if !is_advanced => return,
            Some(Settled::Overtaken) => self.is_overtaken = true,
            Some(Settled::Failed | Settled::OnePoisonsBatch) | None => {}
        }
        self.forget(pool);
    }

    /// Takes in that the stream was found to be at `head`.
    pub(super) fn moved(&mut self, head: StreamHead, pool: &mut Pool) {
        if self.is_quiet() && !self.is_advanced() && self.state.head() != head {
            self.forget(pool);
        }
    }

    /// Lets go of the state.
    pub(super) fn forget(&mut self, pool: &mut Pool) {
        self.state.forget(pool);
    }

    /// Does what can be done now for what waits. Gives the history that has to be read before there
    /// is more to do.
    #[must_use]
    pub(super) fn advance(&mut self, pool: &mut Pool, rules: &StreamRules) -> Option<HistoryStart> {
        while !self.is_loading {
            if self.holder.is_some() {
                return self.decide_reserved(pool, rules);
            }
            // Others come between, so that a snapshot can be taken of what is durable.
            if self.is_under_way && self.state.is_snapshot_due(rules) {
                break;
            }
            match self.waiting.pop_front() {
                None => {
                    self.waiting.shrink_to_fit();
                    break;
                }
                Some(Waiter::Batch(reservation, grant)) if self.is_quiet() => {
                    self.grant(reservation, grant);
                }
                Some(Waiter::Command(queued)) if queued.is_unwanted() => {}
                Some(Waiter::Command(queued)) if self.state(pool).is_some() && !self.is_full() => {
                    if let Err(queued) = self.decide(queued, pool, rules) {
                        self.waiting.push_front(Waiter::Command(queued));
                        if !self.is_quiet() {
                            break;
                        }
                    }
                }
                Some(other) => {
                    let is_command = matches!(other, Waiter::Command(_));
                    self.waiting.push_front(other);
                    if is_command && self.is_quiet() {
                        return Some(self.begin_loading(HistoryStart::Newest, pool));
                    }
                    break;
                }
            }
        }
        None
    }

    /// Gives the stream to a batch.
    fn grant(&mut self, reservation: u64, grant: oneshot::Sender<()>) {
        // A batch that was given up meanwhile has left a message that ends its reservation.
        if grant.send(()).is_ok() {
            // A batch appends to other streams as well, and a claim is for one.
            self.claim = None;
            self.holder = Some(HoldingBatch {
                reservation,
                durable: None,
                command: None,
            });
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

    /// Decides a command. Gives it back if it has to wait for what is not durable yet, or for
    /// another state.
    fn decide(
        &mut self,
        queued: Box<QueuedCommand>,
        pool: &mut Pool,
        rules: &StreamRules,
    ) -> Result<(), Box<QueuedCommand>> {
        if let Err(error) = queued.prepared.check_head(&self.state.head()) {
            return self.refuse(queued, error);
        }
        // Of two commands with one id, the second gets the outcome of the first.
        let id = queued.prepared.command_id;
        if self.pending.iter().any(|first| first.command_id() == id) {
            return Err(queued);
        }
        let (command, return_state) = (&queued.prepared, queued.return_state);
        match self.state.decide(command, return_state, pool, rules) {
            Ok((decided, shown)) => {
                if self.decided.is_empty() {
                    self.decided.reserve_exact(1);
                    self.pending.reserve_exact(1);
                }
                self.decided_bytes += decided.part.size_bytes();
                let (part, pending) = queued.pending(decided, shown);
                self.decided.push(part);
                self.pending.push(pending);
                Ok(())
            }
            Err(CallFailure::Crowded) => Err(queued),
            Err(CallFailure::Fault(fault)) => self.refuse(queued, pool.fault(fault)),
        }
    }

    /// Decides the command of the batch that has the stream for itself. Gives the history that has
    /// to be read before.
    fn decide_reserved(&mut self, pool: &mut Pool, rules: &StreamRules) -> Option<HistoryStart> {
        let command = self.holder.as_mut()?.command.take()?;
        if self.state(pool).is_none() {
            return self.load_reserved(command, pool);
        }
        let head = self.state.head();
        let durable = *self.holder.as_mut()?.durable.get_or_insert(head);
        let unconfirmed = |error| Stop::unconfirmed(error, Some(durable));
        if let Err(error) = command.prepared.check_head(&head) {
            command.stop(unconfirmed(error));
            return None;
        }
        let (prepared, return_state) = (&command.prepared, command.return_state);
        match self.state.decide(prepared, return_state, pool, rules) {
            Ok((decided, state)) => {
                self.state.pin(pool, true);
                let decision = ReservedDecision {
                    decided,
                    state,
                    durable,
                };
                // The batch may have been given up.
                let _ = command.reply.send(Ok(decision));
            }
            Err(CallFailure::Crowded) => return self.load_reserved(command, pool),
            Err(CallFailure::Fault(fault)) => command.stop(unconfirmed(pool.fault(fault))),
        }
        None
    }

    /// Has the state loaded for a command of a batch. What the batch has decided before cannot be
    /// loaded: it begins again.
    fn load_reserved(
        &mut self,
        command: Box<ReservedCommand>,
        pool: &mut Pool,
    ) -> Option<HistoryStart> {
        if self.is_advanced() {
            command.stop(Stop::Again);
            return None;
        }
        let holder = self.holder.as_mut()?;
        holder.command = Some(command);
        holder.durable = None;
        Some(self.begin_loading(HistoryStart::Newest, pool))
    }

    /// Refuses a command if that follows from a durable state. Gives it back otherwise.
    fn refuse(
        &mut self,
        queued: Box<QueuedCommand>,
        error: Error,
    ) -> Result<(), Box<QueuedCommand>> {
        if !self.is_quiet() {
            return Err(queued);
        }
        let head = Some(self.state.head());
        queued.stop(Stop::unconfirmed(error, head));
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
        // With what they have reserved: most of the time most streams have nothing to store.
        Some(Handed {
            parts: std::mem::take(&mut self.decided),
            pending: std::mem::take(&mut self.pending),
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
        self.decided.clear();
        let decided = std::mem::take(&mut self.pending).into_iter();
        let decided = decided.map(Pending::into_queued);
        let queued = again.into_iter().chain(decided).map(Box::new);
        let later = std::mem::take(&mut self.waiting);
        self.waiting = queued.map(Waiter::Command).chain(later).collect();
    }

    #[must_use]
    fn begin_loading(&mut self, start: HistoryStart, pool: &mut Pool) -> HistoryStart {
        self.is_loading = true;
        if matches!(start, HistoryStart::Newest) {
            self.state.reset(pool);
            self.claim = None;
            metrics::counter!(HOT_LOADS).increment(1);
        }
        start
    }

    /// Takes the next page of its history. Gives what has to be read next.
    #[must_use]
    pub(super) fn loaded(
        &mut self,
        page: Result<HistoryPage, store::Error>,
        pool: &mut Pool,
    ) -> Option<HistoryStart> {
        self.is_loading = false;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                self.refuse_waiting(|| Error::Store(error.clone_for_waiter()));
                return None;
            }
        };
        let next = match self.state.fold(&page, pool) {
            Ok(None) => self.folded(page),
            Ok(instead) => instead,
            Err(fault) => {
                self.refuse_waiting(|| pool.fault(fault.clone()));
                None
            }
        };
        next.map(|start| self.begin_loading(start, pool))
    }

    /// Takes what else a page holds, once it is folded. Gives what has to be read next.
    fn folded(&mut self, page: HistoryPage) -> Option<HistoryStart> {
        self.claim = page.claim.or(self.claim.take());
        if let Some(next) = page.next {
            return Some(HistoryStart::Ahead(next));
        }
        // A batch makes no claim. Once, whether that can be had or not; and late, so that the
        // others wait for a short page only.
        if self.holder.is_some() || !std::mem::take(&mut self.is_overtaken) {
            return None;
        }
        Some(HistoryStart::Claimed(self.state.head().version))
    }

    /// Refuses all commands that wait for a history that cannot be read. Later commands have it
    /// loaded again.
    fn refuse_waiting(&mut self, error: impl Fn() -> Error) {
        let refusal = || Stop::unconfirmed(error(), None);
        if let Some(holder) = &mut self.holder {
            let command = holder.command.take();
            return command
                .into_iter()
                .for_each(|command| command.stop(refusal()));
        }
        let waiting = std::mem::take(&mut self.waiting);
        for waiting in waiting {
            match waiting {
                Waiter::Command(queued) => queued.stop(refusal()),
                batch @ Waiter::Batch(..) => self.waiting.push_back(batch),
            }
        }
    }

    /// Takes a snapshot if one is due, of a state that is durable. Gives the version, and the state
    /// to keep.
    #[must_use]
    pub(super) fn take_snapshot(
        &mut self,
        pool: &mut Pool,
        rules: &StreamRules,
    ) -> Option<(Version, Json)> {
        if !self.is_quiet() || self.is_loading || self.holder.is_some() {
            return None;
        }
        self.state.take_snapshot(pool, rules)
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
