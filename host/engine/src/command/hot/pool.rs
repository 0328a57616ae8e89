//! The instances in which the states of one shard live.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use gavel_model::{CommandId, Json, StreamId};
use gavel_sandbox::{Fault, Instance, Module, Restored, State};

use crate::catalog::Outputs;
use crate::command::Error;

/// Most states that share an instance: a module that traps costs no more streams than these a fold.
const STATES_PER_INSTANCE: usize = 1_024;

/// Most instances of a pool that serve one stream alone, since it was the end of an instance
/// before. Each reserves gigabytes of address space, of which the budget of hot bytes sees nothing.
const LONE_INSTANCES: usize = 16;

/// The instances of one module for one namespace. A state lives in one instance, and ends with it.
#[derive(Debug)]
pub(super) struct Pool {
    module: Module,
    /// Most linear memory of one instance, in bytes.
    memory_limit: usize,
    instances: HashMap<u64, SharedInstance>,
    /// The instance that takes the next state.
    open: Option<u64>,
    /// The instances that serve one stream alone, oldest first.
    lone: VecDeque<u64>,
    bytes: usize,
    /// The outputs to which the module's text goes.
    outputs: Arc<Outputs>,
}

#[derive(Debug)]
struct SharedInstance {
    instance: Instance,
    states: usize,
    bytes: usize,
    placement: Placement,
    /// Tells whether a batch is deciding in it, alone: then it makes room for no other.
    is_pinned: bool,
}

/// The stream and the command that a call is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallSubject<'a> {
    pub(super) stream: &'a StreamId,
    /// The command that is decided, if it is one.
    pub(super) command_id: Option<CommandId>,
}

impl<'a> From<&'a StreamId> for CallSubject<'a> {
    fn from(stream: &'a StreamId) -> Self {
        Self {
            stream,
            command_id: None,
        }
    }
}

/// The instance that a state lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// One with the states of other streams.
    Shared,
    /// One of its own: the stream of the state has crashed an instance before.
    Alone,
}

impl Pool {
    pub(super) fn new(module: Module, memory_limit: usize, outputs: Arc<Outputs>) -> Self {
        Self {
            module,
            memory_limit,
            instances: HashMap::new(),
            open: None,
            lone: VecDeque::new(),
            bytes: 0,
            outputs,
        }
    }

    /// Gives the linear memory of all instances, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes a state of `stream`: the one that `snapshot` describes if the module still knows it,
    /// otherwise that of a stream without events. Says whether the state is that of the snapshot.
    pub(super) fn place(
        &mut self,
        stream: &StreamId,
        placement: Placement,
        snapshot: Option<&Json>,
    ) -> Result<(State, bool), Fault> {
        let id = match self.with_room(placement) {
            Some(id) => id,
            None => self.start(placement)?,
        };
        let made = self.call(id, stream.into(), |instance| {
            if let Some(snapshot) = snapshot
                && let Restored::State(state) = instance.restore(snapshot)?
            {
                return Ok((state, true));
            }
            Ok((instance.initial()?, false))
        });
        if let Some(shared) = self.instances.get_mut(&id) {
            shared.states += usize::from(made.is_ok());
            if shared.states == 0 {
                self.retire(id);
            }
        }
        made
    }

    /// Tells whether the instance of `state` still exists.
    pub(super) fn has(&self, state: &State) -> bool {
        self.instances.contains_key(&state.instance())
    }

    /// Tells whether the instance of `state` holds no state of another stream, nor ever did.
    pub(super) fn is_alone(&self, state: &State) -> bool {
        let shared = self.instances.get(&state.instance());
        shared.is_some_and(|shared| shared.placement == Placement::Alone)
    }

    /// Makes an error of a fault of the module.
    pub(super) fn fault(&self, fault: Fault) -> Error {
        Error::Fault {
            module: self.module.digest(),
            fault,
        }
    }

    /// Calls the instance of `state`. A fault that breaks the instance ends all states in it.
    pub(super) fn with<T>(
        &mut self,
        state: &State,
        subject: CallSubject<'_>,
        call: impl FnOnce(&mut Instance) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.call(state.instance(), subject, call)
    }

    /// Lets go of a state, and of its instance when it was the last one there.
    pub(super) fn release(&mut self, state: State) {
        let id = state.instance();
        let Some(shared) = self.instances.get_mut(&id) else {
            return;
        };
        shared.states -= 1;
        if shared.states == 0 || shared.instance.release(state).is_err() {
            return self.retire(id);
        }
        // What a destructor writes must not be taken for what the next call does.
        drop(shared.instance.take_output());
    }

    /// Throws an instance away, with all states in it.
    pub(super) fn retire(&mut self, id: u64) {
        if let Some(shared) = self.instances.remove(&id) {
            self.bytes -= shared.bytes;
        }
        self.open = self.open.filter(|open| *open != id);
        self.lone.retain(|lone| *lone != id);
    }

    /// Says whether the instance of `state` may be thrown away to make room for another one.
    pub(super) fn pin(&mut self, state: &State, is_pinned: bool) {
        if let Some(shared) = self.instances.get_mut(&state.instance()) {
            shared.is_pinned = is_pinned;
        }
    }

    /// Throws all instances away.
    pub(super) fn clear(&mut self) {
        self.instances.clear();
        self.open = None;
        self.lone.clear();
        self.bytes = 0;
    }

    /// Tells whether the instance of `state` is so near the limit of its memory that a fresh one
    /// serves its streams better.
    pub(super) fn is_outgrown(&self, state: &State) -> bool {
        let shared = self.instances.get(&state.instance());
        shared.is_some_and(|shared| shared.states > 1 && shared.bytes > self.memory_limit / 4 * 3)
    }

    fn start(&mut self, placement: Placement) -> Result<u64, Fault> {
        if placement == Placement::Alone && self.lone.len() >= LONE_INSTANCES {
            // Its stream is loaded again when somebody needs it.
            let instances = &self.instances;
            let is_pinned = |id| instances.get(id).is_some_and(|shared| shared.is_pinned);
            let mut lone = self.lone.iter();
            let Some(&oldest) = lone.find(|id| !is_pinned(id)) else {
                return Err(Fault::OutOfMemory {
                    what: "instances for streams that need one each",
                    limit: LONE_INSTANCES,
                });
            };
            self.retire(oldest);
        }
        let instance = self.module.instantiate()?;
        let (id, bytes) = (instance.id(), instance.memory_bytes());
        self.bytes += bytes;
        let shared = SharedInstance {
            instance,
            states: 0,
            bytes,
            placement,
            is_pinned: false,
        };
        self.instances.insert(id, shared);
        match placement {
            Placement::Shared => self.open = Some(id),
            Placement::Alone => self.lone.push_back(id),
        }
        Ok(id)
    }

    fn call<T>(
        &mut self,
        id: u64,
        subject: CallSubject<'_>,
        call: impl FnOnce(&mut Instance) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let shared = self.instances.get_mut(&id).ok_or(Fault::Spent)?;
        let outcome = call(&mut shared.instance);
        let CallSubject { stream, command_id } = subject;
        let module = self.module.digest();
        self.outputs
            .take(&mut shared.instance, module, stream, command_id);
        let bytes = shared.instance.memory_bytes();
        self.bytes += bytes - shared.bytes;
        shared.bytes = bytes;
        if shared.instance.is_spent() {
            self.retire(id);
        }
        outcome
    }

    /// Finds an instance that takes another state. Half of its memory is left for its states to
    /// grow into.
    fn with_room(&mut self, placement: Placement) -> Option<u64> {
        if placement == Placement::Alone {
            return None;
        }
        let half = self.memory_limit / 2;
        let has_room = |shared: &SharedInstance| {
            shared.placement == Placement::Shared
                && shared.states < STATES_PER_INSTANCE
                && shared.bytes <= half
        };
        let open = self
            .open
            .filter(|id| self.instances.get(id).is_some_and(has_room));
        self.open = open.or_else(|| {
            let mut instances = self.instances.iter();
            instances.find_map(|(id, shared)| has_room(shared).then_some(*id))
        });
        self.open
    }
}
