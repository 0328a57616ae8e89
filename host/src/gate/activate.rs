//! Running the steps, and moving the pointer when nothing stands in the way.

use std::sync::Arc;

use serde_json::json;

use super::{Error, Finding, Report, SpecFailure, Step, describe, run_specs};
use crate::core::{Activation, ActivationNumber, DeciderName, ModuleDigest, Namespace};
use crate::modules::{Active, Decider, Modules, Spec};
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

/// Whether a module is replaced by a candidate, or by the one that it has replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

/// Looks at candidates and activates those that pass.
#[derive(Debug, Clone)]
pub struct Gate {
    store: Arc<dyn Store>,
    modules: Modules,
}

impl Gate {
    /// A gate in front of `modules`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, modules: Modules) -> Self {
        Self { store, modules }
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
            let report = self
                .examine(&request, direction, active.as_deref(), &candidate)
                .await?;
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
                Ok(activation) => return Ok(activation),
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

    async fn examine(
        &self,
        request: &ActivationRequest,
        direction: Direction,
        active: Option<&Active>,
        candidate: &Arc<Decider>,
    ) -> Result<Report, Error> {
        let mut report = Report::new(
            &request.decider,
            request.digest,
            active.map(|active| active.activation.digest),
        );
        // A module is only ever stored, and made ready, after it has passed this.
        report.enter(
            Step::Validate,
            "The component is well formed and asks for nothing that it cannot have.".to_owned(),
            Vec::new(),
            &request.accept,
        );

        let former = active.map(|active| active.decider.manifest());
        let (summary, findings) = describe::compare(
            &*self.store,
            &request.namespace,
            &request.decider,
            former,
            candidate.manifest(),
        )
        .await?;
        report.enter(Step::Describe, summary, findings, &request.accept);
        if !report.passed {
            return Ok(report);
        }

        let (summary, findings) = self.specs(direction, active, candidate).await?;
        report.enter(Step::Specs, summary, findings, &request.accept);
        Ok(report)
    }

    /// The candidate's own specifications, and those of the active module that it does not bring along unchanged.
    async fn specs(
        &self,
        direction: Direction,
        active: Option<&Active>,
        candidate: &Arc<Decider>,
    ) -> Result<(String, Vec<Finding>), Error> {
        let running = candidate.clone();
        let former = active.map(|active| active.decider.clone());
        let run = move || {
            let own = &running.manifest().specs;
            let theirs: Vec<&Spec> = match &former {
                Some(former) => former
                    .manifest()
                    .specs
                    .iter()
                    .filter(|spec| !own.contains(spec))
                    .collect(),
                None => Vec::new(),
            };
            let count = own.len() + theirs.len();
            (count, run_specs(&running, own), run_specs(&running, theirs))
        };
        let (count, own, theirs) = self
            .modules
            .runtime()
            .run(candidate.module(), run)
            .await
            .map_err(Error::NotRun)?;

        let own = own
            .into_iter()
            .map(|failure| finding("the module", failure, true));
        // Going back must not fail on what only the module that is left behind has promised.
        let binding = direction == Direction::Forward;
        let theirs = theirs
            .into_iter()
            .map(|failure| finding("the active module", failure, binding));
        let findings: Vec<Finding> = own.chain(theirs).collect();
        Ok((
            format!("{count} specs run, {} do not hold.", findings.len()),
            findings,
        ))
    }
}

fn finding(whose: &str, failure: SpecFailure, blocks: bool) -> Finding {
    let SpecFailure {
        title,
        reason,
        expected,
        actual,
        faulted: _,
    } = failure;
    Finding {
        name: format!("specs:{title}"),
        step: Step::Specs,
        summary: format!("Spec \"{title}\" of {whose} does not hold: {reason}."),
        details: json!({ "title": title, "expected": expected, "actual": actual }),
        blocks,
        accepted: false,
    }
}
