//! The deletion of snapshots that nobody will ask for: a module that is rehearsed or activated
//! leaves one of each long stream.

use gavel_model::{ActivationKey, DeciderName, ModuleDigest, Namespace};
use gavel_store::SnapshotPlace;

use super::{Error, Gate};

/// The number of snapshots that are looked at, and deleted at most, in one transaction.
const STEP: u32 = 500;
/// The number of the newest rehearsals whose candidates are looked up.
const REHEARSALS: u32 = 20;

impl Gate {
    /// Deletes the snapshots of a decider's modules but of the active one, of the last that was
    /// rehearsed, and of those that are rehearsed now: in the background, in small steps. What
    /// fails is logged, and done again after the next rehearsal or activation.
    pub(super) fn forget_snapshots(&self, namespace: &Namespace, decider: &DeciderName) {
        let (gate, namespace, decider) = (self.clone(), namespace.clone(), decider.clone());
        tokio::spawn(async move {
            if let Err(error) = gate.forget(&namespace, &decider).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    decider = %decider,
                    "the states of former modules are still there"
                );
            }
        });
    }

    async fn forget(&self, namespace: &Namespace, decider: &DeciderName) -> Result<(), Error> {
        let mut after = Some(SnapshotPlace::default());
        while let Some(place) = after {
            // Another module may have become active, or be rehearsed, since the step before.
            let kept = self.wanted(namespace, decider).await?;
            let step = self
                .store
                .forget_snapshots(namespace, decider, &kept, &place, STEP);
            let (step, _) = self.modules.runtime().throttle().take_turns(step).await;
            after = step.map_err(Error::Store)?;
        }
        Ok(())
    }

    /// Lists the modules whose states may be asked for soon.
    async fn wanted(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Vec<ModuleDigest>, Error> {
        let active = self.modules.active(namespace, decider).await;
        let active = active.map_err(Error::Module)?;
        let mut wanted: Vec<_> = active
            .iter()
            .map(|active| active.decider.digest())
            .collect();
        let key = ActivationKey::of_decider(namespace, decider);
        let records = self.store.rehearsals(&key, REHEARSALS).await;
        let records = records.map_err(Error::Store)?;
        let wanted_too = records.iter().enumerate();
        let wanted_too = wanted_too.filter(|(age, record)| *age == 0 || !record.is_over);
        wanted.extend(wanted_too.map(|(_, record)| record.digest));
        Ok(wanted)
    }
}
