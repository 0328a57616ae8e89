//! The catalog of modules: uploads, modules by digest that are ready for calls, and the pointers to
//! the active ones.
//!
//! A module is immutable and named by its bytes; which of them works under a name is a pointer, the
//! newest entry of an activation log. **Invariant:** nothing is stored before it has been compiled,
//! linked and described.

mod active;
mod decisions;
mod error;
mod graph;
mod kinds;
mod manifest;
#[cfg(test)]
mod manifest_schema;
mod output;
mod process_manifest;
mod reads;
mod schema;
mod schema_cost;
mod view_manifest;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use active::Active;
pub use decisions::{Decisions, PendingDecisions};
pub use error::Error;
use gavel_model::{Activation, ActivationKey, ActivationNumber, Json, ModuleDigest};
use gavel_sandbox::{CONTRACT, CompileError, Fault, Module, RunError, Runtime};
use gavel_store::{
    ActivationFilter, DeleteModuleError, ModuleFilter, NewModule, Page, Store, StoredModule,
};
pub use graph::{
    CONSUMER, CommandName, EventName, GraphPage, GraphPlace, GraphPlaceError, LinkedConsumer,
    LinkedModule, Links,
};
use kinds::HeldElsewhere;
pub use kinds::*;
pub use manifest::{
    CommandType, EventDeclaration, ExpectedRejection, Manifest, RejectionDetails, Spec,
    SpecCommand, SpecContext, SpecEvent, SpecOutcome,
};
pub use output::{FollowedOutputs, Output, OutputWork, Outputs};
pub use process_manifest::ProcessManifest;
pub use reads::{FoldedEvent, KeyOrigin};
pub use schema::Schema;
pub use schema_cost::{SchemaBudget, SchemaCost, referred};
use tokio::sync::Semaphore;
pub use view_manifest::{LoggedEvent, ViewManifest, ViewOutcome, ViewSpec};

/// The number of entries of a list that are read at a time by callers that need all.
const LIST_PAGE: u32 = 1_000;

/// All modules of the installation.
#[derive(Debug, Clone)]
pub struct Modules(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    runtime: Runtime,
    /// A permit to compile: one stored module is compiled at a time.
    compiling: Semaphore,
    /// The modules that are ready, as long as somebody holds them: the active ones are held.
    ready: Mutex<HashMap<ModuleDigest, HeldElsewhere>>,
    deciders: active::Pointers,
    decisions: Arc<Decisions>,
    outputs: Arc<Outputs>,
}

impl Modules {
    /// Opens the modules that `store` keeps, run by `runtime`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, runtime: Runtime) -> Self {
        Self(Arc::new(Inner {
            store,
            runtime,
            compiling: Semaphore::new(1),
            ready: Mutex::default(),
            deciders: active::Pointers::default(),
            decisions: Arc::default(),
            outputs: Arc::default(),
        }))
    }

    /// Gives the runtime that runs the modules.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    /// Gives the feed of the decisions that modules make on this host.
    #[must_use]
    pub fn decisions(&self) -> &Arc<Decisions> {
        &self.0.decisions
    }

    /// Gives the outputs of modules on this host.
    #[must_use]
    pub fn outputs(&self) -> &Arc<Outputs> {
        &self.0.outputs
    }

    /// Stores a module. Gives what is stored, and whether it was stored just now. From then on
    /// `uploaded_by` may see the module.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with all reasons, [`Error::Compile`] and [`Error::NotRun`] when it could
    /// not be looked at now; nothing was stored.
    pub async fn upload(
        &self,
        wasm: Vec<u8>,
        uploaded_by: Option<&str>,
    ) -> Result<(StoredModule, bool), Error> {
        let digest = ModuleDigest::of(&wasm);
        let uploaded = self.take_in(digest, wasm).await?;
        if let Some(name) = uploaded_by {
            let recorded = self.0.store.record_upload(digest, name);
            recorded.await.map_err(Error::Store)?;
        }
        Ok(uploaded)
    }

    async fn take_in(
        &self,
        digest: ModuleDigest,
        wasm: Vec<u8>,
    ) -> Result<(StoredModule, bool), Error> {
        if let Some(stored) = self.0.store.module(digest).await.map_err(Error::Store)? {
            return Ok((stored, false));
        }
        let wasm = Arc::new(wasm);
        let (ready, manifest) = examine(&self.0.runtime, Arc::clone(&wasm)).await?;
        let module = NewModule {
            digest,
            // By now it is nobody else's: nothing is copied.
            wasm: Arc::unwrap_or_clone(wasm),
            kind: ready.module().kind(),
            contract: CONTRACT.to_owned(),
            name: ready.name().to_owned(),
            manifest,
            imports: ready.module().imports().to_vec(),
        };
        self.0.store.put_module(module).await.map_err(Error::Store)
    }

    /// Reads a module, without its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn module(&self, digest: ModuleDigest) -> Result<StoredModule, Error> {
        self.0
            .store
            .module(digest)
            .await
            .map_err(Error::Store)?
            .ok_or(Error::NotFound { digest })
    }

    /// Reads the bytes of a module.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn wasm(&self, digest: ModuleDigest) -> Result<Vec<u8>, Error> {
        self.0
            .store
            .module_wasm(digest)
            .await
            .map_err(Error::Store)?
            .ok_or(Error::NotFound { digest })
    }

    /// Lists the first `limit` modules that pass the filter after one of them, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when that module is not there; [`Error::Store`].
    pub async fn list(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error> {
        if let Some(after) = after {
            self.module(after).await?;
        }
        let page = self.0.store.list_modules(filter, after, limit);
        page.await.map_err(Error::Store)
    }

    /// Forgets a module that was never active.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::InUse`], or [`Error::Store`].
    pub async fn delete(&self, digest: ModuleDigest) -> Result<(), Error> {
        self.0
            .store
            .delete_module(digest)
            .await
            .map_err(|error| match error {
                DeleteModuleError::NotFound => Error::NotFound { digest },
                DeleteModuleError::InUse => Error::InUse { digest },
                DeleteModuleError::Store(error) => Error::Store(error),
            })
    }

    /// Makes a stored module ready for the work of its kind.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Outdated`] for one that was built for another contract, or why
    /// it cannot be made ready.
    pub async fn ready(&self, digest: ModuleDigest) -> Result<Ready, Error> {
        if let Some(ready) = self.held(digest) {
            return Ok(ready);
        }
        let stored = self.module(digest).await?;
        if stored.contract != CONTRACT {
            let contract = stored.contract;
            return Err(Error::Outdated {
                digest,
                contract,
                name: None,
            });
        }
        let module = match self.0.runtime.load(digest).await {
            Some(module) => module,
            None => self.compile(digest).await?,
        };
        let ready = make_ready(module, stored.manifest, Ready::of_stored).await?;
        let mut held = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, module| module.get().is_some());
        held.insert(digest, HeldElsewhere::of(&ready));
        Ok(ready)
    }

    /// Makes a stored decider ready.
    ///
    /// # Errors
    ///
    /// As [`Modules::ready`], and [`Error::Invalid`] when it is a module of another kind.
    pub async fn decider(&self, digest: ModuleDigest) -> Result<Arc<Decider>, Error> {
        let ready = self.ready(digest).await?;
        ready.decider().cloned().ok_or_else(|| Error::Invalid {
            reasons: vec![format!("it is a {}, not a decider", ready.module().kind())],
        })
    }

    /// Makes a stored view ready.
    ///
    /// # Errors
    ///
    /// As [`Modules::ready`], and [`Error::Invalid`] when it is a module of another kind.
    pub async fn view(&self, digest: ModuleDigest) -> Result<Arc<View>, Error> {
        let ready = self.ready(digest).await?;
        ready.view().cloned().ok_or_else(|| Error::Invalid {
            reasons: vec![format!("it is a {}, not a view", ready.module().kind())],
        })
    }

    /// Makes a stored process ready.
    ///
    /// # Errors
    ///
    /// As [`Modules::ready`], and [`Error::Invalid`] when it is a module of another kind.
    pub async fn process(&self, digest: ModuleDigest) -> Result<Arc<Process>, Error> {
        let ready = self.ready(digest).await?;
        ready.process().cloned().ok_or_else(|| Error::Invalid {
            reasons: vec![format!("it is a {}, not a process", ready.module().kind())],
        })
    }

    /// Compiles a stored module. A caller that waits while another module is compiled holds no
    /// bytes, and finds the module ready if it was the same.
    async fn compile(&self, digest: ModuleDigest) -> Result<Module, Error> {
        // It is never closed.
        let _turn = self.0.compiling.acquire().await;
        if let Some(module) = self.0.runtime.load(digest).await {
            return Ok(module);
        }
        let wasm = self.wasm(digest).await?;
        let prepared = self.0.runtime.prepare(digest, wasm).await;
        prepared.map_err(invalid_or_compile)
    }

    fn held(&self, digest: ModuleDigest) -> Option<Ready> {
        let held = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&digest)?.get()
    }

    /// Lists the first `limit` entries of an activation log, newest first, older than `before` if
    /// that is given.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let page = self.0.store.activations(key, before, limit);
        page.await.map_err(Error::Store)
    }

    /// Reads a whole activation log, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn history(&self, key: &ActivationKey) -> Result<Vec<Activation>, Error> {
        let mut all: Vec<Activation> = Vec::new();
        loop {
            let before = all.last().map(|last| last.number);
            let page = self.activations(key, before, LIST_PAGE);
            let page = page.await?;
            all.extend(page.items);
            if !page.has_more {
                return Ok(all);
            }
        }
    }

    /// Lists the newest entry of each of the first `limit` activation logs that are wanted, after
    /// one of them, in the order of their keys.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let page = self.0.store.list_active(filter, after, limit);
        page.await.map_err(Error::Store)
    }

    /// Lists the newest entry of each activation log that is wanted, in the order of their keys.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn all_active(&self, filter: &ActivationFilter) -> Result<Vec<Activation>, Error> {
        let mut all: Vec<Activation> = Vec::new();
        loop {
            let after = all.last().map(|last| &last.key);
            let page = self.list_active(filter, after, LIST_PAGE).await?;
            all.extend(page.items);
            if !page.has_more {
                return Ok(all);
            }
        }
    }
}

/// Compiles, links and describes a component without storing anything. Gives its manifest as the
/// module wrote it, too.
///
/// # Errors
///
/// As [`Modules::upload`].
pub async fn examine(
    runtime: &Runtime,
    wasm: impl Into<Arc<Vec<u8>>>,
) -> Result<(Ready, Json), Error> {
    let wasm = wasm.into();
    let digest = ModuleDigest::of(&wasm);
    let module = runtime
        .prepare(digest, wasm)
        .await
        .map_err(invalid_or_compile)?;
    let is_late = |fault: &Fault| matches!(fault, Fault::Deadline { .. });
    let described = runtime.try_out(&module, Module::describe, is_late).await;
    let json = described.map_err(Error::NotRun)?.map_err(|fault| {
        if fault == Fault::NoRoom {
            return Error::NotRun(RunError::NoRoom);
        }
        let reason = format!("the module does not describe itself: {fault}");
        refused(reason, fault.setting())
    })?;
    let ready = make_ready(module, json.clone(), Ready::of_new).await?;
    Ok((ready, json))
}

/// Makes a module ready from its manifest, on a thread that holds up no other work: a manifest is
/// as long as its author likes, within limits.
async fn make_ready(
    module: Module,
    manifest: Json,
    make: fn(Module, &Json) -> Result<Ready, Vec<String>>,
) -> Result<Ready, Error> {
    let made = tokio::task::spawn_blocking(move || make(module, &manifest)).await;
    // The panic itself has been logged by the panic hook.
    let made = made.map_err(|_| Error::NotRun(RunError::Panicked))?;
    made.map_err(|reasons| Error::Invalid { reasons })
}

fn invalid_or_compile(error: CompileError) -> Error {
    if error.is_retryable() {
        Error::Compile(error)
    } else {
        refused(error.to_string(), error.setting())
    }
}

/// Refuses a module that is above a limit, and names the setting of that limit if there is one.
fn refused(reason: String, setting: Option<&str>) -> Error {
    let reason = match setting {
        Some(setting) => format!("{reason} (the setting `{setting}`)"),
        None => reason,
    };
    Error::Invalid {
        reasons: vec![reason],
    }
}
