//! A module that folds one stream after the other, in an instance that it keeps as long as it can.

use std::sync::Arc;

use super::past::FOLD_EVENTS;
use crate::core::{CommandRecord, Event, Json, Version};
use crate::modules::Decider;
use crate::runtime::{
    Decision, Fault, GuestCommand, GuestContext, Instance, Module, Restored, State,
};

/// After how many streams an instance is thrown away, so that what one of them leaves behind does not add up.
const STREAMS_PER_INSTANCE: u32 = 10_000;

/// Folds streams, one at a time. All methods run guest code.
///
/// After a [`Fault`] the stream is lost: [`begin`](Self::begin) the next one.
#[derive(Debug)]
pub(super) struct Folder {
    decider: Arc<Decider>,
    module: Module,
    /// From which memory on an instance is thrown away with its stream, in bytes.
    memory: usize,
    guest: Option<Instance>,
    streams: u32,
    state: Option<State>,
}

/// Folding has ended early.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unfolded {
    /// The version of the event that is to blame; none when the module failed somewhere in a call with many.
    pub(super) version: Option<Version>,
    /// What the module did.
    pub(super) fault: Fault,
}

impl Folder {
    /// With `memory_limit` as the most memory of an instance, in bytes.
    pub(super) fn new(decider: Arc<Decider>, memory_limit: usize) -> Self {
        Self {
            module: decider.module().apart(),
            decider,
            memory: memory_limit / 2,
            guest: None,
            streams: 0,
            state: None,
        }
    }

    /// What folds.
    pub(super) fn decider(&self) -> &Decider {
        &self.decider
    }

    /// Begins a stream; the one before it is let go of.
    pub(super) fn begin(&mut self) -> Result<(), Fault> {
        self.end();
        self.streams += 1;
        let state = self.guest()?.initial()?;
        self.state = Some(state);
        Ok(())
    }

    /// Folds events, the first of which comes after the version `after`, in calls of the size that commands have as well.
    pub(super) fn fold(&mut self, after: Version, events: &[Event]) -> Result<(), Unfolded> {
        let mut version = after;
        for piece in events.chunks(FOLD_EVENTS) {
            let evolved = self.with(|guest, state| guest.evolve(state, piece));
            evolved.map_err(|fault| Unfolded {
                version: match &fault {
                    Fault::EvolveRefused { index, .. } => Some(version.plus(*index as usize + 1)),
                    _ if piece.len() == 1 => Some(version.next()),
                    _ => None,
                },
                fault,
            })?;
            version = version.plus(piece.len());
        }
        Ok(())
    }

    /// Decides a recorded command at the present state. Gives the fuel that it took as well.
    pub(super) fn decide(&mut self, record: &CommandRecord) -> Result<(Decision, u64), Fault> {
        let command = GuestCommand {
            name: record.command.clone(),
            data: record.data.clone(),
        };
        let context = GuestContext::from(record);
        self.with(|guest, state| {
            let decision = guest.decide(state, &command, &context)?;
            Ok((decision, guest.fuel_used()))
        })
    }

    /// The present state.
    pub(super) fn snapshot(&mut self) -> Result<Json, Fault> {
        self.with(|guest, state| guest.snapshot(state))
    }

    /// What the present state becomes with `events`; it stays as it is.
    pub(super) fn peek(&mut self, events: &[Event]) -> Result<Json, Fault> {
        self.with(|guest, state| {
            let snapshot = guest.snapshot(state)?;
            let copy = match guest.restore(&snapshot)? {
                Restored::State(copy) => copy,
                Restored::Refused(reason) => {
                    return Err(Fault::BrokeContract {
                        reason: format!("the module refuses its own snapshot: {reason}"),
                    });
                }
            };
            guest.evolve(&copy, events)?;
            let after = guest.snapshot(&copy)?;
            guest.release(copy)?;
            Ok(after)
        })
    }

    /// Whether there is a stream to go on with.
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
            self.renew();
        }
        outcome
    }
}
