//! The results of deciding again, for the report.

use std::collections::BTreeMap;

use gavel_model::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Finding;
use super::compare::DecisionDiff;
use super::finding::{CommandsFinding, FindingDetails};
use super::shown::{ShownCommand, ShownOutcome};
use super::words::{count, count_of, document_line, percent, seconds as in_seconds};

/// The number of examples of each kind of change that are kept.
const EXAMPLES: usize = 3;

/// The results of deciding again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Redecisions {
    /// Commands that were decided again.
    pub(super) commands: u64,
    /// Commands that could not be put to the candidate, since it had failed before on their stream.
    pub(super) undecided: u64,
    /// Commands of which the ledger keeps keys only.
    pub(super) keys_only: u64,
    /// The seconds that the step took.
    pub(super) seconds: f64,
    /// Tells whether so many decisions failed that the rest was not looked at.
    #[serde(rename = "cut_short")]
    pub(super) is_cut_short: bool,
    #[serde(flatten)]
    counts: DecisionCounts,
    /// The number of commands by name and difference, without those that are decided the same.
    by_command: BTreeMap<String, BTreeMap<DecisionDiff, u64>>,
    /// The first ones of each kind of change, by stream and version.
    examples: Vec<DecisionExample>,
    /// Of a shadow, the commands that came too fast to be decided as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missed: Option<u64>,
}

/// The number of commands, by the difference of their decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
struct DecisionCounts {
    /// Commands that are decided as recorded.
    same: u64,
    /// Commands that are decided otherwise than recorded, but as the active module would today.
    as_active: u64,
    /// Accepted commands that are rejected now.
    now_rejected: u64,
    /// Rejected commands that are accepted now.
    now_accepted: u64,
    /// Commands that are accepted with different events.
    different_events: u64,
    /// Commands that are rejected for another reason.
    different_rejection: u64,
    /// Commands at which the candidate fails.
    failed: u64,
}

impl DecisionCounts {
    fn of(&mut self, verdict: DecisionDiff) -> &mut u64 {
        match verdict {
            DecisionDiff::Same => &mut self.same,
            DecisionDiff::AsActive => &mut self.as_active,
            DecisionDiff::NowRejected => &mut self.now_rejected,
            DecisionDiff::NowAccepted => &mut self.now_accepted,
            DecisionDiff::DifferentEvents => &mut self.different_events,
            DecisionDiff::DifferentRejection => &mut self.different_rejection,
            DecisionDiff::Failed => &mut self.failed,
        }
    }
}

/// A command that is decided otherwise, as reports show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(super) struct DecisionExample {
    /// The difference.
    pub(super) verdict: DecisionDiff,
    /// The stream's id.
    pub(super) id: String,
    /// The version that was decided at.
    pub(super) version: u64,
    /// The command.
    pub(super) command: ShownCommand,
    /// The state that was decided on; null if the candidate cannot make it.
    pub(super) state_before: Option<Value>,
    /// The recorded outcome.
    pub(super) recorded: ShownOutcome,
    /// The outcome with the active module; absent where it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) active: Option<ShownOutcome>,
    /// The outcome with the candidate.
    pub(super) candidate: ShownOutcome,
    /// The state after the recorded events; null if there are none.
    pub(super) state_recorded: Option<Value>,
    /// The state after the candidate's events; null if there are none.
    pub(super) state_candidate: Option<Value>,
}

impl Redecisions {
    /// Counts one.
    pub(super) fn count(&mut self, command: &str, verdict: DecisionDiff) {
        self.commands += 1;
        *self.counts.of(verdict) += 1;
        if verdict != DecisionDiff::Same {
            let by_verdict = match self.by_command.get_mut(command) {
                Some(by_verdict) => by_verdict,
                None => self.by_command.entry(command.to_owned()).or_default(),
            };
            *by_verdict.entry(verdict).or_default() += 1;
        }
    }

    /// Tells whether a change would be among the first ones.
    pub(super) fn wants(&self, verdict: DecisionDiff, id: &str, at: Version) -> bool {
        let is_before = |last: &DecisionExample| (id, at.get()) < (&*last.id, last.version);
        let kept = self.examples_of(verdict);
        kept.clone().count() < EXAMPLES || kept.last().is_some_and(is_before)
    }

    /// Keeps a change if it is among the first ones.
    pub(super) fn keep(&mut self, example: DecisionExample) {
        let verdict = example.verdict;
        self.examples.push(example);
        let place =
            |example: &DecisionExample| (example.verdict, example.id.clone(), example.version);
        self.examples.sort_by_cached_key(place);
        let mut kept = 0;
        self.examples.retain(|example| {
            kept += usize::from(example.verdict == verdict);
            example.verdict != verdict || kept <= EXAMPLES
        });
    }

    fn examples_of(&self, verdict: DecisionDiff) -> impl Iterator<Item = &DecisionExample> + Clone {
        let examples = self.examples.iter();
        examples.filter(move |example| example.verdict == verdict)
    }

    /// Adds what another worker, or another round, has seen.
    pub(super) fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.undecided += other.undecided;
        self.keys_only += other.keys_only;
        self.is_cut_short |= other.is_cut_short;
        for verdict in DecisionDiff::ALL {
            *self.counts.of(verdict) += other.of(verdict);
        }
        for (command, counts) in other.by_command {
            let by_verdict = self.by_command.entry(command).or_default();
            for (verdict, number) in counts {
                *by_verdict.entry(verdict).or_default() += number;
            }
        }
        for example in other.examples {
            self.keep(example);
        }
    }

    fn of(&self, verdict: DecisionDiff) -> u64 {
        let mut counts = self.counts;
        *counts.of(verdict)
    }

    /// Commands that are decided otherwise than the active module would.
    fn changed(&self) -> u64 {
        DecisionDiff::CHANGES
            .map(|verdict| self.of(verdict))
            .iter()
            .sum()
    }

    /// Lists the findings. A share of changes above `max_changed` blocks.
    pub(super) fn findings(&self, max_changed: f64) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.of(DecisionDiff::Failed) > 0 {
            findings.push(self.failed());
        }
        let changed = self.changed() - self.of(DecisionDiff::Failed);
        if changed > 0 {
            findings.push(self.changes(changed, max_changed));
        }
        findings
    }

    /// Says in one sentence what was decided again.
    pub(super) fn summary(&self) -> String {
        let mut words = format!(
            "{} re-decided in {}: {} same",
            count_of(self.commands, "command"),
            in_seconds(self.seconds),
            count(self.of(DecisionDiff::Same))
        );
        for verdict in DecisionDiff::ALL
            .into_iter()
            .filter(|verdict| *verdict != DecisionDiff::Same && self.of(*verdict) > 0)
        {
            let commands: Vec<String> = self
                .by_command
                .iter()
                .filter_map(|(name, counts)| {
                    Some(format!("{name} {}", count(*counts.get(&verdict)?)))
                })
                .collect();
            words.push_str(&format!(
                " · {} {} ({})",
                count(self.of(verdict)),
                verdict.words(),
                commands.join(", ")
            ));
        }
        if self.keys_only > 0 {
            words.push_str(&format!(
                " · {} recorded by their keys only",
                count(self.keys_only)
            ));
        }
        words.push('.');
        words
    }

    fn failed(&self) -> Finding {
        let mut summary = format!(
            "The candidate fails at {}",
            count_of(self.of(DecisionDiff::Failed), "command")
        );
        if self.is_cut_short {
            summary.push_str(", and the rest was not looked at");
        }
        self.finding([DecisionDiff::Failed].into_iter(), summary, true)
    }

    fn changes(&self, changed: u64, max_changed: f64) -> Finding {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = changed as f64 / self.commands as f64;
        let blocks = share > max_changed;
        let mut summary = format!(
            "{} of {} would be decided otherwise",
            count(changed),
            count_of(self.commands, "command")
        );
        if blocks {
            summary.push_str(&format!(
                " ({}, {} are allowed)",
                percent(share),
                percent(max_changed)
            ));
        }
        let changes = DecisionDiff::CHANGES.into_iter();
        let changes = changes.filter(|verdict| *verdict != DecisionDiff::Failed);
        self.finding(changes, summary, blocks)
    }

    fn finding(
        &self,
        verdicts: impl Iterator<Item = DecisionDiff>,
        mut summary: String,
        blocks: bool,
    ) -> Finding {
        let firsts = verdicts.filter_map(|verdict| self.examples_of(verdict).next());
        let mut lines = Vec::new();
        for (index, example) in firsts.enumerate() {
            if index == 0 {
                summary.push_str(&format!(
                    ". First: stream {} version {}",
                    example.id, example.version
                ));
            }
            lines.extend(example.lines());
        }
        summary.push('.');
        let details = FindingDetails::Decisions(CommandsFinding {
            commands: self.changed(),
            example: lines,
        });
        Finding::new(details, summary, blocks)
    }
}

impl DecisionExample {
    fn lines(&self) -> Vec<String> {
        let ShownCommand { command, data } = &self.command;
        let mut lines = vec![format!(
            "stream {} version {}: {command} {}",
            self.id,
            self.version,
            document_line(data.as_ref().unwrap_or(&Value::Null)),
        )];
        if let Some(state) = &self.state_before {
            lines.push(format!("  state      {}", document_line(state)));
        }
        let outcomes = [
            ("recorded", Some(&self.recorded)),
            ("active", self.active.as_ref()),
            ("candidate", Some(&self.candidate)),
        ];
        for (of, outcome) in outcomes {
            lines.extend(outcome.map(|outcome| format!("  {of:<10} {}", outcome.line())));
        }
        lines
    }
}
