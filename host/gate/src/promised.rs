//! The verdicts on specifications, as they are entered one by one.

use std::time::Duration;

use serde_json::Value;

use super::facts::{SpecsFacts, StepFacts};
use super::finding::{FindingDetails, SpecFinding};
use super::words::{count, count_of, excerpt, excerpt_value, seconds};
use super::{Finding, StepResult};

/// The number of failed specifications that are shown with the expected and the actual outcome: a
/// module has as many specifications as it likes.
const SHOWN: u64 = 100;

/// A specification that does not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecFailure {
    /// The specification's title.
    pub title: String,
    /// One sentence for people.
    pub reason: String,
    /// The expected outcome.
    pub expected: Value,
    /// The actual outcome.
    pub actual: Value,
}

/// The results of the step so far.
#[derive(Debug)]
pub(super) struct Promised {
    /// The time that all specifications may run together.
    limit: Duration,
    specs: u64,
    run: u64,
    failed: u64,
    findings: Vec<Finding>,
}

impl Promised {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            specs: 0,
            run: 0,
            failed: 0,
            findings: Vec::new(),
        }
    }

    /// Enters a specification that was run: with the reason for the first few that do not hold,
    /// without it for the others.
    pub(super) fn was_run(&mut self, failure: Option<SpecFailure>, whose: &str, is_binding: bool) {
        self.specs += 1;
        self.run += 1;
        let Some(failure) = failure else {
            return;
        };
        self.failed += 1;
        let SpecFailure {
            title,
            reason,
            expected,
            actual,
        } = failure;
        let mut summary = format!("Spec \"{title}\" of {whose} does not hold");
        let mut details = SpecFinding {
            title,
            expected: None,
            actual: None,
            example: Vec::new(),
        };
        if self.failed <= SHOWN {
            summary = format!("{summary}: {}", excerpt(&reason));
            let example = [("expected", &expected), ("actual", &actual)]
                .map(|(which, value)| format!("{which:<8}  {}", excerpt(&value.to_string())));
            details.expected = Some(excerpt_value(expected));
            details.actual = Some(excerpt_value(actual));
            details.example = example.into();
        }
        let details = FindingDetails::Specs(details);
        let finding = Finding::new(details, summary + ".", is_binding);
        self.findings.push(finding);
    }

    /// Enters a specification for which no time was left.
    pub(super) fn not_run(&mut self, title: &str, whose: &str, is_binding: bool) {
        self.specs += 1;
        let limit = seconds(self.limit.as_secs_f64());
        let summary = format!(
            "Spec \"{title}\" of {whose} was not run: those before it took {limit} (`gate.specs_deadline_ms`)."
        );
        let details = FindingDetails::Specs(SpecFinding {
            title: title.to_owned(),
            expected: None,
            actual: None,
            example: Vec::new(),
        });
        let finding = Finding::new(details, summary, is_binding);
        self.findings.push(finding);
    }

    pub(super) fn result(self) -> StepResult {
        let Self {
            specs, run, failed, ..
        } = self;
        let of_all = if run == specs {
            String::new()
        } else {
            format!("{} of ", count(run))
        };
        StepResult {
            summary: format!("{of_all}{} run: {failed} failed.", count_of(specs, "spec")),
            findings: self.findings,
            facts: StepFacts::Specs(SpecsFacts { specs, run, failed }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_does_not_grow_with_what_failing_specs_expect_and_get() {
        let failure = SpecFailure {
            title: "a".to_owned(),
            reason: "r".repeat(1 << 20),
            expected: json!({ "state": 1 }),
            actual: json!({ "state": vec![1; 1 << 20] }),
        };
        let finding = |failed: u64| {
            let mut promised = Promised::new(Duration::from_secs(1));
            promised.failed = failed;
            promised.was_run(Some(failure.clone()), "the module", true);
            promised.findings.remove(0)
        };
        let shown = finding(0);
        let FindingDetails::Specs(details) = &shown.details else {
            panic!("it is about a specification: {shown:?}");
        };
        assert_eq!(details.expected.as_ref(), Some(&failure.expected));
        let length = |finding: &Finding| serde_json::to_string(finding).unwrap().len();
        assert!((10_000..20_000).contains(&length(&shown)));
        assert!(length(&finding(SHOWN)) < 200);
    }
}
