//! The subject of an examination: a view's candidate, next to the module whose rows people read.

use std::sync::Arc;

use gavel_engine::catalog::{self, View};
use gavel_model::{ActivationKey, ActivationNumber, ViewId};
use gavel_store::Moment;

use crate::pointing::Pointing;
use crate::subject::Swap;
use crate::{Error, Gate, Policy, Report};

/// A candidate, and what it would replace.
#[derive(Debug, Clone)]
pub(crate) struct ViewSubject {
    pub(super) id: ViewId,
    pub(crate) key: ActivationKey,
    pub(crate) candidate: Arc<View>,
    /// The newest entry of the activation log, which the one of the candidate comes after.
    pub(crate) after: ActivationNumber,
    pub(super) active: Option<Arc<View>>,
    pub(super) direction: Swap,
    /// The findings to accept, by name.
    pub(crate) accept: Vec<String>,
}

impl ViewSubject {
    /// The entry of the activation log that is to be made.
    pub(crate) fn pointing(&self) -> Pointing {
        Pointing {
            key: self.key.clone(),
            after: self.after,
            digest: self.candidate.digest(),
            former: self.active.as_ref().map(|active| active.digest()),
        }
    }

    /// Makes a report without any step.
    pub(super) fn empty_report(&self, as_of: &Moment) -> Report {
        let active = self.active.as_ref().map(|active| active.digest());
        let candidate = self.candidate.digest();
        Report::new(&self.key, candidate, (self.after, active), as_of)
    }

    /// The most rows that may be others; none for a rollback, where it is what people ask for.
    pub(super) fn most_changed_rows(&self, policy: &Policy) -> Option<u64> {
        (self.direction == Swap::Forward).then_some(policy.max_changed_rows)
    }

    /// Tells whether the candidate is active already: then it differs in nothing.
    pub(super) fn is_active(&self) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|active| active.digest() == self.candidate.digest())
    }
}

impl Gate {
    /// Pairs a view's candidate with the module that is active now.
    pub(crate) async fn view_subject(
        &self,
        key: &ActivationKey,
        candidate: &Arc<View>,
        direction: Swap,
        accept: &[String],
    ) -> Result<ViewSubject, Error> {
        let id = ViewId::of(key).ok_or_else(|| Error::NotActive { key: key.clone() })?;
        let newest = self.store.active(key).await.map_err(Error::Store)?;
        let after = newest.as_ref().map(|newest| newest.number);
        let active = match newest.and_then(|newest| newest.digest) {
            None => None,
            Some(digest) => match self.modules.view(digest).await {
                Ok(view) => Some(view),
                // Its rows can be compared with nothing that folds.
                Err(catalog::Error::Outdated { .. }) => None,
                Err(error) => return Err(Error::Module(error)),
            },
        };
        Ok(ViewSubject {
            id,
            key: key.clone(),
            candidate: Arc::clone(candidate),
            after: after.unwrap_or(ActivationNumber::NONE),
            active,
            direction,
            accept: accept.to_vec(),
        })
    }
}
