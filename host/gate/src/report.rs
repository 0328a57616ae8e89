//! The report of the gate, for programs and for people.

use gavel_model::{ActivationKey, ActivationNumber, Json, ModuleDigest, ModuleKind};
use gavel_store::Moment;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::facts::StepFacts;
use super::redecided::Redecisions;
use super::words::{count, count_of};
use super::{Finding, Mode, Policy, Step, StepResult};

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// No finding of the step blocks the candidate.
    Passed,
    /// A finding of the step blocks the candidate.
    Refused,
}

/// The report of the gate about a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = GateReport)]
pub struct Report {
    /// The decider; absent of a view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decider: Option<String>,
    /// The view; absent of a decider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepReport {
    /// The step, and its results.
    #[serde(flatten)]
    pub facts: StepFacts,
    /// The outcome of the step.
    pub outcome: StepOutcome,
    /// One sentence for people.
    pub summary: String,
}

/// The safety of activating the former module again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RollbackSafety {
    /// The module to go back to.
    pub to: String,
    /// Tells whether the former module declares all that has been written.
    pub safe: bool,
    /// The events that only the newer module declares.
    pub events: Vec<NewEventType>,
    /// Tells whether more may have been written: the log was too long to be read to its end.
    pub at_least: bool,
    /// One sentence for people.
    pub summary: String,
}

/// An event that the module before does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewEventType {
    /// The event's name.
    pub event: String,
    /// The version of its schema.
    pub schema_version: u32,
    /// The number of such events that were written.
    pub written: u64,
}

impl Report {
    pub(super) fn new(
        key: &ActivationKey,
        candidate: ModuleDigest,
        (after, active): (ActivationNumber, Option<ModuleDigest>),
        as_of: &Moment,
    ) -> Self {
        let is_view = key.kind() == ModuleKind::View;
        let name = key.name().to_string();
        let (decider, view) = match is_view {
            true => (None, Some(name)),
            false => (Some(name), None),
        };
        Self {
            decider,
            view,
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
            summary,
            findings,
            facts,
        } = result;
        self.steps.push(StepReport {
            facts,
            outcome: StepOutcome::Passed,
            summary,
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
            let is_fatal = finding.is_fatal();
            let is_named = accept.iter().any(|name| finding.is_named_by(name));
            let is_accepted = policy.mode == Mode::Warn || is_named;
            finding.accepted = finding.blocks && is_accepted && !is_fatal;
        }
        self.summary.clear();
        for step in &mut self.steps {
            self.summary.push(step.summary.clone());
            step.outcome = StepOutcome::Passed;
            for finding in self
                .findings
                .iter()
                .filter(|finding| finding.step == step.facts.step())
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
        self.replace(redecided);
        self.findings.extend(refolded.findings);
        self.findings.sort_by_key(|finding| finding.step);
    }

    /// Puts another result of a step in the place of the one that was entered, or in its place
    /// among the others.
    pub(super) fn replace(&mut self, result: StepResult) {
        let step = result.facts.step();
        self.findings.retain(|finding| finding.step != step);
        self.findings.extend(result.findings);
        self.findings.sort_by_key(|finding| finding.step);
        self.steps.retain(|entered| entered.facts.step() != step);
        self.steps.push(StepReport {
            facts: result.facts,
            outcome: StepOutcome::Passed,
            summary: result.summary,
        });
        self.steps.sort_by_key(|entered| entered.facts.step());
    }

    /// Gives the moment through which the history was looked at; none in a report that does not
    /// hold it.
    pub(super) fn moment(&self) -> Option<Moment> {
        Some(Moment {
            settled: self.as_of.parse().ok()?,
            mark: Some(self.as_of_mark.clone()).filter(|mark| !mark.is_empty())?,
        })
    }

    /// Tells whether a step has run.
    pub(super) fn has(&self, step: Step) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|entered| entered.facts.step() == step)
    }

    /// Gives the number of streams that were folded; 0 if none was.
    pub(super) fn refolded_streams(&self) -> u64 {
        let refolded = self.steps.iter().find_map(|entered| match &entered.facts {
            StepFacts::Refold(refolded) => Some(refolded.streams),
            _ => None,
        });
        refolded.unwrap_or_default()
    }

    /// Gives the results of deciding again; none if nothing was decided again.
    pub(super) fn decisions(&self) -> Option<&Redecisions> {
        self.steps.iter().find_map(|entered| match &entered.facts {
            StepFacts::Redecide(decisions) => Some(decisions),
            _ => None,
        })
    }

    /// Lists the names of the findings that were accepted.
    pub(super) fn accepted(&self) -> Vec<String> {
        let accepted = self.findings.iter().filter(|finding| finding.accepted);
        accepted.map(|finding| finding.name.clone()).collect()
    }

    /// Reads a stored report, also one of an older host; none where a member is missing, so that
    /// nobody takes for said what is not.
    pub(super) fn stored(report: &Json) -> Option<Self> {
        serde_json::from_str(report.as_str()).ok()
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::FindingDetails;

    /// A report as hosts have stored it, with findings of each kind.
    fn stored() -> Value {
        serde_json::from_str(include_str!("../tests/stored-report.json")).unwrap()
    }

    fn read(report: &Value) -> Option<Report> {
        Report::stored(&Json::from_value(report).unwrap())
    }

    #[test]
    fn a_stored_report_is_read_and_written_as_it_was() {
        let report = read(&stored()).unwrap();
        assert_eq!(report.to_json().to_value(), stored());
        assert!(matches!(
            report.findings[2].details,
            FindingDetails::Schema(_)
        ));
        assert_eq!(report.refolded_streams(), 12);
        assert!(report.decisions().is_some() && report.moment().is_some());
    }

    #[test]
    fn a_step_has_one_name() {
        for entered in read(&stored()).unwrap().steps {
            let named = serde_json::to_value(&entered).unwrap();
            assert_eq!(named["step"], json!(entered.facts.step()));
        }
    }

    #[test]
    fn a_report_without_a_member_that_decisions_are_made_on_is_none() {
        for member in [
            "/as_of",
            "/findings/0/details/command",
            "/steps/4/facts/streams",
            "/steps/5/facts/now_rejected",
        ] {
            let mut report = stored();
            let (parent, name) = member.rsplit_once('/').unwrap();
            let parent = report.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            assert!(parent.remove(name).is_some(), "{member}");
            assert_eq!(read(&report), None, "{member}");
        }
    }

    #[test]
    fn a_finding_of_an_unknown_kind_is_none_of_ours() {
        let mut report = stored();
        report["findings"][0]["name"] = json!("weather");
        assert_eq!(read(&report), None);
    }
}
