//! Rehearsals: one journal for all, in which the newest entry of each rehearsal is its state.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gavel_model::{
    ActivationKey, Json, ModuleDigest, ModuleKind, Namespace, RecordedEvent, RehearsalId, StreamId,
    Version,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::journal::{Fold, Opened, corrupt, entries_of, failed, internal_stream};
use super::{Composed, Core};
use crate::{
    Beat, Error, REHEARSALS_KEPT, REHEARSALS_WATCHED, RehearsalRecord, RehearsalStore, StreamRange,
};

/// The places of the newest states of all rehearsals.
#[derive(Debug, Clone, Default)]
pub(super) struct RehearsalIndex(BTreeMap<(Namespace, RehearsalId), KeptRehearsal>);

#[derive(Debug, Clone)]
struct KeptRehearsal {
    key: ActivationKey,
    is_over: bool,
    seen_at: OffsetDateTime,
    /// The entry that holds the rest.
    version: Version,
}

/// An entry of the journal of rehearsals.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum RehearsalEntry {
    /// The whole of a rehearsal, in the place of what was there.
    Put(Box<Written>),
    /// The rehearsal, which another host works on from now on.
    Adopted(Namespace, RehearsalId, OffsetDateTime),
    /// A rehearsal is not kept any more, for there are enough newer ones.
    Forgotten(Namespace, RehearsalId),
}

/// The stored form of a rehearsal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    namespace: Namespace,
    kind: ModuleKind,
    name: String,
    id: RehearsalId,
    digest: ModuleDigest,
    is_over: bool,
    seen_at: OffsetDateTime,
    document: Json,
}

impl Written {
    fn of(rehearsal: &RehearsalRecord) -> Self {
        Self {
            namespace: rehearsal.key.namespace().clone(),
            kind: rehearsal.key.kind(),
            name: rehearsal.key.name().to_string(),
            id: rehearsal.id,
            digest: rehearsal.digest,
            is_over: rehearsal.is_over,
            seen_at: rehearsal.seen_at,
            document: rehearsal.document.clone(),
        }
    }

    fn key(&self) -> Result<ActivationKey, Error> {
        ActivationKey::new(self.namespace.clone(), self.kind, self.name.as_str())
            .map_err(|error| corrupt::<RehearsalIndex>(error.to_string()))
    }
}

impl Fold for RehearsalIndex {
    type Entry = RehearsalEntry;
    const WHAT: &'static str = "journal of rehearsals";

    fn apply(&mut self, entry: RehearsalEntry, recorded: &RecordedEvent) -> Result<(), Error> {
        match entry {
            RehearsalEntry::Put(written) => {
                let kept = KeptRehearsal {
                    key: written.key()?,
                    is_over: written.is_over,
                    seen_at: written.seen_at,
                    version: recorded.version,
                };
                self.0.insert((written.namespace, written.id), kept);
            }
            RehearsalEntry::Adopted(namespace, id, seen_at) => {
                if let Some(kept) = self.0.get_mut(&(namespace, id)) {
                    kept.seen_at = seen_at;
                }
            }
            RehearsalEntry::Forgotten(namespace, id) => {
                self.0.remove(&(namespace, id));
            }
        }
        Ok(())
    }
}

impl RehearsalIndex {
    fn newest_first<'r>(
        &'r self,
        key: &ActivationKey,
    ) -> impl Iterator<Item = (&'r (Namespace, RehearsalId), &'r KeptRehearsal)> {
        let rehearsals = self.0.iter().rev();
        rehearsals.filter(move |(_, kept)| kept.key == *key)
    }

    /// The entries by which a rehearsal is put; none if it may not be.
    fn entries_of(&self, rehearsal: &RehearsalRecord) -> Vec<RehearsalEntry> {
        let at = (rehearsal.key.namespace().clone(), rehearsal.id);
        let mut entries = Vec::new();
        match self.0.get(&at) {
            Some(kept) if kept.is_over && !rehearsal.is_over => return entries,
            Some(_) => {}
            None => {
                let over = self.newest_first(&rehearsal.key);
                let over = over.filter(|(_, kept)| kept.is_over);
                let forgotten = over.skip(REHEARSALS_KEPT as usize).map(|(at, _)| at);
                entries.extend(
                    forgotten
                        .map(|(namespace, id)| RehearsalEntry::Forgotten(namespace.clone(), *id)),
                );
            }
        }
        entries.push(RehearsalEntry::Put(Box::new(Written::of(rehearsal))));
        entries
    }
}

/// The journal of rehearsals.
fn journal() -> Result<StreamId, Error> {
    internal_stream(Namespace::internal(), "rehearsals", "all")
}

impl<B: Core> Composed<B> {
    async fn open_rehearsals(&self) -> Result<Opened<RehearsalIndex>, Error> {
        self.rehearsals.open(&*self.core, &journal()?).await
    }

    /// All of a rehearsal.
    async fn written(
        &self,
        id: RehearsalId,
        kept: &KeptRehearsal,
    ) -> Result<RehearsalRecord, Error> {
        let range = StreamRange::only(kept.version);
        for recorded in self.core.read_stream(&journal()?, range).await? {
            for entry in entries_of::<RehearsalIndex>(&recorded)? {
                if let RehearsalEntry::Put(written) = entry
                    && written.id == id
                {
                    return Ok(RehearsalRecord {
                        id,
                        key: kept.key.clone(),
                        digest: written.digest,
                        is_over: kept.is_over,
                        seen_at: kept.seen_at,
                        document: written.document,
                    });
                }
            }
        }
        Err(corrupt::<RehearsalIndex>(format!(
            "{id} is not at {}",
            kept.version
        )))
    }
}

#[async_trait]
impl<B: Core> RehearsalStore for Composed<B> {
    async fn put_rehearsal(&self, rehearsal: RehearsalRecord) -> Result<bool, Error> {
        loop {
            let mut kept = self.open_rehearsals().await?;
            let entries = kept.state().entries_of(&rehearsal);
            if entries.is_empty() {
                return Ok(false);
            }
            let committed = kept.commit(&*self.core, &entries).await;
            if committed.map_err(failed)?.is_some() {
                return Ok(true);
            }
        }
    }

    async fn rehearsal(
        &self,
        namespace: &Namespace,
        id: RehearsalId,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let kept = self.open_rehearsals().await?;
        let found = kept.state().0.get(&(namespace.clone(), id)).cloned();
        drop(kept);
        match found {
            Some(found) => Ok(Some(self.written(id, &found).await?)),
            None => Ok(None),
        }
    }

    async fn rehearsals(
        &self,
        key: &ActivationKey,
        limit: u32,
    ) -> Result<Vec<RehearsalRecord>, Error> {
        let newest: Vec<_> = {
            let kept = self.open_rehearsals().await?;
            let newest = kept.state().newest_first(key).take(limit as usize);
            newest.map(|((_, id), kept)| (*id, kept.clone())).collect()
        };
        let mut rehearsals = Vec::with_capacity(newest.len());
        for (id, kept) in newest {
            rehearsals.push(self.written(id, &kept).await?);
        }
        Ok(rehearsals)
    }

    async fn unfinished_rehearsals(&self) -> Result<Vec<Beat>, Error> {
        let kept = self.open_rehearsals().await?;
        let unfinished = kept.state().0.iter().filter(|(_, kept)| !kept.is_over);
        let mut beats: Vec<Beat> = unfinished
            .map(|((namespace, id), kept)| Beat {
                namespace: namespace.clone(),
                id: *id,
                seen_at: kept.seen_at,
            })
            .collect();
        beats.sort_by_key(|beat| beat.id);
        beats.truncate(REHEARSALS_WATCHED as usize);
        Ok(beats)
    }

    async fn adopt_rehearsal(
        &self,
        last: &Beat,
        now: OffsetDateTime,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let at = (last.namespace.clone(), last.id);
        loop {
            let mut kept = self.open_rehearsals().await?;
            let found = kept.state().0.get(&at);
            let is_silent =
                |found: &&KeptRehearsal| !found.is_over && found.seen_at == last.seen_at;
            let Some(mut found) = found.filter(is_silent).cloned() else {
                return Ok(None);
            };
            let adopted = RehearsalEntry::Adopted(last.namespace.clone(), last.id, now);
            let committed = kept.commit(&*self.core, &[adopted]).await;
            if committed.map_err(failed)?.is_some() {
                found.seen_at = now;
                return Ok(Some(self.written(last.id, &found).await?));
            }
        }
    }
}
