//! The results of the steps, before the policy judges them.

use super::Finding;
use super::cost::Cost;
use super::determinism::Repetition;
use super::facts::{CostFacts, DeterminismFacts, StepFacts};
use super::redecided::Redecisions;
use super::refolded::Refolded;

/// The result of a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StepResult {
    /// One sentence for people.
    pub(super) summary: String,
    pub(super) findings: Vec<Finding>,
    pub(super) facts: StepFacts,
}

impl Refolded {
    /// Makes the result of the step, which took so many seconds.
    pub(super) fn result(&self, has_active: bool, seconds: f64) -> StepResult {
        StepResult {
            summary: self.summary(has_active, seconds),
            findings: self.findings(),
            facts: StepFacts::Refold(self.facts(seconds)),
        }
    }
}

impl Redecisions {
    /// Makes the result of the step. A share of changes above `max_changed` blocks.
    pub(super) fn result(&self, max_changed: f64) -> StepResult {
        StepResult {
            summary: self.summary(),
            findings: self.findings(max_changed),
            facts: StepFacts::Redecide(self.clone()),
        }
    }
}

impl Repetition {
    /// Makes the result of the step.
    pub(super) fn result(&self) -> StepResult {
        StepResult {
            summary: self.summary(),
            findings: self.findings(),
            facts: StepFacts::Determinism(DeterminismFacts::Commands(self.clone())),
        }
    }
}

impl Cost {
    /// Makes the result of the step. An increase of fuel above `max_increase`, a share, blocks.
    pub(super) fn result(&self, max_increase: f64) -> StepResult {
        StepResult {
            summary: self.summary(),
            findings: self.findings(max_increase),
            facts: StepFacts::Cost(CostFacts::Commands(self.clone())),
        }
    }
}
