//! What the gate found, for programs and for people.

use serde::Serialize;
use serde_json::Value;

use crate::core::{DeciderName, Json, ModuleDigest};

/// A step of the gate, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The component is well formed, exports the world, imports only what is allowed, and compiles within limits.
    Validate,
    /// The manifest is valid; what it changes against the active module.
    Describe,
    /// The specifications hold, those of the candidate and those of the active module.
    Specs,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// Nothing stands in the way.
    Passed,
    /// Something does.
    Refused,
}

/// Something that the gate has found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The name under which a person can accept it: `schema`, `specs:<title>`.
    pub name: String,
    /// The step that found it.
    pub step: Step,
    /// One sentence for people.
    pub summary: String,
    /// Facts for programs.
    pub details: Value,
    /// Whether it stands in the way unless it is accepted.
    pub blocks: bool,
    /// Whether a person has accepted it.
    pub accepted: bool,
}

/// What the gate has found about a candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The decider.
    pub decider: String,
    /// The module that wants to become active.
    pub candidate: String,
    /// The module that is active; none before the first activation.
    pub active: Option<String>,
    /// Whether nothing stands in the way.
    pub passed: bool,
    /// Each step that has run, in order.
    pub steps: Vec<StepReport>,
    /// All that was found, blocking or not.
    pub findings: Vec<Finding>,
    /// The report in plain words, a sentence each.
    pub summary: Vec<String>,
}

/// How one step went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// The step.
    pub step: Step,
    /// How it ended.
    pub outcome: StepOutcome,
    /// One sentence for people.
    pub summary: String,
}

impl Report {
    pub(super) fn new(
        decider: &DeciderName,
        candidate: ModuleDigest,
        active: Option<ModuleDigest>,
    ) -> Self {
        Self {
            decider: decider.to_string(),
            candidate: candidate.to_string(),
            active: active.map(|digest| digest.to_string()),
            passed: true,
            steps: Vec::new(),
            findings: Vec::new(),
            summary: Vec::new(),
        }
    }

    /// Enters a step with what it found, of which a person has accepted what `accept` names.
    pub(super) fn enter(
        &mut self,
        step: Step,
        summary: String,
        findings: Vec<Finding>,
        accept: &[String],
    ) {
        let mut outcome = StepOutcome::Passed;
        self.summary.push(summary.clone());
        for mut finding in findings {
            finding.accepted = finding.blocks && accept.contains(&finding.name);
            if finding.blocks && !finding.accepted {
                outcome = StepOutcome::Refused;
                self.passed = false;
            }
            let accepted = if finding.accepted { " (accepted)" } else { "" };
            self.summary.push(format!("{}{accepted}", finding.summary));
            self.findings.push(finding);
        }
        self.steps.push(StepReport {
            step,
            outcome,
            summary,
        });
    }

    /// The names of the findings that were let pass.
    pub(super) fn accepted(&self) -> Vec<String> {
        self.findings
            .iter()
            .filter(|finding| finding.accepted)
            .map(|finding| finding.name.clone())
            .collect()
    }

    /// The report as it is stored and sent.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a report has only text keys")]
    pub fn to_json(&self) -> Json {
        let value = serde_json::to_value(self).expect("a report has only text keys");
        // Payloads of specifications come from manifests, which were checked as JSON when they were taken in.
        Json::from_value(&value).unwrap_or_else(|_| Json::empty_object())
    }
}
