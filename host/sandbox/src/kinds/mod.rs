//! The kinds of modules, each with the calls of its interface in a file of its own.

mod decider;
mod process;
mod sources;
mod view;

use gavel_model::{Json, ModuleKind};
use wasmtime::Store;
use wasmtime::component::{Instance as Started, InstancePre};

#[cfg(feature = "native")]
pub(super) use decider::{DeciderCalls, StateHandle};
pub use decider::{Instance, Restored, State};
pub use process::{
    FoldedInstance, InstanceFault, InstanceInput, InstanceToFold, News, ProcessInstance, TaskStep,
};
pub use sources::QueryItem;
pub use view::{RowFault, RowToFold, ViewInstance};

use super::host::Host;
use super::{Fault, Module};

/// The functions by which the host makes a module of one kind ready.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Tells whether the host runs such modules, or only describes them.
    is_run: bool,
    /// Checks the types of what its interface exports, as wasmtime does when it loads them.
    pub(super) load: fn(&InstancePre<Host>, &mut Store<Host>, &Started) -> wasmtime::Result<()>,
    /// Lets a fresh instance describe itself.
    pub(super) describe: fn(&Module) -> Result<Json, Fault>,
}

/// The kinds of modules that this host runs, in the order of their names. Modules of the others are
/// described and stored.
pub fn kinds() -> impl Iterator<Item = ModuleKind> {
    let kinds = ModuleKind::ALL.into_iter();
    kinds.filter(|kind| Kind::of(*kind).is_run)
}

impl Kind {
    pub(super) fn of(kind: ModuleKind) -> Self {
        match kind {
            ModuleKind::Decider => decider::KIND,
            ModuleKind::Process => process::KIND,
            ModuleKind::View => view::KIND,
        }
    }
}
