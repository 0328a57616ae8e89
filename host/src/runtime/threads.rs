//! The threads on which guests run: a bounded number behind a bounded queue, never those of the async runtime.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::RunError;

/// What a guest's thread needs beside the guest's stack: wasmtime, lifting and lowering, and parsing JSON.
const HOST_STACK_BYTES: usize = 2 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// A handle to the threads. They end when the last handle is gone and the queue is empty.
#[derive(Debug, Clone)]
pub(super) struct GuestThreads {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle(Arc<Queue>);

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    limit: usize,
}

struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl GuestThreads {
    /// Starts `threads` threads with room for `guest_stack_bytes` of guest stack; at most `queue` jobs wait for them.
    pub(super) fn start(
        threads: NonZeroUsize,
        queue: usize,
        guest_stack_bytes: usize,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue {
            waiting: Mutex::new(Waiting {
                jobs: VecDeque::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            // Every job passes through the queue, even to a thread that is idle.
            limit: queue.max(1),
        });
        // Made before the threads: should one fail to start, dropping this ends the others.
        let handle = Arc::new(Handle(Arc::clone(&queue)));
        for number in 0..threads.get() {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name(format!("gavel-guest-{number}"))
                .stack_size(guest_stack_bytes + HOST_STACK_BYTES)
                .spawn(move || queue.work())?;
        }
        Ok(Self { handle })
    }

    /// Runs `job` on one of the threads. Dropped midway, a job that has begun still runs to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RunError> {
        let (sender, receiver) = oneshot::channel();
        let limit = self.handle.0.limit;
        self.handle.0.push(limit, move || {
            // Nobody waits any more: the answer has no use.
            let _ = sender.send(job());
        })?;
        receiver.await.map_err(|_| RunError::Panicked)
    }

    /// Runs `job` on one of the threads however many wait already: for callers that bound themselves how many there can be.
    pub(super) fn post(&self, job: impl FnOnce() + Send + 'static) {
        // Without a limit nothing is refused.
        let _ = self.handle.0.push(usize::MAX, job);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Jobs run outside the lock and their panics are caught: a poisoned queue is still whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, limit: usize, job: impl FnOnce() + Send + 'static) -> Result<(), RunError> {
        let mut waiting = self.lock();
        if waiting.jobs.len() >= limit {
            return Err(RunError::Overloaded { queue: limit });
        }
        waiting.jobs.push_back(Box::new(job));
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic drops what the job owned, an instance with its guest included; nothing of it is seen again.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.lock().jobs.len())
            .field("limit", &self.limit)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn threads(threads: usize, queue: usize) -> GuestThreads {
        let threads = NonZeroUsize::new(threads).unwrap();
        GuestThreads::start(threads, queue, 1 << 20).unwrap()
    }

    #[tokio::test]
    async fn a_panicking_job_is_reported_and_its_thread_takes_the_next_one() {
        let threads = threads(1, 4);
        let panicked = threads.run(|| panic!("a bug of the host")).await;
        assert_eq!(panicked, Err::<(), _>(RunError::Panicked));
        assert_eq!(threads.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_job_that_finds_the_queue_full_is_refused_and_not_begun() {
        let threads = threads(1, 1);
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let busy = tokio::spawn({
            let threads = threads.clone();
            async move {
                threads
                    .run(move || {
                        started.send(()).unwrap();
                        released.recv().unwrap();
                    })
                    .await
            }
        });
        tokio::task::spawn_blocking(move || has_started.recv().unwrap())
            .await
            .unwrap();
        let mut waiting = Box::pin(threads.run(|| "waited"));
        assert!(futures::poll!(&mut waiting).is_pending());
        let refused = threads.run(|| "refused").await;
        assert_eq!(refused, Err(RunError::Overloaded { queue: 1 }));

        release.send(()).unwrap();
        assert_eq!(busy.await.unwrap(), Ok(()));
        assert_eq!(waiting.await, Ok("waited"));
    }
}
