//! Step 5: the candidate decides every recorded command again, at the version and in the context that are recorded.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::compare::{
    Checks, Verdict, compare, recorded_json, recorded_line, redecided_json, redecided_line,
};
use super::folder::{Again, Folder, Patience, Unfolded};
use super::past::{Part, PastDecision, Reading, Work, drive};
use super::sample::Sample;
use super::words::{count, count_of, excerpt, excerpt_json, percent, seconds as in_seconds};
use super::{Error, Finding, Gate, Step, StepResult, Watch};
use crate::core::{Event, Json, Version};
use crate::modules::Decider;
use crate::runtime::{Decision, Fault};
use crate::store::PastRange;

/// How many examples of each kind of change are kept.
const EXAMPLES: usize = 3;

/// What deciding again has shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Decisions {
    pub(super) commands: u64,
    pub(super) events: u64,
    /// Commands that could not be put to the candidate, since it had failed before on their stream.
    undecided: u64,
    /// Commands of which the ledger keeps keys only.
    keys_only: u64,
    /// By verdict.
    counts: BTreeMap<Verdict, u64>,
    /// By the command's name, without those that are the same.
    by_command: BTreeMap<String, BTreeMap<Verdict, u64>>,
    /// The first ones by stream and version, of each kind.
    examples: BTreeMap<Verdict, Vec<Example>>,
    /// Whether so many failed that the rest was not looked at.
    is_cut_short: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Example {
    id: String,
    version: Version,
    command: String,
    data: Json,
    state_before: Option<Json>,
    state_recorded: Option<Json>,
    state_candidate: Option<Json>,
    recorded: Value,
    candidate: Value,
    /// The same for people.
    lines: [String; 2],
}

impl Gate {
    /// Has the candidate decide the commands of `range` again. Gives a sample of the streams as well.
    pub(super) async fn redecide(
        &self,
        range: PastRange,
        candidate: &Arc<Decider>,
        checks: &Arc<Checks>,
        watch: &Watch,
    ) -> Result<(Decisions, Sample), Error> {
        let runtime = self.modules.runtime();
        let worker = || Deciding {
            judge: Judge::new(self.folder(candidate), checks.clone()),
            is_lost: true,
            sample: Sample::default(),
            watch: watch.clone(),
        };
        let workers = (0..runtime.threads().get()).map(|_| worker()).collect();
        let reader = self.reader(range, Reading::Decisions);
        let workers = drive(runtime, &*self.store, [reader], workers, watch).await?;
        let mut decisions = Decisions::default();
        let mut sample = Sample::default();
        for worker in workers {
            decisions.add(worker.judge.decisions);
            sample.add(worker.sample);
        }
        Ok((decisions, sample))
    }
}

/// One worker.
#[derive(Debug)]
struct Deciding {
    judge: Judge,
    /// Whether nothing can be decided on the stream that is being read any more.
    is_lost: bool,
    sample: Sample,
    watch: Watch,
}

impl Work for Deciding {
    fn take(&mut self, part: Part) {
        if !part.goes_on {
            self.end();
            self.is_lost = self.judge.is_out_of_patience() || self.judge.folder.begin().is_err();
            self.watch.did(1, 0, 0);
        }
        self.watch.did(0, part.events.len(), part.decisions.len());
        self.judge.decisions.keys_only += part.keys_only.len() as u64;
        let before = self.judge.decisions.commands;
        if !self.is_lost {
            self.is_lost = self.judge.play(&part).is_err();
        }
        let decided = self.judge.decisions.commands - before;
        self.judge.decisions.undecided += part.decisions.len() as u64 - decided;
        if !part.goes_on {
            self.sample.offer(part);
        }
    }

    fn end(&mut self) {
        self.judge.folder.end();
    }
}

/// A module that decides again, and what has come of it.
#[derive(Debug)]
pub(super) struct Judge {
    folder: Folder,
    checks: Arc<Checks>,
    decisions: Decisions,
    patience: Patience,
}

impl Judge {
    pub(super) fn new(folder: Folder, checks: Arc<Checks>) -> Self {
        Self {
            folder,
            checks,
            decisions: Decisions::default(),
            patience: Patience::default(),
        }
    }

    /// Goes on with another stream; gives the one before it back.
    pub(super) fn turn_to(&mut self, folder: Folder) -> Folder {
        std::mem::replace(&mut self.folder, folder)
    }

    /// What it has found so far.
    pub(super) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    fn is_out_of_patience(&mut self) -> bool {
        self.decisions.is_cut_short |= self.patience.is_over();
        self.patience.is_over()
    }

    /// Folds a part, and decides at each version where something was decided.
    pub(super) fn play(&mut self, part: &Part) -> Result<(), Unfolded> {
        for decision in &part.decisions {
            self.folder.fold_through(part, decision.at)?;
            self.decide(part, decision);
            if !self.folder.has_stream() {
                self.catch_up(part, decision.at)?;
            }
        }
        self.folder.fold_through(part, part.end())?;
        self.decisions.events += part.events.len() as u64;
        Ok(())
    }

    /// Folds anew what a trap has taken away.
    fn catch_up(&mut self, part: &Part, through: Version) -> Result<(), Unfolded> {
        if part.after != Version::EMPTY || self.is_out_of_patience() {
            return Err(Fault::Spent.into());
        }
        self.folder.begin()?;
        self.folder.fold_through(part, through)
    }

    fn decide(&mut self, part: &Part, decision: &PastDecision) {
        let record = &decision.record;
        let recorded = &part.events[decision.events.clone()];
        let (mut again, _) = self.checks.decide(&mut self.folder, record);
        if let Err(fault) = &again {
            self.patience.lose(fault);
        }
        let mut verdict = compare(record, recorded, &again);
        let mut state_candidate = None;
        if verdict != Verdict::Same
            && let Ok(Decision::Accepted(events)) = &again
        {
            // A module that cannot fold what it decides would fail on a live command.
            match self.folder.peek(events) {
                Ok(state) => state_candidate = Some(state),
                Err(fault) => {
                    let reason = format!("it cannot fold what it decides: {fault}");
                    again = Err(Fault::BrokeContract { reason });
                    verdict = Verdict::Failed;
                }
            }
        }
        self.decisions.count(&record.command, verdict);
        if verdict != Verdict::Same && self.decisions.wants(verdict, part, decision.at) {
            let example = self.example(part, decision, recorded, &again, state_candidate);
            self.decisions.keep(verdict, example);
        }
    }

    fn example(
        &mut self,
        part: &Part,
        decision: &PastDecision,
        recorded: &[Event],
        again: &Again,
        state_candidate: Option<Json>,
    ) -> Example {
        let record = &decision.record;
        let state_recorded = match recorded {
            [] => None,
            events => self.folder.peek(events).ok(),
        };
        Example {
            id: part.id.clone(),
            version: decision.at,
            command: record.command.clone(),
            data: record.kept_data().cloned().unwrap_or_else(Json::null),
            state_before: self.folder.snapshot().ok(),
            state_recorded,
            state_candidate,
            recorded: recorded_json(record, recorded),
            candidate: redecided_json(again),
            lines: [recorded_line(record, recorded), redecided_line(again)],
        }
    }
}

impl Decisions {
    fn count(&mut self, command: &str, verdict: Verdict) {
        self.commands += 1;
        *self.counts.entry(verdict).or_default() += 1;
        if verdict != Verdict::Same {
            let by_verdict = match self.by_command.get_mut(command) {
                Some(by_verdict) => by_verdict,
                None => self.by_command.entry(command.to_owned()).or_default(),
            };
            *by_verdict.entry(verdict).or_default() += 1;
        }
    }

    /// Whether a change would be among the first ones.
    fn wants(&self, verdict: Verdict, part: &Part, at: Version) -> bool {
        let Some(kept) = self.examples.get(&verdict) else {
            return true;
        };
        let is_before = |last: &Example| (part.id.as_str(), at) < (last.id.as_str(), last.version);
        kept.len() < EXAMPLES || kept.last().is_some_and(is_before)
    }

    fn keep(&mut self, verdict: Verdict, example: Example) {
        let kept = self.examples.entry(verdict).or_default();
        kept.push(example);
        kept.sort_by(|one, other| (&one.id, one.version).cmp(&(&other.id, other.version)));
        kept.truncate(EXAMPLES);
    }

    /// Adds what another worker has seen.
    fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.events += other.events;
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

    fn of(&self, verdict: Verdict) -> u64 {
        self.counts.get(&verdict).copied().unwrap_or_default()
    }

    /// Commands that are decided otherwise.
    fn changed(&self) -> u64 {
        self.commands - self.of(Verdict::Same)
    }

    /// The step for the report. More than `max_changed`, a share, stands in the way.
    pub(super) fn result(&self, max_changed: f64, seconds: f64) -> StepResult {
        let mut findings = Vec::new();
        if self.of(Verdict::Failed) > 0 {
            findings.push(self.failed());
        }
        let changed = self.changed() - self.of(Verdict::Failed);
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
            count(self.of(Verdict::Same))
        );
        for verdict in Verdict::CHANGES
            .into_iter()
            .filter(|verdict| self.of(*verdict) > 0)
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
            count_of(self.of(Verdict::Failed), "command")
        );
        if self.is_cut_short {
            summary.push_str(", and the rest was not looked at");
        }
        self.finding([Verdict::Failed].iter(), summary, true)
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
        let changes = Verdict::CHANGES.iter();
        self.finding(
            changes.filter(|verdict| **verdict != Verdict::Failed),
            summary,
            blocks,
        )
    }

    fn finding<'v>(
        &self,
        verdicts: impl Iterator<Item = &'v Verdict>,
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
        facts[Verdict::Same.name()] = self.of(Verdict::Same).into();
        for verdict in Verdict::CHANGES {
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
        let examples = self.examples.iter();
        let examples = examples
            .flat_map(|(verdict, kept)| kept.iter().map(|example| example.to_json(*verdict)));
        facts["examples"] = examples.collect();
        facts
    }
}

impl Example {
    fn to_json(&self, verdict: Verdict) -> Value {
        let state = |state: &Option<Json>| state.as_ref().map(excerpt_json);
        json!({
            "verdict": verdict.name(),
            "id": self.id,
            "version": self.version.get(),
            "command": { "command": self.command, "data": excerpt_json(&self.data) },
            "state_before": state(&self.state_before),
            "recorded": self.recorded,
            "candidate": self.candidate,
            "state_recorded": state(&self.state_recorded),
            "state_candidate": state(&self.state_candidate),
        })
    }

    fn lines(&self) -> Vec<String> {
        let [recorded, candidate] = &self.lines;
        let mut lines = vec![format!(
            "stream {} version {}: {} {}",
            self.id,
            self.version,
            self.command,
            excerpt(self.data.as_str())
        )];
        lines.extend(
            self.state_before
                .iter()
                .map(|state| format!("  state      {}", excerpt(state.as_str()))),
        );
        lines.push(format!("  recorded   {}", excerpt(recorded)));
        lines.push(format!("  candidate  {}", excerpt(candidate)));
        lines
    }
}
