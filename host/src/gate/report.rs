//! What the gate found, for programs and for people.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Mode, Policy, RollbackSafety};
use crate::core::{ActivationNumber, DeciderName, Json, ModuleDigest, Position};

/// A step of the gate, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The component is well formed, exports the world, imports only what is allowed, and compiles within limits.
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
    /// What is decided twice gives the same bytes.
    Determinism,
    /// Fuel and size of states against the active module.
    Cost,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// Nothing stands in the way.
    Passed,
    /// Something does.
    Refused,
}

/// Something that the gate has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The name under which a person can accept it: `schema`, `specs:<title>`, `decisions`, `determinism`, `cost`. Nobody can accept `re-fold`: a module
    /// that cannot fold a stream never becomes active.
    pub name: String,
    /// The step that found it.
    pub step: Step,
    /// One sentence for people.
    pub summary: String,
    /// Facts for programs. `example`, if it is there, holds lines for people.
    pub details: Value,
    /// Whether it stands in the way unless it is accepted.
    pub blocks: bool,
    /// Whether a person has accepted it.
    pub accepted: bool,
}

/// What a step has found, before anybody says what to make of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StepResult {
    pub(super) step: Step,
    /// One sentence for people.
    pub(super) summary: String,
    pub(super) findings: Vec<Finding>,
    /// Numbers and examples for programs.
    pub(super) facts: Value,
}

/// What the gate has found about a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The decider.
    pub decider: String,
    /// The module that wants to become active.
    pub candidate: String,
    /// The module that is active; none before the first activation.
    pub active: Option<String>,
    /// The activation that the candidate was compared with; 0 before the first.
    pub activation: i64,
    /// Where the log of the namespace ended before the history was read: what comes after it was not looked at.
    pub as_of: String,
    /// Whether nothing stands in the way.
    pub passed: bool,
    /// Each step that has run, in order.
    pub steps: Vec<StepReport>,
    /// All that was found, blocking or not.
    pub findings: Vec<Finding>,
    /// The report in plain words, a sentence each.
    pub summary: Vec<String>,
    /// Whether it will be possible to go back.
    pub rollback: Option<RollbackSafety>,
}

/// How one step went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step.
    pub step: Step,
    /// How it ended.
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
        active: Option<(ModuleDigest, ActivationNumber)>,
        as_of: Position,
    ) -> Self {
        Self {
            decider: decider.to_string(),
            candidate: candidate.to_string(),
            active: active.map(|(digest, _)| digest.to_string()),
            activation: active
                .map_or(ActivationNumber::NONE, |(_, number)| number)
                .get(),
            as_of: as_of.to_string(),
            passed: true,
            steps: Vec::new(),
            findings: Vec::new(),
            summary: Vec::new(),
            rollback: None,
        }
    }

    /// Enters a step. Gives whether nothing that it has found stands in the way.
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

    /// Says anew what stands in the way, and puts it in words.
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
        self.summary.extend(
            self.rollback
                .as_ref()
                .map(|rollback| rollback.summary.clone()),
        );
        self.passed = !self.findings.iter().any(stands);
    }

    /// Whether a step has run.
    pub(super) fn has(&self, step: Step) -> bool {
        self.steps.iter().any(|entered| entered.step == step)
    }

    /// The names of the findings that were let pass.
    pub(super) fn accepted(&self) -> Vec<String> {
        let accepted = self.findings.iter().filter(|finding| finding.accepted);
        accepted.map(|finding| finding.name.clone()).collect()
    }

    /// The report as it is stored and sent.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a report has only text keys")]
    pub fn to_json(&self) -> Json {
        let value = serde_json::to_value(self).expect("a report has only text keys");
        // Payloads come from manifests and from the store, which were checked as JSON when they were taken in.
        Json::from_value(&value).unwrap_or_else(|_| Json::empty_object())
    }
}
