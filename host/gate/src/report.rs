//! The report of the gate, for programs and for people.

use gavel_model::{ActivationNumber, DeciderName, Json, ModuleDigest};
use gavel_store::Moment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::redecided::Redecisions;
use super::words::{count, count_of};
use super::{Mode, Policy, RollbackSafety};

/// A step of the gate, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The component is well formed, exports the world, imports only what is allowed, and compiles
    /// within limits.
    Validate,
    /// The manifest is valid; what it changes against the active module.
    Describe,
    /// The specifications hold, those of the candidate and those of the active module.
    Specs,
    /// The candidate folds every stream; its states against those of the active module.
    #[serde(rename = "re-fold")]
    Refold,
    /// The candidate decides every recorded command again; its decisions against the recorded ones.
    #[serde(rename = "re-decide")]
    Redecide,
    /// A decision that is made twice gives the same bytes.
    Determinism,
    /// Fuel and size of states against the active module.
    Cost,
}

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// No finding of the step blocks the candidate.
    Passed,
    /// A finding of the step blocks the candidate.
    Refused,
}

/// A finding of the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The name under which a person can accept it: `schema`, `specs:<title>`, `decisions`,
    /// `determinism`, `cost`. Nobody can accept `re-fold`: a module that cannot fold a stream never
    /// becomes active.
    pub name: String,
    /// The step that found it.
    pub step: Step,
    /// One sentence for people.
    pub summary: String,
    /// Facts for programs. `example`, if it is there, holds lines for people.
    pub details: Value,
    /// Tells whether the finding blocks the candidate unless it is accepted.
    pub blocks: bool,
    /// Tells whether a person has accepted the finding.
    pub accepted: bool,
}

/// The result of a step, before the policy judges it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StepResult {
    pub(super) step: Step,
    /// One sentence for people.
    pub(super) summary: String,
    pub(super) findings: Vec<Finding>,
    /// Numbers and examples for programs.
    pub(super) facts: Value,
}

/// The report of the gate about a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The decider.
    pub decider: String,
    /// The module that wants to become active.
    pub candidate: String,
    /// The module that is active; none before the first activation, and after a deactivation.
    pub active: Option<String>,
    /// The newest activation when the candidate was looked at; 0 before the first.
    pub activation: i64,
    /// The end of the namespace's log at the moment through which the history was read: events
    /// after it were not looked at, except those that had been stored by that moment all the same.
    pub as_of: String,
    /// The moment of `as_of`, in the notation of the store. Absent from reports that are older than
    /// such moments.
    #[serde(default)]
    pub as_of_mark: String,
    /// Tells whether no finding blocks the candidate.
    pub passed: bool,
    /// Each step that has run, in order.
    pub steps: Vec<StepReport>,
    /// The streams and commands that were looked at after the steps, because they were stored after
    /// the steps had begun. Redecisions on them are counted in the step as well.
    #[serde(default)]
    pub caught_up: CaughtUp,
    /// All that was found, blocking or not.
    pub findings: Vec<Finding>,
    /// The report in plain words, a sentence each.
    pub summary: Vec<String>,
    /// The safety of a later rollback to the module that is active now; none when no module is
    /// active.
    pub rollback: Option<RollbackSafety>,
}

/// The streams and commands that were looked at after the steps. A stream that has moved twice is
/// counted twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CaughtUp {
    /// Streams that were folded again.
    pub streams: u64,
    /// Streams whose state is another one than the active module's.
    pub different: u64,
    /// Streams that the candidate cannot fold.
    pub failed: u64,
    /// Commands that were decided again.
    pub commands: u64,
}

impl CaughtUp {
    fn in_words(self) -> String {
        format!(
            "Since then {} decided in {}: {} with another state · {} failed.",
            count_of(self.commands, "command"),
            count_of(self.streams, "stream"),
            count(self.different),
            count(self.failed)
        )
    }
}

/// The report of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step.
    pub step: Step,
    /// The outcome of the step.
    pub outcome: StepOutcome,
    /// One sentence for people.
    pub summary: String,
    /// Numbers and examples.
    pub facts: Value,
}

impl Report {
    pub(super) fn new(
        decider: &DeciderName,
        candidate: ModuleDigest,
        (after, active): (ActivationNumber, Option<ModuleDigest>),
        as_of: &Moment,
    ) -> Self {
        Self {
            decider: decider.to_string(),
            candidate: candidate.to_string(),
            active: active.map(|digest| digest.to_string()),
            activation: after.get(),
            as_of: as_of.settled.to_string(),
            as_of_mark: as_of.mark.clone(),
            passed: true,
            steps: Vec::new(),
            caught_up: CaughtUp::default(),
            findings: Vec::new(),
            summary: Vec::new(),
            rollback: None,
        }
    }

    /// Enters a step. Tells whether no finding of the step blocks the candidate.
    pub(super) fn enter(&mut self, result: StepResult, policy: &Policy, accept: &[String]) -> bool {
        let StepResult {
            step,
            summary,
            findings,
            facts,
        } = result;
        self.steps.push(StepReport {
            step,
            outcome: StepOutcome::Passed,
            summary,
            facts,
        });
        self.findings.extend(findings);
        self.judge(policy, accept);
        self.steps
            .last()
            .is_none_or(|step| step.outcome == StepOutcome::Passed)
    }

    /// Judges all findings again by `policy` and `accept`, and writes the summary.
    pub(super) fn judge(&mut self, policy: &Policy, accept: &[String]) {
        let stands = |finding: &Finding| finding.blocks && !finding.accepted;
        for finding in &mut self.findings {
            let is_fatal = finding.step == Step::Refold;
            let is_accepted = policy.mode == Mode::Warn || accept.contains(&finding.name);
            finding.accepted = finding.blocks && is_accepted && !is_fatal;
        }
        self.summary.clear();
        for step in &mut self.steps {
            self.summary.push(step.summary.clone());
            step.outcome = StepOutcome::Passed;
            for finding in self
                .findings
                .iter()
                .filter(|finding| finding.step == step.step)
            {
                if stands(finding) {
                    step.outcome = StepOutcome::Refused;
                }
                let accepted = if finding.accepted { " (accepted)" } else { "" };
                self.summary.push(format!("{}{accepted}", finding.summary));
            }
        }
        if self.caught_up != CaughtUp::default() {
            self.summary.push(self.caught_up.in_words());
        }
        self.summary.extend(
            self.rollback
                .as_ref()
                .map(|rollback| rollback.summary.clone()),
        );
        self.passed = !self.findings.iter().any(stands);
    }

    /// Enters the results about everything that was stored since, through `as_of`. `redecided`
    /// replaces the step's result, `refolded` is what was folded since.
    pub(super) fn go_on(
        &mut self,
        as_of: &Moment,
        caught_up: CaughtUp,
        refolded: StepResult,
        redecided: StepResult,
    ) {
        (self.as_of, self.as_of_mark) = (as_of.settled.to_string(), as_of.mark.clone());
        self.caught_up.streams += caught_up.streams;
        self.caught_up.different += caught_up.different;
        self.caught_up.failed += caught_up.failed;
        self.caught_up.commands += caught_up.commands;
        self.findings
            .retain(|finding| finding.step != redecided.step);
        let found = [refolded.findings, redecided.findings].concat();
        self.findings.extend(found);
        self.findings.sort_by_key(|finding| finding.step);
        let mut steps = self.steps.iter_mut();
        if let Some(step) = steps.find(|step| step.step == redecided.step) {
            step.summary = redecided.summary;
            step.facts = redecided.facts;
        }
    }

    /// Gives the moment through which the history was looked at; none in a report that does not
    /// hold it.
    pub(super) fn moment(&self) -> Option<Moment> {
        Some(Moment {
            settled: self.as_of.parse().ok()?,
            mark: Some(self.as_of_mark.clone()).filter(|mark| !mark.is_empty())?,
        })
    }

    /// Gives the results of a step, in numbers; none if the step has not run.
    pub(super) fn facts(&self, step: Step) -> Option<&Value> {
        let mut steps = self.steps.iter();
        let entered = steps.find(|entered| entered.step == step)?;
        Some(&entered.facts)
    }

    /// Gives the results of deciding again; none if nothing was decided again.
    pub(super) fn decisions(&self) -> Option<Redecisions> {
        Redecisions::from_facts(self.facts(Step::Redecide)?)
    }

    /// Lists the names of the findings that were accepted.
    pub(super) fn accepted(&self) -> Vec<String> {
        let accepted = self.findings.iter().filter(|finding| finding.accepted);
        accepted.map(|finding| finding.name.clone()).collect()
    }

    /// Writes the report as it is stored and sent.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a report has only text keys")]
    pub fn to_json(&self) -> Json {
        let value = serde_json::to_value(self).expect("a report has only text keys");
        // Payloads come from manifests and from the store, which were checked as JSON when they
        // were taken in.
        Json::from_value(&value).unwrap_or_else(|_| Json::empty_object())
    }
}
