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
use serde_json::{Value, json};

use super::compare::{Checks, outcome_line, redecided_json};
use super::folder::{Again, Folder};
use super::past::{Part, PastDecision};
use super::sample::{Played, play};
use super::words::{count, count_of, excerpt};
use super::{Error, Finding, Gate, Step, StepResult, Watch};

/// The number of examples that are kept.
const EXAMPLES: usize = 3;

/// The number of streams that are taken through a module in one job.
const STREAMS_PER_JOB: usize = 8;

/// The results of deciding twice.
#[derive(Debug, Default)]
pub(super) struct Twice {
    commands: u64,
    different: u64,
    examples: Vec<DeterminismExample>,
}

#[derive(Debug)]
struct DeterminismExample {
    id: String,
    version: u64,
    command: Option<(String, String)>,
    fresh: (Value, String),
    used: (Value, String),
}

impl Gate {
    /// Decides a sample twice. Gives also what the instance that was kept decided on each stream.
    pub(super) async fn twice(
        &self,
        sample: &Arc<[Part]>,
        candidate: &Arc<Decider>,
        checks: &Arc<Checks>,
        watch: &Watch,
    ) -> Result<(Twice, Vec<Played>), Error> {
        let memory = self.modules.runtime().limits().memory_bytes;
        let mut twice = Twice::default();
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
                twice.compare(&parts[index], fresh, used);
            }
        }
        Ok((twice, used))
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

impl Twice {
    fn compare(&mut self, part: &Part, fresh: &Played, used: &Played) {
        self.commands += fresh.decisions.len() as u64;
        let pairs = fresh.decisions.iter().zip(&used.decisions);
        let mut is_different = fresh.decisions.len() != used.decisions.len();
        for (decision, ((fresh, _), (used, _))) in part.decisions.iter().zip(pairs) {
            if !are_the_same(fresh, used) {
                let shown = |again: &Again| {
                    let shown = redecided_json(again);
                    let line = outcome_line(&shown);
                    (shown, line)
                };
                self.differ(DeterminismExample {
                    id: part.id.clone(),
                    version: decision.at.get(),
                    command: Some(command(decision)),
                    fresh: shown(fresh),
                    used: shown(used),
                });
                is_different = true;
            }
        }
        if !is_different && fresh.state != used.state {
            let shown = |played: &Played| {
                let state = played.state.clone().unwrap_or_else(|| "none".to_owned());
                (
                    Value::String(excerpt(&state)),
                    format!("state {}", excerpt(&state)),
                )
            };
            self.differ(DeterminismExample {
                id: part.id.clone(),
                version: part.end().get(),
                command: None,
                fresh: shown(fresh),
                used: shown(used),
            });
        }
    }

    fn differ(&mut self, example: DeterminismExample) {
        self.different += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example);
        }
    }

    /// Makes the result of the step for the report.
    pub(super) fn result(&self) -> StepResult {
        let findings = if self.different > 0 {
            vec![self.finding()]
        } else {
            Vec::new()
        };
        StepResult {
            step: Step::Determinism,
            summary: format!(
                "{} decided twice: {} differently.",
                count_of(self.commands, "command"),
                count(self.different)
            ),
            findings,
            facts: json!({
                "commands": self.commands,
                "different": self.different,
                "examples": self.examples.iter().map(DeterminismExample::to_json).collect::<Vec<_>>(),
            }),
        }
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
        Finding {
            name: "determinism".to_owned(),
            step: Step::Determinism,
            summary,
            details: json!({ "commands": self.different, "example": lines }),
            blocks: true,
            accepted: false,
        }
    }
}

impl DeterminismExample {
    fn to_json(&self) -> Value {
        let command = self.command.as_ref();
        json!({
            "id": self.id,
            "version": self.version,
            "command": command.map(|(name, data)| json!({ "command": name, "data": excerpt(data) })),
            "fresh_instance": self.fresh.0,
            "used_instance": self.used.0,
        })
    }

    fn lines(&self) -> Vec<String> {
        let command = self.command.iter();
        let command = command.map(|(name, data)| format!("{name} {}", excerpt(data)));
        let decided = [
            format!("  in a fresh instance  {}", self.fresh.1),
            format!("  in a used instance   {}", self.used.1),
        ];
        command.chain(decided).collect()
    }
}

fn command(decision: &PastDecision) -> (String, String) {
    let record = &decision.record;
    (record.command.clone(), record.data.as_str().to_owned())
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
