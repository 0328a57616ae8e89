//! The catalog of modules, for the whole installation.
//!
//! An activation records here what it needs of it (its events in the registry, who may know of the
//! module, that the module is not deleted) before it takes place. An activation that is then
//! overtaken leaves its record behind, which allows no more than the activation would have.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use gavel_model::{
    ActivationKey, EventType, Json, ModuleDigest, ModuleKind, Namespace, RecordedEvent,
};
use serde::{Deserialize, Serialize};

use super::journal::{Fold, corrupt};
use crate::toolkit::admit::{RegistryKey, registry_key};
use crate::{Append, Error, ModuleFilter, ModuleViewer, NewActivation, Page, StoredModule};

/// All modules, with their uploads, uses and events.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    /// The modules, oldest first.
    modules: Vec<StoredModule>,
    /// The modules, and the users who have uploaded each.
    pub(super) uploads: BTreeSet<(ModuleDigest, String)>,
    /// The namespaces in which modules were active.
    pub(super) uses: BTreeMap<ModuleDigest, BTreeSet<Namespace>>,
    /// The keys that have activations.
    pub(super) keys: BTreeSet<ActivationKey>,
    /// The kinds of event that may be stored.
    registry: HashSet<RegistryKey>,
}

/// An entry of the catalog.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum CatalogEntry {
    Stored(Stored),
    Uploaded(ModuleDigest, String),
    Deleted(ModuleDigest),
    Used(Used),
}

/// A module, but for the time at which it is recorded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) digest: ModuleDigest,
    pub(super) size_bytes: u64,
    pub(super) kind: ModuleKind,
    pub(super) contract: String,
    pub(super) name: String,
    pub(super) manifest: Json,
    pub(super) imports: Vec<String>,
}

/// A pointer that is about to move, to a module or to none.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Used {
    pub(super) namespace: Namespace,
    pub(super) kind: ModuleKind,
    pub(super) name: String,
    pub(super) digest: Option<ModuleDigest>,
    pub(super) events: Vec<(String, u32)>,
}

impl Used {
    /// The record that an activation needs here.
    pub(super) fn of(activation: &NewActivation) -> Self {
        let events = activation.events.iter();
        Self {
            namespace: activation.key.namespace().clone(),
            kind: activation.key.kind(),
            name: activation.key.name().to_string(),
            digest: activation.digest,
            events: events
                .map(|event| (event.event.clone(), event.schema_version))
                .collect(),
        }
    }
}

impl Fold for Catalog {
    type Entry = CatalogEntry;
    const WHAT: &'static str = "catalog of modules";

    fn apply(&mut self, entry: CatalogEntry, recorded: &RecordedEvent) -> Result<(), Error> {
        match entry {
            CatalogEntry::Stored(stored) => self.modules.push(StoredModule {
                digest: stored.digest,
                size_bytes: stored.size_bytes,
                kind: stored.kind,
                contract: stored.contract,
                name: stored.name,
                manifest: stored.manifest,
                imports: stored.imports,
                uploaded_at: recorded.created_at,
            }),
            CatalogEntry::Uploaded(digest, by) => {
                self.uploads.insert((digest, by));
            }
            CatalogEntry::Deleted(digest) => {
                self.modules.retain(|module| module.digest != digest);
                self.uploads.retain(|(uploaded, _)| *uploaded != digest);
            }
            CatalogEntry::Used(used) => {
                let key = ActivationKey::new(used.namespace, used.kind, used.name)
                    .map_err(|error| corrupt::<Self>(error.to_string()))?;
                let decider = key.name().to_decider();
                let events = used.events.into_iter();
                self.registry
                    .extend(events.map(|(event, version)| (decider.clone(), event, version)));
                if let Some(digest) = used.digest {
                    let uses = self.uses.entry(digest).or_default();
                    uses.insert(key.namespace().clone());
                }
                self.keys.insert(key);
            }
        }
        Ok(())
    }
}

impl Catalog {
    pub(super) fn module(&self, digest: ModuleDigest) -> Option<&StoredModule> {
        self.modules.iter().find(|module| module.digest == digest)
    }

    pub(super) fn list(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Page<StoredModule> {
        let mut modules: Vec<&StoredModule> = self.modules.iter().rev().collect();
        modules.sort_by_key(|module| std::cmp::Reverse(module.uploaded_at));
        let place = after.map(|after| modules.iter().position(|module| module.digest == after));
        let first = match place {
            None => 0,
            Some(place) => place.map_or(modules.len(), |place| place + 1),
        };
        let wanted = modules[first..].iter().filter(|module| {
            let (name, viewer) = (filter.name.as_ref(), filter.viewer.as_ref());
            name.is_none_or(|wanted| *wanted == module.name)
                && filter.kind.is_none_or(|wanted| wanted == module.kind)
                && filter.digest.is_none_or(|wanted| wanted == module.digest)
                && viewer.is_none_or(|viewer| self.is_known_to(viewer, module.digest))
        });
        let wanted = wanted.map(|module| (*module).clone());
        Page::of(wanted, limit, StoredModule::size_bytes)
    }

    fn is_known_to(&self, viewer: &ModuleViewer, digest: ModuleDigest) -> bool {
        let mut namespaces = self.uses.get(&digest).into_iter().flatten();
        self.uploads.contains(&(digest, viewer.name.clone()))
            || namespaces.any(|namespace| viewer.namespaces.contains(namespace))
    }

    /// Tells whether all is there that an activation would record here.
    pub(super) fn knows(&self, activation: &NewActivation) -> bool {
        let key = &activation.key;
        let is_used_there = activation.digest.is_none_or(|digest| {
            let uses = self.uses.get(&digest);
            uses.is_some_and(|uses| uses.contains(key.namespace()))
        });
        let decider = key.name().to_decider();
        let is_registered = |event: &EventType| {
            let kind = (decider.clone(), event.event.clone(), event.schema_version);
            self.registry.contains(&kind)
        };
        is_used_there && self.keys.contains(key) && activation.events.iter().all(is_registered)
    }

    pub(super) fn first_unregistered(&self, append: &Append) -> Option<RegistryKey> {
        let parts = append.parts.iter();
        let mut keys = parts.flat_map(|part| {
            let events = part.events.iter();
            events.map(|event| registry_key(&part.stream, event))
        });
        keys.find(|key| !self.registry.contains(key))
    }
}
