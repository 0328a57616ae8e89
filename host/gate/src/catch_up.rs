//! Catching up: whatever was stored after a look, or after a rehearsal of any age, is looked at as
//! well before the pointer moves.

use gavel_model::ActivationKey;
use gavel_store::Moment;

use super::past::Throttling;
use super::redecided::Redecisions;
use super::refolded::Refolded;
use super::rehearsal::{Rehearsal, Rehearsed, Status};
use super::starts::Starts;
use super::subject::{Subject, Swap};
use super::{CaughtUp, Error, Gate, Report, Step};

/// The most streams that are looked at one by one, of those that have moved since a rehearsal. If
/// more have moved, the whole history is looked at again.
pub(super) const MOST_STREAMS: u32 = 10_000;
/// The most streams that have moved since the activation itself began to look: another look at the
/// whole history would take as long as the one before.
pub(super) const MOST_STREAMS_SINCE: u32 = 100_000;
/// The most rounds of looking at streams that have moved meanwhile.
const ROUNDS: u32 = 3;
/// The number of moved streams below which no other round is made.
const FEW_STREAMS: usize = 100;

/// The number of rehearsals that are searched for one that an activation can use.
const USABLE: u32 = 10;

/// The results about a candidate, and the moment through which they hold.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The report of the steps.
    report: Report,
    /// The results of deciding again, with all that was stored since.
    decisions: Redecisions,
    /// The results of folding what was stored since.
    folded: Refolded,
    /// The number of commands that were decided again since.
    commands: u64,
    through: Moment,
    /// The states of the streams that were looked at last.
    states: Starts,
}

impl Seen {
    /// Takes the results from a report, with the states of the streams when the report was made.
    /// None if not all steps were taken, or if the report does not tell through which moment it
    /// looks.
    pub(super) fn of(report: &Report, states: Starts) -> Option<Self> {
        Some(Self {
            decisions: report.decisions()?.clone(),
            through: report.moment()?,
            report: report.clone(),
            folded: Refolded::default(),
            commands: 0,
            states,
        })
    }

    /// Gives the report of the steps, to put another result of a step into it.
    pub(super) fn report_mut(&mut self) -> &mut Report {
        &mut self.report
    }
}

impl Gate {
    /// Finds the report of the candidate's newest rehearsal, if the rehearsal compared the
    /// candidate with the module that is active now, and has gone through all steps.
    pub(super) async fn rehearsed(&self, subject: &Subject) -> Result<Option<Report>, Error> {
        if subject.direction == Swap::Back {
            return Ok(None);
        }
        let (namespace, decider) = (&subject.namespace, &subject.decider);
        let key = ActivationKey::of_decider(namespace, decider);
        let records = self.store.rehearsals(&key, USABLE).await;
        let policy = self.settings.policies.of(namespace, decider);
        for record in records.map_err(Error::Store)? {
            let Some(rehearsal) = Rehearsal::from_record(&record) else {
                continue;
            };
            let is_over = matches!(rehearsal.status, Status::Passed | Status::Refused);
            if !is_over || rehearsal.request.mode == Rehearsed::Shadow {
                continue;
            }
            let report = rehearsal.report.as_ref().and_then(Report::stored);
            if let Some(mut report) = report
                && is_usable(&report, subject)
            {
                report.judge(policy, &subject.accept);
                return Ok(Some(report));
            }
        }
        Ok(None)
    }

    /// Looks at what was stored meanwhile, until there is little of it or it does not become less.
    /// False when that cannot be determined, or when more than `most` streams have moved at a time.
    pub(super) async fn catch_up(
        &self,
        subject: &Subject,
        seen: &mut Seen,
        most: u32,
        throttling: Throttling,
    ) -> Result<bool, Error> {
        let mut fewest = usize::MAX;
        for _ in 0..ROUNDS {
            let now = self.store.moment(&subject.namespace).await;
            let now = now.map_err(Error::Store)?;
            let looked = self.look_again(subject, seen, &now, most, throttling);
            let Some(count) = looked.await? else {
                return Ok(false);
            };
            if count < FEW_STREAMS || count >= fewest || seen.folded.failed > 0 {
                break;
            }
            fewest = count;
        }
        Ok(true)
    }

    /// Looks once at what was stored until now. Gives the number of streams; none if that cannot be
    /// determined, or if they are more than `most`. Dropped midway, nothing was seen.
    pub(super) async fn look_again(
        &self,
        subject: &Subject,
        seen: &mut Seen,
        now: &Moment,
        most: u32,
        throttling: Throttling,
    ) -> Result<Option<usize>, Error> {
        let (namespace, decider) = (&subject.namespace, &subject.decider);
        let moved = self
            .store
            .moved_since(namespace, decider, &seen.through, most);
        let Some(places) = moved.await.map_err(Error::Store)? else {
            return Ok(None);
        };
        let count = places.len();
        let between = (&seen.through, now);
        let looked = self.look_at_moved(subject, places, between, &mut seen.states, throttling);
        let (folded, decided) = looked.await?;
        seen.folded.add(folded);
        seen.commands += decided.commands;
        seen.decisions.add(decided);
        seen.through = now.clone();
        Ok(Some(count))
    }

    /// Makes the report of the steps, with what was seen since.
    pub(super) fn report_of(&self, subject: &Subject, seen: &Seen) -> Report {
        let Seen {
            decisions, folded, ..
        } = seen;
        let mut report = seen.report.clone();
        let caught_up = CaughtUp {
            streams: folded.streams,
            different: folded.different,
            failed: folded.failed + folded.failed_before,
            commands: seen.commands,
        };
        let policy = self
            .settings
            .policies
            .of(&subject.namespace, &subject.decider);
        let redecided = decisions.result(policy.max_changed_decisions);
        let refolded = folded.result(subject.active.is_some(), decisions.seconds);
        report.go_on(&seen.through, caught_up, refolded, redecided);
        report.judge(policy, &subject.accept);
        report
    }
}

/// Tells whether a report is of this candidate against the module that is active now, and of all
/// steps.
fn is_usable(report: &Report, subject: &Subject) -> bool {
    let is_whole = report.decisions().is_some()
        && report.moment().is_some()
        && (subject.active.is_none() || report.has(Step::Cost));
    is_whole
        && report.candidate == subject.candidate.digest().to_string()
        && report.activation == subject.after.get()
}
