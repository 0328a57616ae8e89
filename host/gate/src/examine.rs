//! The examination: takes a candidate through the steps, in order.

use std::sync::Arc;
use std::time::Instant;

use gavel_model::{ActivationKey, DeciderName, Namespace};
use gavel_sandbox::scheduling::COUNT_PAGE;
use gavel_store::Place;

use super::cost::Cost;
use super::facts::{StepFacts, ValidateFacts};
use super::rollback::unwritten_before;
use super::starts::Starts;
use super::subject::Subject;
use super::{Error, Gate, Report, Step, StepResult, Watch, describe};

impl Gate {
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
        let alone = [subject.pointing()];
        let dependents = self.dependents(&subject.namespace, &alone, watch);
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
        let (namespace, decider) = (&subject.namespace, &subject.decider);
        let events = self.count_events(namespace, decider, watch).await?;
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
    pub(super) async fn count_events(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        watch: &Watch,
    ) -> Result<u64, Error> {
        let throttle = self.modules.runtime().throttle();
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
}
