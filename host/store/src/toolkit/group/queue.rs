//! Orders conflicting appends before they are committed.
//!
//! Each stream, command id and event id has a line, in which appends stand in the order of their
//! arrival. An append is ready once it is the first in all of its lines, and leaves them when it is
//! answered. That costs a few look-ups per append, however many wait.
//!
//! [`Fair`] orders the appends that are ready. Each is paid for by its decider in its namespace: an
//! append of several deciders by the one with most of its bytes, so that no decider writes at the
//! cost of another by naming it first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::fair::Fair;
use super::{
    GroupLimits, MAX_BATCH_APPENDS, MAX_BATCH_BYTES, Number, Outcome, QueueKey, SHARED_BATCH_BYTES,
};
use crate::metrics::QUEUE;
use crate::{Append, AppendError, QueueLimit, StreamAppend};

/// The time for which a small append counts as a sign that more of them will come.
const SMALL_APPENDS_SEEN: Duration = Duration::from_secs(1);

/// The committer that takes an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitLane {
    /// A committer that takes many small appends at a time.
    Small,
    /// The committer that takes large appends, one by one, concurrently with the others.
    Large,
}

/// Appends that are waiting, and the lines of those that are under way.
#[derive(Debug)]
pub(super) struct Queue {
    limits: GroupLimits,
    /// The size in bytes above which an append is large and has its own committer.
    large_bytes: usize,
    hasher: RandomState,
    state: Mutex<QueueState>,
    /// Wakes one of these committers when an append is ready for it, and all of them at the end.
    wake_small: Notify,
    wake_large: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    is_closed: bool,
    next: Number,
    /// The appends that no committer has taken yet.
    waiting: HashMap<Number, WaitingAppend>,
    /// The small appends that are the first in all of their lines.
    small: Fair,
    /// The same, of the large ones.
    large: Fair,
    /// The arrival of the newest small append.
    small_at: Option<Instant>,
    /// The lines that are not empty, each without its first append.
    lines: HashMap<QueueKey, VecDeque<Number>>,
    /// The total of all appends that are not answered.
    unanswered: DeciderShare,
    /// The total of each payer that has unanswered appends.
    shares: HashMap<QueueKey, DeciderShare>,
}

#[derive(Debug, Clone, Copy, Default)]
struct DeciderShare {
    appends: usize,
    bytes: usize,
}

#[derive(Debug)]
struct WaitingAppend {
    job: QueuedAppend,
    /// The number of lines in which other appends come before it.
    behind: usize,
}

/// An append, and how to answer it.
#[derive(Debug)]
pub(super) struct QueuedAppend {
    pub(super) append: Append,
    pub(super) ticket: Ticket,
}

/// A place in the queue, held until the append is answered.
#[derive(Debug)]
pub(super) struct Ticket {
    answer: oneshot::Sender<Outcome>,
    place: QueueSlot,
}

/// A place in the lines, which is left when this is dropped: whatever happens to an append, those
/// behind it continue.
#[derive(Debug)]
struct QueueSlot {
    queue: Arc<Queue>,
    keys: Vec<QueueKey>,
    cost: AppendCost,
}

/// The payer of an append, and its price.
#[derive(Debug, Clone, Copy)]
struct AppendCost {
    payer: QueueKey,
    bytes: usize,
    lane: CommitLane,
}

impl Queue {
    pub(super) fn new(limits: GroupLimits, large_bytes: usize) -> Self {
        Self {
            limits,
            large_bytes,
            hasher: RandomState::new(),
            state: Mutex::default(),
            wake_small: Notify::new(),
            wake_large: Notify::new(),
        }
    }

    /// Locks the state. Each change is complete before anything can panic, so that a poisoned lock
    /// guards sound data.
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an append in, at the end of its lines.
    pub(super) fn enter(
        queue: &Arc<Self>,
        append: Append,
    ) -> Result<oneshot::Receiver<Outcome>, AppendError> {
        let (answer, answered) = oneshot::channel();
        let cost = queue.cost(&append.parts);
        let keys = queue.keys(&append.parts);
        let is_ready = {
            let mut state = queue.state();
            if state.is_closed {
                return Err(AppendError::Unavailable("the store is closed".into()));
            }
            if let Some(limit) = state.limit_reached(queue.limits, cost) {
                return Err(AppendError::Overloaded { limit });
            }
            if cost.lane == CommitLane::Small {
                state.small_at = Some(Instant::now());
            }
            let number = state.next;
            state.next += 1;
            let behind = state.line_up(number, &keys);
            state.count(cost);
            let place = QueueSlot {
                queue: Arc::clone(queue),
                keys,
                cost,
            };
            let ticket = Ticket { answer, place };
            let job = QueuedAppend { append, ticket };
            state.waiting.insert(number, WaitingAppend { job, behind });
            if behind == 0 {
                state.ready(number, cost);
            }
            behind == 0
        };
        if is_ready {
            queue.wake(cost.lane).notify_one();
        }
        Ok(answered)
    }

    fn wake(&self, lane: CommitLane) -> &Notify {
        match lane {
            CommitLane::Small => &self.wake_small,
            CommitLane::Large => &self.wake_large,
        }
    }

    fn cost(&self, parts: &[StreamAppend]) -> AppendCost {
        // Nearly always of one decider.
        let mut costs: Vec<(QueueKey, usize)> = Vec::with_capacity(1);
        for part in parts {
            let decider = (3_u8, part.stream.namespace(), part.stream.decider());
            let (payer, bytes) = (self.hasher.hash_one(decider), part.size_bytes());
            match costs.iter_mut().find(|(known, _)| *known == payer) {
                Some((_, sum)) => *sum += bytes,
                None => costs.push((payer, bytes)),
            }
        }
        let bytes = costs.iter().map(|(_, bytes)| bytes).sum();
        let payer = costs.into_iter().max_by_key(|(_, bytes)| *bytes);
        AppendCost {
            payer: payer.map_or(0, |(payer, _)| payer),
            bytes,
            lane: if bytes > self.large_bytes {
                CommitLane::Large
            } else {
                CommitLane::Small
            },
        }
    }

    /// The lines to stand in, each once.
    fn keys(&self, parts: &[StreamAppend]) -> Vec<QueueKey> {
        // Nearly always of one part with one event.
        let mut keys = Vec::with_capacity(3);
        for part in parts {
            keys.push(self.hasher.hash_one((0_u8, &part.stream)));
            if let Some(command) = &part.command {
                let id = (1_u8, part.stream.namespace(), command.command_id);
                keys.push(self.hasher.hash_one(id));
            }
            let events = part.events.iter();
            keys.extend(events.map(|event| self.hasher.hash_one((2_u8, event.event_id))));
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The next batch for a lane, as soon as anything is ready; none when the queue is closed and
    /// all is answered.
    pub(super) async fn next_batch(&self, lane: CommitLane) -> Option<Vec<QueuedAppend>> {
        loop {
            let woken = self.wake(lane).notified();
            tokio::pin!(woken);
            // From here on no call is missed, not even one to all.
            woken.as_mut().enable();
            {
                let mut state = self.state();
                let batch = state.take_batch(lane);
                if !batch.is_empty() {
                    gauge!(QUEUE).set(as_gauge(state.unanswered.appends));
                    if !state.lane(lane).is_empty() {
                        self.wake(lane).notify_one();
                    }
                    return Some(batch);
                }
                if state.is_closed && state.unanswered.appends == 0 {
                    return None;
                }
            }
            woken.await;
        }
    }

    /// Tells whether small appends come in, for which large ones should leave room.
    pub(super) fn has_small_ones(&self) -> bool {
        let state = self.state();
        let came = state.small_at.map(|at| at.elapsed());
        !state.is_closed && came.is_some_and(|ago| ago < SMALL_APPENDS_SEEN)
    }

    /// Takes nothing more in.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.wake_all();
    }

    fn wake_all(&self) {
        self.wake_small.notify_waiters();
        self.wake_large.notify_waiters();
    }

    fn leave(&self, place: &QueueSlot) {
        let mut state = self.state();
        state.discount(place.cost);
        let is_idle = state.unanswered.appends == 0;
        if is_idle {
            gauge!(QUEUE).set(0.0);
        }
        let (is_over, is_ready) = (is_idle && state.is_closed, state.step_up(&place.keys));
        drop(state);
        if is_over {
            self.wake_all();
        } else if is_ready {
            self.wake_small.notify_one();
            self.wake_large.notify_one();
        }
    }
}

impl QueueState {
    /// Finds the limit that an append would exceed. A payer may have half of what the others leave,
    /// so that there is room for another payer, however much all of them write.
    fn limit_reached(&self, limits: GroupLimits, cost: AppendCost) -> Option<QueueLimit> {
        let (all, own) = (self.unanswered, self.share(cost.payer));
        if all.appends >= limits.appends {
            return Some(QueueLimit::Appends(limits.appends));
        }
        let appends = (limits.appends - (all.appends - own.appends)).div_ceil(2);
        if own.appends >= appends {
            return Some(QueueLimit::Appends(appends));
        }
        if all.appends > 0 && all.bytes + cost.bytes > limits.bytes {
            return Some(QueueLimit::Bytes(limits.bytes));
        }
        let bytes = limits
            .bytes
            .saturating_sub(all.bytes - own.bytes)
            .div_ceil(2);
        let is_too_much = own.appends > 0 && own.bytes + cost.bytes > bytes;
        is_too_much.then_some(QueueLimit::Bytes(bytes))
    }

    fn share(&self, payer: QueueKey) -> DeciderShare {
        self.shares.get(&payer).copied().unwrap_or_default()
    }

    fn count(&mut self, cost: AppendCost) {
        for share in [
            &mut self.unanswered,
            self.shares.entry(cost.payer).or_default(),
        ] {
            share.appends += 1;
            share.bytes += cost.bytes;
        }
    }

    fn discount(&mut self, cost: AppendCost) {
        let own = self.shares.entry(cost.payer).or_default();
        for share in [&mut self.unanswered, &mut *own] {
            share.appends -= 1;
            share.bytes -= cost.bytes;
        }
        if own.appends == 0 {
            self.shares.remove(&cost.payer);
        }
    }

    fn lane(&mut self, lane: CommitLane) -> &mut Fair {
        match lane {
            CommitLane::Small => &mut self.small,
            CommitLane::Large => &mut self.large,
        }
    }

    /// Takes note that an append is the first of all its lines.
    fn ready(&mut self, number: Number, cost: AppendCost) {
        self.lane(cost.lane).push(number, cost.payer, cost.bytes);
    }

    /// Joins the lines, and returns the number of lines in which others come first.
    fn line_up(&mut self, number: Number, keys: &[QueueKey]) -> usize {
        let mut behind = 0;
        for key in keys {
            if let Some(line) = self.lines.get_mut(key) {
                line.push_back(number);
                behind += 1;
            } else {
                self.lines.insert(*key, VecDeque::new());
            }
        }
        behind
    }

    /// Removes the first append of each of these lines, and tells whether another one has become
    /// ready.
    fn step_up(&mut self, keys: &[QueueKey]) -> bool {
        let mut is_ready = false;
        for key in keys {
            let Some(next) = self.lines.get_mut(key).and_then(VecDeque::pop_front) else {
                self.lines.remove(key);
                continue;
            };
            if let Some(waiting) = self.waiting.get_mut(&next) {
                waiting.behind -= 1;
                if waiting.behind == 0 {
                    let cost = waiting.job.ticket.place.cost;
                    self.ready(next, cost);
                    is_ready = true;
                }
            }
        }
        is_ready
    }

    fn take_batch(&mut self, lane: CommitLane) -> Vec<QueuedAppend> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let limit = match lane {
            // Each goes alone.
            CommitLane::Large => 0,
            CommitLane::Small if self.small.has_several_payers() => SHARED_BATCH_BYTES,
            CommitLane::Small => MAX_BATCH_BYTES,
        };
        while batch.len() < MAX_BATCH_APPENDS
            && let Some(next) = self.lane(lane).first_bytes()
        {
            bytes += next;
            if bytes > limit && !batch.is_empty() {
                break;
            }
            let taken = self.lane(lane).pop();
            let taken = taken.and_then(|number| self.waiting.remove(&number));
            batch.extend(taken.map(|taken| taken.job));
        }
        batch
    }
}

impl Ticket {
    /// Answers, and lets the appends behind this one continue. A caller who no longer waits is no
    /// loss.
    pub(super) fn settle(self, outcome: Outcome) {
        let Self { answer, place } = self;
        drop(place);
        drop(answer.send(outcome));
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        self.queue.leave(self);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the limit of a queue is far below 2^52"
)]
fn as_gauge(count: usize) -> f64 {
    count as f64
}
