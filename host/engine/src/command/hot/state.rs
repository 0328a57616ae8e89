//! The state of a hot stream: folded from its history, decided on, and snapshotted, in an instance
//! of the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel_model::{Clock, Json, StreamId, Version};
use gavel_sandbox::{Fault, State};
use gavel_store::StreamHead;

use super::pool::{CallSubject, Placement, Pool};
use crate::command::SnapshotPolicy;
use crate::command::decision::{Decided, PreparedCommand, after};
use crate::command::history::{HistoryPage, HistoryStart};

/// The rules by which commands are decided, the same for all streams.
#[derive(Debug)]
pub(super) struct StreamRules {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) snapshots: SnapshotPolicy,
}

/// The state of a stream after all that was decided, and what is known of it.
#[derive(Debug)]
pub(super) struct HotState {
    stream: StreamId,
    /// None when it has to be loaded. The state ends with its instance, too.
    state: Option<State>,
    /// The head of the stream at that state.
    head: StreamHead,
    /// Tells whether the stream has crashed an instance before.
    is_suspect: bool,
    /// The version of its newest snapshot.
    snapshot: Version,
    /// The time that it took to fold the events after that snapshot.
    replay: Duration,
}

/// The failure of a call into an instance.
#[derive(Debug)]
pub(super) enum CallFailure {
    /// The states of the instance have too little memory together; alone this one may have enough.
    Crowded,
    Fault(Fault),
}

impl HotState {
    pub(super) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            state: None,
            head: StreamHead::default(),
            is_suspect: false,
            snapshot: Version::EMPTY,
            replay: Duration::ZERO,
        }
    }

    /// Gives the head of the stream at the state.
    pub(super) fn head(&self) -> StreamHead {
        self.head
    }

    /// Tells whether the stream has crashed an instance before.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    /// Gives the state, unless its instance has ended.
    pub(super) fn get(&self, pool: &Pool) -> Option<&State> {
        self.state.as_ref().filter(|state| pool.has(state))
    }

    /// Lets go of the state.
    pub(super) fn forget(&mut self, pool: &mut Pool) {
        if let Some(state) = self.state.take() {
            pool.release(state);
        }
    }

    /// Begins anew, at a stream of which nothing is known.
    pub(super) fn reset(&mut self, pool: &mut Pool) {
        self.forget(pool);
        self.head = StreamHead::default();
        self.snapshot = Version::EMPTY;
        self.replay = Duration::ZERO;
    }

    /// Says whether the state's instance may be thrown away to make room for another one.
    pub(super) fn pin(&self, pool: &mut Pool, is_pinned: bool) {
        if let Some(state) = &self.state {
            pool.pin(state, is_pinned);
        }
    }

    /// Decides a command on the state, and advances both state and head by the decision.
    pub(super) fn decide(
        &mut self,
        command: &PreparedCommand,
        return_state: bool,
        pool: &mut Pool,
        rules: &StreamRules,
    ) -> Result<(Decided, Option<Json>), CallFailure> {
        let state = self.state.take();
        let state = state.ok_or(CallFailure::Fault(Fault::Spent))?;
        let head = self.head;
        let subject = CallSubject {
            stream: &self.stream,
            command_id: Some(command.command_id),
        };
        let is_alone = pool.is_alone(&state);
        let called = pool.with(&state, subject, |instance| {
            let decided = command.decide(&*rules.clock, instance, &state, &head)?;
            let shown = return_state.then(|| instance.snapshot(&state));
            Ok((decided, shown.transpose()?))
        });
        match called {
            Ok((decided, shown)) => {
                self.head = after(head, &decided.part.events);
                if pool.is_outgrown(&state) {
                    self.is_suspect = true;
                    pool.retire(state.instance());
                } else {
                    self.state = Some(state);
                }
                Ok((decided, shown))
            }
            Err(fault) => Err(self.failed(state, is_alone, fault, pool)),
        }
    }

    /// Folds a page of the history. Gives what has to be loaded instead of the next page, if that
    /// is so.
    pub(super) fn fold(
        &mut self,
        page: &HistoryPage,
        pool: &mut Pool,
    ) -> Result<Option<HistoryStart>, Fault> {
        let began = Instant::now();
        let folded = self.fold_page(page, pool);
        self.replay += began.elapsed();
        match folded {
            Ok(instead) => Ok(instead),
            // In an instance of its own.
            Err(CallFailure::Crowded) => Ok(Some(HistoryStart::Newest)),
            Err(CallFailure::Fault(fault)) => Err(fault),
        }
    }

    fn fold_page(
        &mut self,
        page: &HistoryPage,
        pool: &mut Pool,
    ) -> Result<Option<HistoryStart>, CallFailure> {
        let state = match self.state.take().filter(|state| pool.has(state)) {
            Some(state) => state,
            None if page.snapshot.is_some() || page.after == Version::EMPTY => {
                let snapshot = page.snapshot.as_ref();
                let (state, is_restored) = self.place(snapshot, pool)?;
                if snapshot.is_some() && !is_restored {
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
        let events = &page.history.events;
        let is_alone = pool.is_alone(&state);
        if !events.is_empty()
            && let Err(fault) = pool.with(&state, (&self.stream).into(), |instance| {
                instance.evolve(&state, events)
            })
        {
            return Err(self.failed(state, is_alone, fault, pool));
        }
        self.state = Some(state);
        Ok(None)
    }

    fn place(
        &mut self,
        snapshot: Option<&Json>,
        pool: &mut Pool,
    ) -> Result<(State, bool), CallFailure> {
        let placement = match self.is_suspect {
            true => Placement::Alone,
            false => Placement::Shared,
        };
        let placed = pool.place(&self.stream, placement, snapshot);
        placed.map_err(|fault| {
            let is_crowded = placement == Placement::Shared && is_crowded(&fault);
            self.is_suspect |= fault != Fault::NoRoom;
            match is_crowded {
                true => CallFailure::Crowded,
                false => CallFailure::Fault(fault),
            }
        })
    }

    /// Takes in that a call on `state` has failed.
    fn failed(
        &mut self,
        state: State,
        is_alone: bool,
        fault: Fault,
        pool: &mut Pool,
    ) -> CallFailure {
        let is_crowded = !is_alone && is_crowded(&fault);
        let has_crashed = !pool.has(&state) && fault != Fault::NoRoom;
        self.is_suspect |= is_crowded || has_crashed;
        pool.release(state);
        match is_crowded {
            true => CallFailure::Crowded,
            false => CallFailure::Fault(fault),
        }
    }

    pub(super) fn is_snapshot_due(&self, rules: &StreamRules) -> bool {
        let policy = &rules.snapshots;
        let events = self.head.version.get().saturating_sub(self.snapshot.get());
        events >= policy.events || (events > 0 && self.replay >= policy.replay)
    }

    /// Takes a snapshot if one is due. Gives the version, and the state to keep.
    #[must_use]
    pub(super) fn take_snapshot(
        &mut self,
        pool: &mut Pool,
        rules: &StreamRules,
    ) -> Option<(Version, Json)> {
        // A stream that has ended is decided no more.
        if !self.is_snapshot_due(rules) || self.head.is_final {
            return None;
        }
        let state = self.state.take().filter(|state| pool.has(state))?;
        // Also when it fails: the next one is tried after as many events again.
        self.snapshot = self.head.version;
        self.replay = Duration::ZERO;
        let taken = pool.with(&state, (&self.stream).into(), |instance| {
            instance.snapshot(&state)
        });
        match taken {
            Ok(json) => {
                self.state = Some(state);
                Some((self.head.version, json))
            }
            Err(fault) => {
                tracing::warn!(stream = %self.stream, error = %fault, "no snapshot can be taken");
                let is_alone = pool.is_alone(&state);
                self.failed(state, is_alone, fault, pool);
                None
            }
        }
    }
}

fn is_crowded(fault: &Fault) -> bool {
    matches!(fault, Fault::OutOfMemory { .. })
}
