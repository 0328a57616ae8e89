//! The examination: takes a candidate through the steps, in order.

use std::sync::Arc;
use std::time::Instant;

use gavel_engine::catalog::{self, Active, Decider, Manifest};
use gavel_model::{
    ActivationKey, ActivationNumber, CommandRecord, DeciderName, ModuleDigest, Namespace,
};
use gavel_sandbox::scheduling::COUNT_PAGE;
use gavel_store::{Moment, PastRange, Place};

use super::compare::Checks;
use super::cost::Cost;
use super::facts::{StepFacts, ValidateFacts};
use super::moved::Starts;
use super::rollback::unwritten_before;
use super::{Error, Gate, Report, Step, StepResult, Watch, describe};

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

    /// Makes a report without any step, of what was stored before `as_of`.
    pub(super) fn empty_report(&self, as_of: &Moment) -> Report {
        let active = self.active.as_ref().map(|active| active.decider.digest());
        let candidate = self.candidate.digest();
        Report::new(&self.decider, candidate, (self.after, active), as_of)
    }

    /// Tells whether the candidate is active already: then it differs in nothing.
    fn is_active(&self) -> bool {
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

    /// Takes a candidate through all steps. A step whose finding leaves nothing for later steps to
    /// look at is the last one. The last states of the streams are put into `ends`, if it is given.
    pub(super) async fn examine(
        &self,
        subject: &Subject,
        ends: Option<&mut Starts>,
        watch: &Watch,
    ) -> Result<Report, Error> {
        let as_of = self.store.moment(&subject.namespace).await;
        let as_of = as_of.map_err(Error::Store)?;
        let active = subject.active.as_deref();
        let mut report = subject.empty_report(&as_of);
        let policy = self
            .settings
            .policies
            .of(&subject.namespace, &subject.decider);
        let accept = &subject.accept;

        // A module is only ever stored, and made ready, after it has passed this.
        watch.begin(Step::Validate, 0);
        let imports = subject.candidate.module().imports().len();
        let validated = StepResult {
            summary: "The component is well formed and asks for nothing that it cannot have."
                .to_owned(),
            findings: Vec::new(),
            facts: StepFacts::Validate(ValidateFacts { imports }),
        };
        report.enter(validated, policy, accept);

        watch.begin(Step::Describe, 0);
        if let Some(active) = active {
            let back = (active.decider.digest(), active.decider.manifest());
            let newer = subject.candidate.manifest();
            let (namespace, decider) = (&subject.namespace, &subject.decider);
            let key = ActivationKey::of_decider(namespace, decider);
            let history = self.modules.history(&key).await.map_err(Error::Module)?;
            let since = unwritten_before(&history, subject.candidate.digest(), as_of.settled);
            let safety = self.back_to(namespace, decider, back, newer, since);
            report.rollback = Some(safety.await?);
        }
        let described = describe::compare(
            &*self.store,
            self.modules.runtime(),
            &subject.namespace,
            &subject.decider,
            active.map(|active| active.decider.manifest()),
            subject.candidate.manifest(),
        );
        if !report.enter(described.await?, policy, accept) {
            return Ok(report);
        }

        // What others read, and what the specifications say, does not change what history shows: a
        // person wants to see all of it.
        watch.begin(Step::Dependents, 0);
        let alone = std::slice::from_ref(subject);
        let dependents = self.dependents(&subject.namespace, alone, watch);
        let dependents = dependents.await?;
        for result in dependents.results {
            report.enter(result, policy, accept);
        }
        watch.begin(Step::Specs, 0);
        report.enter(self.run_specs(subject, watch).await?, policy, accept);
        if subject.is_active() {
            return Ok(report);
        }

        watch.begin(Step::Refold, 0);
        let events = self.count_events(subject, watch).await?;
        watch.begin(Step::Refold, events);
        let began = Instant::now();
        let refolded = self
            .refold(subject.range(as_of.clone()), subject, ends, watch)
            .await?;
        let refolded = refolded.result(active.is_some(), began.elapsed().as_secs_f64());
        if !report.enter(refolded, policy, accept) {
            return Ok(report);
        }

        watch.begin(Step::Redecide, events);
        let began = Instant::now();
        let redecided = self.redecide(subject.range(as_of), subject, watch);
        let (mut decisions, sample) = redecided.await?;
        decisions.seconds = began.elapsed().as_secs_f64();
        let redecided = decisions.result(policy.max_changed_decisions);
        report.enter(redecided, policy, accept);

        let sample = sample.into_streams();
        let events = sample.iter().map(|part| part.events.len() as u64).sum();
        watch.begin(Step::Determinism, events);
        let (candidate, checks) = (&subject.candidate, &subject.checks);
        let repeated = self.decide_twice(&sample, candidate, checks, watch);
        let (repetition, played) = repeated.await?;
        report.enter(repetition.result(), policy, accept);

        watch.begin(Step::Cost, events);
        if let Some(active) = active {
            let folder = self.folder(&active.decider);
            let formerly = self
                .play_all(&sample, folder, &Arc::default(), watch)
                .await?;
            let cost = Cost::of(&sample, &formerly, &played);
            report.enter(cost.result(policy.max_fuel_increase), policy, accept);
        }
        Ok(report)
    }

    /// Counts the events to fold, page by page: a count of everything at once keeps a processor
    /// busy for long.
    async fn count_events(&self, subject: &Subject, watch: &Watch) -> Result<u64, Error> {
        let throttle = self.modules.runtime().throttle();
        let (namespace, decider) = (&subject.namespace, &subject.decider);
        let (mut events, mut after) = (0, Some(Place::default()));
        while let Some(place) = after {
            watch.check()?;
            let page = self
                .store
                .count_events(namespace, decider, &place, COUNT_PAGE);
            let (counted, _) = throttle.take_turns(page).await;
            let counted = counted.map_err(Error::Store)?;
            events += counted.events;
            after = counted.end;
        }
        Ok(events)
    }

    /// Builds the checks that a host makes around the decisions of the candidate and of the active
    /// module, with all modules that were ever active. None for the active module where no other
    /// has decided anything.
    pub(super) async fn checks(
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
            .map_err(|reasons| Error::Module(gavel_engine::catalog::Error::Invalid { reasons }))
    }
}
