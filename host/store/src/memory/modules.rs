//! Modules and activations in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use gavel_model::{Activation, ActivationKey, ActivationNumber, ModuleDigest, ModuleKind};
use time::OffsetDateTime;

use super::MemoryStore;
use crate::toolkit::hold::Held;
use crate::toolkit::writes::{Activate, DeleteModule, PutModule, RecordUpload};
use crate::{
    ActivateError, ActivationFilter, DeleteModuleError, Error, Hold, ModuleFilter, ModuleStore,
    ModuleViewer, Moment, NewActivation, NewModule, Page, StoredModule,
};

/// All modules, and all activation logs.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// Oldest first, with the component's bytes.
    modules: Vec<(StoredModule, Vec<u8>)>,
    /// Who has uploaded what.
    uploads: BTreeSet<(ModuleDigest, String)>,
    /// Oldest first; the index of an activation is its number less 1.
    activations: BTreeMap<ActivationKey, Vec<Activation>>,
}

impl Modules {
    fn find(&self, digest: ModuleDigest) -> Option<&(StoredModule, Vec<u8>)> {
        self.modules
            .iter()
            .find(|(module, _)| module.digest == digest)
    }

    pub(super) fn put(&mut self, module: NewModule, now: OffsetDateTime) -> (StoredModule, bool) {
        if let Some(stored) = self.module(module.digest) {
            return (stored, false);
        }
        let stored = StoredModule {
            digest: module.digest,
            size_bytes: module.wasm.len() as u64,
            kind: module.kind,
            contract: module.contract,
            name: module.name,
            manifest: module.manifest,
            imports: module.imports,
            uploaded_at: now,
        };
        self.modules.push((stored.clone(), module.wasm));
        (stored, true)
    }

    pub(super) fn module(&self, digest: ModuleDigest) -> Option<StoredModule> {
        self.find(digest).map(|(module, _)| module.clone())
    }

    pub(super) fn wasm(&self, digest: ModuleDigest) -> Option<Vec<u8>> {
        self.find(digest).map(|(_, wasm)| wasm.clone())
    }

    pub(super) fn list(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Page<StoredModule> {
        let mut modules: Vec<&StoredModule> = self
            .modules
            .iter()
            .rev()
            .map(|(module, _)| module)
            .collect();
        modules.sort_by_key(|module| std::cmp::Reverse(module.uploaded_at));
        let place = after.map(|after| modules.iter().position(|module| module.digest == after));
        let first = match place {
            None => 0,
            Some(place) => place.map_or(modules.len(), |place| place + 1),
        };
        let wanted = modules[first..]
            .iter()
            .filter(|module| {
                let name = filter.name.as_ref();
                name.is_none_or(|wanted| *wanted == module.name)
            })
            .filter(|module| filter.kind.is_none_or(|wanted| wanted == module.kind))
            .filter(|module| filter.digest.is_none_or(|wanted| wanted == module.digest))
            .filter(|module| {
                let viewer = filter.viewer.as_ref();
                viewer.is_none_or(|viewer| self.is_known_to(viewer, module.digest))
            })
            .map(|module| (*module).clone());
        Page::of(wanted, limit, StoredModule::size_bytes)
    }

    fn is_known_to(&self, viewer: &ModuleViewer, digest: ModuleDigest) -> bool {
        let mut activations = self.activations.values().flatten();
        self.uploads.contains(&(digest, viewer.name.clone()))
            || activations.any(|activation| {
                activation.digest == Some(digest)
                    && viewer.namespaces.contains(activation.key.namespace())
            })
    }

    pub(super) fn record_upload(&mut self, digest: ModuleDigest, uploaded_by: &str) {
        if self.find(digest).is_some() {
            self.uploads.insert((digest, uploaded_by.to_owned()));
        }
    }

    pub(super) fn delete(&mut self, digest: ModuleDigest) -> Result<(), DeleteModuleError> {
        if self.find(digest).is_none() {
            return Err(DeleteModuleError::NotFound);
        }
        let mut activations = self.activations.values().flatten();
        if activations.any(|activation| activation.digest == Some(digest)) {
            return Err(DeleteModuleError::InUse);
        }
        self.modules.retain(|(module, _)| module.digest != digest);
        self.uploads.retain(|(uploaded, _)| *uploaded != digest);
        Ok(())
    }

    pub(super) fn activate(
        &mut self,
        activation: NewActivation,
        now: OffsetDateTime,
    ) -> Result<Activation, ActivateError> {
        let newest = self.active(&activation.key);
        let current = newest
            .as_ref()
            .map_or(ActivationNumber::NONE, |newest| newest.number);
        if current != activation.after {
            return Err(ActivateError::Moved { current });
        }
        if let Some(digest) = activation.digest
            && self.find(digest).is_none()
        {
            return Err(ActivateError::ModuleNotFound);
        }
        let key = activation.key.clone();
        let replaces = newest.and_then(|newest| newest.digest);
        let recorded = activation.into_activation(replaces, now);
        self.activations
            .entry(key)
            .or_default()
            .push(recorded.clone());
        Ok(recorded)
    }

    /// The kind of another log that has this name.
    pub(super) fn other_kind(&self, key: &ActivationKey) -> Option<ModuleKind> {
        let mut keys = self.activations.keys();
        let other = keys.find(|other| {
            other.namespace() == key.namespace()
                && other.name() == key.name()
                && other.kind() != key.kind()
        });
        other.map(ActivationKey::kind)
    }

    pub(super) fn active(&self, key: &ActivationKey) -> Option<Activation> {
        let log = self.activations.get(key);
        log.and_then(|activations| activations.last().cloned())
    }

    pub(super) fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Page<Activation> {
        let namespace = filter.namespace.as_ref();
        let logs = self
            .activations
            .iter()
            .filter(|(key, _)| namespace.is_none_or(|wanted| key.namespace() == wanted))
            .filter(|(key, _)| filter.kind.is_none_or(|wanted| key.kind() == wanted))
            .filter(|(key, _)| after.is_none_or(|after| *key > after));
        let newest = logs.filter_map(|(_, activations)| activations.last());
        Page::of(newest.cloned(), limit, Activation::size_bytes)
    }

    pub(super) fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Page<Activation> {
        let log = self.activations.get(key);
        let newest_first = log.into_iter().flatten().rev();
        let older = newest_first
            .filter(|activation| before.is_none_or(|before| activation.number < before));
        Page::of(older.cloned(), limit, Activation::size_bytes)
    }
}

#[async_trait]
impl ModuleStore for MemoryStore {
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error> {
        self.carry_out(PutModule { module })
    }

    async fn module(&self, digest: ModuleDigest) -> Result<Option<StoredModule>, Error> {
        Ok(self.kept().modules.module(digest))
    }

    async fn module_wasm(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.kept().modules.wasm(digest))
    }

    async fn list_modules(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error> {
        Ok(self.kept().modules.list(filter, after, limit))
    }

    async fn record_upload(&self, digest: ModuleDigest, uploaded_by: &str) -> Result<(), Error> {
        let uploaded_by = uploaded_by.to_owned();
        self.carry_out(RecordUpload {
            digest,
            uploaded_by,
        })
    }

    async fn delete_module(&self, digest: ModuleDigest) -> Result<(), DeleteModuleError> {
        self.carry_out(DeleteModule { digest })
    }

    async fn activate(&self, activation: NewActivation) -> Result<Activation, ActivateError> {
        self.carry_out(Activate {
            activation,
            looked_through: None,
        })
    }

    async fn hold<'s>(&'s self, key: &ActivationKey) -> Result<Box<dyn Hold + 's>, Error> {
        Ok(Box::new(MemoryHold {
            store: self,
            _held: self.holds.hold(key).await?,
        }))
    }

    async fn active(&self, key: &ActivationKey) -> Result<Option<Activation>, Error> {
        Ok(self.kept().modules.active(key))
    }

    async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        Ok(self.kept().modules.list_active(filter, after, limit))
    }

    async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        Ok(self.kept().modules.activations(key, before, limit))
    }
}

/// A decider of the store is held.
#[derive(Debug)]
struct MemoryHold<'s> {
    store: &'s MemoryStore,
    _held: Held,
}

#[async_trait]
impl Hold for MemoryHold<'_> {
    async fn activate(
        self: Box<Self>,
        activation: NewActivation,
        looked_through: &Moment,
    ) -> Result<Activation, ActivateError> {
        let looked_through = Some(looked_through.clone());
        self.store.carry_out(Activate {
            activation,
            looked_through,
        })
    }
}
