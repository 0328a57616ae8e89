//! A compiled and linked component, ready to be instantiated.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Json, ModuleDigest, ModuleKind};
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Linker};

use super::bindings::exports::gavel::module::{boundary, tags, upcast};
use super::bindings::readers::exports::gavel::module::sources;
use super::exports::{Exports, OptionalInterface, is_without_functions};
use super::host::Host;
use super::kinds::Kind;
use super::log::printable;
#[cfg(feature = "native")]
use super::native::{self, NativeDecider};
use super::running::{Running, new_store};
use super::scheduling::{Lane, Pace};
use super::{CompileError, Fault, Limits, trap, wasi};

/// The factor of its deadline that the first call of a module may take before the delay counts as
/// the module's fault.
const MOST_DEADLINES: u32 = 10;

/// An immutable module. A cheap clone: all clones share the compiled code.
#[derive(Clone)]
pub struct Module {
    digest: ModuleDigest,
    imports: Arc<[String]>,
    exports: Arc<Exports>,
    code: ModuleCode,
    limits: Arc<Limits>,
    pace: Arc<Pace>,
}

/// The code of a module.
#[derive(Clone)]
pub(super) enum ModuleCode {
    /// A component, and the functions of its kind.
    Component { pre: InstancePre<Host>, kind: Kind },
    /// A decider that is compiled into the host.
    #[cfg(feature = "native")]
    Native(Arc<dyn NativeDecider>),
}

impl Module {
    /// Links `component`; the component's own code is not run.
    pub(super) fn link(
        digest: ModuleDigest,
        component: &Component,
        limits: Arc<Limits>,
    ) -> Result<Self, CompileError> {
        let engine = component.engine();
        // The structural check has refused what there is no stand-in for, unless this is only to be
        // looked at.
        let component_type = component.component_type();
        let names = component_type.imports(engine).map(|(name, _)| name);
        let mut imports: Vec<String> = names
            .filter(|name| !is_without_functions(name))
            .map(str::to_owned)
            .collect();
        imports.sort_unstable();
        let pre = instantiate_pre(component).map_err(wrong_world)?;
        let exports = Exports::of(component_type.exports(engine).map(|(name, _)| name))?;
        let kind = Kind::of(exports.kind);
        let code = ModuleCode::Component { pre, kind };
        #[cfg(feature = "native")]
        let code = native::replacement()
            .filter(|_| exports.kind == ModuleKind::Decider)
            .map_or(code, ModuleCode::Native);
        Ok(Self {
            digest,
            imports: imports.into(),
            code,
            exports: Arc::new(exports),
            pace: Arc::new(Pace::new(limits.fuel)),
            limits,
        })
    }

    /// A module without a component: `decider` is compiled into the host.
    #[cfg(feature = "native")]
    #[must_use]
    pub fn native(digest: ModuleDigest, decider: Arc<dyn NativeDecider>, limits: Limits) -> Self {
        Self {
            digest,
            imports: Arc::default(),
            exports: Arc::new(Exports {
                kind: ModuleKind::Decider,
                optional: Vec::new(),
            }),
            code: ModuleCode::Native(decider),
            pace: Arc::new(Pace::new(limits.fuel)),
            limits: Arc::new(limits),
        }
    }

    pub(super) fn code(&self) -> &ModuleCode {
        &self.code
    }

    /// The component, of a kind that is always one.
    pub(super) fn component(&self) -> &InstancePre<Host> {
        match &self.code {
            ModuleCode::Component { pre, .. } => pre,
            #[cfg(feature = "native")]
            ModuleCode::Native(_) => unreachable!("only deciders are compiled into the host"),
        }
    }

    /// The name of the module: the digest of the component's bytes.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.digest
    }

    /// The kind of the module, by what it exports.
    #[must_use]
    pub fn kind(&self) -> ModuleKind {
        self.exports.kind
    }

    /// The optional interfaces that the component exports, sorted.
    #[must_use]
    pub fn optional_interfaces(&self) -> &[OptionalInterface] {
        &self.exports.optional
    }

    /// The component's imports without those of the contract, sorted. Each has a harmless stand-in,
    /// or a trap if no host provides it.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The imports of the component that no host provides; none unless [`Limits::any_import`].
    pub fn refused_imports(&self) -> impl Iterator<Item = &str> {
        let imports = self.imports.iter().map(String::as_str);
        imports.filter(|import| !wasi::is_allowed(import))
    }

    /// The manifest, by a fresh instance. Guest code runs: call it on a guest's thread.
    ///
    /// # Errors
    ///
    /// A [`Fault`]: the module cannot be used.
    pub fn describe(&self) -> Result<Json, Fault> {
        match &self.code {
            ModuleCode::Component { kind, .. } => (kind.describe)(self),
            #[cfg(feature = "native")]
            ModuleCode::Native(decider) => Ok(decider.describe()),
        }
    }

    /// Starts an instance of a component, and has `find` look for the exports that its kind has.
    pub(super) fn start<G>(
        &self,
        pre: &InstancePre<Host>,
        find: impl FnOnce(&mut Store<Host>, &Instance) -> wasmtime::Result<G>,
    ) -> Result<(Running, G), Fault> {
        let (limits, pace) = (Arc::clone(&self.limits), Arc::clone(&self.pace));
        Running::start(pre, limits, pace, find)
    }

    /// The same module, with a count of its own of what it computes: for work in the background,
    /// which must not make live calls give way.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            pace: Arc::new(Pace::new(self.limits.fuel)),
            ..self.clone()
        }
    }

    /// The same module, whose calls give way from their beginning and take up to ten times as long:
    /// a machine that is busy is slow, though never that slow.
    #[must_use]
    pub fn with_longer_deadline(&self) -> Self {
        let limits = Limits {
            deadline: self.limits.deadline.saturating_mul(MOST_DEADLINES),
            ..Limits::clone(&self.limits)
        };
        let pace = Pace::new(limits.fuel);
        pace.used(u64::MAX);
        Self {
            limits: Arc::new(limits),
            pace: Arc::new(pace),
            ..self.clone()
        }
    }

    /// Counts what the host itself has computed for a live call, as if the guest had: its deadline
    /// is worth its fuel.
    pub fn count_host_work(&self, took: Duration) {
        let deadlines = took.as_secs_f64() / self.limits.deadline.as_secs_f64();
        // Rounded, and at most the largest number there is.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a cast from a float stays within bounds, and a rough figure will do"
        )]
        self.pace.used((deadlines * self.limits.fuel as f64) as u64);
    }

    /// The lane in which the module's calls run now.
    pub(super) fn lane(&self) -> Lane {
        self.pace.lane()
    }

    /// Starts an instance only to see whether the component can be started and has exports of the
    /// right types, which wasmtime checks as they are loaded.
    pub(super) fn try_instantiate(&self) -> Result<(), CompileError> {
        let (pre, kind) = match &self.code {
            ModuleCode::Component { pre, kind } => (pre, kind),
            #[cfg(feature = "native")]
            ModuleCode::Native(_) => return Ok(()),
        };
        let mut store = new_store(pre, &self.limits);
        let started = pre.instantiate(&mut store);
        let instance =
            started.map_err(
                |error| match trap::fault(&error, store.data(), &self.limits) {
                    fault @ Fault::NoRoom => CompileError::Unavailable(io::Error::other(fault)),
                    fault => CompileError::Start(fault),
                },
            )?;
        (kind.load)(pre, &mut store, &instance).map_err(wrong_world)?;
        for interface in &self.exports.optional {
            let store = &mut store;
            let loaded = match interface {
                OptionalInterface::Boundary => boundary::GuestIndices::new(pre)
                    .and_then(|indices| indices.load(store, &instance).map(drop)),
                OptionalInterface::Tags => tags::GuestIndices::new(pre)
                    .and_then(|indices| indices.load(store, &instance).map(drop)),
                OptionalInterface::Upcast => upcast::GuestIndices::new(pre)
                    .and_then(|indices| indices.load(store, &instance).map(drop)),
                OptionalInterface::Sources => sources::GuestIndices::new(pre)
                    .and_then(|indices| indices.load(store, &instance).map(drop)),
            };
            loaded.map_err(wrong_world)?;
        }
        Ok(())
    }
}

fn instantiate_pre(component: &Component) -> wasmtime::Result<InstancePre<Host>> {
    let mut linker = Linker::new(component.engine());
    wasi::link(&mut linker, component)?;
    linker.instantiate_pre(component)
}

fn wrong_world(error: wasmtime::Error) -> CompileError {
    CompileError::WrongWorld {
        reason: printable(&format!("{error:#}")),
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
