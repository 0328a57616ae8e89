//! One instance of a decider, and the calls into it.

use gavel_model::{Event, Json, ModuleKind};
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::Kind;
use crate::bindings::exports::gavel::module::decider::{Guest, GuestIndices};
use crate::host::{Host, Surroundings};
use crate::log::printable;
use crate::running::Running;
use crate::value::{self, Decision, GuestCommand, GuestContext};
use crate::{Fault, Module};

pub(super) const KIND: Kind = Kind {
    kind: ModuleKind::Decider,
    load: |pre, store, instance| GuestIndices::new(pre)?.load(store, instance).map(drop),
    describe: |module| module.instantiate()?.describe(),
};

/// A running decider with memory of its own. It may hold the states of many streams, of one
/// namespace only.
///
/// Each call gets the whole of [`Limits::fuel`](crate::Limits::fuel) and
/// [`Limits::deadline`](crate::Limits::deadline). All methods run guest code: call them on a
/// guest's thread. After a fault that left the guest in pieces every call fails with
/// [`Fault::Spent`]: throw the instance and its states away.
pub struct Instance {
    running: Running,
    guest: Guest,
}

/// The state of one stream. It lives in its instance; this is the handle.
///
/// A handle that is dropped rather than given to [`Instance::release`] keeps its memory in the
/// guest until the instance ends.
#[derive(Debug)]
pub struct State {
    instance: u64,
    handle: ResourceAny,
}

/// The result of restoring a snapshot.
#[derive(Debug)]
pub enum Restored {
    /// The state that the snapshot described.
    State(State),
    /// The module does not know it, for the reason it gives: fold the events instead.
    Refused(String),
}

impl State {
    /// The [id](Instance::id) of the instance that it lives in.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.instance
    }
}

impl Module {
    /// A fresh instance of a decider, which shares no memory with any other. Guest code runs: call
    /// it on a guest's thread.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the component's start code traps or exceeds a limit.
    pub fn instantiate(&self) -> Result<Instance, Fault> {
        let (running, guest) =
            self.start(|pre, store, instance| GuestIndices::new(pre)?.load(store, instance))?;
        Ok(Instance { running, guest })
    }
}

impl Instance {
    /// The manifest.
    ///
    /// # Errors
    ///
    /// A [`Fault`]: the module cannot be used.
    pub fn describe(&mut self) -> Result<Json, Fault> {
        let text = self.call(Surroundings::default(), |guest, store| {
            guest.call_describe(store)
        })?;
        value::document("the manifest", &text, self.running.limits().manifest_bytes)
    }

    /// The state of a stream without events.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub fn initial(&mut self) -> Result<State, Fault> {
        let handle = self.call(Surroundings::default(), |guest, store| {
            guest.state().call_initial(store)
        })?;
        Ok(self.own(handle))
    }

    /// The state that `snapshot` describes.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. A snapshot that is not this module's is none: see [`Restored::Refused`].
    pub fn restore(&mut self, snapshot: &Json) -> Result<Restored, Fault> {
        let restored = self.call(Surroundings::default(), |guest, store| {
            guest.state().call_restore(store, snapshot.as_str())
        })?;
        Ok(match restored {
            Ok(handle) => Restored::State(self.own(handle)),
            Err(reason) => Restored::Refused(printable(&reason)),
        })
    }

    /// `state` as JSON.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    ///
    /// # Panics
    ///
    /// When `state` is of another instance.
    pub fn snapshot(&mut self, state: &State) -> Result<Json, Fault> {
        let handle = self.handle(state);
        let text = self.call(Surroundings::default(), |guest, store| {
            guest.state().call_snapshot(store, handle)
        })?;
        value::document("the snapshot", &text, self.running.limits().output_bytes)
    }

    /// Folds `events` into `state`, in order. The whole batch is one call: pass a long history in
    /// pieces.
    ///
    /// # Errors
    ///
    /// A [`Fault`], after which `state` is undefined: release it. [`Fault::EvolveRefused`] names
    /// the event.
    ///
    /// # Panics
    ///
    /// When `state` is of another instance.
    pub fn evolve(&mut self, state: &State, events: &[Event]) -> Result<(), Fault> {
        let handle = self.handle(state);
        let tags: Vec<Vec<&str>> = events.iter().map(value::tag_texts).collect();
        let events: Vec<_> = std::iter::zip(events, &tags)
            .map(|(event, tags)| value::lower_event(event, tags))
            .collect();
        self.call(Surroundings::default(), |guest, store| {
            guest.call_evolve(store, handle, &events)
        })?
        .map_err(|error| Fault::EvolveRefused {
            index: error.index,
            message: printable(&error.message),
        })
    }

    /// Decides `command` at `state`, which does not change. WASI's clocks and random numbers follow
    /// the context.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. A rejection is none: see [`Decision::Rejected`].
    ///
    /// # Panics
    ///
    /// When `state` is of another instance.
    pub fn decide(
        &mut self,
        state: &State,
        command: &GuestCommand,
        context: &GuestContext,
    ) -> Result<Decision, Fault> {
        let handle = self.handle(state);
        let surroundings = Surroundings {
            now_ms: context.now_ms,
            seed: context.seed,
        };
        let metadata = context.metadata_texts();
        let decision = self.call(surroundings, |guest, store| {
            guest.call_decide(store, handle, command.lower(), context.lower(&metadata))
        })?;
        value::decision(decision, self.running.limits())
    }

    /// Lets go of `state`, which runs the guest's destructor for it.
    ///
    /// # Errors
    ///
    /// A [`Fault`] of the destructor. On a spent instance this does nothing.
    ///
    /// # Panics
    ///
    /// When `state` is of another instance.
    pub fn release(&mut self, state: State) -> Result<(), Fault> {
        let handle = self.handle(&state);
        if self.running.is_spent() {
            return Ok(());
        }
        self.call(Surroundings::default(), |_, store| {
            handle.resource_drop(store)
        })
    }

    /// The cost of the newest call, in units of fuel.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.running.fuel_used()
    }

    /// Takes what the module wrote to stdout and stderr since the last time, cut at
    /// [`Limits::log_bytes`](crate::Limits::log_bytes); none if that is nothing.
    #[must_use]
    pub fn take_output(&mut self) -> Option<String> {
        self.running.take_output()
    }

    /// Tells this instance from all others of the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.running.id()
    }

    /// The linear memory that the guest has asked for so far, in bytes; it never shrinks.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.running.memory_bytes()
    }

    /// Tells whether a fault has left the instance unusable: then it can only be thrown away.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.running.is_spent()
    }

    fn call<T>(
        &mut self,
        surroundings: Surroundings,
        call: impl FnOnce(&Guest, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let guest = &self.guest;
        self.running.call(surroundings, |store| call(guest, store))
    }

    fn own(&self, handle: ResourceAny) -> State {
        State {
            instance: self.id(),
            handle,
        }
    }

    fn handle(&self, state: &State) -> ResourceAny {
        assert_eq!(
            state.instance,
            self.id(),
            "a state is used with the instance that it lives in"
        );
        state.handle
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Instance").field(&self.running).finish()
    }
}
