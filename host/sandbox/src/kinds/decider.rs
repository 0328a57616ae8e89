//! One instance of a decider, and the calls into it.

use gavel_model::{Event, Json};
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use super::Kind;
use crate::bindings::exports::gavel::module::decider::{Guest, GuestIndices};
use crate::host::{Host, Surroundings};
use crate::log::printable;
use crate::module::ModuleCode;
#[cfg(feature = "native")]
use crate::native::{NativeInstance, NativeState};
use crate::running::{self, Running};
use crate::value::{self, Decision, GuestCommand, GuestContext};
use crate::{Fault, Module};

pub(super) const KIND: Kind = Kind {
    is_run: true,
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
    id: u64,
    calls: Box<dyn DeciderCalls>,
}

/// The state of one stream. It lives in its instance; this is the handle.
///
/// A handle that is dropped rather than given to [`Instance::release`] keeps its memory in the
/// guest until the instance ends.
#[derive(Debug)]
pub struct State {
    instance: u64,
    handle: StateHandle,
}

/// The calls into a decider, however it is compiled.
pub(crate) trait DeciderCalls: Send {
    fn describe(&mut self) -> Result<Json, Fault>;
    fn initial(&mut self) -> Result<StateHandle, Fault>;
    /// The state that a snapshot describes, or the reason for which it does not.
    fn restore(&mut self, snapshot: &Json) -> Result<Result<StateHandle, String>, Fault>;
    fn snapshot(&mut self, state: &StateHandle) -> Result<Json, Fault>;
    fn evolve(&mut self, state: &StateHandle, events: &[Event]) -> Result<(), Fault>;
    fn decide(
        &mut self,
        state: &StateHandle,
        command: &GuestCommand,
        context: &GuestContext,
    ) -> Result<Decision, Fault>;
    fn release(&mut self, state: StateHandle) -> Result<(), Fault>;
    fn fuel_used(&self) -> u64;
    fn take_output(&mut self) -> Option<String>;
    fn memory_bytes(&self) -> usize;
    fn is_spent(&self) -> bool;
}

/// A state, as the calls of its instance know it.
#[derive(Debug)]
pub(crate) enum StateHandle {
    Guest(ResourceAny),
    #[cfg(feature = "native")]
    Native(NativeState),
}

/// The calls into a component.
struct Component {
    running: Running,
    guest: Guest,
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
        let calls: Box<dyn DeciderCalls> = match self.code() {
            ModuleCode::Component { pre, .. } => {
                let (running, guest) = self.start(pre, |store, instance| {
                    GuestIndices::new(pre)?.load(store, instance)
                })?;
                Box::new(Component { running, guest })
            }
            #[cfg(feature = "native")]
            ModuleCode::Native(decider) => Box::new(NativeInstance::new(decider.clone())),
        };
        let id = running::next_id();
        Ok(Instance { id, calls })
    }
}

impl Instance {
    /// The manifest.
    ///
    /// # Errors
    ///
    /// A [`Fault`]: the module cannot be used.
    pub fn describe(&mut self) -> Result<Json, Fault> {
        self.calls.describe()
    }

    /// The state of a stream without events.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub fn initial(&mut self) -> Result<State, Fault> {
        let handle = self.calls.initial()?;
        Ok(self.own(handle))
    }

    /// The state that `snapshot` describes.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. A snapshot that is not this module's is none: see [`Restored::Refused`].
    pub fn restore(&mut self, snapshot: &Json) -> Result<Restored, Fault> {
        Ok(match self.calls.restore(snapshot)? {
            Ok(handle) => Restored::State(self.own(handle)),
            Err(reason) => Restored::Refused(reason),
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
        self.check(state);
        self.calls.snapshot(&state.handle)
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
        self.check(state);
        self.calls.evolve(&state.handle, events)
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
        self.check(state);
        self.calls.decide(&state.handle, command, context)
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
        self.check(&state);
        if self.is_spent() {
            return Ok(());
        }
        self.calls.release(state.handle)
    }

    /// The cost of the newest call, in units of fuel.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.calls.fuel_used()
    }

    /// Takes what the module wrote to stdout and stderr since the last time, cut at
    /// [`Limits::log_bytes`](crate::Limits::log_bytes); none if that is nothing.
    #[must_use]
    pub fn take_output(&mut self) -> Option<String> {
        self.calls.take_output()
    }

    /// Tells this instance from all others of the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The linear memory that the guest has asked for so far, in bytes; it never shrinks.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.calls.memory_bytes()
    }

    /// Tells whether a fault has left the instance unusable: then it can only be thrown away.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.calls.is_spent()
    }

    fn own(&self, handle: StateHandle) -> State {
        State {
            instance: self.id,
            handle,
        }
    }

    fn check(&self, state: &State) {
        assert_eq!(
            state.instance, self.id,
            "a state is used with the instance that it lives in"
        );
    }
}

impl DeciderCalls for Component {
    fn describe(&mut self) -> Result<Json, Fault> {
        let text = self.call(Surroundings::default(), |guest, store| {
            guest.call_describe(store)
        })?;
        value::document("the manifest", &text, self.running.limits().manifest_bytes)
    }

    fn initial(&mut self) -> Result<StateHandle, Fault> {
        let initial = self.call(Surroundings::default(), |guest, store| {
            guest.state().call_initial(store)
        });
        initial.map(StateHandle::Guest)
    }

    fn restore(&mut self, snapshot: &Json) -> Result<Result<StateHandle, String>, Fault> {
        let restored = self.call(Surroundings::default(), |guest, store| {
            guest.state().call_restore(store, snapshot.as_str())
        })?;
        Ok(restored
            .map(StateHandle::Guest)
            .map_err(|reason| printable(&reason)))
    }

    fn snapshot(&mut self, state: &StateHandle) -> Result<Json, Fault> {
        let handle = resource(state);
        let text = self.call(Surroundings::default(), |guest, store| {
            guest.state().call_snapshot(store, handle)
        })?;
        value::document("the snapshot", &text, self.running.limits().output_bytes)
    }

    fn evolve(&mut self, state: &StateHandle, events: &[Event]) -> Result<(), Fault> {
        let handle = resource(state);
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

    fn decide(
        &mut self,
        state: &StateHandle,
        command: &GuestCommand,
        context: &GuestContext,
    ) -> Result<Decision, Fault> {
        let handle = resource(state);
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

    fn release(&mut self, state: StateHandle) -> Result<(), Fault> {
        let handle = resource(&state);
        self.call(Surroundings::default(), |_, store| {
            handle.resource_drop(store)
        })
    }

    fn fuel_used(&self) -> u64 {
        self.running.fuel_used()
    }

    fn take_output(&mut self) -> Option<String> {
        self.running.take_output()
    }

    fn memory_bytes(&self) -> usize {
        self.running.memory_bytes()
    }

    fn is_spent(&self) -> bool {
        self.running.is_spent()
    }
}

impl Component {
    fn call<T>(
        &mut self,
        surroundings: Surroundings,
        call: impl FnOnce(&Guest, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let guest = &self.guest;
        self.running.call(surroundings, |store| call(guest, store))
    }
}

fn resource(state: &StateHandle) -> ResourceAny {
    match state {
        StateHandle::Guest(resource) => *resource,
        #[cfg(feature = "native")]
        StateHandle::Native(_) => unreachable!("an instance gets its own states"),
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("id", &self.id)
            .field("is_spent", &self.is_spent())
            .finish_non_exhaustive()
    }
}
