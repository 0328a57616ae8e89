//! One stream's state, alive in a guest for as long as somebody works on it.

use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use crate::core::{
    CommandRecord, EventId, Json, NewEvent, RecordedEvent, Rejection, StreamId, Version,
};
use crate::modules::Decider;
use crate::runtime::{
    Decision, Fault, GuestCommand, GuestContext, GuestEvent, Instance, Runtime, State,
};
use crate::store::{Direction, EventStore, StreamHead, StreamRange};

/// How many events are read and folded at a time.
const PAGE_EVENTS: u32 = 1_000;

/// A stream's state in an instance of its own.
///
/// Methods that call the guest take the session and give it back: after a fault there is none left to go on with.
#[derive(Debug)]
pub(super) struct Session {
    runtime: Runtime,
    decider: Arc<Decider>,
    stream: StreamId,
    guest: Option<(Instance, State)>,
    /// Read, and not folded yet: folding waits for the next call into the guest, which often is the decision.
    unfolded: Vec<GuestEvent>,
    head: StreamHead,
}

/// What a decision gives.
#[derive(Debug)]
pub(super) enum Decided {
    /// These events, already folded into the session's state.
    Accepted(Vec<GuestEvent>),
    /// Nothing; the state is as before.
    Rejected(Rejection),
}

impl Session {
    /// The state of `stream` through the version `through`, or through its newest event.
    pub(super) async fn load(
        runtime: &Runtime,
        store: &dyn EventStore,
        decider: Arc<Decider>,
        stream: &StreamId,
        through: Option<Version>,
    ) -> Result<Self, Error> {
        let mut session = Self {
            runtime: runtime.clone(),
            decider,
            stream: stream.clone(),
            guest: None,
            unfolded: Vec::new(),
            head: StreamHead::default(),
        };
        loop {
            let range = StreamRange {
                after: session.head.version,
                through,
                limit: PAGE_EVENTS,
                direction: Direction::Forward,
            };
            let page = store
                .read_stream(stream, range)
                .await
                .map_err(Error::Store)?;
            let is_last = page.len() < PAGE_EVENTS as usize;
            if let Some(newest) = page.last() {
                session.head = StreamHead {
                    version: newest.version,
                    last_event_id: Some(newest.event.event_id),
                    is_final: newest.event.is_final,
                };
            }
            session.unfolded = page.into_iter().map(to_guest).collect();
            if is_last {
                return Ok(session);
            }
            session = session.with_guest(|_, _| Ok(())).await?.0;
        }
    }

    /// The newest event of the stream as this session knows it, its own undurable ones included.
    pub(super) fn head(&self) -> StreamHead {
        self.head
    }

    /// The module that folds and decides.
    pub(super) fn decider(&self) -> &Decider {
        &self.decider
    }

    /// Decides, and folds what was decided. Gives the units of fuel that deciding took.
    pub(super) async fn decide(
        self,
        command: GuestCommand,
        context: GuestContext,
    ) -> Result<(Self, Decided, u64), Error> {
        let decider = self.decider.clone();
        let (session, (decided, fuel)) = self
            .with_guest(move |instance, state| {
                let decision = instance.decide(state, &command, &context)?;
                let fuel = instance.fuel_used();
                let decided = match decision {
                    Decision::Rejected(rejection) => Decided::Rejected(rejection),
                    Decision::Accepted(events) => {
                        if let Some(event) = events
                            .iter()
                            .find(|e| !decider.declares(&e.name, e.schema_version))
                        {
                            let reason = format!(
                                "event {} version {} is not declared",
                                event.name, event.schema_version
                            );
                            return Err(Fault::BrokeContract { reason });
                        }
                        // Folded before they are stored: nothing is stored that cannot be folded.
                        instance.evolve(state, &events)?;
                        Decided::Accepted(events)
                    }
                };
                Ok((decided, fuel))
            })
            .await?;
        Ok((session, decided, fuel))
    }

    /// Takes note of events that follow from a decision of this session, and that later decisions build on.
    pub(super) fn advance(&mut self, events: &[NewEvent]) {
        if let Some(newest) = events.last() {
            self.head = StreamHead {
                version: self.head.version.plus(events.len()),
                last_event_id: Some(newest.event_id),
                is_final: newest.is_final,
            };
        }
    }

    /// The state as JSON.
    pub(super) async fn state(self) -> Result<(Self, Json), Error> {
        self.with_guest(|instance, state| instance.snapshot(state))
            .await
    }

    /// Runs `work` on a guest thread, after what is not folded yet.
    async fn with_guest<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Instance, &State) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(Self, T), Error> {
        let guest = self.guest.take();
        let module = self.decider.module().clone();
        let unfolded = std::mem::take(&mut self.unfolded);
        let job = move || -> Result<_, Fault> {
            let (mut instance, state) = match guest {
                Some(guest) => guest,
                None => {
                    let mut instance = module.instantiate()?;
                    let state = instance.initial()?;
                    (instance, state)
                }
            };
            if !unfolded.is_empty() {
                instance.evolve(&state, &unfolded)?;
            }
            let done = work(&mut instance, &state)?;
            Ok((instance, state, done))
        };
        let ended = self.runtime.run(job).await.map_err(Error::NotRun)?;
        let (instance, state, done) = ended.map_err(|fault| Error::Fault {
            module: self.decider.digest(),
            fault,
        })?;
        self.guest = Some((instance, state));
        Ok((self, done))
    }

    /// The events as they would be stored now, for a dry run.
    pub(super) fn propose(&self, events: &[NewEvent], now: OffsetDateTime) -> Vec<RecordedEvent> {
        let mut head = self.head;
        let mut proposed = Vec::with_capacity(events.len());
        for event in events {
            head.version = head.version.next();
            proposed.push(RecordedEvent {
                stream: self.stream.clone(),
                version: head.version,
                position: crate::core::Position::BEGINNING,
                previous_id: head.last_event_id.replace(event.event_id),
                created_at: now,
                event: event.clone(),
            });
        }
        proposed
    }
}

/// A stored event as the guest sees it.
fn to_guest(recorded: RecordedEvent) -> GuestEvent {
    let NewEvent {
        event,
        schema_version,
        data,
        is_final,
        tags,
        ..
    } = recorded.event;
    GuestEvent {
        name: event,
        schema_version,
        data,
        is_final,
        tags,
    }
}

/// An event of the guest as it is appended: the host makes its id.
pub(super) fn to_new_event(
    event: GuestEvent,
    command: &CommandRecord,
    metadata: crate::core::Metadata,
) -> NewEvent {
    let event_id: EventId = Uuid::now_v7();
    let GuestEvent {
        name,
        schema_version,
        data,
        is_final,
        tags,
    } = event;
    let command_id = command.command_id;
    NewEvent {
        event_id,
        event: name,
        schema_version,
        data,
        is_final,
        tags,
        metadata,
        command_id,
    }
}
