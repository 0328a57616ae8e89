//! A committer, which takes a batch, stores it, answers, and takes the next.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use metrics::histogram;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::queue::{CommitLane, Queue, QueuedAppend, Ticket};
use super::{Commit, Failed, Verdict};
use crate::metrics::BATCH_SIZE;
use crate::{Append, AppendError};

/// The rest of the committer of large appends after each of them while small ones come in, as a
/// multiple of the time that the large one took. A rest of 3 leaves the database to small appends
/// for three quarters of the time.
const REST: u32 = 3;

/// The longest rest, whatever has kept the database.
const LONGEST_REST: Duration = Duration::from_millis(250);

/// One of the tasks that commit; they share all but their lanes and sessions.
#[derive(Debug)]
pub(super) struct Committer<C> {
    pub(super) lane: CommitLane,
    pub(super) queue: Arc<Queue>,
    pub(super) database: Arc<C>,
    /// Permits for appends that are blocked and run on their own.
    pub(super) held: Arc<Semaphore>,
    /// Changes after every commit.
    pub(super) committed: watch::Sender<()>,
}

impl<C: Commit> Committer<C> {
    /// Commits batches until the queue is closed and empty.
    pub(super) async fn run(self) {
        let mut session = C::Session::default();
        while let Some(batch) = self.queue.next_batch(self.lane).await {
            let began = Instant::now();
            let committing = AssertUnwindSafe(self.commit(&mut session, batch));
            if committing.catch_unwind().await.is_err() {
                // A bug of ours, which the panic hook has logged. It costs the batch, and neither
                // the committer nor the appends that wait.
                session = C::Session::default();
            }
            if self.lane == CommitLane::Large && self.queue.has_small_ones() {
                let rest = began.elapsed().saturating_mul(REST);
                tokio::time::sleep(rest.min(LONGEST_REST)).await;
            }
        }
    }

    async fn commit(&self, session: &mut C::Session, batch: Vec<QueuedAppend>) {
        let jobs = batch.into_iter().map(|job| (job.append, job.ticket));
        let (appends, tickets): (Vec<Append>, Vec<Ticket>) = jobs.unzip();
        #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^52")]
        histogram!(BATCH_SIZE).record(appends.len() as f64);
        match self.database.commit(session, &appends).await {
            Ok(verdicts) => self.answer(appends, tickets, verdicts),
            // Nothing is stored. Whose fault it was shows when each goes alone.
            Err(Failed::Refused(_)) if appends.len() > 1 => {
                for (append, ticket) in appends.into_iter().zip(tickets) {
                    match self
                        .database
                        .commit(session, slice::from_ref(&append))
                        .await
                    {
                        Ok(verdicts) => self.answer(vec![append], vec![ticket], verdicts),
                        Err(failed) => fail([ticket], failed),
                    }
                }
            }
            Err(failed) => fail(tickets, failed),
        }
    }

    fn answer(&self, appends: Vec<Append>, tickets: Vec<Ticket>, verdicts: Vec<Verdict>) {
        let jobs = appends.into_iter().zip(tickets);
        for ((append, ticket), verdict) in jobs.zip(verdicts) {
            match verdict {
                Verdict::Settled(outcome) => ticket.settle(outcome),
                Verdict::Held => self.run_held(append, ticket),
            }
        }
        self.committed.send_replace(());
    }

    /// Runs an append concurrently with the committers. The append keeps its place in the queue
    /// until it is answered.
    fn run_held(&self, append: Append, ticket: Ticket) {
        let (database, held) = (Arc::clone(&self.database), Arc::clone(&self.held));
        let committed = self.committed.clone();
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _permit = held.acquire().await;
            match database.commit_held(&append).await {
                Ok(outcome) => {
                    ticket.settle(outcome);
                    committed.send_replace(());
                }
                Err(failed) => fail([ticket], failed),
            }
        });
    }
}

/// Answers all appends of a batch with the failure of the whole.
fn fail(tickets: impl IntoIterator<Item = Ticket>, failed: Failed) {
    let (source, wrap): (_, fn(_) -> AppendError) = match failed {
        Failed::NotSent(source) => (source, AppendError::Unavailable),
        Failed::Lost(source) => (source, AppendError::OutcomeUnknown),
        // Of an append that was alone.
        Failed::Refused(error) => {
            if let Some(ticket) = tickets.into_iter().next() {
                ticket.settle(Err(error));
            }
            return;
        }
    };
    let source: Arc<dyn Error + Send + Sync> = source.into();
    for ticket in tickets {
        ticket.settle(Err(wrap(Arc::clone(&source).into())));
    }
}
