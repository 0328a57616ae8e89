//! The gate's entry points, by the candidate's kind.

use gavel_engine::catalog::{self, Ready};
use gavel_model::{Activation, ActivationKey, Json, ModuleDigest};
use tokio::sync::watch;

use super::subject::Swap;
use super::{
    ActivationRequest, Error, Gate, RehearsalRequest, Report, SpecRun, Watch, specs, views,
};

/// Runs the specifications that a module holds. Calls the guest.
#[must_use]
pub fn run_specs(module: &Ready) -> Vec<SpecRun> {
    match module {
        Ready::Decider(decider) => specs::run_all(decider),
        Ready::View(view) => views::run_all(view),
    }
}

impl Gate {
    /// Takes candidates through the gate, and moves the pointers to them when all pass.
    pub(super) async fn pass(
        &self,
        requests: &[ActivationRequest],
        direction: Swap,
    ) -> Result<Vec<Activation>, Error> {
        let (mut deciders, mut views) = (Vec::new(), Vec::new());
        for request in requests {
            match self.candidate(&request.key, request.digest).await? {
                Ready::Decider(candidate) => deciders.push(candidate),
                Ready::View(candidate) => views.push(candidate),
            }
        }
        match (deciders.is_empty(), views.is_empty()) {
            (_, true) => self.pass_deciders(&deciders, requests, direction).await,
            (true, false) => self.pass_views(&views, requests, direction).await,
            (false, false) => Err(Error::Mixed),
        }
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
