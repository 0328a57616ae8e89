//! Holds: entries in the journal of a name.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use gavel_model::{Activation, StreamId};
use uuid::Uuid;

use super::journal::Journals;
use super::names::{Name, NameEntry};
use super::{Composed, Core};
use crate::{ActivateError, ActivationSet, AppendError, Hold, Moment};

/// A hold of names.
#[derive(Debug)]
pub(super) struct HeldNames<'s, B: Core> {
    pub(super) store: &'s Composed<B>,
    pub(super) journals: BTreeSet<StreamId>,
    pub(super) holder: Uuid,
}

#[async_trait]
impl<B: Core> Hold for HeldNames<'_, B> {
    async fn activate(
        self: Box<Self>,
        set: ActivationSet,
        looked_through: &Moment,
    ) -> Result<Vec<Activation>, ActivateError> {
        let holder = Some((self.holder, looked_through));
        self.store.activate_held(set, holder).await
    }
}

/// Ends the hold, as soon as the backend answers; until then appends wait no longer than for any
/// hold.
impl<B: Core> Drop for HeldNames<'_, B> {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (core, names) = (Arc::clone(&self.store.core), self.store.names.clone());
        let (journals, holder) = (std::mem::take(&mut self.journals), self.holder);
        runtime.spawn(async move {
            for journal in &journals {
                if let Err(error) = let_go(&*core, &names, journal, holder).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a name is held until others have waited long enough");
                }
            }
        });
    }
}

async fn let_go(
    core: &impl Core,
    names: &Journals<Name>,
    journal: &StreamId,
    holder: Uuid,
) -> Result<(), AppendError> {
    loop {
        let mut name = names.open(core, journal).await?;
        if name.state().held != Some(holder) {
            return Ok(());
        }
        name.commit(core, &[NameEntry::LetGo]).await?;
    }
}
