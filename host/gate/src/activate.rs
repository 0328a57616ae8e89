//! The activation: runs the steps, and moves the pointers of a set of modules when no finding
//! blocks one of them. A module alone is a set of one.

use std::sync::Arc;
use std::time::Duration;

use gavel_engine::catalog::{self, Decider, Ready};
use gavel_model::{Activation, ActivationKey, ModuleDigest, Namespace};
use gavel_store::{ActivateError, ActivationSet, Moment, NewActivation, SwapCount};
use tokio::time::timeout;

use super::catch_up::{MOST_STREAMS, MOST_STREAMS_SINCE, Seen};
use super::past::Throttling;
use super::starts::Starts;
use super::subject::{Subject, Swap};
use super::{Error, Gate, Report, Step, Watch};

/// The most modules that are activated together. Each is looked at, one after the other.
pub const MOST_MODULES: usize = 16;
/// The most looks at candidates, when another activation comes first each time.
pub(super) const ATTEMPTS: u32 = 5;
/// The most times that the deciders are held for the last look, before callers are told that too
/// much is written to them.
const TURNS: u32 = 5;
/// The most times that the dependents are looked at again, because another module of the namespace
/// was activated meanwhile.
const MOST_MOVES: u32 = 100;
/// The longest time that deciders are held for the last look, at what was stored since the look
/// before. A look that takes longer continues while commands are carried out.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A request to activate a module, and its author.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationRequest {
    /// The pointer that is to be moved.
    pub key: ActivationKey,
    /// The candidate.
    pub digest: ModuleDigest,
    /// The reason for the activation.
    pub message: Option<String>,
    /// The findings to accept, by name.
    pub accept: Vec<String>,
    /// The authenticated sender; none when authentication is off.
    pub activated_by: Option<String>,
}

/// A candidate as it was last looked at.
#[derive(Debug, Clone)]
struct Look {
    /// The findings of a rehearsal, if there was one, and of what happened since.
    report: Report,
    /// The history that was seen; none where there is nothing to compare.
    seen: Option<Seen>,
}

impl Gate {
    /// Runs the gate, and activates the candidate when it passes.
    ///
    /// Once this has returned, no host decides another command of the decider with the former
    /// module.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the report, or why the gate could not be run. Nothing has changed
    /// then.
    pub async fn activate(&self, request: ActivationRequest) -> Result<Activation, Error> {
        self.pass_one(request, Swap::Forward).await
    }

    /// Runs the gate for modules of one namespace, and activates all of them, at the same moment,
    /// when each passes. Gives the activations in the order of the requests.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the reports of all, [`Error::Unfit`] or [`Error::TooMany`] when they
    /// cannot be activated together, or why the gate could not be run. Nothing has changed then.
    pub async fn activate_together(
        &self,
        requests: &[ActivationRequest],
    ) -> Result<Vec<Activation>, Error> {
        check_together(requests.iter().map(|request| &request.key))?;
        self.pass(requests, Swap::Forward).await
    }

    /// Activates the module that was active before the present one, or until a deactivation,
    /// through the same gate. The specifications of the module that is left behind are run too, but
    /// do not block the rollback.
    ///
    /// # Errors
    ///
    /// [`Error::NotActive`], [`Error::NothingToRollBackTo`], or as [`Gate::activate`].
    pub async fn rollback(
        &self,
        key: &ActivationKey,
        message: Option<String>,
        activated_by: Option<String>,
    ) -> Result<Activation, Error> {
        let history = self.modules.history(key).await.map_err(Error::Module)?;
        let Some(newest) = history.first() else {
            return Err(Error::NotActive { key: key.clone() });
        };
        // A module that was activated twice in a row has not replaced another one the second time.
        let digest = history
            .iter()
            .filter(|activation| activation.digest != newest.digest)
            .find_map(|activation| activation.digest)
            .ok_or_else(|| Error::NothingToRollBackTo { key: key.clone() })?;
        let request = ActivationRequest {
            key: key.clone(),
            digest,
            message,
            accept: Vec::new(),
            activated_by,
        };
        self.pass_one(request, Swap::Back).await
    }

    async fn pass_one(
        &self,
        request: ActivationRequest,
        direction: Swap,
    ) -> Result<Activation, Error> {
        let activated = self.pass(std::slice::from_ref(&request), direction).await?;
        let mut activated = activated.into_iter();
        Ok(activated.next().expect("each request has its activation"))
    }

    /// Takes deciders through the gate, again and again while others come first.
    pub(super) async fn pass_deciders(
        &self,
        candidates: &[Arc<Decider>],
        requests: &[ActivationRequest],
        direction: Swap,
    ) -> Result<Vec<Activation>, Error> {
        for _ in 0..ATTEMPTS {
            let mut subjects = Vec::with_capacity(candidates.len());
            for (candidate, request) in candidates.iter().zip(requests) {
                let ActivationRequest { key, accept, .. } = request;
                subjects.push(self.subject(key, candidate, direction, accept).await?);
            }
            if let Some(mut activated) = self.swap(&subjects, requests).await? {
                for subject in &subjects {
                    self.forget_snapshots(&subject.namespace, &subject.decider);
                }
                activated.sort_by_key(|activation| {
                    let mut requests = requests.iter();
                    requests.position(|request| request.key == activation.key)
                });
                return Ok(activated);
            }
        }
        Err(contended(requests))
    }

    /// Looks at candidates, and moves the pointers to them when all pass. None when everything is
    /// to be looked at again: another module has become active meanwhile, or too much was stored.
    async fn swap(
        &self,
        subjects: &[Subject],
        requests: &[ActivationRequest],
    ) -> Result<Option<Vec<Activation>>, Error> {
        let keys = requests.iter().map(|request| &request.key);
        let namespace = ActivationSet::check(keys).map_err(Error::Unfit)?;
        let without_room = self.times_without_room();
        let mut looks = Vec::with_capacity(subjects.len());
        for subject in subjects {
            looks.push(self.look(subject, subjects.len()).await?);
        }
        let keys = requests.iter().map(|request| request.key.clone()).collect();
        let candidates = subjects.iter().map(|subject| subject.candidate.clone());
        let candidates: Vec<_> = candidates.map(Ready::Decider).collect();
        let (mut turn, mut moves) = (0, 0);
        while turn < TURNS && moves < MOST_MOVES {
            let swaps = self
                .look_at_dependents(namespace, subjects, &mut looks)
                .await?;
            self.require(&looks, without_room)?;
            // Where giving way has led to nothing, it is done at the cost of those who write so
            // much.
            let throttling = match turn {
                0 => Throttling::GivesWay,
                _ => Throttling::Presses,
            };
            for (subject, look) in subjects.iter().zip(&mut looks) {
                if !self.look_on(subject, look, throttling).await? {
                    return Ok(None);
                }
            }
            self.require(&looks, without_room)?;

            let mut last = looks.clone();
            let hold = self.store.hold(&keys).await.map_err(Error::Store)?;
            let looking = self.look_at_last(subjects, &mut last);
            let through = match timeout(LAST_LOOK, looking).await {
                Ok(Ok(Some(through))) => through,
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(error),
                // It is looked at while they go on.
                Err(_elapsed) => {
                    turn += 1;
                    continue;
                }
            };
            self.require(&last, without_room)?;
            let activations = subjects.iter().zip(requests).zip(&last);
            let activations = activations
                .map(|((subject, request), look)| activation_of(subject, request, &look.report));
            let set = ActivationSet::new(activations.collect()).map_err(Error::Unfit)?;
            let set = set.after(swaps);
            let activating = self.modules.activate(hold, set, &through, &candidates);
            match activating.await {
                Err(ActivateError::Overtaken { .. }) => (looks, turn) = (last, turn + 1),
                Err(ActivateError::NamespaceMoved) => (looks, moves) = (last, moves + 1),
                activated => return settled(activated),
            }
        }
        Err(contended(requests))
    }

    /// Looks at those who depend on the candidates, all together: others may have become active
    /// since each was looked at, or rehearsed. Gives the swaps after which that holds.
    async fn look_at_dependents(
        &self,
        namespace: &Namespace,
        subjects: &[Subject],
        looks: &mut [Look],
    ) -> Result<SwapCount, Error> {
        let watch = Watch::default();
        let pointings: Vec<_> = subjects.iter().map(Subject::pointing).collect();
        let dependents = self.dependents(namespace, &pointings, &watch).await?;
        for ((subject, look), result) in subjects.iter().zip(looks).zip(dependents.results) {
            let policy = self.settings.policies.of(namespace, &subject.decider);
            let reports = [
                Some(&mut look.report),
                look.seen.as_mut().map(Seen::report_mut),
            ];
            // Where the examination has ended before the step, there is nothing to renew.
            let reports = reports.into_iter().flatten();
            for report in reports.filter(|report| report.has(Step::Specs)) {
                report.replace(result.clone());
                report.judge(policy, &subject.accept);
            }
        }
        Ok(dependents.swaps)
    }

    /// Looks at what was stored since the last look at a candidate. False when that cannot be
    /// determined, or is too much.
    async fn look_on(
        &self,
        subject: &Subject,
        look: &mut Look,
        throttling: Throttling,
    ) -> Result<bool, Error> {
        let Some(seen) = &mut look.seen else {
            return Ok(true);
        };
        let caught_up = self.catch_up(subject, seen, MOST_STREAMS_SINCE, throttling);
        if !caught_up.await? {
            return Ok(false);
        }
        look.report = self.report_of(subject, seen);
        Ok(true)
    }

    /// Looks once more at all candidates, whose deciders are held. Gives the moment through which
    /// everything was seen; none when that cannot be determined, or is too much. Dropped midway,
    /// the looks are of no use.
    async fn look_at_last(
        &self,
        subjects: &[Subject],
        looks: &mut [Look],
    ) -> Result<Option<Moment>, Error> {
        let Some(first) = subjects.first() else {
            return Ok(None);
        };
        let now = self.store.moment(&first.namespace).await;
        let now = now.map_err(Error::Store)?;
        for (subject, look) in subjects.iter().zip(looks) {
            let Some(seen) = &mut look.seen else {
                continue;
            };
            let (most, throttling) = (MOST_STREAMS_SINCE, Throttling::Presses);
            let seen_again = self.look_again(subject, seen, &now, most, throttling);
            if seen_again.await?.is_none() {
                return Ok(None);
            }
            look.report = self.report_of(subject, seen);
        }
        Ok(Some(now))
    }

    /// Accepts reports without blocking findings. Reports of a host that had no room for instances
    /// meanwhile speak against a candidate without reason.
    fn require(&self, looks: &[Look], without_room: u64) -> Result<(), Error> {
        if looks.iter().all(|look| look.report.passed) {
            return Ok(());
        }
        self.had_room_since(without_room)?;
        Err(Error::Refused {
            reports: looks.iter().map(|look| look.report.to_json()).collect(),
        })
    }

    /// Gives the report of a look, unless the host had no room for instances meanwhile: then the
    /// report speaks against a candidate without reason.
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

    /// Looks at one of so many candidates: takes the findings of a rehearsal, if there was one, and
    /// what happened since.
    async fn look(&self, subject: &Subject, of: usize) -> Result<Look, Error> {
        if let Some(rehearsed) = self.rehearsed(subject).await? {
            // Where more has been stored since than there was, the rehearsal has not seen what
            // matters.
            let seen = u32::try_from(rehearsed.refolded_streams()).unwrap_or(u32::MAX);
            let most = seen.min(MOST_STREAMS);
            if let Some(mut seen) = Seen::of(&rehearsed, Starts::of_one_in(of))
                && self
                    .catch_up(subject, &mut seen, most, Throttling::GivesWay)
                    .await?
            {
                return Ok(Look {
                    report: self.report_of(subject, &seen),
                    seen: Some(seen),
                });
            }
        }
        let (mut ends, watch) = (Starts::of_one_in(of), Watch::default());
        let report = self.examine(subject, Some(&mut ends), &watch).await?;
        let seen = Seen::of(&report, ends);
        Ok(Look { report, seen })
    }
}

/// Checks that modules may be activated together under such keys.
///
/// # Errors
///
/// [`Error::Unfit`], or [`Error::TooMany`] when there are more than [`MOST_MODULES`].
pub fn check_together<'k>(
    keys: impl ExactSizeIterator<Item = &'k ActivationKey>,
) -> Result<(), Error> {
    if keys.len() > MOST_MODULES {
        let limit = MOST_MODULES;
        return Err(Error::TooMany { limit });
    }
    ActivationSet::check(keys).map_err(Error::Unfit)?;
    Ok(())
}

/// Makes the activation that a request asks for, with the report.
fn activation_of(subject: &Subject, request: &ActivationRequest, report: &Report) -> NewActivation {
    NewActivation {
        key: request.key.clone(),
        after: subject.after,
        digest: Some(request.digest),
        events: subject.candidate.manifest().event_types(),
        activated_by: request.activated_by.clone(),
        message: request.message.clone(),
        accepted: report.accepted(),
        report: report.to_json(),
    }
}

/// The refusal of requests that others came before again and again.
pub(super) fn contended(requests: &[ActivationRequest]) -> Error {
    Error::Contended {
        keys: requests.iter().map(|request| request.key.clone()).collect(),
    }
}

/// Gives the result of an attempt to move pointers. None where another step came first.
pub(super) fn settled<T>(activated: Result<T, ActivateError>) -> Result<Option<T>, Error> {
    match activated {
        Ok(activated) => Ok(Some(activated)),
        Err(
            ActivateError::Moved { .. }
            | ActivateError::NamespaceMoved
            | ActivateError::Overtaken { .. },
        ) => Ok(None),
        Err(ActivateError::NameTaken { key, kind }) => Err(Error::NameTaken {
            name: key.name().clone(),
            kind,
        }),
        Err(ActivateError::ModuleNotFound { digest }) => {
            Err(Error::Module(catalog::Error::NotFound { digest }))
        }
        Err(ActivateError::Store(error)) => Err(Error::Store(error)),
    }
}
