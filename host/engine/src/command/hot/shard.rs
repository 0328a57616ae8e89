//! A shard: some streams of one namespace and module, worked on by one guest thread at a time.
//!
//! Messages come from anywhere; a *turn* on a guest's thread takes those that wait, decides, and
//! hands over what is to be stored. A shard with nothing to do occupies no thread; that an append
//! has become durable is left for the next turn, unless somebody waits for it. Turns are short,
//! so that modules share the threads fairly; a module that burns its whole deadline on every call
//! holds no more threads than it has shards, and soon only such as give way to others.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::join_all;
use gavel_model::{Json, StreamId, Version};
use gavel_sandbox::scheduling::TURN;
use gavel_sandbox::{Module, Runtime};
use gavel_store::{self as store, Append, Snapshot, Store, StreamHead};
use hashlink::LruCache;
use metrics::{Counter, counter};
use tokio::sync::{Semaphore, oneshot};

use super::budget::{Eviction, Holdings, HotBudget};
use super::pool::Pool;
use super::queued::{QueuedCommand, ReservedCommand};
use super::settled::Settled;
use super::state::StreamRules;
use super::stream::{Handed, HotStream};
use crate::catalog::{Decider, Decisions, Outputs};
use crate::command::history::{HistoryPage, HistoryReader, HistoryStart};
use crate::command::metrics::HOT_EVICTIONS;
use crate::command::stop::Stop;

/// The services and settings that all shards share.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) store: Arc<dyn Store>,
    pub(super) runtime: Runtime,
    pub(super) decisions: Arc<Decisions>,
    pub(super) outputs: Arc<Outputs>,
    /// The runtime for tasks that wait for the store.
    pub(super) tasks: tokio::runtime::Handle,
    pub(super) rules: StreamRules,
    pub(super) budget: HotBudget,
    pub(super) started: Instant,
    /// The counter [`HOT_HITS`](crate::command::metrics::HOT_HITS).
    pub(super) hits: Counter,
}

impl Environment {
    fn count_hit(&self, stream: &HotStream, pool: &Pool) {
        if stream.state(pool).is_some() {
            self.hits.increment(1);
        }
    }
}

/// Some streams of one namespace and module.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) env: Arc<Environment>,
    module: Module,
    /// Places for commands that wait.
    places: Arc<Semaphore>,
    mailbox: Mutex<Mailbox>,
    streams: Mutex<ShardStreams>,
    /// The last use of the stream that was used least recently, in milliseconds since the start;
    /// `u64::MAX` without streams.
    oldest_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Mailbox {
    messages: VecDeque<Message>,
    /// Tells whether one of the messages asks for a turn by itself.
    is_due: bool,
    /// Tells whether there is work that waits for the outcome of an append.
    is_outcome_awaited: bool,
    /// Tells whether a turn is under way or about to begin.
    is_scheduled: bool,
    /// Tells whether the shard has ended: it takes no messages any more.
    is_closed: bool,
}

impl Mailbox {
    fn push(&mut self, message: Message) {
        self.is_due |= !message.can_wait();
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front();
        self.is_due &= message.is_some();
        message
    }

    /// Tells whether the messages are worth a turn.
    fn wants_turn(&self) -> bool {
        !self.messages.is_empty() && (self.is_due || self.is_outcome_awaited)
    }
}

/// The streams, most recently used last, and where their states live. Only a turn looks at it.
#[derive(Debug)]
struct ShardStreams {
    hot: LruCache<StreamId, HotStream>,
    /// The streams that can go on once the append that is under way has an outcome.
    awaiting: HashSet<StreamId>,
    pool: Pool,
    /// The part of the budget that they take up.
    counted: Holdings,
}

/// A message to a shard.
#[derive(Debug)]
pub(super) enum Message {
    /// Decides and stores a command.
    Command(Box<QueuedCommand>),
    /// Keeps a stream free for a batch, once what came before is stored.
    Reserve(StreamId, u64, oneshot::Sender<()>),
    /// Decides a command of the batch that has reserved the stream.
    Decide(StreamId, u64, Box<ReservedCommand>),
    /// The reservation has ended, with the outcome of its append if there was one.
    Released(StreamId, u64, Option<Settled>),
    /// A page of a stream's history.
    Loaded(StreamId, Box<Result<HistoryPage, store::Error>>),
    /// The outcome of the append that was under way, with the commands that are to be decided
    /// again.
    Settled(StreamId, Settled, Vec<QueuedCommand>),
    /// The stream was found to be there.
    Moved(StreamId, StreamHead),
    /// Drops the least recently used state, for others need the room.
    Evict(Eviction),
}

impl Message {
    /// Tells whether the message says nothing that is worth a turn of its own.
    fn can_wait(&self) -> bool {
        matches!(self, Self::Settled(_, Settled::Durable, _))
    }
}

impl Shard {
    pub(super) fn new(env: Arc<Environment>, decider: &Decider, queue: usize) -> Self {
        let pool = Pool::new(
            decider.module().clone(),
            env.runtime.limits().memory_bytes,
            env.outputs.clone(),
        );
        Self {
            env,
            module: decider.module().clone(),
            places: Arc::new(Semaphore::new(queue)),
            mailbox: Mutex::default(),
            streams: Mutex::new(ShardStreams {
                hot: LruCache::new_unbounded(),
                awaiting: HashSet::new(),
                pool,
                counted: Holdings::default(),
            }),
            oldest_ms: AtomicU64::new(u64::MAX),
        }
    }

    /// Gives the places for commands that wait; without one, a command is refused.
    pub(super) fn places(&self) -> &Arc<Semaphore> {
        &self.places
    }

    pub(super) fn oldest_ms(&self) -> u64 {
        self.oldest_ms.load(Ordering::Relaxed)
    }

    /// Leaves a message. Gives it back if the shard has ended.
    pub(super) fn send(self: &Arc<Self>, message: Message) -> Result<(), Message> {
        let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        if mailbox.is_closed {
            return Err(message);
        }
        mailbox.push(message);
        if mailbox.wants_turn() && !std::mem::replace(&mut mailbox.is_scheduled, true) {
            drop(mailbox);
            self.schedule();
        }
        Ok(())
    }

    fn schedule(self: &Arc<Self>) {
        let shard = self.clone();
        self.env.runtime.post(&self.module, move || {
            if catch_unwind(AssertUnwindSafe(|| shard.turn())).is_err() {
                // A bug of ours. Its senders are told as their replies are dropped; the next
                // command finds another shard.
                tracing::error!(module.digest = %shard.module.digest(), "a shard has panicked");
                shard.close();
            }
        });
    }

    /// Takes messages for a while.
    fn turn(self: &Arc<Self>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        let now_ms = u64::try_from((began - self.env.started).as_millis()).unwrap_or(u64::MAX);
        let mut touched = Vec::new();
        while let Some(message) = self.next_message() {
            streams.handle(message, self, now_ms, &mut touched);
            if began.elapsed() >= TURN {
                break;
            }
        }
        let mut handed = Vec::new();
        for stream in touched {
            let decided = streams.finish(&stream, self);
            handed.extend(decided.map(|decided| (stream, decided)));
        }
        self.oldest_ms.store(streams.oldest_ms(), Ordering::Relaxed);
        streams.count(&self.env.budget);
        let is_outcome_awaited = !streams.awaiting.is_empty();
        drop(streams);
        if !handed.is_empty() {
            self.store(handed);
        }
        self.env.budget.enforce();

        let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        mailbox.is_outcome_awaited = is_outcome_awaited;
        mailbox.is_scheduled = mailbox.wants_turn();
        if mailbox.is_scheduled {
            drop(mailbox);
            // At the end of the queue: others come first.
            self.schedule();
        }
    }

    fn next_message(&self) -> Option<Message> {
        let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        mailbox.pop()
    }

    /// Ends the shard if nothing is in it. A later command gets another shard.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        if mailbox.is_scheduled || self.oldest_ms() != u64::MAX {
            return false;
        }
        mailbox.is_closed = true;
        true
    }

    fn close(&self) {
        let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        mailbox.is_closed = true;
        let messages = std::mem::take(&mut mailbox.messages);
        drop(mailbox);
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.hot.clear();
        streams.awaiting.clear();
        streams.pool.clear();
        streams.count(&self.env.budget);
        self.oldest_ms.store(u64::MAX, Ordering::Relaxed);
        drop(messages);
    }

    /// Has a page of a stream's history read; it comes as a message.
    fn load(self: &Arc<Self>, stream: StreamId, start: HistoryStart) {
        let shard = self.clone();
        let reader = HistoryReader {
            store: self.env.store.clone(),
            module: self.module.digest(),
            stream,
        };
        self.env.tasks.spawn(async move {
            let page = reader.read(start).await;
            let _ = shard.send(Message::Loaded(reader.stream, Box::new(page)));
        });
    }

    /// Saves a snapshot. Best effort: a failure affects speed only.
    fn keep_snapshot(&self, stream: StreamId, version: Version, state: Json) {
        let store = self.env.store.clone();
        let snapshot = Snapshot {
            stream,
            module: self.module.digest(),
            version,
            state,
        };
        self.env.tasks.spawn(async move {
            if let Err(error) = store.put_snapshots(vec![snapshot]).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a snapshot is not kept"
                );
            }
        });
    }

    /// Appends what was decided for streams, each by itself, but in one task: to wake one for each
    /// of them would cost more than the rest of it.
    fn store(self: &Arc<Self>, handed: Vec<(StreamId, Handed)>) {
        let appends = handed.into_iter().map(|(stream, handed)| {
            let settling = Settling {
                shard: self.clone(),
                stream,
                outcome: Settled::Failed,
                again: Vec::new(),
            };
            // A bug of ours, which the panic hook logs, ends no other append.
            AssertUnwindSafe(settling.append(handed)).catch_unwind()
        });
        let appends = join_all(appends);
        self.env.tasks.spawn(appends.map(drop));
    }
}

/// Tells the shard how an append has ended, however that is.
struct Settling {
    shard: Arc<Shard>,
    stream: StreamId,
    outcome: Settled,
    again: Vec<QueuedCommand>,
}

impl Settling {
    /// Appends decisions, answers their senders, and reports the outcome to the shard.
    async fn append(mut self, handed: Handed) {
        let Handed {
            parts,
            pending,
            claim,
        } = handed;
        let undecided = self.shard.env.decisions.of(&parts);
        let append = Append { parts };
        let appended = match claim {
            Some(claim) => claim.append(append).await,
            None => self.shard.env.store.append(append).await,
        };
        match appended {
            Ok(appended) => {
                self.outcome = Settled::Durable;
                self.shard.env.decisions.stored(undecided);
                for (pending, appended) in pending.into_iter().zip(appended) {
                    pending.stored(appended);
                }
            }
            Err(error) => {
                let is_alone = pending.len() == 1;
                self.outcome = Settled::of(&error, is_alone);
                self.again = pending
                    .into_iter()
                    .filter_map(|pending| pending.not_stored(&error, is_alone))
                    .collect();
            }
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        let again = std::mem::take(&mut self.again);
        let message = Message::Settled(self.stream.clone(), self.outcome, again);
        let _ = self.shard.send(message);
    }
}

impl ShardStreams {
    fn handle(
        &mut self,
        message: Message,
        shard: &Arc<Shard>,
        now_ms: u64,
        touched: &mut Vec<StreamId>,
    ) {
        let id = match &message {
            Message::Command(queued) => queued.prepared.stream.clone(),
            Message::Reserve(id, ..)
            | Message::Decide(id, ..)
            | Message::Released(id, ..)
            | Message::Loaded(id, _)
            | Message::Settled(id, ..)
            | Message::Moved(id, _) => id.clone(),
            Message::Evict(eviction) => return self.evict(eviction.excess),
        };
        let message = match message {
            Message::Command(queued) if queued.is_unwanted() => return,
            Message::Command(queued) => match queued.prepared.check() {
                Ok(()) => Message::Command(queued),
                Err(error) => return queued.stop(Stop::unconfirmed(error, None)),
            },
            message => message,
        };
        let (pool, rules) = (&mut self.pool, &shard.env.rules);
        let stream = self
            .hot
            .entry(id.clone())
            .or_insert_with(|| HotStream::new(id.clone()));
        let (mut history, mut snapshot) = (None, None);
        match message {
            Message::Command(queued) => {
                shard.env.count_hit(stream, pool);
                stream.used_ms = now_ms;
                stream.push_command(queued);
            }
            Message::Reserve(_, reservation, grant) => {
                stream.used_ms = now_ms;
                stream.push_reservation(reservation, grant);
            }
            Message::Decide(_, reservation, command) => {
                shard.env.count_hit(stream, pool);
                stream.push_reserved(reservation, command);
            }
            Message::Released(_, reservation, outcome) => {
                stream.released(reservation, outcome, pool);
                snapshot = stream.take_snapshot(pool, rules);
            }
            Message::Loaded(_, page) => history = stream.loaded(*page, pool),
            Message::Settled(_, outcome, again) => {
                stream.settled(outcome, again, pool);
                snapshot = stream.take_snapshot(pool, rules);
            }
            Message::Moved(_, head) => stream.moved(head, pool),
            Message::Evict(_) => {}
        }
        if let Some((version, state)) = snapshot {
            shard.keep_snapshot(id.clone(), version, state);
        }
        if let Some(start) = history.or_else(|| stream.advance(pool, rules)) {
            shard.load(id.clone(), start);
        }
        touched.push(id);
    }

    /// Gives what was decided for a stream in this turn.
    fn finish(&mut self, id: &StreamId, shard: &Shard) -> Option<Handed> {
        let stream = self.hot.peek_mut(id)?;
        let handed = stream.hand_over();
        if stream.awaits_outcome(&shard.env.rules) {
            self.awaiting.insert(id.clone());
        } else {
            self.awaiting.remove(id);
        }
        if handed.is_none() && stream.is_forgettable(&self.pool) {
            self.hot.remove(id);
        }
        handed
    }

    fn oldest_ms(&self) -> u64 {
        let oldest = self.hot.iter().next();
        oldest.map_or(u64::MAX, |(_, stream)| stream.used_ms)
    }

    /// Drops the states of idle streams, the least recently used first.
    fn evict(&mut self, excess: Holdings) {
        let mut evicted = 0;
        let goal = self.pool.bytes().saturating_sub(excess.bytes);
        let idle = self.hot.iter().filter(|(_, stream)| stream.is_idle());
        let ids: Vec<_> = idle.map(|(id, _)| id.clone()).collect();
        for id in ids {
            if evicted >= excess.streams && self.pool.bytes() <= goal {
                break;
            }
            let Some(mut stream) = self.hot.remove(&id) else {
                continue;
            };
            evicted += 1;
            match stream.state(&self.pool).map(|state| state.instance()) {
                // Memory is had back only by the instance.
                Some(instance) if self.pool.bytes() > goal => self.pool.retire(instance),
                _ => stream.forget(&mut self.pool),
            }
        }
        counter!(HOT_EVICTIONS).increment(evicted as u64);
    }

    /// Tells the budget what is kept here now.
    fn count(&mut self, budget: &HotBudget) {
        let now = Holdings {
            streams: self.hot.len(),
            bytes: self.pool.bytes(),
        };
        budget.change(self.counted, now);
        self.counted = now;
    }
}

#[cfg(test)]
mod tests {
    use gavel_model::{DeciderName, Namespace};

    use super::*;

    #[test]
    fn that_an_append_is_durable_is_worth_a_turn_only_when_something_waits_for_it() {
        let decider = DeciderName::new("counter").unwrap();
        let stream = StreamId::new(Namespace::default(), decider, "c-1").unwrap();
        let settled = |outcome| Message::Settled(stream.clone(), outcome, Vec::new());
        let mut mailbox = Mailbox::default();
        assert!(!mailbox.wants_turn());
        mailbox.push(settled(Settled::Durable));
        assert!(!mailbox.wants_turn());
        mailbox.is_outcome_awaited = true;
        assert!(mailbox.wants_turn());

        mailbox.is_outcome_awaited = false;
        mailbox.push(settled(Settled::Failed));
        assert!(mailbox.wants_turn());
        while mailbox.pop().is_some() {}
        mailbox.push(settled(Settled::Durable));
        assert!(!mailbox.wants_turn());
    }
}
