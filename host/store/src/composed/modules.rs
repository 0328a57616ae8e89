//! Modules and activations: the catalog, and the journals of names.
//!
//! The bytes of a module are a stream of their own, under its digest.

use std::collections::BTreeSet;

use async_trait::async_trait;
use gavel_model::{
    Activation, ActivationKey, ActivationNumber, ExpectedVersion, Json, ModuleDigest, Namespace,
    StreamId, Version,
};
use uuid::Uuid;

use super::catalog::{Catalog, CatalogEntry, Stored, Used};
use super::hold::HeldNames;
use super::journal::{
    Fold as _, Opened, commit_all, corrupt, entries_of, failed, internal_stream, recorded_event,
    unconditional,
};
use super::names::{Activated, Name, NameEntry, journal_of};
use super::{Composed, Core};
use crate::{
    ActivateError, ActivationFilter, ActivationSet, Append, AppendError, DeleteModuleError, Error,
    Hold, ModuleFilter, ModuleStore, Moment, NewActivation, NewModule, PAGE_BYTES, Page,
    PastStore as _, Room, StoredModule, StreamAppend, StreamRange, SwapCount,
};

/// The most bytes of a module that are kept in one event; as text they are twice as many.
const CHUNK_BYTES: usize = PAGE_BYTES / 4;

/// The journal of the catalog.
fn catalog() -> Result<StreamId, Error> {
    internal_stream(Namespace::internal(), "modules", "catalog")
}

/// The stream of a module's bytes.
fn bytes_of(digest: ModuleDigest) -> Result<StreamId, Error> {
    internal_stream(Namespace::internal(), "modules", &digest.to_string())
}

/// The stream that counts the swaps of a namespace: an event for each.
fn swaps_of(namespace: &Namespace) -> Result<StreamId, Error> {
    internal_stream(namespace.clone(), "swaps", "all")
}

/// The part of an append that is a swap, after as many others if that is told.
fn swap_after(swaps: &StreamId, after: Option<SwapCount>) -> Result<StreamAppend, ActivateError> {
    let swap = recorded_event(Json::empty_object());
    let expected = match after {
        None => ExpectedVersion::Any,
        Some(after) => {
            let after = Version::from_sql(after.get()).ok_or(ActivateError::NamespaceMoved)?;
            ExpectedVersion::Exact(after)
        }
    };
    Ok(StreamAppend {
        expected,
        ..unconditional(swaps.clone(), vec![swap])
    })
}

/// The parts of an append that record activations in the journals of their names, and the swap.
fn parts_of(
    names: &[Opened<Name>],
    activations: &[NewActivation],
    swap: StreamAppend,
) -> Result<Vec<StreamAppend>, ActivateError> {
    let parts = names.iter().zip(activations).map(|(name, activation)| {
        let newest = name.state().newest.as_ref();
        let replaces = newest.and_then(|newest| newest.digest);
        name.part(&[NameEntry::Activated(Activated::new(activation, replaces))])
    });
    let parts = parts.chain([Ok(swap)]).collect::<Result<_, _>>();
    parts.map_err(ActivateError::Store)
}

impl<B: Core> Composed<B> {
    async fn open_catalog(&self) -> Result<Opened<Catalog>, Error> {
        self.catalog.open(&*self.core, &catalog()?).await
    }

    /// The refusal of an append's first event that is not registered.
    pub(super) async fn unregistered(&self, append: &Append) -> Result<Option<AppendError>, Error> {
        let known = self.catalog.known(&*self.core, &catalog()?).await?;
        if known.state.first_unregistered(append).is_none() {
            return Ok(None);
        }
        let newest = self.open_catalog().await?;
        let unregistered = newest.state().first_unregistered(append);
        Ok(unregistered.map(
            |(decider, event, schema_version)| AppendError::EventUnregistered {
                decider,
                event,
                schema_version,
            },
        ))
    }

    /// Keeps the bytes of a module, if they are not kept yet.
    async fn put_bytes(&self, module: &NewModule) -> Result<(), Error> {
        let stream = bytes_of(module.digest)?;
        let chunks = module.wasm.chunks(CHUNK_BYTES).map(|chunk| {
            let text = Json::parse(&format!("\"{}\"", hex::encode(chunk)));
            let text = text.map_err(|error| Error::Refused(error.to_string()))?;
            Ok(recorded_event(text))
        });
        let part = StreamAppend {
            expected: ExpectedVersion::NoStream,
            ..unconditional(stream, chunks.collect::<Result<_, Error>>()?)
        };
        match self.core.append(Append { parts: vec![part] }).await {
            Ok(_) | Err(AppendError::VersionConflict { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Records the activations in the catalog, and then in the journals of their names.
    pub(super) async fn activate_held(
        &self,
        set: ActivationSet,
        holder: Option<(Uuid, &Moment)>,
    ) -> Result<Vec<Activation>, ActivateError> {
        let (namespace, activations, after) = set.into_parts();
        drop(self.judge(&activations, holder).await?);
        // While the names are held, nothing is stored in their streams.
        if let Some((_, looked_through)) = holder {
            for activation in &activations {
                let decider = activation.key.name().to_decider();
                let moved = self.moved_since(&namespace, &decider, looked_through, 0);
                if moved.await.map_err(ActivateError::Store)?.is_none() {
                    let key = activation.key.clone();
                    return Err(ActivateError::Overtaken { key });
                }
            }
        }
        self.record_uses(&activations).await?;
        let swaps = swaps_of(&namespace).map_err(ActivateError::Store)?;
        loop {
            let mut names = self.judge(&activations, holder).await?;
            let parts = parts_of(&names, &activations, swap_after(&swaps, after)?)?;
            match commit_all(&*self.core, &mut names, parts).await {
                Ok(Some(_)) => {
                    let activated = names.iter();
                    let activated = activated.filter_map(|name| name.state().newest.clone());
                    return Ok(activated.collect());
                }
                Ok(None) => {}
                Err(AppendError::VersionConflict { stream, .. }) if stream == swaps => {
                    return Err(ActivateError::NamespaceMoved);
                }
                Err(error) => return Err(ActivateError::Store(failed(error))),
            }
        }
    }

    /// Opens the journals of the names of a set, unless an activation is refused by what is in
    /// them.
    async fn judge(
        &self,
        activations: &[NewActivation],
        holder: Option<(Uuid, &Moment)>,
    ) -> Result<Vec<Opened<Name>>, ActivateError> {
        let mut names = Vec::with_capacity(activations.len());
        for activation in activations {
            let key = activation.key.clone();
            let journal = journal_of(key.namespace(), key.name().as_str());
            let journal = journal.map_err(ActivateError::Store)?;
            let name = self.names.open(&*self.core, &journal).await;
            let name = name.map_err(ActivateError::Store)?;
            let state = name.state();
            if let Some(kind) = state.kind.filter(|kind| *kind != key.kind()) {
                return Err(ActivateError::NameTaken { key, kind });
            }
            let current = state.number(key.kind());
            if current != activation.after {
                return Err(ActivateError::Moved { key, current });
            }
            if holder.is_some_and(|(holder, _)| state.held != Some(holder)) {
                return Err(ActivateError::Overtaken { key });
            }
            names.push(name);
        }
        Ok(names)
    }

    async fn record_uses(&self, activations: &[NewActivation]) -> Result<(), ActivateError> {
        loop {
            let mut catalog = self.open_catalog().await.map_err(ActivateError::Store)?;
            let state = catalog.state();
            let mut digests = activations.iter().filter_map(|next| next.digest);
            if let Some(digest) = digests.find(|digest| state.module(*digest).is_none()) {
                return Err(ActivateError::ModuleNotFound { digest });
            }
            let unrecorded = activations.iter().filter(|next| !state.knows(next));
            let used: Vec<_> = unrecorded
                .map(|next| CatalogEntry::Used(Used::of(next)))
                .collect();
            if used.is_empty() {
                return Ok(());
            }
            let committed = catalog.commit(&*self.core, &used).await;
            if let Err(error) = committed {
                return Err(ActivateError::Store(failed(error)));
            }
        }
    }

    /// The activation at a place in the journal of a name.
    async fn activation_at(
        &self,
        journal: &StreamId,
        version: Version,
    ) -> Result<Option<Activation>, Error> {
        let range = StreamRange::only(version);
        let mut found = None;
        for recorded in self.core.read_stream(journal, range).await? {
            let mut name = Name::default();
            for entry in entries_of::<Name>(&recorded)? {
                name.apply(entry, &recorded)?;
            }
            found = name.newest;
        }
        Ok(found)
    }
}

#[async_trait]
impl<B: Core> ModuleStore for Composed<B> {
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error> {
        self.put_bytes(&module).await?;
        let mut is_new = false;
        loop {
            let mut catalog = self.open_catalog().await?;
            if let Some(stored) = catalog.state().module(module.digest) {
                return Ok((stored.clone(), is_new));
            }
            let stored = CatalogEntry::Stored(Stored {
                digest: module.digest,
                size_bytes: module.wasm.len() as u64,
                kind: module.kind,
                contract: module.contract.clone(),
                name: module.name.clone(),
                manifest: module.manifest.clone(),
                imports: module.imports.clone(),
            });
            let committed = catalog.commit(&*self.core, &[stored]).await;
            is_new = committed.map_err(failed)?.is_some();
        }
    }

    async fn module(&self, digest: ModuleDigest) -> Result<Option<StoredModule>, Error> {
        Ok(self.open_catalog().await?.state().module(digest).cloned())
    }

    async fn module_wasm(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>, Error> {
        if self.module(digest).await?.is_none() {
            return Ok(None);
        }
        let stream = bytes_of(digest)?;
        let mut wasm = Vec::new();
        let mut range = StreamRange::page_after(Version::EMPTY);
        loop {
            let page = self.core.read_stream(&stream, range).await?;
            let Some(last) = page.last() else { break };
            range.after = last.version;
            for chunk in page {
                let text = chunk.event.data.as_str().trim_matches('"');
                let bytes = hex::decode(text);
                wasm.extend(bytes.map_err(|error| corrupt::<Catalog>(error.to_string()))?);
            }
        }
        if ModuleDigest::of(&wasm) == digest {
            Ok(Some(wasm))
        } else {
            Err(corrupt::<Catalog>(format!("{digest} has other bytes")))
        }
    }

    async fn list_modules(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error> {
        Ok(self
            .open_catalog()
            .await?
            .state()
            .list(filter, after, limit))
    }

    async fn record_upload(&self, digest: ModuleDigest, uploaded_by: &str) -> Result<(), Error> {
        let upload = (digest, uploaded_by.to_owned());
        loop {
            let mut catalog = self.open_catalog().await?;
            let state = catalog.state();
            if state.module(digest).is_none() || state.uploads.contains(&upload) {
                return Ok(());
            }
            let uploaded = CatalogEntry::Uploaded(digest, uploaded_by.to_owned());
            let committed = catalog.commit(&*self.core, &[uploaded]).await;
            committed.map_err(failed)?;
        }
    }

    async fn delete_module(&self, digest: ModuleDigest) -> Result<(), DeleteModuleError> {
        loop {
            let mut catalog = self
                .open_catalog()
                .await
                .map_err(DeleteModuleError::Store)?;
            if catalog.state().module(digest).is_none() {
                return Err(DeleteModuleError::NotFound);
            }
            if catalog.state().uses.contains_key(&digest) {
                return Err(DeleteModuleError::InUse);
            }
            let deleted = CatalogEntry::Deleted(digest);
            let committed = catalog.commit(&*self.core, &[deleted]).await;
            let committed = committed.map_err(|error| DeleteModuleError::Store(failed(error)))?;
            if committed.is_some() {
                return Ok(());
            }
        }
    }

    async fn activate(&self, set: ActivationSet) -> Result<Vec<Activation>, ActivateError> {
        self.activate_held(set, None).await
    }

    async fn swaps(&self, namespace: &Namespace) -> Result<SwapCount, Error> {
        let head = self.core.head(&swaps_of(namespace)?).await?;
        Ok(SwapCount::new(head.version.to_sql()))
    }

    async fn hold<'s>(
        &'s self,
        keys: &BTreeSet<ActivationKey>,
    ) -> Result<Box<dyn Hold + 's>, Error> {
        let journals = keys
            .iter()
            .map(|key| journal_of(key.namespace(), key.name().as_str()));
        // In one order for everyone.
        let journals = journals.collect::<Result<BTreeSet<_>, _>>()?;
        let holder = Uuid::new_v4();
        loop {
            let mut known = self.newest_of(&journals).await?;
            self.wait_for_the_end_of_holds(&mut known).await?;
            let mut names = Vec::with_capacity(journals.len());
            for journal in &journals {
                names.push(self.names.open(&*self.core, journal).await?);
            }
            let is_known = |name: &Opened<Name>| {
                let known = known.get(name.stream());
                known.is_some_and(|known| known.state.held == name.state().held)
            };
            if !names.iter().all(is_known) {
                continue;
            }
            let parts = names
                .iter()
                .map(|name| name.part(&[NameEntry::Held(holder)]));
            let parts = parts.collect::<Result<_, _>>()?;
            let held = commit_all(&*self.core, &mut names, parts).await;
            if held.map_err(failed)?.is_some() {
                return Ok(Box::new(HeldNames {
                    store: self,
                    journals,
                    holder,
                }));
            }
        }
    }

    async fn active(&self, key: &ActivationKey) -> Result<Option<Activation>, Error> {
        let journal = journal_of(key.namespace(), key.name().as_str())?;
        let name = self.names.read(&*self.core, &journal).await?;
        let newest = name.newest.as_ref();
        Ok(newest.filter(|newest| newest.key == *key).cloned())
    }

    async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let keys = self.open_catalog().await?.state().keys.clone();
        let namespace = filter.namespace.as_ref();
        let wanted = keys.into_iter().filter(|key| {
            namespace.is_none_or(|wanted| key.namespace() == wanted)
                && filter.kind.is_none_or(|wanted| key.kind() == wanted)
                && after.is_none_or(|after| key > after)
        });
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut items = Vec::new();
        for key in wanted {
            let Some(newest) = self.active(&key).await? else {
                continue;
            };
            if !room.take_bytes(newest.size_bytes()) {
                break;
            }
            items.push(newest);
        }
        let has_more = room.is_full();
        Ok(Page { items, has_more })
    }

    async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let journal = journal_of(key.namespace(), key.name().as_str())?;
        let name = self.names.read(&*self.core, &journal).await?;
        let newest = name.number(key.kind()).get();
        let newest = before.map_or(newest, |before| newest.min(before.get().saturating_sub(1)));
        let entries = usize::try_from(newest).unwrap_or_default();
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut items = Vec::new();
        for version in name.activations.iter().take(entries).rev() {
            let Some(activation) = self.activation_at(&journal, *version).await? else {
                return Err(corrupt::<Name>(format!("no activation at {version}")));
            };
            if !room.take_bytes(activation.size_bytes()) {
                break;
            }
            items.push(activation);
        }
        let has_more = room.is_full();
        Ok(Page { items, has_more })
    }
}
