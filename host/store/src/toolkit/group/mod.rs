//! Group commit: appends that wait at the same time share a transaction, and each is answered for
//! itself.
//!
//! ```text
//! append() -> queue -> lines, one per stream, command id and event id
//!                        | the first of all its lines is ready
//!                        v
//!                      fair: each decider its share, in bytes
//!                        |
//!                        v
//!             committers: take what is ready, commit it, answer; again
//! ```
//!
//! There is no timer before a small one: a free committer takes at once the appends that wait, so
//! that a lone append waits for no other, and batches grow just as long as commits take. [`Commit`]
//! hides what a batch means to a database; this module only decides which appends go together, and
//! when.
//!
//! A decider that writes much delays others for a few milliseconds at most: their appends come
//! before its backlog (`fair.rs`), and batches are small while several deciders write. An append
//! that is too large for such a batch is stored by a committer of its own, which rests while small
//! appends come in: a database that can do one thing at a time works on the small ones for most of
//! the time.
//!
//! **Invariant:** two appends that share a stream, a command id or an event id are never under way
//! at the same time. The later one begins when the outcome of the earlier one is known.
//! **Invariant:** every append is answered once, and not before its commit.

mod committer;
mod fair;
mod queue;
#[cfg(test)]
mod tests;

use std::iter;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use self::committer::Committer;
use self::queue::{CommitLane, Queue};
use crate::{Append, AppendError, Appended, Source};

/// A stream, a command id, an event id or a decider, as a hash: two that collide wait for each
/// other without need, or share what is theirs, and nothing worse.
type QueueKey = u64;

/// The number of an append, in the order of arrival.
type Number = u64;

/// The largest number of appends in a batch. More save next to nothing, and all of them wait for
/// the last.
const MAX_BATCH_APPENDS: usize = 256;
/// The largest size of a batch, in bytes as
/// [`StreamAppend::size_bytes`](crate::StreamAppend::size_bytes) counts them; a larger append goes
/// alone. As many small appends as may go together.
const MAX_BATCH_BYTES: usize = 640 * 1024;
/// The same while several deciders write: some milliseconds of work, since each of them waits for
/// the batches of the others.
const SHARED_BATCH_BYTES: usize = 128 * 1024;
/// The number of appends blocked by foreign writers that are run at the same time, each on its own.
const MAX_HELD: usize = 4;

/// The outcome of an append.
pub type Outcome = Result<Vec<Appended>, AppendError>;

/// The bounds on waiting appends, above which `append` is refused.
#[derive(Debug, Clone, Copy)]
pub struct GroupLimits {
    /// The largest number of appends that are not answered yet.
    pub appends: usize,
    /// The same in bytes; a single append may be larger.
    pub bytes: usize,
}

impl Default for GroupLimits {
    /// Allows 8,192 appends, which is some tenths of a second's work, and 128 MiB. One decider
    /// alone may have half of that.
    fn default() -> Self {
        Self {
            appends: 8_192,
            bytes: 128 * 1024 * 1024,
        }
    }
}

/// The verdict of a batch on one of its appends.
#[derive(Debug)]
pub enum Verdict {
    /// The outcome of the append, which may differ from those of the other appends.
    Settled(Outcome),
    /// The append would have waited for a writer outside of this group, and delayed its batch.
    /// Nothing of it is stored.
    Held,
}

/// The failure of a batch as a whole.
#[derive(Debug)]
pub enum Failed {
    /// The batch never reached the database.
    NotSent(Source),
    /// The database refused the batch, and nothing is stored. An append that was alone in its batch
    /// is answered with this error.
    Refused(AppendError),
    /// The connection was lost while the batch was under way: it may be stored as a whole, or not
    /// at all.
    Lost(Source),
}

/// A database that takes batches.
#[async_trait]
pub trait Commit: Send + Sync + 'static {
    /// The state that a committer keeps from one batch to the next, such as its connection; reset
    /// after a panic.
    type Session: Default + Send;

    /// The size in bytes above which appends are stored one by one, by a committer of their own.
    const LARGE_BYTES: usize;

    /// Stores the batch in one transaction, and gives a verdict for each append in order. MUST NOT
    /// return before the COMMIT is durable. No stream, command id or event id is in two of the
    /// appends.
    async fn commit(
        &self,
        session: &mut Self::Session,
        batch: &[Append],
    ) -> Result<Vec<Verdict>, Failed>;

    /// Stores one append that a batch has found [`Verdict::Held`], and waits for the writer that
    /// blocks it. Runs concurrently with the committers.
    async fn commit_held(&self, append: &Append) -> Result<Outcome, Failed>;
}

/// The appends of one store on their way into its database.
///
/// When it is dropped, what is queued is finished, and the committers end.
#[derive(Debug)]
pub struct Group {
    queue: Arc<Queue>,
    committers: Mutex<Vec<JoinHandle<()>>>,
    committed: watch::Sender<()>,
}

impl Group {
    /// Starts `committers` tasks on the runtime that this is called in, and one for large appends.
    pub fn start<C: Commit>(database: Arc<C>, committers: usize, limits: GroupLimits) -> Self {
        let queue = Arc::new(Queue::new(limits, C::LARGE_BYTES));
        let held = Arc::new(Semaphore::new(MAX_HELD));
        let committed = watch::Sender::new(());
        let lanes = iter::repeat_n(CommitLane::Small, committers).chain([CommitLane::Large]);
        let committers = lanes.map(|lane| {
            let committer = Committer {
                lane,
                queue: Arc::clone(&queue),
                database: Arc::clone(&database),
                held: Arc::clone(&held),
                committed: committed.clone(),
            };
            tokio::spawn(committer.run())
        });
        let committers = committers.collect();
        Self {
            queue,
            committers: Mutex::new(committers),
            committed,
        }
    }

    /// Appends, together with what others append. Dropped after the first poll, the append may or
    /// may not take place.
    ///
    /// # Errors
    ///
    /// As [`EventStore::append`](crate::EventStore::append).
    pub async fn append(&self, append: Append) -> Outcome {
        if append.parts.is_empty() {
            return Ok(Vec::new());
        }
        let answer = Queue::enter(&self.queue, append)?;
        // Without an answer its batch has panicked, or the runtime is shutting down.
        answer
            .await
            .unwrap_or_else(|error| Err(AppendError::OutcomeUnknown(error.into())))
    }

    /// Changes after commits: once for a batch, whether or not anything of it was stored.
    pub fn commits(&self) -> watch::Receiver<()> {
        self.committed.subscribe()
    }

    /// Announces a commit made outside this group.
    pub fn committed_beside(&self) {
        self.committed.send_replace(());
    }

    /// Takes nothing more, finishes what is queued, and ends the committers.
    pub async fn close(&self) {
        self.queue.close();
        let committers = {
            let mut committers = self
                .committers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *committers)
        };
        futures::future::join_all(committers).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.queue.close();
    }
}
