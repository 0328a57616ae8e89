//! The subject of an examination: a candidate, next to what it would replace.

use std::sync::Arc;

use gavel_engine::catalog::{self, Active, Decider, Manifest};
use gavel_model::{
    ActivationKey, ActivationNumber, CommandRecord, DeciderName, ModuleDigest, Namespace,
};
use gavel_store::{Moment, PastRange};

use super::compare::Checks;
use super::pointing::Pointing;
use super::{Error, Gate, Report};

/// The direction of a change: to a candidate, or back to the module that the active one has
/// replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swap {
    Forward,
    /// A rollback. The specifications of the module that is left behind do not block it.
    Back,
}

/// A candidate, and what it would replace.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) namespace: Namespace,
    pub(super) decider: DeciderName,
    pub(super) candidate: Arc<Decider>,
    /// The newest entry of the activation log, which the one of the candidate comes after.
    pub(super) after: ActivationNumber,
    pub(super) active: Option<Arc<Active>>,
    pub(super) direction: Swap,
    /// The findings to accept, by name.
    pub(super) accept: Vec<String>,
    /// The checks that hosts make around decisions.
    pub(super) checks: Arc<Checks>,
    /// The same around those of the active module; none where it has decided all that is recorded.
    pub(super) active_checks: Option<Arc<Checks>>,
}

impl Subject {
    /// Selects all streams as they were at a moment: events that are stored meanwhile do not make
    /// the reading longer.
    pub(super) fn range(&self, through: Moment) -> PastRange {
        PastRange {
            namespace: self.namespace.clone(),
            decider: self.decider.clone(),
            streams: None,
            through: Some(through),
            eventless_since: None,
        }
    }

    /// Tells whether the candidate would decide a command.
    pub(super) fn is_about(&self, record: &CommandRecord) -> bool {
        *record.stream.namespace() == self.namespace && *record.stream.decider() == self.decider
    }

    /// The entry of the activation log that is to be made.
    pub(super) fn pointing(&self) -> Pointing {
        Pointing {
            key: ActivationKey::of_decider(&self.namespace, &self.decider),
            after: self.after,
            digest: self.candidate.digest(),
            former: self.active.as_ref().map(|active| active.decider.digest()),
        }
    }

    /// Makes a report without any step, of what was stored before `as_of`.
    pub(super) fn empty_report(&self, as_of: &Moment) -> Report {
        let active = self.active.as_ref().map(|active| active.decider.digest());
        let candidate = self.candidate.digest();
        let key = ActivationKey::of_decider(&self.namespace, &self.decider);
        Report::new(&key, candidate, (self.after, active), as_of)
    }

    /// Tells whether the candidate is active already: then it differs in nothing.
    pub(super) fn is_active(&self) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|active| active.decider.digest() == self.candidate.digest())
    }
}

impl Gate {
    /// Pairs a candidate with the module that is active now.
    pub(super) async fn subject(
        &self,
        key: &ActivationKey,
        candidate: &Arc<Decider>,
        direction: Swap,
        accept: &[String],
    ) -> Result<Subject, Error> {
        let (namespace, decider) = (key.namespace(), key.name().to_decider());
        // Before the module: of one that becomes active in between, the number is too low, and the
        // swap refused.
        let newest = self.store.active(key).await.map_err(Error::Store)?;
        let active = match self.modules.active(namespace, &decider).await {
            // It decides nothing, and can be compared with nothing: the candidate is measured by
            // what is recorded.
            Err(catalog::Error::Outdated { .. }) => None,
            active => active.map_err(Error::Module)?,
        };
        let checks = self.checks(namespace, &decider, candidate, active.as_deref());
        let (checks, active_checks) = checks.await?;
        Ok(Subject {
            namespace: namespace.clone(),
            decider,
            candidate: Arc::clone(candidate),
            after: newest.map_or(ActivationNumber::NONE, |newest| newest.number),
            active,
            direction,
            accept: accept.to_vec(),
            checks,
            active_checks,
        })
    }

    /// Builds the checks that a host makes around the decisions of the candidate and of the active
    /// module, with all modules that were ever active. None for the active module where no other
    /// has decided anything.
    async fn checks(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        candidate: &Decider,
        active: Option<&Active>,
    ) -> Result<(Arc<Checks>, Option<Arc<Checks>>), Error> {
        let key = ActivationKey::of_decider(namespace, decider);
        let history = self.modules.history(&key).await.map_err(Error::Module)?;
        let mut former = Vec::new();
        for digest in history.iter().filter_map(|activation| activation.digest) {
            if !former.iter().any(|(known, _)| *known == digest) {
                former.push((digest, self.manifest(digest).await?));
            }
        }
        let checks = |of: &Decider| Arc::new(Checks::new(of.manifest(), &former));
        let active = active.map(|active| &*active.decider).filter(|active| {
            let mut others = former.iter();
            others.any(|(digest, _)| *digest != active.digest())
        });
        Ok((checks(candidate), active.map(checks)))
    }

    pub(super) async fn manifest(&self, digest: ModuleDigest) -> Result<Manifest, Error> {
        let stored = self.modules.module(digest).await.map_err(Error::Module)?;
        Manifest::parse(stored.manifest.as_str())
            .map_err(|reasons| Error::Module(catalog::Error::Invalid { reasons }))
    }
}
