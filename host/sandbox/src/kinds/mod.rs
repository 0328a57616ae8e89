//! The kinds of modules that this host runs, each with the calls of its interface in a file of its
//! own.

mod decider;
mod view;

use gavel_model::{Json, ModuleKind};
use wasmtime::Store;
use wasmtime::component::{Instance as Started, InstancePre};

#[cfg(feature = "native")]
pub(super) use decider::{DeciderCalls, StateHandle};
pub use decider::{Instance, Restored, State};
pub use view::{QueryItem, RowFault, RowToFold, ViewInstance};

use super::host::Host;
use super::{CompileError, Fault, Module};

/// The functions by which the host makes a module of one kind ready.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    kind: ModuleKind,
    /// Checks the types of what its interface exports, as wasmtime does when it loads them.
    pub(super) load: fn(&InstancePre<Host>, &mut Store<Host>, &Started) -> wasmtime::Result<()>,
    /// Lets a fresh instance describe itself.
    pub(super) describe: fn(&Module) -> Result<Json, Fault>,
}

/// The kinds that the host runs, in the order of their names.
const KINDS: [Kind; 2] = [decider::KIND, view::KIND];

/// The kinds of modules that this host runs, in the order of their names.
pub fn kinds() -> impl Iterator<Item = ModuleKind> {
    KINDS.iter().map(|run| run.kind)
}

impl Kind {
    /// The kind, if it is one that this host runs.
    ///
    /// # Errors
    ///
    /// [`CompileError::KindNotRun`].
    pub(super) fn of(kind: ModuleKind) -> Result<Self, CompileError> {
        let mut run = KINDS.into_iter();
        let run = run.find(|run| run.kind == kind);
        run.ok_or(CompileError::KindNotRun { kind })
    }
}
