//! What an activation needs not look at again, for a rehearsal has seen it; and what was stored after the steps have begun, which is looked at as
//! well before the pointer moves.

use super::examine::{Direction, Subject};
use super::refolded::Refolded;
use super::rehearsal::{Rehearsal, Rehearsed, Status};
use super::{CaughtUp, Error, Gate, Report, Step, Watch};
use crate::store::{PastRange, Place};

/// How many streams that have moved on are looked at one by one. If there are more, the whole history is looked at anew.
pub(super) const MOST_STREAMS: u32 = 10_000;
/// How often it is looked after streams that have moved on meanwhile.
const ROUNDS: u32 = 2;
/// With fewer than this it is not looked again.
const FEW_STREAMS: usize = 100;

/// How many rehearsals are looked through for one that an activation can use.
const USABLE: u32 = 10;

/// What a report is brought up to date after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// A rehearsal, of any age.
    Rehearsal,
    /// The steps that the activation itself has just taken. Commands that came meanwhile are folded and not decided again: that takes
    /// about as long as the steps did, and under load there would be as many again.
    Steps,
}

impl Gate {
    /// What the newest rehearsal of a candidate has found, if it was compared with what is active now, and has gone through all steps.
    pub(super) async fn rehearsed(&self, subject: &Subject) -> Result<Option<Report>, Error> {
        if subject.direction == Direction::Back {
            return Ok(None);
        }
        let (namespace, decider) = (&subject.namespace, &subject.decider);
        let records = self.store.rehearsals(namespace, decider, USABLE).await;
        let policy = self.settings.policies.of(namespace, decider);
        for record in records.map_err(Error::Store)? {
            let Some(rehearsal) = Rehearsal::from_record(&record) else {
                continue;
            };
            let is_over = matches!(rehearsal.status, Status::Passed | Status::Refused);
            if !is_over || rehearsal.request.mode == Rehearsed::Shadow {
                continue;
            }
            let report = rehearsal
                .report
                .map(|report| serde_json::from_str(report.as_str()));
            if let Some(Ok(report)) = report
                && let Some(report) = usable(report, subject)
            {
                let mut report: Report = report;
                report.judge(policy, &subject.accept);
                return Ok(Some(report));
            }
        }
        Ok(None)
    }

    /// Folds the streams of which something was stored since a report was made, and after a rehearsal decides again what was decided on
    /// them since. None if they are more than `most`, or if it cannot be told any more which they are.
    pub(super) async fn catch_up(
        &self,
        subject: &Subject,
        (after, mut report): (After, Report),
        most: u32,
        watch: &Watch,
    ) -> Result<Option<Report>, Error> {
        let Some(mut decisions) = report.decisions() else {
            return Ok(Some(report));
        };
        let Some(mut since) = report.moment() else {
            return Ok(None);
        };
        let (namespace, decider) = (&subject.namespace, &subject.decider);
        let refold = self.refold_of(subject);
        let (mut folded, mut caught_up) = (Refolded::default(), CaughtUp::default());
        let mut fewest = usize::MAX;
        for _ in 0..ROUNDS {
            let now = self.store.moment(namespace).await.map_err(Error::Store)?;
            let moved = self.store.moved_since(namespace, decider, &since, most);
            let Some(places) = moved.await.map_err(Error::Store)? else {
                return Ok(None);
            };
            let count = places.len();
            if count >= fewest {
                // They move on faster than they are looked at: so it would be the next time.
                break;
            }
            fewest = count;
            let mut moved = Vec::with_capacity(count);
            for Place { id, version } in places {
                let range = PastRange {
                    id: Some(id),
                    eventless_since: Some(since.clone()),
                    ..subject.range(now.clone())
                };
                moved.push((range, version));
            }
            let ranges = moved.iter().map(|(range, _)| range.clone()).collect();
            folded.add(self.refold(ranges, &refold, watch).await?);
            if after == After::Rehearsal {
                let (decided, _) = self.redecide(moved, subject, watch).await?;
                caught_up.commands += decided.commands;
                decisions.add(decided);
            }
            since = now;
            if count < FEW_STREAMS || folded.failed > 0 {
                break;
            }
        }
        caught_up.streams = folded.streams;
        caught_up.different = folded.different;
        caught_up.failed = folded.failed + folded.failed_before;
        let policy = self.settings.policies.of(namespace, decider);
        let facts = report.facts(Step::Redecide);
        let seconds = facts.and_then(|facts| facts["seconds"].as_f64());
        let seconds = seconds.unwrap_or_default();
        let redecided = decisions.result(policy.max_changed_decisions, seconds);
        let refolded = folded.result(subject.active.is_some(), seconds);
        report.go_on(&since, caught_up, refolded, redecided);
        report.judge(policy, &subject.accept);
        Ok(Some(report))
    }
}

fn usable(report: Report, subject: &Subject) -> Option<Report> {
    let active = subject.active.as_ref();
    let has = |step| report.facts(step).is_some();
    let is_whole = report.decisions().is_some()
        && report.moment().is_some()
        && active.is_none_or(|_| has(Step::Cost));
    let activation = active.map_or(0, |active| active.activation.number.get());
    let is_of_this = report.candidate == subject.candidate.digest().to_string();
    (is_whole && is_of_this && report.activation == activation).then_some(report)
}
