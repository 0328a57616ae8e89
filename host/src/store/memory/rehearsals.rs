//! Rehearsals in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{MemoryStore, lock};
use crate::core::{DeciderName, Namespace, RehearsalId};
use crate::store::{Error, REHEARSALS_KEPT, RehearsalRecord, RehearsalStore};

/// All rehearsals; within a namespace, those made later come later.
#[derive(Debug, Default)]
pub(super) struct Rehearsals(BTreeMap<(Namespace, RehearsalId), RehearsalRecord>);

impl Rehearsals {
    fn put(&mut self, rehearsal: RehearsalRecord) -> bool {
        let key = (rehearsal.namespace.clone(), rehearsal.id);
        match self.0.get(&key) {
            Some(kept) if kept.is_over && !rehearsal.is_over => return false,
            Some(_) => {}
            None => self.forget_older(&rehearsal),
        }
        self.0.insert(key, rehearsal);
        true
    }

    /// Makes room for a new one of the same decider.
    fn forget_older(&mut self, new: &RehearsalRecord) {
        let over = self
            .newest_first(&new.namespace, &new.decider)
            .filter(|kept| kept.is_over);
        let old = over.skip(REHEARSALS_KEPT as usize);
        let keys: Vec<_> = old.map(|old| (old.namespace.clone(), old.id)).collect();
        for key in keys {
            self.0.remove(&key);
        }
    }

    fn newest_first(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> impl Iterator<Item = &RehearsalRecord> {
        let rehearsals = self.0.values().rev();
        rehearsals.filter(move |kept| kept.namespace == *namespace && kept.decider == *decider)
    }
}

#[async_trait]
impl RehearsalStore for MemoryStore {
    async fn put_rehearsal(&self, rehearsal: RehearsalRecord) -> Result<bool, Error> {
        Ok(lock(&self.rehearsals).put(rehearsal))
    }

    async fn rehearsal(
        &self,
        namespace: &Namespace,
        id: RehearsalId,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let rehearsals = lock(&self.rehearsals);
        Ok(rehearsals.0.get(&(namespace.clone(), id)).cloned())
    }

    async fn rehearsals(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        limit: u32,
    ) -> Result<Vec<RehearsalRecord>, Error> {
        let rehearsals = lock(&self.rehearsals);
        let newest = rehearsals.newest_first(namespace, decider);
        Ok(newest.take(limit as usize).cloned().collect())
    }

    async fn adopt_rehearsal(
        &self,
        before: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let mut rehearsals = lock(&self.rehearsals);
        let abandoned = rehearsals
            .0
            .values_mut()
            .filter(|kept| !kept.is_over && kept.seen_at < before);
        Ok(abandoned.min_by_key(|kept| kept.id).map(|adopted| {
            adopted.seen_at = now;
            adopted.clone()
        }))
    }
}
