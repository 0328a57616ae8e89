//! Modules, and the logs of their activations.

use std::collections::BTreeSet;
use std::fmt::Debug;

use async_trait::async_trait;
use gavel_model::{
    Activation, ActivationKey, ActivationNumber, EventType, Json, ModuleDigest, ModuleKind,
    ModuleName, Namespace,
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

    /// Moves all pointers of the set, in one transaction, or none: registers the events of the
    /// modules, and appends to the activation logs. Gives the new entries in the order of the set.
    ///
    /// Once this has returned, every append that carries an older [`Fence`](super::Fence) of one of
    /// the keys MUST be refused, on every host; appends that hold an older fence and are under way
    /// MUST be finished first. The swaps of a namespace take place one after the other.
    ///
    /// The first entry of a log begins a name, which from then on belongs to the kind in that
    /// namespace for good: it MUST NOT have entries of another kind, nor events while it has no
    /// entry of the kind whose streams they are. Of two activations that begin a name at the same
    /// time as different kinds, one is refused.
    ///
    /// # Errors
    ///
    /// [`ActivateError::Moved`] when another activation of one of the keys came first,
    /// [`ActivateError::NamespaceMoved`] when another one of the namespace came after the swaps
    /// that [`ActivationSet::after`] counts, [`ActivateError::NameTaken`] when a name belongs to
    /// another kind. No pointer has moved then.
    async fn activate(&self, set: ActivationSet) -> Result<Vec<Activation>, ActivateError>;

    /// Moves one pointer: [`ModuleStore::activate`] for a set of one.
    ///
    /// # Errors
    ///
    /// As [`ModuleStore::activate`].
    async fn activate_one(&self, activation: NewActivation) -> Result<Activation, ActivateError> {
        let activated = self.activate(activation.into()).await?;
        activated.into_iter().next().ok_or_else(|| {
            ActivateError::Store(Error::Corrupt {
                what: "activation",
                reason: "it was recorded and not given back".to_owned(),
            })
        })
    }

    /// The swaps of a namespace so far: activations and deactivations of all kinds and names. What
    /// was found out about the active modules of the namespace after this holds as long as a swap
    /// that comes after as many finds no more.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn swaps(&self, namespace: &Namespace) -> Result<SwapCount, Error>;

    /// Keeps the appends to the streams of the names waiting, once those under way have ended, so
    /// that the last of their events can be looked at before the pointers move. Appends to other
    /// streams MUST NOT wait. A second hold of one of the keys waits for the first; two holds of
    /// the same keys MUST NOT wait for each other.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the appends under way do not end in time.
    async fn hold<'s>(
        &'s self,
        keys: &BTreeSet<ActivationKey>,
    ) -> Result<Box<dyn Hold + 's>, Error>;

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

/// A hold of one or more names: the appends to their streams wait, on every host, until this is
/// dropped, but for a few seconds at most.
#[async_trait]
pub trait Hold: Debug + Send {
    /// Moves the pointers as [`ModuleStore::activate`] does, and ends the hold. The set MUST be of
    /// keys that are held.
    ///
    /// # Errors
    ///
    /// [`ActivateError::Overtaken`] when anything was stored in the streams of one of the names
    /// after `looked_through`, by whomever; no pointer has moved then. The others are those of
    /// [`ModuleStore::activate`].
    async fn activate(
        self: Box<Self>,
        set: ActivationSet,
        looked_through: &Moment,
    ) -> Result<Vec<Activation>, ActivateError>;
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

/// Activations that take place together or not at all: one or more, of one namespace and of
/// different names, by name.
#[derive(Debug, Clone)]
pub struct ActivationSet {
    namespace: Namespace,
    activations: Vec<NewActivation>,
    after: Option<SwapCount>,
}

impl ActivationSet {
    /// Makes a set of activations, in whatever order they are given.
    ///
    /// # Errors
    ///
    /// As [`ActivationSet::check`].
    pub fn new(mut activations: Vec<NewActivation>) -> Result<Self, UnfitSet> {
        let keys = activations.iter().map(|activation| &activation.key);
        let namespace = Self::check(keys)?.clone();
        activations.sort_by(|one, other| one.key.name().cmp(other.key.name()));
        Ok(Self {
            namespace,
            activations,
            after: None,
        })
    }

    /// Checks that activations of such keys can be a set. Gives their namespace.
    ///
    /// # Errors
    ///
    /// The reason for which they cannot.
    pub fn check<'k>(
        keys: impl IntoIterator<Item = &'k ActivationKey>,
    ) -> Result<&'k Namespace, UnfitSet> {
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(UnfitSet::Empty)?;
        let mut names = BTreeSet::from([first.name()]);
        for key in keys {
            if key.namespace() != first.namespace() {
                return Err(UnfitSet::Namespaces);
            }
            // A name belongs to one kind, so that those of two kinds are no different names.
            if !names.insert(key.name()) {
                let name = key.name().clone();
                return Err(UnfitSet::NamedTwice { name });
            }
        }
        Ok(first.namespace())
    }

    /// Lets the set take place only if the namespace has had no other swap than those.
    #[must_use]
    pub fn after(self, swaps: SwapCount) -> Self {
        let after = Some(swaps);
        Self { after, ..self }
    }

    /// Gives the namespace, the activations, and the swaps that the set has to come after, if it is
    /// to be compared.
    pub fn into_parts(self) -> (Namespace, Vec<NewActivation>, Option<SwapCount>) {
        (self.namespace, self.activations, self.after)
    }
}

impl From<NewActivation> for ActivationSet {
    fn from(activation: NewActivation) -> Self {
        Self {
            namespace: activation.key.namespace().clone(),
            activations: vec![activation],
            after: None,
        }
    }
}

/// The reason for which activations are no set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSet {
    /// No activation was given.
    #[error("there is nothing to activate")]
    Empty,
    /// The activations are of several namespaces.
    #[error("the activations are of several namespaces")]
    Namespaces,
    /// Two activations are of one name.
    #[error("{name} is named twice")]
    NamedTwice {
        /// The name.
        name: ModuleName,
    },
}

/// A number of swaps in a namespace, which each swap makes larger; two hosts see the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapCount(i64);

impl SwapCount {
    /// Wraps a number that a store counts by.
    #[must_use]
    pub const fn new(count: i64) -> Self {
        Self(count)
    }

    /// Gives the number back to the store.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, kind: ModuleKind, name: &str) -> ActivationKey {
        ActivationKey::new(Namespace::new(namespace).unwrap(), kind, name).unwrap()
    }

    #[test]
    fn a_set_is_of_one_namespace_and_of_different_names() {
        let decider = |name| key("default", ModuleKind::Decider, name);
        let elsewhere = key("other", ModuleKind::Decider, "meter");
        let view = key("default", ModuleKind::View, "counter");
        let check = |keys: &[&ActivationKey]| {
            let checked = ActivationSet::check(keys.iter().copied());
            checked.map(ToString::to_string)
        };
        let (counter, meter) = (decider("counter"), decider("meter"));
        assert_eq!(check(&[&meter, &counter]), Ok("default".to_owned()));
        assert_eq!(check(&[]), Err(UnfitSet::Empty));
        assert_eq!(check(&[&counter, &elsewhere]), Err(UnfitSet::Namespaces));
        let name = counter.name().clone();
        for twice in [&counter, &view] {
            let name = name.clone();
            assert_eq!(
                check(&[&counter, &meter, twice]),
                Err(UnfitSet::NamedTwice { name })
            );
        }
    }
}
