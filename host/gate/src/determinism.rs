//! Step 6: a decision that is made twice gives the same bytes.
//!
//! The sample is decided once in instances that have seen nothing else, and once in one that has
//! seen all the streams before. A module that keeps anything outside of its states, or goes by the
//! order of a table whose keys are random, does not decide alike in both.

use std::ops::Range;
use std::sync::Arc;

use gavel_engine::catalog::Decider;
use gavel_model::Event;
use gavel_sandbox::Decision;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::compare::Checks;
use super::finding::{CommandsFinding, DeterminismFinding, FindingDetails};
use super::folder::{Again, Folder};
use super::past::{Part, PastDecision};
use super::sample::{Played, play};
use super::shown::ShownOutcome;
use super::words::{count, count_of, excerpt};
use super::{Error, Finding, Gate, Watch};

/// The number of examples that are kept.
const EXAMPLES: usize = 3;

/// The number of streams that are taken through a module in one job.
const STREAMS_PER_JOB: usize = 8;

/// The results of deciding twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Repetition {
    /// Commands that were decided twice.
    commands: u64,
    /// Commands, and states of streams, that were something else the second time.
    different: u64,
    /// The first of them.
    examples: Vec<RepetitionExample>,
}

/// A difference between deciding in a fresh instance and in one that has seen other streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
struct RepetitionExample {
    /// The stream's id.
    id: String,
    /// The version that was decided at; of a state, the version of the state.
    version: u64,
    /// The command; null if the states differ after equal decisions.
    command: Option<RepeatedCommand>,
    /// The result in an instance that has seen nothing else.
    fresh_instance: Repeated,
    /// The result in an instance that has seen the streams before.
    used_instance: Repeated,
}

/// A command that was decided twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
struct RepeatedCommand {
    /// The name of the command.
    command: String,
    /// The text of the payload, or its beginning.
    data: String,
}

/// The result in one of the instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
enum Repeated {
    /// The outcome of the command.
    Outcome(ShownOutcome),
    /// The text of the state, or its beginning.
    State(String),
}

impl Gate {
    /// Decides a sample twice. Gives also what the instance that was kept decided on each stream.
    pub(super) async fn decide_twice(
        &self,
        sample: &Arc<[Part]>,
        candidate: &Arc<Decider>,
        checks: &Arc<Checks>,
        watch: &Watch,
    ) -> Result<(Repetition, Vec<Played>), Error> {
        let memory = self.modules.runtime().limits().memory_bytes;
        let mut repetition = Repetition::default();
        let folder = self.folder(candidate);
        let used = self.play_all(sample, folder, checks, watch).await?;
        let parts = sample.clone();
        for (streams, used) in jobs(sample).zip(used.chunks(STREAMS_PER_JOB)) {
            watch.check()?;
            let (sample, checks, candidate) = (sample.clone(), checks.clone(), candidate.clone());
            let range = streams.clone();
            let job = move || -> Vec<Played> {
                let fresh = || Folder::new(candidate.clone(), memory);
                let streams = sample[range].iter();
                streams
                    .map(|part| play(&mut fresh(), &checks, part))
                    .collect()
            };
            let runtime = self.modules.runtime();
            let fresh = runtime
                .run_in_background(job)
                .await
                .map_err(Error::NotRun)?;
            for (index, (fresh, used)) in streams.zip(fresh.iter().zip(used)) {
                repetition.compare(&parts[index], fresh, used);
            }
        }
        Ok((repetition, used))
    }

    /// Takes a sample through a module, in one instance as far as possible.
    pub(super) async fn play_all(
        &self,
        sample: &Arc<[Part]>,
        mut folder: Folder,
        checks: &Arc<Checks>,
        watch: &Watch,
    ) -> Result<Vec<Played>, Error> {
        let mut played = Vec::with_capacity(sample.len());
        for range in jobs(sample) {
            watch.check()?;
            let (streams, checks) = (sample.clone(), checks.clone());
            let job = move || {
                let streams = streams[range].iter();
                let played: Vec<Played> = streams
                    .map(|part| play(&mut folder, &checks, part))
                    .collect();
                (folder, played)
            };
            let runtime = self.modules.runtime();
            let done = runtime
                .run_in_background(job)
                .await
                .map_err(Error::NotRun)?;
            folder = done.0;
            for part in &sample[played.len()..played.len() + done.1.len()] {
                watch.did(1, part.events.len(), part.decisions.len());
            }
            played.extend(done.1);
        }
        Ok(played)
    }
}

/// Divides the streams of a sample into jobs.
fn jobs(sample: &[Part]) -> impl Iterator<Item = Range<usize>> {
    let (begins, end) = ((0..sample.len()).step_by(STREAMS_PER_JOB), sample.len());
    begins.map(move |begin| begin..end.min(begin + STREAMS_PER_JOB))
}

impl Repetition {
    fn compare(&mut self, part: &Part, fresh: &Played, used: &Played) {
        self.commands += fresh.decisions.len() as u64;
        let pairs = fresh.decisions.iter().zip(&used.decisions);
        let mut is_different = fresh.decisions.len() != used.decisions.len();
        for (decision, ((fresh, _), (used, _))) in part.decisions.iter().zip(pairs) {
            if !are_the_same(fresh, used) {
                self.differ(RepetitionExample {
                    id: part.id.clone(),
                    version: decision.at.get(),
                    command: Some(decision.into()),
                    fresh_instance: Repeated::Outcome(fresh.into()),
                    used_instance: Repeated::Outcome(used.into()),
                });
                is_different = true;
            }
        }
        if !is_different && fresh.state != used.state {
            let state = |played: &Played| {
                let state = played.state.as_deref().unwrap_or("none");
                Repeated::State(excerpt(state))
            };
            self.differ(RepetitionExample {
                id: part.id.clone(),
                version: part.end().get(),
                command: None,
                fresh_instance: state(fresh),
                used_instance: state(used),
            });
        }
    }

    fn differ(&mut self, example: RepetitionExample) {
        self.different += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example);
        }
    }

    /// Lists the findings.
    pub(super) fn findings(&self) -> Vec<Finding> {
        if self.different > 0 {
            vec![self.finding()]
        } else {
            Vec::new()
        }
    }

    /// Says in one sentence what was decided twice.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} decided twice: {} differently.",
            count_of(self.commands, "command"),
            count(self.different)
        )
    }

    fn finding(&self) -> Finding {
        let mut summary = format!(
            "{} of {} give something else the second time",
            count(self.different),
            count_of(self.commands, "command")
        );
        let mut lines = Vec::new();
        if let Some(first) = self.examples.first() {
            summary.push_str(&format!(
                ". First: stream {} version {}",
                first.id, first.version
            ));
            lines = first.lines();
        }
        summary.push('.');
        let details = FindingDetails::Determinism(DeterminismFinding::Commands(CommandsFinding {
            commands: self.different,
            example: lines,
        }));
        Finding::new(details, summary, true)
    }
}

impl RepetitionExample {
    fn lines(&self) -> Vec<String> {
        let command = self.command.iter();
        let command = command.map(|decided| format!("{} {}", decided.command, decided.data));
        let results = [
            format!("  in a fresh instance  {}", self.fresh_instance.line()),
            format!("  in a used instance   {}", self.used_instance.line()),
        ];
        command.chain(results).collect()
    }
}

impl Repeated {
    fn line(&self) -> String {
        match self {
            Self::Outcome(outcome) => outcome.line(),
            Self::State(state) => format!("state {state}"),
        }
    }
}

impl From<&PastDecision> for RepeatedCommand {
    fn from(decision: &PastDecision) -> Self {
        Self {
            command: decision.record.command.clone(),
            data: excerpt(decision.record.data.as_str()),
        }
    }
}

/// Compares byte for byte, which is more than that documents are equal.
fn are_the_same(one: &Again, other: &Again) -> bool {
    let data = |event: &Event| event.data.as_str().to_owned();
    match (one, other) {
        (Ok(Decision::Accepted(one)), Ok(Decision::Accepted(other))) => {
            one == other && one.iter().map(data).eq(other.iter().map(data))
        }
        (one, other) => one == other,
    }
}
