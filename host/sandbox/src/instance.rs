//! One instance of a module, and the calls into it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gavel_model::{Event, Json};
use wasmtime::Store;
use wasmtime::component::{InstancePre, ResourceAny};

use super::bindings::exports::gavel::module::decider::{Guest, GuestIndices};
use super::host::{Host, Surroundings};
use super::log::printable;
use super::scheduling::Pace;
use super::value::{self, Decision, GuestCommand, GuestContext};
use super::{CompileError, Fault, Limits, trap};

static INSTANCES: AtomicU64 = AtomicU64::new(0);

/// A running component with memory of its own. It may hold the states of many streams, of one namespace only.
///
/// Each call gets the whole of [`Limits::fuel`] and [`Limits::deadline`]. All methods run guest code: call them on a guest's thread.
/// After a fault that left the guest in pieces every call fails with [`Fault::Spent`]: throw the instance and its states away.
pub struct Instance {
    id: u64,
    store: Store<Host>,
    guest: Guest,
    limits: Arc<Limits>,
    pace: Arc<Pace>,
    spent: bool,
    fuel_used: u64,
}

/// The state of one stream. It lives in its instance; this is the handle.
///
/// A handle that is dropped rather than given to [`Instance::release`] keeps its memory in the guest until the instance ends.
#[derive(Debug)]
pub struct State {
    instance: u64,
    handle: ResourceAny,
}

/// What became of a snapshot.
#[derive(Debug)]
pub enum Restored {
    /// The state that it described.
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

impl Instance {
    pub(super) fn start(
        pre: &InstancePre<Host>,
        decider: &GuestIndices,
        limits: Arc<Limits>,
        pace: Arc<Pace>,
    ) -> Result<Self, Fault> {
        let mut store = new_store(pre, &limits);
        let started = pre.instantiate(&mut store);
        let guest = match started.and_then(|instance| decider.load(&mut store, &instance)) {
            Ok(guest) => guest,
            Err(error) => return Err(trap::fault(&error, store.data(), &limits)),
        };
        Ok(Self {
            id: INSTANCES.fetch_add(1, Ordering::Relaxed),
            store,
            guest,
            limits,
            pace,
            spent: false,
            fuel_used: 0,
        })
    }

    /// Starts an instance whose exports are to be looked at.
    pub(super) fn try_start(
        pre: &InstancePre<Host>,
        limits: &Limits,
    ) -> Result<(Store<Host>, wasmtime::component::Instance), CompileError> {
        let mut store = new_store(pre, limits);
        match pre.instantiate(&mut store) {
            Ok(instance) => Ok((store, instance)),
            Err(error) => Err(match trap::fault(&error, store.data(), limits) {
                fault @ Fault::NoRoom => CompileError::Unavailable(io::Error::other(fault)),
                fault => CompileError::Start(fault),
            }),
        }
    }

    /// The manifest.
    ///
    /// # Errors
    ///
    /// A [`Fault`]: the module cannot be used.
    pub fn describe(&mut self) -> Result<Json, Fault> {
        let text = self.call(Surroundings::default(), |guest, store| {
            guest.call_describe(store)
        })?;
        value::document("the manifest", &text, self.limits.manifest_bytes)
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
        value::document("the snapshot", &text, self.limits.output_bytes)
    }

    /// Folds `events` into `state`, in order. The whole batch is one call: pass a long history in pieces.
    ///
    /// # Errors
    ///
    /// A [`Fault`], after which `state` is undefined: release it. [`Fault::EvolveRefused`] names the event.
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

    /// Decides `command` at `state`, which stays as it is. WASI's clocks and random numbers follow the context.
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
        value::decision(decision, &self.limits)
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
        if self.spent {
            return Ok(());
        }
        self.call(Surroundings::default(), |_, store| {
            handle.resource_drop(store)
        })
    }

    /// What the newest call cost, in units of fuel.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    /// Takes what the module wrote to stdout and stderr since the last time, cut at [`Limits::log_bytes`]; none if that is nothing.
    #[must_use]
    pub fn take_output(&mut self) -> Option<String> {
        self.store.data_mut().log_mut().take()
    }

    /// Tells this instance from all others of the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Linear memory that the guest has asked for so far, in bytes; it never shrinks.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.store.data().limiter().memory_bytes()
    }

    /// Whether a fault has left the guest in pieces: then nothing but throwing it away is of use.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    fn call<T>(
        &mut self,
        surroundings: Surroundings,
        call: impl FnOnce(&Guest, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        self.fuel_used = 0;
        if self.spent {
            return Err(Fault::Spent);
        }
        begin_call(&mut self.store, &self.limits, surroundings);
        let result = call(&self.guest, &mut self.store);
        let left = self.store.get_fuel().expect("the engine counts fuel");
        self.fuel_used = self.limits.fuel.saturating_sub(left);
        let result = result.map_err(|error| {
            self.spent = true;
            trap::fault(&error, self.store.data(), &self.limits)
        });
        // Slow instructions use time rather than fuel.
        let is_late = matches!(result, Err(Fault::Deadline { .. }));
        self.pace.used(if is_late {
            self.limits.fuel
        } else {
            self.fuel_used
        });
        result
    }

    fn own(&self, handle: ResourceAny) -> State {
        State {
            instance: self.id,
            handle,
        }
    }

    fn handle(&self, state: &State) -> ResourceAny {
        assert_eq!(
            state.instance, self.id,
            "a state is used with the instance that it lives in"
        );
        state.handle
    }
}

fn new_store(pre: &InstancePre<Host>, limits: &Limits) -> Store<Host> {
    let mut store = Store::new(pre.engine(), Host::new(limits));
    store.limiter(|host| host.limiter_mut());
    store.epoch_deadline_callback(|mut store| store.data_mut().is_late());
    store.set_hostcall_fuel(limits.hostcall_bytes);
    store.set_max_component_handles(limits.handles);
    begin_call(&mut store, limits, Surroundings::default());
    store
}

fn begin_call(store: &mut Store<Host>, limits: &Limits, surroundings: Surroundings) {
    let ticks = store.data_mut().begin_call(surroundings, limits.deadline);
    store.set_fuel(limits.fuel).expect("the engine counts fuel");
    store.set_epoch_deadline(ticks);
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("id", &self.id)
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}
