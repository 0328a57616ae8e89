//! Step 5: the candidate decides every recorded command again, at the version and in the context
//! that are recorded.

use std::sync::Arc;

use gavel_model::{Json, Version};
use gavel_sandbox::{Decision, Fault};
use gavel_store::PastRange;

use super::compare::{Checks, DecisionDiff, against, compare};
use super::folder::{Again, FaultBudget, FoldError, Folder};
use super::past::{Part, PastDecision, Reading, Throttling, Work};
use super::redecided::{DecisionExample, Redecisions};
use super::sample::Sample;
use super::shown::{ShownCommand, ShownOutcome};
use super::starts::Starts;
use super::subject::Subject;
use super::words::excerpt_json;
use super::{Error, Gate, Watch};

impl Gate {
    /// Has the candidate decide the commands of `range` again. Gives a sample of the streams as
    /// well.
    pub(super) async fn redecide(
        &self,
        range: PastRange,
        subject: &Subject,
        watch: &Watch,
    ) -> Result<(Redecisions, Sample), Error> {
        let worker = || self.deciding(subject, &Arc::default(), watch);
        let readers = [self.reader(range, Reading::decisions(), Throttling::GivesWay)];
        let workers = self.drive(readers, worker, Throttling::GivesWay, watch);
        let mut decisions = Redecisions::default();
        let mut sample = Sample::default();
        for worker in workers.await? {
            decisions.add(worker.judge.decisions);
            sample.add(worker.sample);
        }
        Ok((decisions, sample))
    }

    /// Makes a worker that begins streams at `starts`.
    pub(super) fn deciding(
        &self,
        subject: &Subject,
        starts: &Arc<Starts>,
        watch: &Watch,
    ) -> Deciding {
        Deciding {
            judge: Judge {
                incumbent: self.incumbent(subject),
                starts: starts.clone(),
                ..Judge::new(self.folder(&subject.candidate), subject.checks.clone())
            },
            is_lost: true,
            sample: Sample::default(),
            watch: watch.clone(),
        }
    }

    fn incumbent(&self, subject: &Subject) -> Option<Incumbent> {
        let (active, checks) = (subject.active.as_ref()?, subject.active_checks.as_ref()?);
        Some(Incumbent {
            folder: self.folder(&active.decider),
            checks: checks.clone(),
            fault_budget: FaultBudget::default(),
        })
    }
}

/// A worker of the step.
#[derive(Debug)]
pub(super) struct Deciding {
    judge: Judge,
    /// Tells whether nothing can be decided any more on the stream that is being read.
    is_lost: bool,
    sample: Sample,
    watch: Watch,
}

impl Deciding {
    /// Gives the results of the worker.
    pub(super) fn into_decisions(self) -> Redecisions {
        self.judge.decisions
    }
}

impl Work for Deciding {
    fn take(&mut self, part: Part) {
        if !part.goes_on {
            self.end();
            self.is_lost = self.judge.is_budget_spent() || self.judge.begin(&part.id).is_err();
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
        self.judge.end();
    }
}

/// The active module, next to the candidate. Where the candidate decides otherwise than another
/// module did on record, the active module is asked for its decision today: perhaps not the
/// candidate differs, but history.
#[derive(Debug)]
struct Incumbent {
    folder: Folder,
    checks: Arc<Checks>,
    fault_budget: FaultBudget,
}

impl Incumbent {
    /// Decides as the active module would. None where the recorded decision is that module's own,
    /// and where the module has failed on the stream, or too often.
    fn decide(&mut self, part: &Part, decision: &PastDecision) -> Option<Again> {
        let is_its_own = decision.record.module == self.folder.decider().digest();
        if is_its_own || !self.folder.has_stream() || self.fault_budget.is_over() {
            return None;
        }
        self.folder.fold_through(part, decision.at).ok()?;
        let (decided, _) = self.checks.decide(&mut self.folder, &decision.record);
        if let Err(fault) = &decided {
            self.fault_budget.lose(fault);
        }
        Some(decided)
    }

    /// Comes to the end of a part. Where it cannot, the stream is lost to it.
    fn follow(&mut self, part: &Part) {
        if self.folder.has_stream() {
            let _ = self.folder.fold_through(part, part.end());
        }
    }
}

/// A module that decides again, and what has come of it.
#[derive(Debug)]
pub(super) struct Judge {
    folder: Folder,
    checks: Arc<Checks>,
    /// The active module; none when all recorded decisions are its own.
    incumbent: Option<Incumbent>,
    starts: Arc<Starts>,
    decisions: Redecisions,
    fault_budget: FaultBudget,
}

impl Judge {
    pub(super) fn new(folder: Folder, checks: Arc<Checks>) -> Self {
        Self {
            folder,
            checks,
            incumbent: None,
            starts: Arc::default(),
            decisions: Redecisions::default(),
            fault_budget: FaultBudget::default(),
        }
    }

    /// Moves to another stream, and returns the folder of the previous one.
    pub(super) fn turn_to(&mut self, folder: Folder) -> Folder {
        std::mem::replace(&mut self.folder, folder)
    }

    /// Gives the results so far.
    pub(super) fn decisions(&self) -> &Redecisions {
        &self.decisions
    }

    /// Begins a stream.
    fn begin(&mut self, id: &str) -> Result<(), Fault> {
        if let Some(incumbent) = &mut self.incumbent {
            // Where it cannot begin, it is not asked.
            let _ = incumbent.folder.begin_at(self.starts.active.get(id));
        }
        self.folder.begin_at(self.starts.candidate.get(id))
    }

    fn end(&mut self) {
        self.folder.end();
        if let Some(incumbent) = &mut self.incumbent {
            incumbent.folder.end();
        }
    }

    fn is_budget_spent(&mut self) -> bool {
        self.decisions.is_cut_short |= self.fault_budget.is_over();
        self.fault_budget.is_over()
    }

    /// Folds a part, and decides at each version where something was decided.
    pub(super) fn play(&mut self, part: &Part) -> Result<(), FoldError> {
        for decision in &part.decisions {
            self.folder.fold_through(part, decision.at)?;
            self.decide(part, decision);
            if !self.folder.has_stream() {
                self.catch_up(part, decision.at)?;
            }
        }
        if let Some(incumbent) = &mut self.incumbent {
            incumbent.follow(part);
        }
        self.folder.fold_through(part, part.end())
    }

    /// Rebuilds the state that a trap has destroyed.
    fn catch_up(&mut self, part: &Part, through: Version) -> Result<(), FoldError> {
        if part.goes_on || self.is_budget_spent() {
            return Err(Fault::Spent.into());
        }
        self.folder.begin_at(self.starts.candidate.get(&part.id))?;
        self.folder.fold_through(part, through)
    }

    fn decide(&mut self, part: &Part, decision: &PastDecision) {
        let record = &decision.record;
        let recorded = &part.events[decision.events.clone()];
        let (mut again, _) = self.checks.decide(&mut self.folder, record);
        if let Err(fault) = &again {
            self.fault_budget.lose(fault);
        }
        let mut verdict = compare(record, recorded, &again);
        let mut state_candidate = None;
        if verdict != DecisionDiff::Same
            && let Ok(Decision::Accepted(events)) = &again
        {
            // A module that cannot fold what it decides would fail on a live command.
            match self.folder.peek(events) {
                Ok(state) => state_candidate = Some(state),
                Err(fault) => {
                    let reason = format!("it cannot fold what it decides: {fault}");
                    again = Err(Fault::BrokeContract { reason });
                    verdict = DecisionDiff::Failed;
                }
            }
        }
        let mut formerly = None;
        if verdict != DecisionDiff::Same
            && let Some(incumbent) = &mut self.incumbent
            && let Some(active) = incumbent.decide(part, decision)
        {
            verdict = against(&active, &again).unwrap_or(verdict);
            formerly = Some(active);
        }
        self.decisions.count(&record.command, verdict);
        if verdict.is_change() && self.decisions.wants(verdict, &part.id, decision.at) {
            let state = |state: Option<Json>| state.as_ref().map(excerpt_json);
            let state_recorded = match recorded {
                [] => None,
                events => self.folder.peek(events).ok(),
            };
            self.decisions.keep(DecisionExample {
                verdict,
                id: part.id.clone(),
                version: decision.at.get(),
                command: ShownCommand {
                    command: record.command.clone(),
                    data: record.kept_data().map(excerpt_json),
                },
                state_before: state(self.folder.snapshot().ok()),
                recorded: ShownOutcome::recorded(record, recorded),
                active: formerly.as_ref().map(ShownOutcome::from),
                candidate: (&again).into(),
                state_recorded: state(state_recorded),
                state_candidate: state(state_candidate),
            });
        }
    }
}
