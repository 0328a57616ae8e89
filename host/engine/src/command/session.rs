//! The state of one stream, alive in a guest while it is used, and the guests in which such states
//! live.

use std::sync::Arc;

use gavel_model::{
    Clock, CommandId, Event, Json, ModuleDigest, NewEvent, RecordedEvent, StreamId, Version,
};
use gavel_sandbox::{
    BackgroundThrottle, Fault, Instance, RunError, Runtime, SMALL_READ_EVENTS, State,
};
use gavel_store::{self as store, Loaded, Store, StreamHead};
use time::OffsetDateTime;

use super::Error;
use super::decision::{Decided, Task, after};
use super::hot::{CallSubject, Company, Pool};
use crate::catalog::{Decider, Modules};

/// The number of events that are read and folded at a time.
pub(super) const PAGE_EVENTS: u32 = 1_000;

/// Most instances of one module in which the states of one call live, be it a batch of as many
/// streams as it may have: each may need all the memory that a module gets, and reserves gigabytes
/// of address space.
const INSTANCES_PER_CALL: usize = 4;

/// Loads the snapshot and the events from which a stream's newest state is folded, with the head
/// that belongs to that state.
///
/// A snapshot does not hold the id of its last event, nor whether the stream ended with it: when no
/// event follows the snapshot, that last event is read as well.
pub(super) async fn load(
    store: &dyn Store,
    stream: &StreamId,
    module: ModuleDigest,
    limit: u32,
) -> Result<Loaded, store::Error> {
    let mut loaded = store.load(stream, module, limit).await?;
    if let (Some(snapshot), None) = (&loaded.snapshot, loaded.history.head) {
        let before = snapshot.version.previous();
        let last = store.history(stream, before, Some(snapshot.version), 1);
        loaded.history.head = last.await?.head;
    }
    Ok(loaded)
}

/// The instances of one module in which the states of one call's streams live, of one namespace.
#[derive(Debug)]
pub(super) struct Guests {
    runtime: Runtime,
    decider: Arc<Decider>,
    company: Company,
    /// Tells whether nothing is decided: then long streams are read and folded in turns with other
    /// reads.
    is_for_reader: bool,
    /// None while a guest works, and after a job that has not come back.
    pool: Option<Pool>,
}

impl Guests {
    /// Makes guests whose states share instances as `company` says.
    pub(super) fn new(modules: &Modules, decider: Arc<Decider>, company: Company) -> Self {
        let runtime = modules.runtime();
        let memory_limit = runtime.limits().memory_bytes;
        let outputs = modules.outputs().clone();
        let pool = Pool::new(decider.module().clone(), memory_limit, outputs);
        Self {
            runtime: runtime.clone(),
            decider,
            company,
            is_for_reader: false,
            pool: Some(pool.of_at_most(INSTANCES_PER_CALL)),
        }
    }

    /// Makes guests for one stream whose state is to be shown.
    pub(super) fn for_reader(modules: &Modules, decider: Arc<Decider>) -> Self {
        Self {
            is_for_reader: true,
            ..Self::new(modules, decider, Company::None)
        }
    }

    /// Gives the throttle that keeps a reader out of the way of live calls; none when commands are
    /// decided.
    fn throttle(&self) -> Option<BackgroundThrottle> {
        self.is_for_reader.then(|| self.runtime.throttle().clone())
    }

    /// Runs `work` on a guest thread.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Pool) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let mut pool = self.pool.take().ok_or(Error::NotRun(RunError::Panicked))?;
        let job = move || {
            let done = work(&mut pool);
            (pool, done)
        };
        let module = self.decider.module();
        let ran = match self.is_for_reader {
            true => self.runtime.run_for_reader(module, job).await,
            false => self.runtime.run(module, job).await,
        };
        let (pool, done) = ran.map_err(Error::NotRun)?;
        self.pool = Some(pool);
        done.map_err(|fault| Error::Fault {
            module: self.decider.digest(),
            fault,
        })
    }
}

/// A stream's state among the guests that it was loaded with.
///
/// Methods that call the guest take the session and give it back: after a fault no session is left.
#[derive(Debug)]
pub(super) struct Session {
    stream: StreamId,
    state: Option<State>,
    /// Events that were read and are not folded yet: folding waits for the next call into the
    /// guest, which often is the decision.
    unfolded: Vec<Event>,
    head: StreamHead,
}

impl Session {
    /// Loads the state of `stream` through the version `through`, or through its newest event.
    pub(super) async fn load(
        guests: &mut Guests,
        store: &dyn Store,
        stream: &StreamId,
        through: Option<Version>,
    ) -> Result<Self, Error> {
        let mut session = Self {
            stream: stream.clone(),
            state: None,
            unfolded: Vec::new(),
            head: StreamHead::default(),
        };
        let throttle = guests.throttle();
        let read = async |after, limit| {
            let page = store.history(stream, after, through, limit).await;
            page.map_err(Error::Store)
        };
        // Whether a stream is long shows with its first events.
        let mut limit = match throttle {
            Some(_) => SMALL_READ_EVENTS,
            None => PAGE_EVENTS,
        };
        let mut page = if through.is_none() {
            let module = guests.decider.digest();
            let loaded = load(store, stream, module, limit)
                .await
                .map_err(Error::Store)?;
            match loaded.snapshot {
                None => loaded.history,
                Some(snapshot) => {
                    let restored;
                    (session, restored) = session.restore(guests, snapshot.state).await?;
                    if restored {
                        session.head.version = snapshot.version;
                        loaded.history
                    } else {
                        read(Version::EMPTY, limit).await?
                    }
                }
            }
        } else {
            read(Version::EMPTY, limit).await?
        };
        loop {
            let is_last = !page.has_more;
            session.head = page.head.unwrap_or(session.head);
            session.unfolded = page.events;
            if is_last {
                return Ok(session);
            }
            // The next page is read while this one is folded.
            limit = PAGE_EVENTS;
            let next = read(session.head.version, limit);
            let folded = session.with_guest(guests, None, |_, _| Ok(()));
            let both = async { futures::join!(folded, next) };
            let (folded, next) = match &throttle {
                Some(throttle) => throttle.read_in_turn(limit, both).await,
                None => both.await,
            };
            session = folded?.0;
            page = next?;
        }
    }

    /// Restores the state from a snapshot. False if the module does not know the snapshot any more:
    /// then the state is that of a stream without events.
    async fn restore(mut self, guests: &mut Guests, snapshot: Json) -> Result<(Self, bool), Error> {
        let (stream, company) = (self.stream.clone(), guests.company);
        let placed = guests
            .run(move |pool| pool.place(&stream, company, Some(&snapshot)))
            .await;
        let (state, is_restored) = placed?;
        self.state = Some(state);
        Ok((self, is_restored))
    }

    /// Gives the head of the stream as this session knows it, with its own events that are not
    /// durable.
    pub(super) fn head(&self) -> StreamHead {
        self.head
    }

    /// Decides `task`, and folds what was decided.
    pub(super) async fn decide(
        self,
        guests: &mut Guests,
        task: Task,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Decided), Error> {
        let head = self.head;
        self.with_guest(guests, Some(task.command_id), move |instance, state| {
            task.decide(&*clock, instance, state, &head)
        })
        .await
    }

    /// Takes note of events that follow from a decision of this session, and that later decisions
    /// build on.
    pub(super) fn advance(&mut self, events: &[NewEvent]) {
        self.head = after(self.head, events);
    }

    /// Gives the state as JSON.
    pub(super) async fn state(self, guests: &mut Guests) -> Result<(Self, Json), Error> {
        let unfolded = u32::try_from(self.unfolded.len()).unwrap_or(u32::MAX);
        let throttle = guests.throttle();
        let state = self.with_guest(guests, None, |instance, state| instance.snapshot(state));
        match throttle {
            Some(throttle) => throttle.read_in_turn(unfolded, state).await,
            None => state.await,
        }
    }

    /// Runs `work`, for a command if there is one, on a guest thread, after what is not folded yet.
    async fn with_guest<T: Send + 'static>(
        mut self,
        guests: &mut Guests,
        command_id: Option<CommandId>,
        work: impl FnOnce(&mut Instance, &State) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(Self, T), Error> {
        let (state, company) = (self.state.take(), guests.company);
        let unfolded = std::mem::take(&mut self.unfolded);
        let stream = self.stream.clone();
        let job = move |pool: &mut Pool| {
            let state = match state {
                Some(state) => state,
                None => pool.place(&stream, company, None)?.0,
            };
            if !unfolded.is_empty() {
                pool.with(&state, (&stream).into(), |instance| {
                    instance.evolve(&state, &unfolded)
                })?;
            }
            let subject = CallSubject {
                stream: &stream,
                command_id,
            };
            let done = pool.with(&state, subject, |instance| work(instance, &state))?;
            Ok((state, done))
        };
        let (state, done) = guests.run(job).await?;
        self.state = Some(state);
        Ok((self, done))
    }

    /// Gives the events as they would be stored now, for a dry run.
    pub(super) fn propose(&self, events: &[NewEvent], now: OffsetDateTime) -> Vec<RecordedEvent> {
        let mut head = self.head;
        let mut proposed = Vec::with_capacity(events.len());
        for event in events {
            head.version = head.version.next();
            proposed.push(RecordedEvent {
                stream: self.stream.clone(),
                version: head.version,
                position: gavel_model::Position::BEGINNING,
                previous_id: head.last_event_id.replace(event.event_id),
                created_at: now,
                event: event.clone(),
            });
        }
        proposed
    }
}
