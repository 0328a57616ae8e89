//! The gate's entry points, by the candidate's kind.

use gavel_engine::catalog::{self, Ready};
use gavel_engine::views::ViewLimits;
use gavel_model::{Activation, ActivationKey, Json, ModuleDigest};
use gavel_store::NewActivation;
use gavel_store::views::TableHold;
use tokio::sync::watch;

use super::look::Look;
use super::past::Throttling;
use super::pointing::Pointing;
use super::subject::{Subject, Swap};
use super::views::{self, ViewLook, ViewSubject};
use super::{
    ActivationRequest, Error, Gate, Policy, RehearsalRequest, Report, SpecRun, Watch, specs,
};

/// Runs the specifications that a module holds, those of a view within limits. Calls the guest.
#[must_use]
pub fn run_specs(module: &Ready, limits: ViewLimits) -> Vec<SpecRun> {
    match module {
        Ready::Decider(decider) => specs::run_all(decider),
        Ready::View(view) => views::run_all(view, limits),
        // Manifests of processes hold none.
        Ready::Process(_) => Vec::new(),
    }
}

/// A candidate, next to what it would replace, as it was last looked at.
#[derive(Debug, Clone)]
pub(super) enum Examined {
    Decider(Box<Subject>, Box<Look>),
    View(Box<ViewSubject>, Box<ViewLook>),
}

impl Examined {
    /// The entry of the activation log that is to be made.
    pub(super) fn pointing(&self) -> Pointing {
        match self {
            Self::Decider(subject, _) => subject.pointing(),
            Self::View(subject, _) => subject.pointing(),
        }
    }

    /// The findings to accept, by name.
    pub(super) fn accept(&self) -> &[String] {
        match self {
            Self::Decider(subject, _) => &subject.accept,
            Self::View(subject, _) => &subject.accept,
        }
    }

    pub(super) fn report(&self) -> &Report {
        match self {
            Self::Decider(_, look) => &look.report,
            Self::View(_, look) => &look.report,
        }
    }

    /// All reports that say what was found.
    pub(super) fn reports_mut(&mut self) -> Vec<&mut Report> {
        match self {
            Self::Decider(_, look) => look.reports_mut().collect(),
            Self::View(_, look) => vec![&mut look.report],
        }
    }

    /// Makes the activation that a request asks for, with the report.
    pub(super) fn activation(&self, request: &ActivationRequest) -> NewActivation {
        let events = match self {
            Self::Decider(subject, _) => subject.candidate.manifest().event_types(),
            Self::View(..) => Vec::new(),
        };
        NewActivation {
            key: request.key.clone(),
            after: self.pointing().after,
            digest: Some(request.digest),
            events,
            activated_by: request.activated_by.clone(),
            message: request.message.clone(),
            accepted: self.report().accepted(),
            report: self.report().to_json(),
        }
    }
}

impl Gate {
    /// Takes one of so many candidates through the steps.
    pub(super) async fn examined(
        &self,
        candidate: &Ready,
        request: &ActivationRequest,
        direction: Swap,
        of: usize,
    ) -> Result<Examined, Error> {
        let ActivationRequest { key, accept, .. } = request;
        Ok(match candidate {
            Ready::Decider(candidate) => {
                let subject = self.subject(key, candidate, direction, accept).await?;
                let look = self.look(&subject, of).await?;
                Examined::Decider(subject.into(), look.into())
            }
            Ready::View(candidate) => {
                let subject = self.view_subject(key, candidate, direction, accept).await?;
                let look = self.examine_view(&subject, &Watch::default()).await?;
                Examined::View(subject.into(), look.into())
            }
            Ready::Process(_) => return Err(not_run(candidate)),
        })
    }

    /// Looks at what was stored since the last look at a candidate. False when everything is to be
    /// looked at again.
    pub(super) async fn go_on(
        &self,
        look: &mut Examined,
        throttling: Throttling,
    ) -> Result<bool, Error> {
        match look {
            Examined::Decider(subject, look) => self.look_on(subject, look, throttling).await,
            Examined::View(subject, look) => self.look_on_view(subject, look).await,
        }
    }

    /// Does what follows from activations that have taken place, the tables of whose views are
    /// held.
    pub(super) async fn follow(
        &self,
        looks: &[Examined],
        tables: Option<Box<dyn TableHold>>,
        activated: &[Activation],
    ) {
        let mut views = Vec::new();
        for look in looks {
            match look {
                Examined::Decider(subject, _) => {
                    self.forget_snapshots(&subject.namespace, &subject.decider);
                }
                Examined::View(subject, look) => views.push((&**subject, &**look)),
            }
        }
        if let Some(tables) = tables {
            self.point_views(&views, tables, activated).await;
        }
    }

    /// The requirements on the candidates of a name.
    pub(super) fn policy(&self, key: &ActivationKey) -> &Policy {
        let policies = &self.settings.policies;
        policies.of(key.namespace(), &key.name().to_decider())
    }

    /// Takes a candidate through the gate; puts into `found` what is seen of it before the end.
    pub(super) async fn rehearse(
        &self,
        request: &RehearsalRequest,
        watch: &Watch,
        found: &watch::Sender<Option<Json>>,
    ) -> Result<Report, Error> {
        match self.candidate(&request.key, request.digest).await? {
            Ready::Decider(candidate) => {
                self.rehearse_decider(&candidate, request, watch, found)
                    .await
            }
            Ready::View(candidate) => self.rehearse_view(&candidate, request, watch).await,
            candidate @ Ready::Process(_) => Err(not_run(&candidate)),
        }
    }

    /// Makes a module ready that the pointer may be moved to: one of the pointer's kind.
    pub(super) async fn candidate(
        &self,
        key: &ActivationKey,
        digest: ModuleDigest,
    ) -> Result<Ready, Error> {
        let ready = self.modules.ready(digest).await.map_err(Error::Module)?;
        let (kind, wanted) = (ready.module().kind(), key.kind());
        if kind == wanted {
            return Ok(ready);
        }
        let reasons = vec![format!("it is a {kind}, not a {wanted}")];
        Err(Error::Module(catalog::Error::Invalid { reasons }))
    }
}

fn not_run(candidate: &Ready) -> Error {
    Error::Module(catalog::Error::not_run(candidate.module().kind()))
}
