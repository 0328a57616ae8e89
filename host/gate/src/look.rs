//! Looks at the candidate of a decider: one at everything, and more at what was stored since.

use gavel_store::Moment;

use super::catch_up::{MOST_STREAMS, MOST_STREAMS_SINCE, Seen};
use super::past::Throttling;
use super::starts::Starts;
use super::subject::Subject;
use super::{Error, Gate, Report, Watch};

/// A candidate as it was last looked at.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// The findings of a rehearsal, if there was one, and of what happened since.
    pub(super) report: Report,
    /// The history that was seen; none where there is nothing to compare.
    seen: Option<Seen>,
}

impl Look {
    /// Gives the reports that say what was found.
    pub(super) fn reports_mut(&mut self) -> impl Iterator<Item = &mut Report> {
        let seen = self.seen.as_mut().map(Seen::report_mut);
        std::iter::once(&mut self.report).chain(seen)
    }
}

impl Gate {
    /// Looks at one of so many candidates: takes the findings of a rehearsal, if there was one, and
    /// what happened since.
    pub(super) async fn look(&self, subject: &Subject, of: usize) -> Result<Look, Error> {
        if let Some(rehearsed) = self.rehearsed(subject).await? {
            // Where more has been stored since than there was, the rehearsal has not seen what
            // matters.
            let seen = u32::try_from(rehearsed.refolded_streams()).unwrap_or(u32::MAX);
            let most = seen.min(MOST_STREAMS);
            if let Some(mut seen) = Seen::of(&rehearsed, Starts::of_one_in(of))
                && self
                    .catch_up(subject, &mut seen, most, Throttling::GivesWay)
                    .await?
            {
                return Ok(Look {
                    report: self.report_of(subject, &seen),
                    seen: Some(seen),
                });
            }
        }
        let (mut ends, watch) = (Starts::of_one_in(of), Watch::default());
        let report = self.examine(subject, Some(&mut ends), &watch).await?;
        let seen = Seen::of(&report, ends);
        Ok(Look { report, seen })
    }

    /// Looks at what was stored since the last look at a candidate. False when that cannot be
    /// determined, or is too much.
    pub(super) async fn look_on(
        &self,
        subject: &Subject,
        look: &mut Look,
        throttling: Throttling,
    ) -> Result<bool, Error> {
        let Some(seen) = &mut look.seen else {
            return Ok(true);
        };
        let caught_up = self.catch_up(subject, seen, MOST_STREAMS_SINCE, throttling);
        if !caught_up.await? {
            return Ok(false);
        }
        look.report = self.report_of(subject, seen);
        Ok(true)
    }

    /// Looks once more at a candidate, whose decider is held, at everything through a moment. False
    /// when that cannot be determined, or is too much. Dropped midway, the look is of no use.
    pub(super) async fn look_last(
        &self,
        subject: &Subject,
        look: &mut Look,
        through: &Moment,
    ) -> Result<bool, Error> {
        let Some(seen) = &mut look.seen else {
            return Ok(true);
        };
        let (most, throttling) = (MOST_STREAMS_SINCE, Throttling::Presses);
        let seen_again = self.look_again(subject, seen, through, most, throttling);
        if seen_again.await?.is_none() {
            return Ok(false);
        }
        look.report = self.report_of(subject, seen);
        Ok(true)
    }

    /// Gives the report of a look, unless the host had no room for instances meanwhile: then the
    /// report speaks against a candidate without reason.
    pub(super) async fn if_there_was_room(
        &self,
        look: impl Future<Output = Result<Report, Error>>,
    ) -> Result<Report, Error> {
        let before = self.times_without_room();
        let report = look.await?;
        if !report.passed {
            self.had_room_since(before)?;
        }
        Ok(report)
    }
}
