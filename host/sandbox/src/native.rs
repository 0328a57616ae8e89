//! Deciders that are compiled into the host instead of a component: for tests beside the code that
//! calls deciders, and to measure what the sandbox costs. A `gavel` that is released has none.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gavel_model::{Event, Json};

use super::kinds::{DeciderCalls, StateHandle};
use super::{Decision, Fault, GuestCommand, GuestContext};

/// A decider that is compiled into the host.
pub trait NativeDecider: Debug + Send + Sync {
    /// The manifest.
    fn describe(&self) -> Json;

    /// The state of a stream without events.
    fn initial(&self) -> Box<dyn NativeFold>;

    /// The state that `snapshot` describes.
    ///
    /// # Errors
    ///
    /// The reason for which the snapshot is none of this decider's.
    fn restore(&self, snapshot: &Json) -> Result<Box<dyn NativeFold>, String>;
}

/// The state of a stream of a [`NativeDecider`]. A [`Fault`] ends the instance, as one of a
/// component does.
pub trait NativeFold: Debug + Send {
    /// Folds events, in order.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    fn evolve(&mut self, events: &[Event]) -> Result<(), Fault>;

    /// Decides a command.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    fn decide(&self, command: &GuestCommand, context: &GuestContext) -> Result<Decision, Fault>;

    /// The state as JSON.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    fn snapshot(&self) -> Result<Json, Fault>;
}

/// The decider that runs in place of every uploaded one.
static REPLACEMENT: OnceLock<Arc<dyn NativeDecider>> = OnceLock::new();

/// Has `decider` run in place of every decider that this process links from now on: uploads and
/// activations are as ever, only the calls go to other code. The first call counts.
pub fn replace_deciders(decider: Arc<dyn NativeDecider>) {
    REPLACEMENT.get_or_init(|| decider);
}

/// The decider of [`replace_deciders`].
pub(super) fn replacement() -> Option<Arc<dyn NativeDecider>> {
    REPLACEMENT.get().cloned()
}

/// A state that is called by way of a shared handle, as one in a component is.
pub(super) type NativeState = Mutex<Box<dyn NativeFold>>;

/// An instance of a [`NativeDecider`].
pub(super) struct NativeInstance {
    decider: Arc<dyn NativeDecider>,
    is_spent: bool,
}

impl NativeInstance {
    pub(super) fn new(decider: Arc<dyn NativeDecider>) -> Self {
        Self {
            decider,
            is_spent: false,
        }
    }

    fn call<T>(
        &mut self,
        state: &StateHandle,
        call: impl FnOnce(&mut dyn NativeFold) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.is_spent {
            return Err(Fault::Spent);
        }
        let StateHandle::Native(state) = state else {
            unreachable!("an instance gets its own states");
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = call(&mut **state);
        let is_whole = matches!(done, Ok(_) | Err(Fault::EvolveRefused { .. }));
        self.is_spent = !is_whole;
        done
    }
}

impl DeciderCalls for NativeInstance {
    fn describe(&mut self) -> Result<Json, Fault> {
        Ok(self.decider.describe())
    }

    fn initial(&mut self) -> Result<StateHandle, Fault> {
        Ok(StateHandle::Native(Mutex::new(self.decider.initial())))
    }

    fn restore(&mut self, snapshot: &Json) -> Result<Result<StateHandle, String>, Fault> {
        let restored = self.decider.restore(snapshot);
        Ok(restored.map(|state| StateHandle::Native(Mutex::new(state))))
    }

    fn snapshot(&mut self, state: &StateHandle) -> Result<Json, Fault> {
        self.call(state, |state| state.snapshot())
    }

    fn evolve(&mut self, state: &StateHandle, events: &[Event]) -> Result<(), Fault> {
        self.call(state, |state| state.evolve(events))
    }

    fn decide(
        &mut self,
        state: &StateHandle,
        command: &GuestCommand,
        context: &GuestContext,
    ) -> Result<Decision, Fault> {
        self.call(state, |state| state.decide(command, context))
    }

    fn release(&mut self, _state: StateHandle) -> Result<(), Fault> {
        Ok(())
    }

    fn fuel_used(&self) -> u64 {
        0
    }

    fn take_output(&mut self) -> Option<String> {
        None
    }

    fn memory_bytes(&self) -> usize {
        0
    }

    fn is_spent(&self) -> bool {
        self.is_spent
    }
}
