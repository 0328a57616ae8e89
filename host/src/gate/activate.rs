//! Running the steps, and moving the pointer when nothing stands in the way.

use std::sync::Arc;

use super::catch_up::{After, MOST_STREAMS};
use super::examine::{Direction, Subject};
use super::slots::Slots;
use super::{Error, GateSettings, Report, Step, Watch};
use crate::core::{Activation, ActivationNumber, DeciderName, ModuleDigest, Namespace};
use crate::modules::Modules;
use crate::runtime::RunError;
use crate::store::{ActivateError, NewActivation, Store};

/// How often a candidate is looked at again because another activation came first.
const ATTEMPTS: u32 = 5;

/// What is to become active, and who says so.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationRequest {
    /// Where.
    pub namespace: Namespace,
    /// The decider.
    pub decider: DeciderName,
    /// The candidate.
    pub digest: ModuleDigest,
    /// Why.
    pub message: Option<String>,
    /// The findings to let pass, by name.
    pub accept: Vec<String>,
    /// By whom; none when authentication is off.
    pub activated_by: Option<String>,
}

/// Looks at candidates and activates those that pass.
#[derive(Debug, Clone)]
pub struct Gate {
    pub(super) store: Arc<dyn Store>,
    pub(super) modules: Modules,
    pub(super) settings: Arc<GateSettings>,
    pub(super) slots: Slots,
}

impl Gate {
    /// A gate in front of `modules`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, modules: Modules, settings: GateSettings) -> Self {
        Self {
            store,
            modules,
            slots: Slots::new(&settings),
            settings: Arc::new(settings),
        }
    }

    /// Runs the gate, and activates the candidate when it passes.
    ///
    /// Once this has returned, no host decides another command of the decider with the former module.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the report, or why the gate could not be run. Nothing has changed then.
    pub async fn activate(&self, request: ActivationRequest) -> Result<Activation, Error> {
        self.pass(request, Direction::Forward).await
    }

    /// Activates the module that was active before the present one, through the same gate. The specifications of the module that is left
    /// behind are run too, but do not stand in the way.
    ///
    /// # Errors
    ///
    /// [`Error::DeciderNotFound`], [`Error::NothingToRollBackTo`], or as [`Gate::activate`].
    pub async fn rollback(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        message: Option<String>,
        activated_by: Option<String>,
    ) -> Result<Activation, Error> {
        let active = self
            .modules
            .active(namespace, decider)
            .await
            .map_err(Error::Module)?;
        let active = active.ok_or_else(|| Error::DeciderNotFound {
            decider: decider.clone(),
        })?;
        let present = active.activation.digest;
        let history = self.modules.history(namespace, decider).await;
        // A module that was activated twice in a row has not replaced another one the second time.
        let digest = history
            .map_err(Error::Module)?
            .into_iter()
            .map(|activation| activation.digest)
            .find(|digest| *digest != present)
            .ok_or_else(|| Error::NothingToRollBackTo {
                decider: decider.clone(),
            })?;
        let (namespace, decider) = (namespace.clone(), decider.clone());
        let request = ActivationRequest {
            namespace,
            decider,
            digest,
            message,
            accept: Vec::new(),
            activated_by,
        };
        self.pass(request, Direction::Back).await
    }

    async fn pass(
        &self,
        request: ActivationRequest,
        direction: Direction,
    ) -> Result<Activation, Error> {
        let candidate = self
            .modules
            .decider(request.digest)
            .await
            .map_err(Error::Module)?;
        for _ in 0..ATTEMPTS {
            let active = self
                .modules
                .active(&request.namespace, &request.decider)
                .await
                .map_err(Error::Module)?;
            let (namespace, decider) = (&request.namespace, &request.decider);
            let checks = self.checks(namespace, decider, &candidate, active.as_deref());
            let (checks, active_checks) = checks.await?;
            let subject = Subject {
                namespace: request.namespace.clone(),
                decider: request.decider.clone(),
                candidate: candidate.clone(),
                active: active.clone(),
                direction,
                accept: request.accept.clone(),
                checks,
                active_checks,
            };
            let report = self.if_there_was_room(self.report(&subject)).await?;
            if !report.passed {
                return Err(Error::Refused {
                    report: report.to_json(),
                });
            }
            let activation = NewActivation {
                namespace: request.namespace.clone(),
                decider: request.decider.clone(),
                after: active.map_or(ActivationNumber::NONE, |active| active.activation.number),
                digest: request.digest,
                events: candidate.manifest().event_types(),
                activated_by: request.activated_by.clone(),
                message: request.message.clone(),
                accepted: report.accepted(),
                report: report.to_json(),
            };
            match self.modules.activate(activation, candidate.clone()).await {
                Ok(activation) => {
                    self.forget_snapshots(&request.namespace, &request.decider);
                    return Ok(activation);
                }
                // The candidate was compared with a module that is not active any more: look again.
                Err(ActivateError::Moved { .. }) => {}
                Err(ActivateError::ModuleNotFound) => {
                    return Err(Error::Module(crate::modules::Error::NotFound {
                        digest: request.digest,
                    }));
                }
                Err(ActivateError::Store(error)) => return Err(Error::Store(error)),
            }
        }
        Err(Error::Contended {
            decider: request.decider,
        })
    }

    /// The report of a look, unless it is one of a host that had no room for instances meanwhile: then it speaks against a candidate without reason.
    pub(super) async fn if_there_was_room(
        &self,
        look: impl Future<Output = Result<Report, Error>>,
    ) -> Result<Report, Error> {
        let before = self.times_without_room();
        let report = look.await?;
        if !report.passed {
            self.had_room_since(before)?;
        }
        Ok(report)
    }

    /// How often the host had no room for an instance so far.
    pub(super) fn times_without_room(&self) -> u64 {
        self.modules.runtime().times_without_room()
    }

    /// Refuses to say anything against a module if the host had no room meanwhile.
    pub(super) fn had_room_since(&self, before: u64) -> Result<(), Error> {
        if self.times_without_room() == before {
            Ok(())
        } else {
            Err(Error::NotRun(RunError::NoRoom))
        }
    }

    /// What is to be said of a candidate now: what a rehearsal has found, if there was one, and what has happened since.
    async fn report(&self, subject: &Subject) -> Result<Report, Error> {
        let watch = Watch::default();
        if let Some(rehearsed) = self.rehearsed(subject).await? {
            // Where more has been stored since than there was, the rehearsal has not seen what matters.
            let seen = rehearsed.facts(Step::Refold);
            let seen = seen.and_then(|facts| facts["streams"].as_u64());
            let seen = u32::try_from(seen.unwrap_or_default()).unwrap_or(u32::MAX);
            let most = seen.min(MOST_STREAMS);
            let rehearsed = (After::Rehearsal, rehearsed);
            if let Some(report) = self.catch_up(subject, rehearsed, most, &watch).await? {
                return Ok(report);
            }
        }
        let report = self.examine(subject, &watch).await?;
        // So much has been written meanwhile that the next look would be at as much again: what was seen has to do.
        let seen = (After::Steps, report.clone());
        let caught_up = self.catch_up(subject, seen, MOST_STREAMS, &watch);
        Ok(caught_up.await?.unwrap_or(report))
    }
}
