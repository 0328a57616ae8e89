//! Shadowing: the candidate decides again, off the live path, each command that is decided on this
//! host from now on, until the shadow is cancelled.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gavel_model::{CommandOutcome, CommandRecord, Event, Json, StreamId, Version};
use gavel_store::Moment;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::folder::Folder;
use super::past::{Part, PastDecision};
use super::redecide::Judge;
use super::subject::Subject;
use super::{Error, Gate, Report, Step, Watch};

/// The number of streams that are kept folded, each in an instance of its own.
const STREAMS: usize = 32;

/// The interval at which results are reported.
const BEAT: Duration = Duration::from_millis(500);

/// The streams that were shadowed last, newest first.
type Folded = VecDeque<(StreamId, Folder)>;

impl Gate {
    /// Shadows until `watch` is cancelled; puts what it has found so far into `found`.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`] is the usual end.
    pub(super) async fn shadow(
        &self,
        subject: &Subject,
        watch: &Watch,
        found: &watch::Sender<Option<Json>>,
    ) -> Result<Report, Error> {
        let mut decided = self.modules.decisions().watch();
        let mut judge = Judge::new(self.folder(&subject.candidate), subject.checks.clone());
        let mut folded = Folded::new();
        let mut missed = 0;
        let began = Instant::now();
        watch.begin(Step::Redecide, 0);
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = watch.cancelled() => break,
                _ = beat.tick() => {
                    let report = self.shadowed(subject, &judge, missed, began);
                    found.send_replace(Some(report.to_json()));
                }
                next = decided.recv() => match next {
                    Ok(record) if subject.is_about(&record) => {
                        judge = self.decide_too(subject, judge, &mut folded, record).await?;
                        watch.did(0, 0, 1);
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(number)) => missed += number,
                    // Nothing is decided on this host any more.
                    Err(RecvError::Closed) => break,
                }
            }
        }
        let report = self.shadowed(subject, &judge, missed, began);
        found.send_replace(Some(report.to_json()));
        Err(Error::Cancelled)
    }

    /// Has the candidate decide one command.
    async fn decide_too(
        &self,
        subject: &Subject,
        mut judge: Judge,
        folded: &mut Folded,
        record: CommandRecord,
    ) -> Result<Judge, Error> {
        let (stream, at) = (record.stream.clone(), record.version);
        let known = folded
            .iter()
            .position(|(known, folder)| *known == stream && folder.version() <= at);
        let folder = match known.and_then(|index| folded.remove(index)) {
            Some((_, folder)) => folder,
            None => {
                let folder = self.folder(&subject.candidate);
                self.fold_stream(folder, &stream, Some(at)).await?.0
            }
        };
        folded.retain(|(known, _)| *known != stream);
        let version = folder.version();
        let count = match record.outcome {
            CommandOutcome::Accepted { events } => events as usize,
            CommandOutcome::Rejected(_) => 0,
        };
        let through = at.plus(count);
        let events = self.events_between(&stream, version, through).await?;
        let before = usize::try_from(at.get() - version.get()).unwrap_or(usize::MAX);
        let events_of_record = before.min(events.len())..events.len();
        let mut part = Part::new(stream.id().to_owned(), version, events);
        // Its payload is here, whatever the ledger keeps.
        part.decisions.push(PastDecision {
            at,
            record,
            events: events_of_record,
        });
        let job = move || {
            let unused = judge.turn_to(folder);
            // What the candidate cannot fold is counted with what it fails at.
            let is_folded = judge.play(&part).is_ok();
            let folder = judge.turn_to(unused);
            (judge, is_folded.then_some(folder))
        };
        let runtime = self.modules.runtime();
        let (judge, folder) = runtime
            .run_in_background(job)
            .await
            .map_err(Error::NotRun)?;
        if let Some(folder) = folder {
            folded.push_front((stream, folder));
            folded.truncate(STREAMS);
        }
        Ok(judge)
    }

    async fn events_between(
        &self,
        stream: &StreamId,
        after: Version,
        through: Version,
    ) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        let mut read_to = after;
        while read_to < through {
            let limit = u32::try_from(through.get() - read_to.get()).unwrap_or(u32::MAX);
            let page = self.store.history(stream, read_to, Some(through), limit);
            let page = page.await.map_err(Error::Store)?;
            let Some(head) = page.head else { break };
            events.extend(page.events);
            read_to = head.version;
        }
        Ok(events)
    }

    fn shadowed(&self, subject: &Subject, judge: &Judge, missed: u64, began: Instant) -> Report {
        let policy = self
            .settings
            .policies
            .of(&subject.namespace, &subject.decider);
        let mut report = subject.empty_report(&Moment::default());
        let mut decisions = judge.decisions().clone();
        decisions.seconds = began.elapsed().as_secs_f64();
        decisions.missed = Some(missed);
        let result = decisions.result(policy.max_changed_decisions);
        report.enter(result, policy, &subject.accept);
        report
    }
}
