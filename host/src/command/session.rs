//! One stream's state, alive in a guest for as long as somebody works on it.

use std::sync::Arc;

use time::OffsetDateTime;

use super::Error;
use super::decision::{Decided, Task, after};
use crate::core::{
    Clock, CommandId, Event, Json, ModuleDigest, NewEvent, RecordedEvent, StreamId, Version,
};
use crate::modules::{Decider, Modules};
use crate::runtime::{Fault, Instance, Restored, State};
use crate::store::{self, Loaded, Store, StreamHead};

/// How many events are read and folded at a time.
pub(super) const PAGE_EVENTS: u32 = 1_000;

/// What a stream's newest state is folded from, with the head that belongs to it.
///
/// A snapshot does not tell what its last event was, and whether the stream has ended with it: without events after it, that event is asked.
pub(super) async fn load(
    store: &dyn Store,
    stream: &StreamId,
    module: ModuleDigest,
) -> Result<Loaded, store::Error> {
    let mut loaded = store.load(stream, module, PAGE_EVENTS).await?;
    if let (Some(snapshot), None) = (&loaded.snapshot, loaded.history.head) {
        let before = Version::new(snapshot.version.get().saturating_sub(1));
        let last = store.history(
            stream,
            before.unwrap_or_default(),
            Some(snapshot.version),
            1,
        );
        loaded.history.head = last.await?.head;
    }
    Ok(loaded)
}

/// A stream's state in an instance of its own.
///
/// Methods that call the guest take the session and give it back: after a fault there is none left to go on with.
#[derive(Debug)]
pub(super) struct Session {
    modules: Modules,
    decider: Arc<Decider>,
    stream: StreamId,
    guest: Option<(Instance, State)>,
    /// Read, and not folded yet: folding waits for the next call into the guest, which often is the decision.
    unfolded: Vec<Event>,
    head: StreamHead,
}

impl Session {
    /// The state of `stream` through the version `through`, or through its newest event.
    pub(super) async fn load(
        modules: &Modules,
        store: &dyn Store,
        decider: Arc<Decider>,
        stream: &StreamId,
        through: Option<Version>,
    ) -> Result<Self, Error> {
        let mut session = Self {
            modules: modules.clone(),
            decider,
            stream: stream.clone(),
            guest: None,
            unfolded: Vec::new(),
            head: StreamHead::default(),
        };
        let read = async |after| {
            let page = store.history(stream, after, through, PAGE_EVENTS).await;
            page.map_err(Error::Store)
        };
        let mut page = if through.is_none() {
            let module = session.decider.digest();
            let loaded = load(store, stream, module).await.map_err(Error::Store)?;
            match loaded.snapshot {
                None => loaded.history,
                Some(snapshot) => {
                    let restored;
                    (session, restored) = session.restore(snapshot.state).await?;
                    if restored {
                        session.head.version = snapshot.version;
                        loaded.history
                    } else {
                        read(Version::EMPTY).await?
                    }
                }
            }
        } else {
            read(Version::EMPTY).await?
        };
        loop {
            let is_last = page.events.len() < PAGE_EVENTS as usize;
            session.head = page.head.unwrap_or(session.head);
            session.unfolded = page.events;
            if is_last {
                return Ok(session);
            }
            // The next page is read while this one is folded.
            let next = read(session.head.version);
            let (folded, next) = futures::join!(session.with_guest(None, |_, _| Ok(())), next);
            session = folded?.0;
            page = next?;
        }
    }

    /// Goes on from a snapshot. False if the module does not know it any more: then the state is that of a stream without events.
    async fn restore(mut self, snapshot: Json) -> Result<(Self, bool), Error> {
        let module = self.decider.module().clone();
        let restoring = module.clone();
        let job = move || -> Result<_, Fault> {
            let mut instance = restoring.instantiate()?;
            Ok(match instance.restore(&snapshot)? {
                Restored::State(state) => Some((instance, state)),
                Restored::Refused(_) => None,
            })
        };
        let ended = self
            .modules
            .runtime()
            .run(&module, job)
            .await
            .map_err(Error::NotRun)?;
        self.guest = ended.map_err(|fault| self.fault(fault))?;
        let is_restored = self.guest.is_some();
        Ok((self, is_restored))
    }

    fn fault(&self, fault: Fault) -> Error {
        Error::Fault {
            module: self.decider.digest(),
            fault,
        }
    }

    /// The newest event of the stream as this session knows it, its own undurable ones included.
    pub(super) fn head(&self) -> StreamHead {
        self.head
    }

    /// Decides `task`, and folds what was decided.
    pub(super) async fn decide(
        self,
        task: Task,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Decided), Error> {
        let head = self.head;
        self.with_guest(Some(task.command_id), move |instance, state| {
            task.decide(&*clock, instance, state, &head)
        })
        .await
    }

    /// Takes note of events that follow from a decision of this session, and that later decisions build on.
    pub(super) fn advance(&mut self, events: &[NewEvent]) {
        self.head = after(self.head, events);
    }

    /// The state as JSON.
    pub(super) async fn state(self) -> Result<(Self, Json), Error> {
        self.with_guest(None, |instance, state| instance.snapshot(state))
            .await
    }

    /// Runs `work`, for a command if there is one, on a guest thread, after what is not folded yet.
    async fn with_guest<T: Send + 'static>(
        mut self,
        command_id: Option<CommandId>,
        work: impl FnOnce(&mut Instance, &State) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(Self, T), Error> {
        let guest = self.guest.take();
        let module = self.decider.module().clone();
        let running = module.clone();
        let unfolded = std::mem::take(&mut self.unfolded);
        let (outputs, stream) = (self.modules.outputs().clone(), self.stream.clone());
        let job = move || -> Result<_, Fault> {
            let (mut instance, state) = match guest {
                Some(guest) => guest,
                None => {
                    let mut instance = running.instantiate()?;
                    let state = instance.initial()?;
                    (instance, state)
                }
            };
            let folded = match &unfolded[..] {
                [] => Ok(()),
                unfolded => instance.evolve(&state, unfolded),
            };
            outputs.take(&mut instance, running.digest(), &stream, None);
            folded?;
            let done = work(&mut instance, &state);
            outputs.take(&mut instance, running.digest(), &stream, command_id);
            Ok((instance, state, done?))
        };
        let ended = self
            .modules
            .runtime()
            .run(&module, job)
            .await
            .map_err(Error::NotRun)?;
        let (instance, state, done) = ended.map_err(|fault| self.fault(fault))?;
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
