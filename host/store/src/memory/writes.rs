//! Writes in memory.

use gavel_model::{Activation, ModuleKind};
use time::OffsetDateTime;

use super::Kept;
use super::snapshots::place_of;
use crate::toolkit::group::Outcome;
use crate::toolkit::writes::{
    Activate, AdoptRehearsal, AppendBatch, CarryOut, DeleteModule, ForgetSnapshots, PutModule,
    PutRehearsal, PutSnapshots, RecordUpload,
};
use crate::{ActivateError, DeleteModuleError, Error, RehearsalRecord, StoredModule};

impl CarryOut<AppendBatch> for Kept {
    fn carry_out(
        &mut self,
        change: AppendBatch,
        now: OffsetDateTime,
    ) -> Result<Vec<Outcome>, Error> {
        let appends = change.appends.into_iter();
        let outcomes = appends.map(|append| self.events.append(append, now));
        Ok(outcomes.collect())
    }
}

impl CarryOut<PutSnapshots> for Kept {
    fn carry_out(&mut self, change: PutSnapshots, _: OffsetDateTime) -> Result<(), Error> {
        for snapshot in change.snapshots {
            let key = (snapshot.stream.clone(), snapshot.module);
            let kept = self.snapshots.get(&key);
            if kept.is_none_or(|kept| kept.version < snapshot.version) {
                self.snapshots.insert(key, snapshot);
            }
        }
        Ok(())
    }
}

impl CarryOut<ForgetSnapshots> for Kept {
    fn carry_out(&mut self, change: ForgetSnapshots, _: OffsetDateTime) -> Result<(), Error> {
        let (after, through) = (change.after, change.through);
        self.snapshots.retain(|key, _| {
            let place = place_of(key, &change.namespace, &change.decider);
            let is_seen = place.is_some_and(|place| after < place && place <= through);
            !is_seen || change.kept.contains(&key.1)
        });
        Ok(())
    }
}

impl CarryOut<PutModule> for Kept {
    fn carry_out(
        &mut self,
        change: PutModule,
        now: OffsetDateTime,
    ) -> Result<(StoredModule, bool), Error> {
        Ok(self.modules.put(change.module, now))
    }
}

impl CarryOut<RecordUpload> for Kept {
    fn carry_out(&mut self, change: RecordUpload, _: OffsetDateTime) -> Result<(), Error> {
        self.modules
            .record_upload(change.digest, &change.uploaded_by);
        Ok(())
    }
}

impl CarryOut<DeleteModule> for Kept {
    fn carry_out(
        &mut self,
        change: DeleteModule,
        _: OffsetDateTime,
    ) -> Result<(), DeleteModuleError> {
        self.modules.delete(change.digest)
    }
}

impl CarryOut<Activate> for Kept {
    fn carry_out(
        &mut self,
        change: Activate,
        now: OffsetDateTime,
    ) -> Result<Activation, ActivateError> {
        let activation = change.activation;
        let key = &activation.key;
        let (namespace, decider) = (key.namespace(), key.name().to_decider());
        if let Some(moment) = &change.looked_through
            && !self
                .events
                .moved_since(namespace, &decider, moment)
                .is_empty()
        {
            return Err(ActivateError::Overtaken);
        }
        if self.modules.active(key).is_none() {
            let of_events = self.events.has_any(namespace, &decider);
            let of_events = of_events.then_some(ModuleKind::Decider);
            let taken = self.modules.other_kind(key).or(of_events);
            if let Some(kind) = taken.filter(|kind| *kind != key.kind()) {
                return Err(ActivateError::NameTaken { kind });
            }
        }
        let event_types = activation.events.clone();
        let activation = self.modules.activate(activation, now)?;
        self.events.obey(&activation, event_types);
        Ok(activation)
    }
}

impl CarryOut<PutRehearsal> for Kept {
    fn carry_out(&mut self, change: PutRehearsal, _: OffsetDateTime) -> Result<bool, Error> {
        Ok(self.rehearsals.put(change.rehearsal))
    }
}

impl CarryOut<AdoptRehearsal> for Kept {
    fn carry_out(
        &mut self,
        change: AdoptRehearsal,
        _: OffsetDateTime,
    ) -> Result<Option<RehearsalRecord>, Error> {
        Ok(self.rehearsals.adopt(&change.last, change.seen_at))
    }
}
