//! The state machine of a hot stream: messages in, and what it asks for out.

mod batches;
mod commands;

use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Event, Json, LedgerMode, StreamId, SystemClock, Version, new_id};
use gavel_sandbox::Fault;
use gavel_store::{Appended, History, StreamAppend, StreamHead};
use tokio::sync::Semaphore;
use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

use super::pool::Pool;
use super::queued::{Pending, QueuedCommand, ReservedCommand, ReservedDecision};
use super::settled::Settled;
use super::state::StreamRules;
use super::stream::HotStream;
use crate::catalog::Active;
use crate::command::decision::PreparedCommand;
use crate::command::history::{HistoryPage, HistoryStart};
use crate::command::stop::Stop;
use crate::command::testing::{Tally, command, expecting, stream, sum};
use crate::command::{CommandAnswer, CommandRequest, Error, Origin, SnapshotPolicy};

type Answer = Receiver<Result<CommandAnswer, Stop>>;
type ReservedAnswer = Receiver<Result<ReservedDecision, Stop>>;

/// A hot stream with its instances, and the hands of a shard.
struct Bench {
    stream: HotStream,
    pool: Pool,
    rules: StreamRules,
    active: Arc<Active>,
}

impl Bench {
    fn new(decider: Tally) -> Self {
        let active = decider.active();
        let module = active.decider.module().clone();
        Self {
            stream: HotStream::new(id()),
            pool: Pool::new(module, 1 << 20, Arc::default()),
            rules: StreamRules {
                clock: Arc::new(SystemClock),
                snapshots: SnapshotPolicy {
                    events: 3,
                    replay: Duration::MAX,
                },
            },
            active,
        }
    }

    /// A stream whose state is known: one without events.
    fn hot() -> Self {
        let mut bench = Self::new(Tally::default());
        let answer = bench.send(command("a", "Note", 0));
        assert!(matches!(bench.advance(), Some(HistoryStart::Newest)));
        bench.load(page(&[], false));
        bench.advance_to_the_end();
        bench.store();
        drop(answer);
        bench
    }

    fn prepared(&self, request: &CommandRequest) -> PreparedCommand {
        let (active, origin) = (self.active.clone(), Origin::default());
        PreparedCommand::new(active, request, &origin, LedgerMode::Full).unwrap()
    }

    fn queued(&self, request: &CommandRequest) -> (Box<QueuedCommand>, Answer) {
        let (reply, answer) = oneshot::channel();
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let queued = QueuedCommand {
            prepared: self.prepared(request),
            return_state: true,
            retries: 1,
            reply,
            _place: place,
        };
        (Box::new(queued), answer)
    }

    fn send(&mut self, request: CommandRequest) -> Answer {
        let (queued, answer) = self.queued(&request);
        self.stream.push_command(queued);
        answer
    }

    fn reserve(&mut self, reservation: u64) -> Receiver<()> {
        let (grant, granted) = oneshot::channel();
        self.stream.push_reservation(reservation, grant);
        granted
    }

    fn decide(&mut self, reservation: u64, request: CommandRequest) -> ReservedAnswer {
        let (reply, answer) = oneshot::channel();
        let command = Box::new(ReservedCommand {
            prepared: self.prepared(&request),
            return_state: true,
            reply,
        });
        self.stream.push_reserved(reservation, command);
        answer
    }

    fn release(&mut self, reservation: u64, outcome: Option<Settled>) {
        self.stream.released(reservation, outcome, &mut self.pool);
    }

    fn advance(&mut self) -> Option<HistoryStart> {
        self.stream.advance(&mut self.pool, &self.rules)
    }

    #[track_caller]
    fn advance_to_the_end(&mut self) {
        let history = self.advance();
        assert!(history.is_none(), "{history:?}");
    }

    #[track_caller]
    fn load(&mut self, page: HistoryPage) {
        let next = self.stream.loaded(Ok(page), &mut self.pool);
        assert!(next.is_none(), "{next:?}");
    }

    /// The parts that are handed over now, each with the version that it expects.
    fn hand_over(&mut self) -> Option<(Vec<u64>, Vec<Pending>)> {
        let handed = self.stream.hand_over()?;
        let parts = handed.parts.iter();
        let versions = parts.map(|part| part.expected.version().unwrap().get());
        Some((versions.collect(), handed.pending))
    }

    /// Has everything stored that is handed over.
    fn store(&mut self) {
        let handed = self.stream.hand_over().unwrap();
        for (part, pending) in handed.parts.iter().zip(handed.pending) {
            pending.stored(appended(part));
        }
        self.settle(Settled::Durable, Vec::new());
    }

    fn settle(&mut self, outcome: Settled, again: Vec<QueuedCommand>) {
        self.stream.settled(outcome, again, &mut self.pool);
    }

    /// Lets an append fail whose commands are decided again.
    fn fail(&mut self, outcome: Settled, pending: Vec<Pending>) {
        let again = pending.into_iter().map(Pending::into_queued);
        self.settle(outcome, again.collect());
    }

    /// Gives the stream to the batch with the reservation 1.
    fn give_to_batch(&mut self) {
        let mut granted = self.reserve(1);
        self.advance_to_the_end();
        granted.try_recv().unwrap();
    }

    fn has_state(&self) -> bool {
        self.stream.state(&self.pool).is_some()
    }
}

fn id() -> StreamId {
    stream("a")
}

fn appended(part: &StreamAppend) -> Appended {
    let before = part.expected.version().unwrap();
    Appended {
        version: before.plus(part.events.len()),
        events: Vec::new(),
    }
}

fn page(numbers: &[i64], has_more: bool) -> HistoryPage {
    let events = numbers.iter().map(|n| Event {
        name: "Added".to_owned(),
        schema_version: 1,
        data: Json::from_value(&serde_json::json!({ "n": n })).unwrap(),
        is_final: false,
        tags: Vec::new(),
    });
    HistoryPage {
        snapshot: None,
        after: Version::EMPTY,
        history: History {
            head: (!numbers.is_empty()).then(|| head(numbers.len())),
            events: events.collect(),
            has_more,
        },
        next: None,
        claim: None,
    }
}

fn head(version: usize) -> StreamHead {
    StreamHead {
        version: Version::EMPTY.plus(version),
        last_event_id: Some(new_id()),
        is_final: false,
    }
}

#[track_caller]
fn accepted(mut answer: Answer) -> (u64, Json) {
    let answer = answer.try_recv().unwrap().unwrap();
    (answer.version.get(), answer.state.unwrap())
}

#[track_caller]
fn decided(mut answer: ReservedAnswer) -> (u64, Json) {
    let ReservedDecision { decided, state, .. } = answer.try_recv().unwrap().unwrap();
    let version = decided.part.expected.version().unwrap();
    (version.get(), state.unwrap())
}

#[track_caller]
fn is_waiting<T>(answer: &mut Receiver<T>) -> bool {
    matches!(answer.try_recv(), Err(TryRecvError::Empty))
}
