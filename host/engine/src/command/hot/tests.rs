//! The state machine of a hot stream: messages in, and what it asks for out.

use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Event, Json, LedgerMode, StreamId, SystemClock, Version, new_id};
use gavel_sandbox::Fault;
use gavel_store::{Appended, History, StreamAppend, StreamHead};
use tokio::sync::Semaphore;
use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

use super::pool::Pool;
use super::queued::{Pending, QueuedCommand, ReservedCommand};
use super::settled::Settled;
use super::state::StreamRules;
use super::stream::HotStream;
use crate::catalog::Active;
use crate::command::decision::{Decided, PreparedCommand};
use crate::command::history::{HistoryPage, HistoryStart};
use crate::command::stop::Stop;
use crate::command::testing::{Tally, command, expecting, stream, sum};
use crate::command::{CommandAnswer, CommandRequest, Error, Origin, SnapshotPolicy};

type Answer = Receiver<Result<CommandAnswer, Stop>>;
type ReservedAnswer = Receiver<Result<(Decided, Option<Json>), Stop>>;

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
    let (decided, state) = answer.try_recv().unwrap().unwrap();
    (
        decided.part.expected.version().unwrap().get(),
        state.unwrap(),
    )
}

#[track_caller]
fn is_waiting<T>(answer: &mut Receiver<T>) -> bool {
    matches!(answer.try_recv(), Err(TryRecvError::Empty))
}

#[test]
fn a_cold_stream_asks_for_its_history_once_and_decides_what_waits_on_it() {
    let mut bench = Bench::new(Tally::default());
    let (one, two) = (
        bench.send(command("a", "Add", 1)),
        bench.send(command("a", "Take", 6)),
    );
    assert!(matches!(bench.advance(), Some(HistoryStart::Newest)));
    bench.advance_to_the_end();
    bench.load(page(&[2, 3], false));
    bench.advance_to_the_end();
    let (versions, pending) = bench.hand_over().unwrap();
    assert_eq!(versions, [2, 3]);
    assert!(bench.hand_over().is_none());
    for (pending, version) in pending.into_iter().zip([3, 4]) {
        pending.stored(Appended {
            version: Version::EMPTY.plus(version),
            events: Vec::new(),
        });
    }
    bench.settle(Settled::Durable, Vec::new());
    assert_eq!(accepted(one), (3, sum(6)));
    assert_eq!(accepted(two), (4, sum(0)));
    assert!(bench.stream.is_idle() && bench.has_state());
}

#[test]
fn commands_are_decided_while_an_append_is_under_way_and_stored_after_it() {
    let mut bench = Bench::hot();
    let first = bench.send(command("a", "Add", 1));
    bench.advance_to_the_end();
    let handed = bench.stream.hand_over().unwrap();
    let later = bench.send(command("a", "Add", 2));
    bench.advance_to_the_end();
    assert!(bench.stream.hand_over().is_none());

    for (part, pending) in handed.parts.iter().zip(handed.pending) {
        pending.stored(appended(part));
    }
    bench.settle(Settled::Durable, Vec::new());
    assert_eq!(accepted(first), (1, sum(1)));
    bench.store();
    assert_eq!(accepted(later), (2, sum(3)));
}

#[test]
fn nothing_is_refused_on_a_state_that_is_not_durable() {
    let mut bench = Bench::hot();
    let first = bench.send(command("a", "Add", 1));
    bench.advance_to_the_end();
    let (_, pending) = bench.hand_over().unwrap();
    let mut refused = bench.send(expecting("a", "Add", 1, 9));
    bench.advance_to_the_end();
    assert!(is_waiting(&mut refused));

    // The append fails: what was decided on it is decided again, on what is stored.
    let again = pending.into_iter().map(Pending::into_queued).collect();
    bench.settle(Settled::Failed, again);
    assert!(!bench.has_state());
    assert!(matches!(bench.advance(), Some(HistoryStart::Newest)));
    bench.load(page(&[5; 8], false));
    bench.advance_to_the_end();
    bench.store();
    assert_eq!(accepted(first), (9, sum(41)));
    assert_eq!(accepted(refused), (10, sum(42)));
}

#[test]
fn a_refusal_names_the_head_that_it_rests_on() {
    let mut bench = Bench::hot();
    let mut refused = bench.send(expecting("a", "Add", 1, 9));
    bench.advance_to_the_end();
    let refused = refused.try_recv().unwrap();
    let Err(Stop::Unconfirmed { error, head }) = refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(*error, Error::VersionConflict { .. }));
    assert_eq!(head, Some(StreamHead::default()));
}

#[test]
fn a_stream_that_was_overtaken_is_claimed_when_it_is_loaded_again() {
    let mut bench = Bench::hot();
    let first = bench.send(command("a", "Add", 1));
    bench.advance_to_the_end();
    let (_, pending) = bench.hand_over().unwrap();
    let later = bench.send(command("a", "Add", 2));
    bench.advance_to_the_end();
    let again = pending.into_iter().map(Pending::into_queued).collect();
    bench.settle(Settled::Overtaken, again);
    assert!(matches!(bench.advance(), Some(HistoryStart::Newest)));
    let next = bench.stream.loaded(Ok(page(&[7], false)), &mut bench.pool);
    let Some(HistoryStart::Claimed(version)) = next else {
        panic!("{next:?}");
    };
    assert_eq!(version.get(), 1);
    bench.load(HistoryPage {
        after: version,
        ..page(&[], false)
    });
    bench.advance_to_the_end();
    // In the order in which they came.
    bench.store();
    assert_eq!(accepted(first), (2, sum(8)));
    assert_eq!(accepted(later), (3, sum(10)));
}

#[test]
fn commands_are_stored_one_by_one_to_find_the_one_that_cannot_be_stored() {
    let mut bench = Bench::hot();
    let answers = [1, 2, 3].map(|n| bench.send(command("a", "Add", n)));
    bench.advance_to_the_end();
    let (versions, pending) = bench.hand_over().unwrap();
    assert_eq!(versions, [0, 1, 2]);
    let again = pending.into_iter().map(Pending::into_queued).collect();
    bench.settle(Settled::OnePoisonsBatch, again);
    assert!(bench.advance().is_some());
    bench.load(page(&[], false));
    for version in [0, 1, 2] {
        bench.advance_to_the_end();
        let handed = bench.stream.hand_over().unwrap();
        assert_eq!(handed.parts.len(), 1);
        assert_eq!(handed.parts[0].expected.version().unwrap().get(), version);
        for (part, pending) in handed.parts.iter().zip(handed.pending) {
            pending.stored(appended(part));
        }
        bench.settle(Settled::Durable, Vec::new());
    }
    let states = answers.map(accepted);
    assert_eq!(states, [(1, sum(1)), (2, sum(3)), (3, sum(6))]);
}

#[test]
fn a_batch_gets_the_stream_once_what_came_before_is_stored() {
    let mut bench = Bench::hot();
    let before = bench.send(command("a", "Add", 1));
    let mut granted = bench.reserve(1);
    let mut after = bench.send(command("a", "Add", 2));
    bench.advance_to_the_end();
    assert!(is_waiting(&mut granted));
    bench.store();
    assert_eq!(accepted(before), (1, sum(1)));
    bench.advance_to_the_end();
    granted.try_recv().unwrap();

    let one = bench.decide(1, command("a", "Add", 10));
    bench.advance_to_the_end();
    assert_eq!(decided(one), (1, sum(11)));
    let two = bench.decide(1, command("a", "Add", 10));
    bench.advance_to_the_end();
    assert_eq!(decided(two), (2, sum(21)));
    assert!(is_waiting(&mut after) && !bench.stream.is_idle());
    assert!(bench.hand_over().is_none());

    // Stored: the state is that of the stream, and nothing is loaded.
    bench.release(1, Some(Settled::Durable));
    bench.advance_to_the_end();
    bench.store();
    assert_eq!(accepted(after), (4, sum(23)));
}

#[test]
fn what_a_batch_has_decided_and_not_stored_is_forgotten() {
    for outcome in [None, Some(Settled::Failed), Some(Settled::Overtaken)] {
        let mut bench = Bench::hot();
        let _granted = bench.reserve(1);
        bench.advance_to_the_end();
        let decided_on_it = bench.decide(1, command("a", "Add", 10));
        bench.advance_to_the_end();
        assert_eq!(decided(decided_on_it), (0, sum(10)));
        bench.release(1, outcome);
        assert!(!bench.has_state());
    }
    // Nothing was decided that changes it: it is as good as before.
    let mut bench = Bench::hot();
    let _granted = bench.reserve(1);
    bench.advance_to_the_end();
    let noted = bench.decide(1, command("a", "Note", 0));
    bench.advance_to_the_end();
    assert_eq!(decided(noted), (0, sum(0)));
    bench.release(1, None);
    assert!(bench.has_state() && bench.stream.is_idle());
}

#[test]
fn a_cold_stream_is_loaded_for_a_batch_and_never_claimed() {
    let mut bench = Bench::hot();
    let queued = bench.send(command("a", "Add", 1));
    bench.advance_to_the_end();
    let (_, pending) = bench.hand_over().unwrap();
    bench.settle(Settled::Overtaken, Vec::new());
    drop((queued, pending));
    let _granted = bench.reserve(1);
    bench.advance_to_the_end();
    let answer = bench.decide(1, command("a", "Take", 7));
    assert!(matches!(bench.advance(), Some(HistoryStart::Newest)));
    bench.load(page(&[7], false));
    bench.advance_to_the_end();
    assert_eq!(decided(answer), (1, sum(0)));
}

#[test]
fn a_batch_whose_decisions_are_lost_with_their_instance_begins_again() {
    let mut bench = Bench::hot();
    let _granted = bench.reserve(1);
    bench.advance_to_the_end();
    let one = bench.decide(1, command("a", "Add", 10));
    bench.advance_to_the_end();
    assert_eq!(decided(one), (0, sum(10)));
    let instance = bench.stream.state(&bench.pool).unwrap().instance();
    bench.pool.retire(instance);
    let mut two = bench.decide(1, command("a", "Add", 10));
    bench.advance_to_the_end();
    assert!(matches!(two.try_recv().unwrap(), Err(Stop::Again)));
}

#[test]
fn a_batch_that_was_given_up_gets_no_stream_and_keeps_none() {
    let mut bench = Bench::hot();
    drop(bench.reserve(1));
    let mut granted = bench.reserve(2);
    bench.advance_to_the_end();
    granted.try_recv().unwrap();
    // The end of another's reservation is not that of this one.
    bench.release(1, None);
    assert!(!bench.stream.is_idle());
    let mut late = bench.decide(1, command("a", "Add", 1));
    assert!(matches!(late.try_recv().unwrap(), Err(Stop::Again)));
    bench.release(2, None);
    assert!(bench.stream.is_idle());
}

#[test]
fn a_stream_that_is_elsewhere_is_loaded_again_unless_it_is_being_changed() {
    let mut bench = Bench::hot();
    bench.stream.moved(StreamHead::default(), &mut bench.pool);
    assert!(bench.has_state());
    let _granted = bench.reserve(1);
    bench.advance_to_the_end();
    let answer = bench.decide(1, command("a", "Add", 1));
    bench.advance_to_the_end();
    assert_eq!(decided(answer), (0, sum(1)));
    bench.stream.moved(head(4), &mut bench.pool);
    assert!(bench.has_state());
    bench.release(1, Some(Settled::Durable));
    bench.stream.moved(head(4), &mut bench.pool);
    assert!(!bench.has_state());
}

#[test]
fn a_snapshot_is_taken_of_what_is_durable_only() {
    let mut bench = Bench::hot();
    let snapshot = |bench: &mut Bench| bench.stream.take_snapshot(&mut bench.pool, &bench.rules);
    let answers = [1, 2, 3].map(|n| bench.send(command("a", "Add", n)));
    bench.advance_to_the_end();
    assert!(snapshot(&mut bench).is_none());
    bench.store();
    assert_eq!(snapshot(&mut bench), Some((Version::EMPTY.plus(3), sum(6))));
    assert!(snapshot(&mut bench).is_none());
    drop(answers);

    let _granted = bench.reserve(1);
    bench.advance_to_the_end();
    for n in [1, 2, 3] {
        let answer = bench.decide(1, command("a", "Add", n));
        bench.advance_to_the_end();
        decided(answer);
    }
    assert!(snapshot(&mut bench).is_none());
    bench.release(1, Some(Settled::Durable));
    assert_eq!(
        snapshot(&mut bench),
        Some((Version::EMPTY.plus(6), sum(12)))
    );
}

#[test]
fn a_stream_that_has_crashed_an_instance_gets_one_of_its_own() {
    let reason = "a test".to_owned();
    let mut bench = Bench::new(Tally::failing_with([Fault::Trapped { reason }]));
    let mut failed = bench.send(command("a", "Fail", 0));
    let after = bench.send(command("a", "Add", 1));
    assert!(bench.advance().is_some());
    bench.load(page(&[], false));
    assert!(bench.advance().is_some());
    let failed = failed.try_recv().unwrap();
    let Err(Stop::Unconfirmed { error, .. }) = failed else {
        panic!("{failed:?}");
    };
    assert!(matches!(*error, Error::Fault { .. }));
    assert!(!bench.stream.is_forgettable(&bench.pool));
    bench.load(page(&[], false));
    bench.advance_to_the_end();
    let state = bench.stream.state(&bench.pool).unwrap();
    assert!(bench.pool.is_alone(state));
    bench.store();
    assert_eq!(accepted(after), (1, sum(1)));
}
