//! Who waits for whom: the queue before the committers.
//!
//! Each stream, command id and event id is a line, in which appends stand in the order of their arrival. An append is ready once it is the
//! first in all of its lines, and leaves them when it is answered. That costs a few look-ups per append, however many wait.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::gauge;
use tokio::sync::{Notify, oneshot};

use super::{Limits, MAX_BATCH_APPENDS, MAX_BATCH_BYTES, Outcome};
use crate::store::metrics::QUEUE;
use crate::store::{Append, AppendError, QueueLimit, StreamAppend};

/// What a row takes besides its texts, in bytes.
const ROW_BYTES: usize = 256;

/// A stream, a command id or an event id, as a hash: two that collide wait for each other without need, and nothing worse.
type Key = u64;

/// The number of an append, in the order of arrival.
type Number = u64;

/// Appends that are waiting, and the lines of those that are under way.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    hasher: RandomState,
    state: Mutex<State>,
    /// Wakes a committer when something is ready, and all of them at the end.
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    next: Number,
    /// Not taken by a committer yet.
    waiting: HashMap<Number, Waiting>,
    /// The first of all their lines, in the order in which they became that.
    ready: VecDeque<Number>,
    /// A line is there while somebody is in it; its first is left out.
    lines: HashMap<Key, VecDeque<Number>>,
    /// Of all appends that are not answered.
    unanswered: usize,
    unanswered_bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    /// In how many lines others come before it.
    behind: usize,
}

/// An append, and how to answer it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) append: Append,
    pub(super) ticket: Ticket,
}

/// A place in the queue, held until the append is answered.
#[derive(Debug)]
pub(super) struct Ticket {
    answer: oneshot::Sender<Outcome>,
    place: Place,
}

/// Leaves the lines when dropped, so that whatever happens to an append, those behind it go on.
#[derive(Debug)]
struct Place {
    queue: Arc<Queue>,
    keys: Vec<Key>,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            hasher: RandomState::new(),
            state: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Each change is whole before anything can panic, so that a poisoned lock guards sound data.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an append in, at the end of its lines.
    pub(super) fn enter(
        queue: &Arc<Self>,
        append: Append,
    ) -> Result<oneshot::Receiver<Outcome>, AppendError> {
        let (answer, answered) = oneshot::channel();
        let bytes = append.parts.iter().map(size_bytes).sum();
        let keys = queue.keys(&append.parts);
        let is_ready = {
            let mut state = queue.state();
            if state.is_closed {
                return Err(AppendError::Unavailable("the store is closed".into()));
            }
            if let Some(limit) = state.limit_reached(queue.limits, bytes) {
                return Err(AppendError::Overloaded { limit });
            }
            let number = state.next;
            state.next += 1;
            let behind = state.line_up(number, &keys);
            state.unanswered += 1;
            state.unanswered_bytes += bytes;
            let place = Place {
                queue: Arc::clone(queue),
                keys,
                bytes,
            };
            let ticket = Ticket { answer, place };
            let job = Job { append, ticket };
            state.waiting.insert(number, Waiting { job, behind });
            if behind == 0 {
                state.ready.push_back(number);
            }
            behind == 0
        };
        if is_ready {
            queue.wake.notify_one();
        }
        Ok(answered)
    }

    /// The lines to stand in, each once.
    fn keys(&self, parts: &[StreamAppend]) -> Vec<Key> {
        let mut keys = HashSet::new();
        for part in parts {
            keys.insert(self.hasher.hash_one((0_u8, &part.stream)));
            if let Some(command) = &part.command {
                let id = (1_u8, part.stream.namespace(), command.command_id);
                keys.insert(self.hasher.hash_one(id));
            }
            let events = part.events.iter();
            keys.extend(events.map(|event| self.hasher.hash_one((2_u8, event.event_id))));
        }
        keys.into_iter().collect()
    }

    /// The next batch, as soon as anything is ready; none when the queue is closed and all is answered.
    pub(super) async fn next_batch(&self) -> Option<Vec<Job>> {
        loop {
            let woken = self.wake.notified();
            tokio::pin!(woken);
            // From here on no call is missed, not even one to all.
            woken.as_mut().enable();
            {
                let mut state = self.state();
                let batch = state.take_batch();
                if !batch.is_empty() {
                    gauge!(QUEUE).set(as_gauge(state.unanswered));
                    if !state.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return Some(batch);
                }
                if state.is_closed && state.unanswered == 0 {
                    return None;
                }
            }
            woken.await;
        }
    }

    /// Takes nothing more in.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.wake.notify_waiters();
    }

    fn leave(&self, keys: &[Key], bytes: usize) {
        let mut state = self.state();
        state.unanswered -= 1;
        state.unanswered_bytes -= bytes;
        let is_idle = state.unanswered == 0;
        if is_idle {
            gauge!(QUEUE).set(0.0);
        }
        let (is_over, is_ready) = (is_idle && state.is_closed, state.step_up(keys));
        drop(state);
        if is_over {
            self.wake.notify_waiters();
        } else if is_ready {
            self.wake.notify_one();
        }
    }
}

impl State {
    fn limit_reached(&self, limits: Limits, bytes: usize) -> Option<QueueLimit> {
        if self.unanswered >= limits.appends {
            return Some(QueueLimit::Appends(limits.appends));
        }
        let is_too_much = self.unanswered > 0 && self.unanswered_bytes + bytes > limits.bytes;
        is_too_much.then_some(QueueLimit::Bytes(limits.bytes))
    }

    /// Joins the lines, and says in how many of them others come first.
    fn line_up(&mut self, number: Number, keys: &[Key]) -> usize {
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

    /// Removes the first of these lines, and says whether anybody has become ready by that.
    fn step_up(&mut self, keys: &[Key]) -> bool {
        let mut is_ready = false;
        for key in keys {
            let Some(next) = self.lines.get_mut(key).and_then(VecDeque::pop_front) else {
                self.lines.remove(key);
                continue;
            };
            if let Some(waiting) = self.waiting.get_mut(&next) {
                waiting.behind -= 1;
                if waiting.behind == 0 {
                    self.ready.push_back(next);
                    is_ready = true;
                }
            }
        }
        is_ready
    }

    fn take_batch(&mut self) -> Vec<Job> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < MAX_BATCH_APPENDS
            && let Some(number) = self.ready.front()
        {
            let next = self.waiting.get(number);
            bytes += next.map_or(0, |next| next.job.ticket.place.bytes);
            if bytes > MAX_BATCH_BYTES && !batch.is_empty() {
                break;
            }
            let taken = self.ready.pop_front();
            let taken = taken.and_then(|number| self.waiting.remove(&number));
            batch.extend(taken.map(|taken| taken.job));
        }
        batch
    }
}

impl Ticket {
    /// Answers, and lets those behind go on. A caller who is gone is no loss.
    pub(super) fn settle(self, outcome: Outcome) {
        let Self { answer, place } = self;
        drop(place);
        drop(answer.send(outcome));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.leave(&self.keys, self.bytes);
    }
}

/// What a part takes up, roughly.
fn size_bytes(part: &StreamAppend) -> usize {
    let events = part.events.iter().map(|event| {
        let tags: usize = event.tags.iter().map(String::len).sum();
        ROW_BYTES + event.data.as_str().len() + tags + entries_bytes(event.metadata.entries())
    });
    let command = part.command.as_ref().map_or(0, |command| {
        ROW_BYTES + command.data.as_str().len() + entries_bytes(command.metadata.entries())
    });
    events.sum::<usize>() + command
}

fn entries_bytes(entries: &std::collections::BTreeMap<String, String>) -> usize {
    entries
        .iter()
        .map(|(key, text)| key.len() + text.len())
        .sum()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the limit of a queue is far below 2^52"
)]
fn as_gauge(count: usize) -> f64 {
    count as f64
}
