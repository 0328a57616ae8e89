//! The results of deciding again, for the report.

use std::collections::BTreeMap;

use gavel_model::Version;
use serde_json::{Map, Value, json};

use super::compare::{DecisionDiff, outcome_line};
use super::words::{count, count_of, document_line, percent, seconds as in_seconds};
use super::{Finding, Step, StepResult};

/// The number of examples of each kind of change that are kept.
const EXAMPLES: usize = 3;

/// The results of deciding again.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Redecisions {
    pub(super) commands: u64,
    /// Commands that could not be put to the candidate, since it had failed before on their stream.
    pub(super) undecided: u64,
    /// Commands of which the ledger keeps keys only.
    pub(super) keys_only: u64,
    /// The number of commands, by verdict.
    counts: BTreeMap<DecisionDiff, u64>,
    /// The number of commands by name and verdict, without those that are decided the same.
    by_command: BTreeMap<String, BTreeMap<DecisionDiff, u64>>,
    /// The first ones by stream and version, of each kind.
    examples: BTreeMap<DecisionDiff, Vec<DecisionExample>>,
    /// Tells whether so many decisions failed that the rest was not looked at.
    pub(super) is_cut_short: bool,
}

/// A command that is decided otherwise, as reports show it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DecisionExample {
    id: String,
    version: Version,
    shown: Value,
}

impl Redecisions {
    /// Counts one.
    pub(super) fn count(&mut self, command: &str, verdict: DecisionDiff) {
        self.commands += 1;
        *self.counts.entry(verdict).or_default() += 1;
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
        let Some(kept) = self.examples.get(&verdict) else {
            return true;
        };
        let is_before = |last: &DecisionExample| (id, at) < (last.id.as_str(), last.version);
        kept.len() < EXAMPLES || kept.last().is_some_and(is_before)
    }

    /// Keeps a change if it is among the first ones.
    pub(super) fn keep(&mut self, verdict: DecisionDiff, example: DecisionExample) {
        let kept = self.examples.entry(verdict).or_default();
        kept.push(example);
        kept.sort_by(|one, other| (&one.id, one.version).cmp(&(&other.id, other.version)));
        kept.truncate(EXAMPLES);
    }

    /// Adds what another worker, or another round, has seen.
    pub(super) fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.undecided += other.undecided;
        self.keys_only += other.keys_only;
        self.is_cut_short |= other.is_cut_short;
        for (verdict, number) in other.counts {
            *self.counts.entry(verdict).or_default() += number;
        }
        for (command, counts) in other.by_command {
            let by_verdict = self.by_command.entry(command).or_default();
            for (verdict, number) in counts {
                *by_verdict.entry(verdict).or_default() += number;
            }
        }
        for (verdict, examples) in other.examples {
            for example in examples {
                self.keep(verdict, example);
            }
        }
    }

    fn of(&self, verdict: DecisionDiff) -> u64 {
        self.counts.get(&verdict).copied().unwrap_or_default()
    }

    /// Commands that are decided otherwise than the active module would.
    fn changed(&self) -> u64 {
        DecisionDiff::CHANGES
            .map(|verdict| self.of(verdict))
            .iter()
            .sum()
    }

    /// Makes the result of the step for the report. A share of changes above `max_changed` blocks.
    pub(super) fn result(&self, max_changed: f64, seconds: f64) -> StepResult {
        let mut findings = Vec::new();
        if self.of(DecisionDiff::Failed) > 0 {
            findings.push(self.failed());
        }
        let changed = self.changed() - self.of(DecisionDiff::Failed);
        if changed > 0 {
            findings.push(self.changes(changed, max_changed));
        }
        StepResult {
            step: Step::Redecide,
            summary: format!("{}.", self.in_words(seconds)),
            findings,
            facts: self.facts(seconds),
        }
    }

    fn in_words(&self, seconds: f64) -> String {
        let mut words = format!(
            "{} re-decided in {}: {} same",
            count_of(self.commands, "command"),
            in_seconds(seconds),
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
        self.finding([DecisionDiff::Failed].iter(), summary, true)
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
        let changes = DecisionDiff::CHANGES.iter();
        self.finding(
            changes.filter(|verdict| **verdict != DecisionDiff::Failed),
            summary,
            blocks,
        )
    }

    fn finding<'v>(
        &self,
        verdicts: impl Iterator<Item = &'v DecisionDiff>,
        mut summary: String,
        blocks: bool,
    ) -> Finding {
        let firsts = verdicts.filter_map(|verdict| self.examples.get(verdict)?.first());
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
        Finding {
            name: "decisions".to_owned(),
            step: Step::Redecide,
            summary,
            details: json!({ "commands": self.changed(), "example": lines }),
            blocks,
            accepted: false,
        }
    }

    fn facts(&self, seconds: f64) -> Value {
        let mut facts = json!({ "commands": self.commands, "undecided": self.undecided, "keys_only": self.keys_only, "seconds": seconds, "cut_short": self.is_cut_short });
        for verdict in DecisionDiff::ALL {
            facts[verdict.name()] = self.of(verdict).into();
        }
        let by_command: Map<String, Value> = self
            .by_command
            .iter()
            .map(|(name, counts)| {
                let counts: Map<String, Value> = counts
                    .iter()
                    .map(|(verdict, number)| (verdict.name().to_owned(), (*number).into()))
                    .collect();
                (name.clone(), counts.into())
            })
            .collect();
        facts["by_command"] = by_command.into();
        let examples = self.examples.values().flatten();
        facts["examples"] = examples.map(|example| example.shown.clone()).collect();
        facts
    }

    /// Reads the results from the facts of a report; none when they are not such facts.
    pub(super) fn from_facts(facts: &Value) -> Option<Self> {
        let number = |name: &str| facts[name].as_u64();
        let mut decisions = Self {
            commands: number("commands")?,
            undecided: number("undecided")?,
            keys_only: number("keys_only")?,
            is_cut_short: facts["cut_short"].as_bool()?,
            ..Self::default()
        };
        for verdict in DecisionDiff::ALL {
            let count = number(verdict.name())?;
            if count > 0 {
                decisions.counts.insert(verdict, count);
            }
        }
        for (command, counts) in facts["by_command"].as_object()? {
            let counts = counts.as_object()?.iter();
            let counts = counts
                .map(|(name, number)| Some((DecisionDiff::by_name(name)?, number.as_u64()?)))
                .collect::<Option<_>>()?;
            decisions.by_command.insert(command.clone(), counts);
        }
        for shown in facts["examples"].as_array()? {
            let example = DecisionExample {
                id: shown["id"].as_str()?.to_owned(),
                version: Version::new(shown["version"].as_u64()?)?,
                shown: shown.clone(),
            };
            let verdict = DecisionDiff::by_name(shown["verdict"].as_str()?)?;
            decisions.keep(verdict, example);
        }
        Some(decisions)
    }
}

impl DecisionExample {
    /// Makes an example at a version of a stream; `shown` holds the other members that a report has
    /// of it.
    pub(super) fn new(verdict: DecisionDiff, id: &str, version: Version, mut shown: Value) -> Self {
        shown["verdict"] = verdict.name().into();
        shown["id"] = id.into();
        shown["version"] = version.get().into();
        Self {
            id: id.to_owned(),
            version,
            shown,
        }
    }

    fn lines(&self) -> Vec<String> {
        let command = &self.shown["command"];
        let mut lines = vec![format!(
            "stream {} version {}: {} {}",
            self.id,
            self.version,
            command["command"].as_str().unwrap_or_default(),
            document_line(&command["data"]),
        )];
        let state = &self.shown["state_before"];
        if !state.is_null() {
            lines.push(format!("  state      {}", document_line(state)));
        }
        for of in ["recorded", "active", "candidate"] {
            // The active module was perhaps not asked.
            if self.shown[of].is_null() {
                continue;
            }
            lines.push(format!("  {of:<10} {}", outcome_line(&self.shown[of])));
        }
        lines
    }
}
