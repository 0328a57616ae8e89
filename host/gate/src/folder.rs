//! A module that folds one stream after the other, in an instance that it keeps as long as it can.

use std::sync::Arc;

use gavel_engine::catalog::Decider;
use gavel_model::{CommandRecord, Event, Json, StreamId, Version};
use gavel_sandbox::{
    Decision, Fault, GuestCommand, GuestContext, Instance, Module, Restored, State,
};
use gavel_store::{History, Snapshot};

use super::past::{FOLD_EVENTS, Part};
use super::{Error, Gate};

/// The number of streams after which an instance is thrown away, so that what one of them leaves
/// behind does not add up.
const STREAMS_PER_INSTANCE: u32 = 10_000;

/// Folds streams, one at a time. All methods run guest code.
///
/// After a [`Fault`] the stream is lost: [`begin`](Self::begin) the next one.
#[derive(Debug)]
pub(super) struct Folder {
    decider: Arc<Decider>,
    module: Module,
    /// The memory from which on an instance is thrown away with its stream, in bytes.
    memory: usize,
    guest: Option<Instance>,
    streams: u32,
    state: Option<State>,
    /// The version that the state has come to.
    version: Version,
    /// The number of events that are folded in one call.
    piece: usize,
    /// The text that the module had written when it broke its instance.
    last_words: Option<String>,
}

/// A failure that ended folding early.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FoldError {
    /// The event that is to blame, and its version; none when the module failed somewhere in a call
    /// with many.
    pub(super) event: Option<(Version, Event)>,
    /// The fault of the module.
    pub(super) fault: Fault,
}

impl From<Fault> for FoldError {
    fn from(fault: Fault) -> Self {
        Self { event: None, fault }
    }
}

/// A decision made again: what a host would answer, or why it could not.
pub type Again = Result<Decision, Fault>;

/// The number of failures after which a module is not asked any more. Running into a limit, which
/// may take as long as a deadline, counts more.
#[derive(Debug, Clone, Copy)]
pub(super) struct FaultBudget(u64);

impl Default for FaultBudget {
    fn default() -> Self {
        Self(1_000)
    }
}

impl FaultBudget {
    /// Counts a failure of the module.
    pub(super) fn lose(&mut self, fault: &Fault) {
        let weight = if fault.is_limit() { 100 } else { 1 };
        self.0 = self.0.saturating_sub(weight);
    }

    pub(super) fn is_over(self) -> bool {
        self.0 == 0
    }
}

impl Folder {
    /// Makes a folder with `memory_limit` as the most memory of an instance, in bytes.
    pub(super) fn new(decider: Arc<Decider>, memory_limit: usize) -> Self {
        Self {
            module: decider.module().apart(),
            decider,
            memory: memory_limit / 2,
            guest: None,
            streams: 0,
            state: None,
            version: Version::EMPTY,
            piece: FOLD_EVENTS,
            last_words: None,
        }
    }

    /// Folds one event in a call, to find the one that is to blame.
    pub(super) fn singly(self) -> Self {
        Self { piece: 1, ..self }
    }

    /// Gives the decider that folds.
    pub(super) fn decider(&self) -> &Decider {
        &self.decider
    }

    /// Gives the version that the stream has reached.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Begins a stream; the one before it is let go of.
    pub(super) fn begin(&mut self) -> Result<(), Fault> {
        self.begin_at(None)
    }

    /// Begins a stream at a state that the module has reached before; the previous stream is
    /// dropped.
    pub(super) fn begin_at(&mut self, start: Option<&Snapshot>) -> Result<(), Fault> {
        self.end();
        self.streams += 1;
        let guest = self.guest()?;
        let state = match start {
            None => guest.initial()?,
            Some(snapshot) => restored(guest, &snapshot.state)?,
        };
        self.version = start.map_or(Version::EMPTY, |snapshot| snapshot.version);
        self.state = Some(state);
        Ok(())
    }

    /// Folds the events that come next, in calls of the size that commands have as well.
    pub(super) fn fold(&mut self, events: &[Event]) -> Result<(), FoldError> {
        for piece in events.chunks(self.piece) {
            if let Err(fault) = self.with(|guest, state| guest.evolve(state, piece)) {
                let index = match &fault {
                    Fault::EvolveRefused { index, .. } => Some(*index as usize),
                    _ if piece.len() == 1 => Some(0),
                    _ => None,
                };
                let event = index.and_then(|index| {
                    Some((self.version.plus(index + 1), piece.get(index)?.clone()))
                });
                self.end();
                return Err(FoldError { event, fault });
            }
            self.version = self.version.plus(piece.len());
        }
        Ok(())
    }

    /// Folds what a part has up to a version (inclusive) and was not folded yet.
    pub(super) fn fold_through(&mut self, part: &Part, through: Version) -> Result<(), FoldError> {
        let (from, to) = (
            part.events_through(self.version),
            part.events_through(through),
        );
        self.fold(&part.events[from..to.max(from)])
    }

    /// Decides a recorded command at the present state, as a host would. Gives the fuel that it
    /// took as well.
    pub(super) fn decide(&mut self, record: &CommandRecord) -> (Again, u64) {
        let command = GuestCommand {
            name: record.command.clone(),
            data: record.data.clone(),
        };
        let context = GuestContext::from(record);
        let decided = self.with(|guest, state| {
            let decision = guest.decide(state, &command, &context)?;
            Ok((decision, guest.fuel_used()))
        });
        let (decision, fuel) = match decided {
            Ok(decided) => decided,
            Err(fault) => return (Err(fault), 0),
        };
        let checked = match &decision {
            Decision::Accepted(events) => self.decider.check_events(events),
            Decision::Rejected(_) => Ok(()),
        };
        let checked = checked.map_err(|reason| Fault::BrokeContract { reason });
        (checked.map(|()| decision), fuel)
    }

    /// Takes what the module has written since the last time.
    pub(super) fn take_output(&mut self) -> Option<String> {
        let output = self.guest.as_mut().and_then(Instance::take_output);
        output.or(self.last_words.take())
    }

    /// Gives the present state.
    pub(super) fn snapshot(&mut self) -> Result<Json, Fault> {
        self.with(|guest, state| guest.snapshot(state))
    }

    /// Gives the state that the present one becomes with `events`; the present state stays as it
    /// is.
    pub(super) fn peek(&mut self, events: &[Event]) -> Result<Json, Fault> {
        self.with(|guest, state| {
            let snapshot = guest.snapshot(state)?;
            let copy = restored(guest, &snapshot)?;
            guest.evolve(&copy, events)?;
            let after = guest.snapshot(&copy)?;
            guest.release(copy)?;
            Ok(after)
        })
    }

    /// Tells whether a stream was begun at which the module has not failed.
    pub(super) fn has_stream(&self) -> bool {
        self.state.is_some()
    }

    /// Lets go of the stream.
    pub(super) fn end(&mut self) {
        let (Some(guest), Some(state)) = (&mut self.guest, self.state.take()) else {
            return;
        };
        let is_worn = guest.release(state).is_err()
            || guest.memory_bytes() > self.memory
            || self.streams >= STREAMS_PER_INSTANCE;
        if is_worn {
            self.renew();
        }
    }

    /// Goes on in a fresh instance; the stream is lost.
    fn renew(&mut self) {
        self.state = None;
        self.guest = None;
        self.streams = 0;
    }

    fn guest(&mut self) -> Result<&mut Instance, Fault> {
        match &mut self.guest {
            Some(guest) => Ok(guest),
            none => Ok(none.insert(self.module.instantiate()?)),
        }
    }

    fn with<T>(
        &mut self,
        call: impl FnOnce(&mut Instance, &State) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (Some(guest), Some(state)) = (&mut self.guest, &self.state) else {
            return Err(Fault::Spent);
        };
        let outcome = call(guest, state);
        if guest.is_spent() {
            self.last_words = guest.take_output();
            self.renew();
        }
        outcome
    }
}

/// Restores the state of a snapshot that the same module has made.
fn restored(guest: &mut Instance, snapshot: &Json) -> Result<State, Fault> {
    match guest.restore(snapshot)? {
        Restored::State(state) => Ok(state),
        Restored::Refused(reason) => Err(Fault::BrokeContract {
            reason: format!("the module refuses its own snapshot: {reason}"),
        }),
    }
}

impl Gate {
    /// Folds a stream from its first event on, through a version (inclusive) or to its end. Gives
    /// what has ended it early as well.
    pub(super) async fn fold_stream(
        &self,
        mut folder: Folder,
        stream: &StreamId,
        through: Option<Version>,
    ) -> Result<(Folder, Option<FoldError>), Error> {
        let limit = u32::try_from(FOLD_EVENTS).unwrap_or(u32::MAX);
        let mut after = Version::EMPTY;
        loop {
            let page = self.store.history(stream, after, through, limit).await;
            let History {
                events, has_more, ..
            } = page.map_err(Error::Store)?;
            let (is_first, read) = (after == Version::EMPTY, events.len());
            let job = move || {
                let begun = if is_first { folder.begin() } else { Ok(()) };
                let folded = begun.map_err(FoldError::from);
                let folded = folded.and_then(|()| folder.fold(&events));
                (folder, folded.err())
            };
            let runtime = self.modules.runtime();
            let done = runtime
                .run_in_background(job)
                .await
                .map_err(Error::NotRun)?;
            if done.1.is_some() || !has_more {
                return Ok(done);
            }
            folder = done.0;
            after = after.plus(read);
        }
    }

    /// Makes a folder of streams with `decider`.
    pub(super) fn folder(&self, decider: &Arc<Decider>) -> Folder {
        Folder::new(
            decider.clone(),
            self.modules.runtime().limits().memory_bytes,
        )
    }
}
