//! The kinds of modules: for each, the form that is ready for calls, and its manifest.

mod decider;
mod process;
mod view;

use std::sync::{Arc, Weak};

pub use decider::{Decider, Unfit};
use gavel_model::{Json, ModuleKind};
use gavel_sandbox::Module;
pub use process::Process;
use serde::Serialize;
use serde_json::Value;
pub use view::View;

use super::{Manifest, ProcessManifest, ViewManifest};

/// A module that is ready for the work of its kind.
#[derive(Debug, Clone)]
pub enum Ready {
    /// A module that decides commands.
    Decider(Arc<Decider>),
    /// A module that lists tasks.
    Process(Arc<Process>),
    /// A module that keeps rows.
    View(Arc<View>),
}

/// A module that is ready as long as somebody else holds it.
#[derive(Debug)]
pub(super) enum HeldElsewhere {
    Decider(Weak<Decider>),
    Process(Weak<Process>),
    View(Weak<View>),
}

impl HeldElsewhere {
    pub(super) fn of(ready: &Ready) -> Self {
        match ready {
            Ready::Decider(decider) => Self::Decider(Arc::downgrade(decider)),
            Ready::Process(process) => Self::Process(Arc::downgrade(process)),
            Ready::View(view) => Self::View(Arc::downgrade(view)),
        }
    }

    /// Gives the module, unless nobody holds it any more.
    pub(super) fn get(&self) -> Option<Ready> {
        match self {
            Self::Decider(decider) => decider.upgrade().map(Ready::Decider),
            Self::Process(process) => process.upgrade().map(Ready::Process),
            Self::View(view) => view.upgrade().map(Ready::View),
        }
    }
}

impl Ready {
    /// Brings a compiled module and what it has just said of itself together. May take long: not
    /// for a thread that others wait for.
    ///
    /// # Errors
    ///
    /// All that is wrong with the manifest, one sentence each.
    pub(super) fn of_new(module: Module, manifest: &Json) -> Result<Self, Vec<String>> {
        match module.kind() {
            ModuleKind::Decider => {
                Decider::new(module, Manifest::parse_new(manifest.as_str())?).map(Self::from)
            }
            ModuleKind::View => {
                View::new(module, ViewManifest::parse_new(manifest.as_str())?).map(Self::from)
            }
            ModuleKind::Process => {
                Process::new(module, ProcessManifest::parse_new(manifest.as_str())?).map(Self::from)
            }
        }
    }

    /// Makes a stored module ready, as [`Ready::of_new`] does; keeps what an older host has
    /// accepted.
    ///
    /// # Errors
    ///
    /// As [`Ready::of_new`].
    pub(super) fn of_stored(module: Module, manifest: &Json) -> Result<Self, Vec<String>> {
        match module.kind() {
            ModuleKind::Decider => {
                Decider::new(module, Manifest::parse(manifest.as_str())?).map(Self::from)
            }
            ModuleKind::View => {
                View::new(module, ViewManifest::parse(manifest.as_str())?).map(Self::from)
            }
            ModuleKind::Process => {
                Process::new(module, ProcessManifest::parse(manifest.as_str())?).map(Self::from)
            }
        }
    }

    /// Gives the compiled module.
    #[must_use]
    pub fn module(&self) -> &Module {
        match self {
            Self::Decider(decider) => decider.module(),
            Self::Process(process) => process.module(),
            Self::View(view) => view.module(),
        }
    }

    /// Gives the name under which the module is activated unless another is given.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Decider(decider) => &decider.manifest().name,
            Self::Process(process) => &process.manifest().name,
            Self::View(view) => &view.manifest().name,
        }
    }

    /// Gives the decider; none if the module is of another kind.
    #[must_use]
    pub fn decider(&self) -> Option<&Arc<Decider>> {
        match self {
            Self::Decider(decider) => Some(decider),
            Self::Process(_) | Self::View(_) => None,
        }
    }

    /// Gives the view; none if the module is of another kind.
    #[must_use]
    pub fn view(&self) -> Option<&Arc<View>> {
        match self {
            Self::View(view) => Some(view),
            Self::Decider(_) | Self::Process(_) => None,
        }
    }

    /// Gives the process; none if the module is of another kind.
    #[must_use]
    pub fn process(&self) -> Option<&Arc<Process>> {
        match self {
            Self::Process(process) => Some(process),
            Self::Decider(_) | Self::View(_) => None,
        }
    }
}

impl From<Decider> for Ready {
    fn from(decider: Decider) -> Self {
        Self::Decider(Arc::new(decider))
    }
}

impl From<Process> for Ready {
    fn from(process: Process) -> Self {
        Self::Process(Arc::new(process))
    }
}

impl From<View> for Ready {
    fn from(view: View) -> Self {
        Self::View(Arc::new(view))
    }
}

/// Gives a module's manifest as it is shown: with the defaults of the members that it leaves out.
///
/// # Errors
///
/// Everything that is wrong with the manifest, one sentence each.
pub fn declared(kind: ModuleKind, manifest: &Json) -> Result<Value, Vec<String>> {
    fn shown(manifest: impl Serialize) -> Result<Value, Vec<String>> {
        serde_json::to_value(manifest).map_err(|error| vec![error.to_string()])
    }
    match kind {
        ModuleKind::Decider => shown(Manifest::parse(manifest.as_str())?),
        ModuleKind::View => shown(ViewManifest::parse(manifest.as_str())?),
        ModuleKind::Process => shown(ProcessManifest::parse(manifest.as_str())?),
    }
}
