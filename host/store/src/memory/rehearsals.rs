//! Rehearsals in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gavel_model::{ActivationKey, Namespace, RehearsalId};
use time::OffsetDateTime;

use super::MemoryStore;
use crate::toolkit::writes::{AdoptRehearsal, PutRehearsal};
use crate::{Beat, Error, REHEARSALS_KEPT, REHEARSALS_WATCHED, RehearsalRecord, RehearsalStore};

/// All rehearsals; within a namespace, those made later come later.
#[derive(Debug, Default)]
pub(super) struct Rehearsals(BTreeMap<(Namespace, RehearsalId), RehearsalRecord>);

impl Rehearsals {
    pub(super) fn put(&mut self, rehearsal: RehearsalRecord) -> bool {
        let key = (rehearsal.key.namespace().clone(), rehearsal.id);
        match self.0.get(&key) {
            Some(kept) if kept.is_over && !rehearsal.is_over => return false,
            Some(_) => {}
            None => self.forget_older(&rehearsal),
        }
        self.0.insert(key, rehearsal);
        true
    }

    pub(super) fn adopt(
        &mut self,
        last: &Beat,
        seen_at: OffsetDateTime,
    ) -> Option<RehearsalRecord> {
        let kept = self.0.get_mut(&(last.namespace.clone(), last.id))?;
        let is_silent = !kept.is_over && kept.seen_at == last.seen_at;
        is_silent.then(|| {
            kept.seen_at = seen_at;
            kept.clone()
        })
    }

    /// Makes room for a new one of the same key.
    fn forget_older(&mut self, new: &RehearsalRecord) {
        let over = self.newest_first(&new.key).filter(|kept| kept.is_over);
        let old = over.skip(REHEARSALS_KEPT as usize);
        let keys: Vec<_> = old
            .map(|old| (old.key.namespace().clone(), old.id))
            .collect();
        for key in keys {
            self.0.remove(&key);
        }
    }

    fn newest_first(&self, key: &ActivationKey) -> impl Iterator<Item = &RehearsalRecord> {
        let rehearsals = self.0.values().rev();
        rehearsals.filter(move |kept| kept.key == *key)
    }
}

#[async_trait]
impl RehearsalStore for MemoryStore {
    async fn put_rehearsal(&self, rehearsal: RehearsalRecord) -> Result<bool, Error> {
        self.carry_out(PutRehearsal { rehearsal })
    }

    async fn rehearsal(
        &self,
        namespace: &Namespace,
        id: RehearsalId,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let rehearsals = &self.kept().rehearsals;
        Ok(rehearsals.0.get(&(namespace.clone(), id)).cloned())
    }

    async fn rehearsals(
        &self,
        key: &ActivationKey,
        limit: u32,
    ) -> Result<Vec<RehearsalRecord>, Error> {
        let rehearsals = &self.kept().rehearsals;
        let newest = rehearsals.newest_first(key);
        Ok(newest.take(limit as usize).cloned().collect())
    }

    async fn unfinished_rehearsals(&self) -> Result<Vec<Beat>, Error> {
        let rehearsals = &self.kept().rehearsals;
        let unfinished = rehearsals.0.values().filter(|kept| !kept.is_over);
        let mut beats: Vec<Beat> = unfinished
            .map(|kept| Beat {
                namespace: kept.key.namespace().clone(),
                id: kept.id,
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
        let (last, seen_at) = (last.clone(), now);
        self.carry_out(AdoptRehearsal { last, seen_at })
    }
}
