//! Modules, and the logs of their activations.

use std::fmt::Debug;

use async_trait::async_trait;
use gavel_model::{
    Activation, ActivationKey, ActivationNumber, EventType, Json, ModuleDigest, ModuleKind,
    Namespace,
};
use time::OffsetDateTime;

use super::{ActivateError, DeleteModuleError, Error, Moment, Page};

/// The modules, and the append-only logs of their activations under names. Each log, and the
/// pointer which is its newest entry, is found by an [`ActivationKey`]: two kinds share neither.
#[async_trait]
pub trait ModuleStore: Debug + Send + Sync {
    /// Keeps a module. Returns the stored module, and whether this call stored it.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written; then nothing was.
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error>;

    /// One module, without its bytes.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn module(&self, digest: ModuleDigest) -> Result<Option<StoredModule>, Error>;

    /// The component's bytes.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn module_wasm(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>, Error>;

    /// The first `limit` modules that pass the filter after one of them, newest first; none after a
    /// module that does not exist.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn list_modules(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error>;

    /// Notes that a user has uploaded a module, and may see it from now on. Nothing is noted for a
    /// module that does not exist.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn record_upload(&self, digest: ModuleDigest, uploaded_by: &str) -> Result<(), Error>;

    /// Forgets a module that was never active.
    ///
    /// # Errors
    ///
    /// [`DeleteModuleError::InUse`] when any activation, of any time and namespace, names it.
    async fn delete_module(&self, digest: ModuleDigest) -> Result<(), DeleteModuleError>;

    /// Moves the pointer: registers the module's events, and appends to the activation log.
    ///
    /// Once this has returned, every append that carries an older [`Fence`](super::Fence) of that
    /// key MUST be refused, on every host; appends that hold the older fence and are under way MUST
    /// be finished first.
    ///
    /// The first entry of a log begins a name, which from then on belongs to the kind in that
    /// namespace for good: it MUST NOT have entries of another kind, nor events while it has no
    /// entry of the kind whose streams they are. Of two activations that begin a name at the same
    /// time as different kinds, one is refused.
    ///
    /// # Errors
    ///
    /// [`ActivateError::Moved`] when another activation came first, [`ActivateError::NameTaken`]
    /// when the name belongs to another kind.
    async fn activate(&self, activation: NewActivation) -> Result<Activation, ActivateError>;

    /// Keeps the appends to the streams of a name waiting, once those under way have ended, so that
    /// the last of their events can be looked at before the pointer moves. Appends to other streams
    /// MUST NOT wait. A second hold of the same key waits for the first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the appends under way do not end in time.
    async fn hold<'s>(&'s self, key: &ActivationKey) -> Result<Box<dyn Hold + 's>, Error>;

    /// The newest entry of an activation log, be it a deactivation.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn active(&self, key: &ActivationKey) -> Result<Option<Activation>, Error>;

    /// The newest entry of each of the first `limit` activation logs that pass the filter, after
    /// the log of a key, in the order of keys.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error>;

    /// The first `limit` entries of an activation log, newest first: those older than `before`, if
    /// there is such a bound.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error>;
}

/// A hold of a decider: its appends wait, on every host, until this is dropped, but for a few
/// seconds at most.
#[async_trait]
pub trait Hold: Debug + Send {
    /// Moves the pointer as [`ModuleStore::activate`](ModuleStore::activate) does, and ends the
    /// hold.
    ///
    /// # Errors
    ///
    /// [`ActivateError::Overtaken`] when anything of the decider was stored after `looked_through`,
    /// by whomever; nothing has changed then. The others are those of
    /// [`ModuleStore::activate`](ModuleStore::activate).
    async fn activate(
        self: Box<Self>,
        activation: NewActivation,
        looked_through: &Moment,
    ) -> Result<Activation, ActivateError>;
}

/// A module to keep, which has been compiled and described.
#[derive(Debug, Clone)]
pub struct NewModule {
    /// The digest of `wasm`.
    pub digest: ModuleDigest,
    /// The component's bytes.
    pub wasm: Vec<u8>,
    /// The kind that the manifest gives.
    pub kind: ModuleKind,
    /// The contract that the component was built for: a package of WIT with its version.
    pub contract: String,
    /// The name that the manifest gives.
    pub name: String,
    /// The manifest that `describe` returned.
    pub manifest: Json,
    /// The component's imports, sorted.
    pub imports: Vec<String>,
}

/// A module without its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredModule {
    /// The digest of the bytes.
    pub digest: ModuleDigest,
    /// The number of bytes.
    pub size_bytes: u64,
    /// The kind that the manifest gives.
    pub kind: ModuleKind,
    /// The contract that the component was built for: a package of WIT with its version.
    pub contract: String,
    /// The name that the manifest gives.
    pub name: String,
    /// The manifest that `describe` returned.
    pub manifest: Json,
    /// The component's imports, sorted.
    pub imports: Vec<String>,
    /// The time at which the module was first stored.
    pub uploaded_at: OffsetDateTime,
}

impl StoredModule {
    /// The approximate memory of a module besides its texts, in bytes.
    const OVERHEAD_BYTES: usize = 200;

    /// The approximate memory of the module, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let imports: usize = self.imports.iter().map(String::len).sum();
        let names = self.name.len() + self.contract.len();
        Self::OVERHEAD_BYTES + names + self.manifest.as_str().len() + imports
    }
}

/// A filter of modules. All conditions hold together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleFilter {
    /// Selects only this module.
    pub digest: Option<ModuleDigest>,
    /// Selects only modules that this user may see.
    pub viewer: Option<ModuleViewer>,
    /// Selects only modules of this name.
    pub name: Option<String>,
    /// Selects only modules of this kind.
    pub kind: Option<ModuleKind>,
}

/// The view of a user: the modules that the user uploaded, and those that are or were active in
/// one of the user's namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleViewer {
    /// The name under which the user uploads.
    pub name: String,
    /// The namespaces that the user may see.
    pub namespaces: Vec<Namespace>,
}

/// A filter of activation logs. All conditions hold together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivationFilter {
    /// Selects only logs of this namespace.
    pub namespace: Option<Namespace>,
    /// Selects only logs of this kind.
    pub kind: Option<ModuleKind>,
}

/// A new entry of an activation log.
#[derive(Debug, Clone)]
pub struct NewActivation {
    /// The pointer to move.
    pub key: ActivationKey,
    /// The activation that the gate compared with, [`ActivationNumber::NONE`] if there was none: it
    /// MUST still be the newest.
    pub after: ActivationNumber,
    /// The module that is active from now on, which MUST be stored; none for a deactivation.
    pub digest: Option<ModuleDigest>,
    /// The events that the module may append; they enter the registry of (decider, event, schema
    /// version).
    pub events: Vec<EventType>,
    /// The name of the user who activates.
    pub activated_by: Option<String>,
    /// The reason, for people.
    pub message: Option<String>,
    /// The findings that were accepted.
    pub accepted: Vec<String>,
    /// The report of the gate.
    pub report: Json,
}

impl NewActivation {
    /// Makes the entry of the log, once [`NewActivation::after`] is found to be the newest
    /// activation.
    pub fn into_activation(
        self,
        replaces: Option<ModuleDigest>,
        activated_at: OffsetDateTime,
    ) -> Activation {
        Activation {
            key: self.key,
            number: self.after.next(),
            digest: self.digest,
            replaces,
            activated_at,
            activated_by: self.activated_by,
            message: self.message,
            accepted: self.accepted,
            report: self.report,
        }
    }
}
