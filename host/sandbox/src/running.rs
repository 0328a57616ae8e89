//! A component that runs, and what each call into it may use. The calls themselves are in `kinds/`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::host::{Host, Surroundings};
use super::scheduling::Pace;
use super::{Fault, Limits, trap};

static STARTED: AtomicU64 = AtomicU64::new(0);

/// The id of the next instance, which tells it from all others of the process.
pub(super) fn next_id() -> u64 {
    STARTED.fetch_add(1, Ordering::Relaxed)
}

/// A running component with memory of its own, of whatever kind.
///
/// Each call gets the whole of [`Limits::fuel`] and [`Limits::deadline`]. After a fault that left
/// the guest in pieces every call fails with [`Fault::Spent`].
pub(super) struct Running {
    store: Store<Host>,
    limits: Arc<Limits>,
    pace: Arc<Pace>,
    spent: bool,
    fuel_used: u64,
}

impl Running {
    /// Starts a component, and has `find` look for its exports.
    pub(super) fn start<G>(
        pre: &InstancePre<Host>,
        limits: Arc<Limits>,
        pace: Arc<Pace>,
        find: impl FnOnce(&mut Store<Host>, &Instance) -> wasmtime::Result<G>,
    ) -> Result<(Self, G), Fault> {
        let mut store = new_store(pre, &limits);
        let started = pre.instantiate(&mut store);
        let found = match started.and_then(|instance| find(&mut store, &instance)) {
            Ok(found) => found,
            Err(error) => return Err(trap::fault(&error, store.data(), &limits)),
        };
        let running = Self {
            store,
            limits,
            pace,
            spent: false,
            fuel_used: 0,
        };
        Ok((running, found))
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The cost of the newest call, in units of fuel.
    pub(super) fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    /// Takes what the module wrote to stdout and stderr since the last time.
    pub(super) fn take_output(&mut self) -> Option<String> {
        self.store.data_mut().log_mut().take()
    }

    /// The linear memory that the guest has asked for so far, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().limiter().memory_bytes()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Calls the guest, which runs its code.
    pub(super) fn call<T>(
        &mut self,
        surroundings: Surroundings,
        call: impl FnOnce(&mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        self.fuel_used = 0;
        if self.spent {
            return Err(Fault::Spent);
        }
        begin_call(&mut self.store, &self.limits, surroundings);
        let result = call(&mut self.store);
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
}

pub(super) fn new_store(pre: &InstancePre<Host>, limits: &Limits) -> Store<Host> {
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

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}
