//! The threads on which guests run: in each of three lanes a bounded number behind a bounded queue,
//! never those of the async runtime.

use std::cell::{Cell, OnceCell};
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::oneshot;

use super::pace::Lane;
use super::table::{GIVING_WAY, GIVING_WAY_IN_BACKGROUND};
use super::throttle::BackgroundThrottle;
use crate::RunError;

/// The stack that the host needs on a guest's thread besides the guest's own: for wasmtime, lifting
/// and lowering, and parsing JSON.
const HOST_STACK_BYTES: usize = 2 << 20;

thread_local! {
    /// The mode of this guest thread; `None` on other threads.
    static THREAD_MODE: Cell<Option<ThreadMode>> = const { Cell::new(None) };
    /// This guest thread's knowledge of live calls; empty on other threads.
    static THROTTLE: OnceCell<BackgroundThrottle> = const { OnceCell::new() };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThreadMode {
    Equal,
    GivesWay,
}

type GuestWork = Box<dyn FnOnce() + Send>;

/// A handle to the threads. They end when the last handle is dropped and the queues are empty.
#[derive(Debug, Clone)]
pub(crate) struct GuestThreads {
    light: Arc<Handle>,
    heavy: Arc<Handle>,
    background: Arc<Handle>,
    throttle: BackgroundThrottle,
}

#[derive(Debug)]
struct Handle(Arc<LaneQueue>);

struct LaneQueue {
    lane: Lane,
    stack_bytes: usize,
    /// The throttle, which all queues share.
    throttle: BackgroundThrottle,
    /// The number of threads that take jobs.
    threads: u32,
    waiting: Mutex<GuestQueue>,
    changed: Condvar,
    limit: usize,
}

struct GuestQueue {
    /// The waiting jobs, each with its lane.
    jobs: VecDeque<(Lane, GuestWork)>,
    closed: bool,
}

impl GuestThreads {
    /// Starts `threads` threads for the light lane and as many for the background, and a quarter of
    /// that for the heavy one, with room for `guest_stack_bytes` of guest stack; at most `queue`
    /// jobs wait in each.
    pub(crate) fn start(
        threads: NonZeroUsize,
        queue: usize,
        guest_stack_bytes: usize,
    ) -> io::Result<Self> {
        let throttle = BackgroundThrottle::default();
        let start = |lane, threads| {
            let stack_bytes = guest_stack_bytes + HOST_STACK_BYTES;
            let queue = LaneQueue::new(lane, threads, queue, stack_bytes, throttle.clone());
            // Made before the threads: should one fail to start, dropping this ends the others.
            let handle = Handle(Arc::new(queue));
            for number in 0..threads {
                handle.0.start_thread(number)?;
            }
            Ok::<_, io::Error>(Arc::new(handle))
        };
        Ok(Self {
            light: start(Lane::Light, threads.get())?,
            heavy: start(Lane::Heavy, threads.get().div_ceil(4))?,
            background: start(Lane::Background, threads.get())?,
            throttle,
        })
    }

    /// The throttle by which work gives way to the live calls that are run here.
    pub(crate) fn throttle(&self) -> &BackgroundThrottle {
        &self.throttle
    }

    fn queue(&self, lane: Lane) -> &Arc<LaneQueue> {
        match lane {
            Lane::Light => &self.light.0,
            Lane::Heavy => &self.heavy.0,
            Lane::Background | Lane::Pressing => &self.background.0,
        }
    }

    /// Runs `job` on one of the threads: it is on its way before the answer is awaited. Dropped
    /// midway, the job still runs.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, RunError>> {
        let (sender, receiver) = oneshot::channel();
        let queue = self.queue(lane);
        let pushed = queue.push(lane, queue.limit, move || {
            // Nobody waits any more: the answer has no use.
            let _ = sender.send(job());
        });
        async move {
            pushed?;
            receiver.await.map_err(|_| RunError::Panicked)
        }
    }

    /// Runs `job` on one of the threads however many wait already: for callers that bound
    /// themselves how many there can be, and note live calls.
    pub(crate) fn post(&self, lane: Lane, job: impl FnOnce() + Send + 'static) {
        // Without a limit nothing is refused.
        let _ = self.queue(lane).push(lane, usize::MAX, job);
    }
}

/// Gives the other threads of the machine precedence over this guest's thread from now on, since
/// its call takes long. On any other thread nothing changes.
pub fn give_way() {
    if THREAD_MODE.get() != Some(ThreadMode::Equal) {
        return;
    }
    give_way_by(GIVING_WAY);
}

/// Tells whether the calls on this thread give way from their beginning.
pub(crate) fn gives_way() -> bool {
    THREAD_MODE.get() == Some(ThreadMode::GivesWay)
}

/// Lets others run after a call on this thread has computed for `took`, if there are many live
/// calls. Gives for how long: in multiples of `took`, at most `longest`.
pub(crate) fn rest(took: Duration, longest: u32) -> u32 {
    let rests = THROTTLE.with(|throttle| throttle.get().map_or(0, BackgroundThrottle::live_rests));
    let rests = rests.min(longest);
    if rests > 0 {
        thread::sleep(took * rests);
    }
    rests
}

fn give_way_by(nice: i32) {
    THREAD_MODE.set(Some(ThreadMode::GivesWay));
    // On Linux this is about the calling thread alone.
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(%error, "a module that computes without end is run at normal priority");
    }
}

/// The processor time that the calling thread has used, without the time that it waited for a
/// processor.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// A panic drops what the job owned, an instance with its guest included; nothing of it is seen
/// again.
fn run(job: GuestWork) {
    let _ = catch_unwind(AssertUnwindSafe(job));
}

impl LaneQueue {
    fn new(
        lane: Lane,
        threads: usize,
        limit: usize,
        stack_bytes: usize,
        throttle: BackgroundThrottle,
    ) -> Self {
        Self {
            lane,
            stack_bytes,
            throttle,
            threads: u32::try_from(threads).unwrap_or(u32::MAX),
            waiting: Mutex::new(GuestQueue {
                jobs: VecDeque::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            // Every job passes through the queue, even to a thread that is idle.
            limit: limit.max(1),
        }
    }

    fn start_thread(self: &Arc<Self>, number: usize) -> io::Result<()> {
        let name = match self.lane {
            Lane::Light => format!("gavel-guest-{number}"),
            Lane::Heavy => format!("gavel-heavy-{number}"),
            Lane::Background | Lane::Pressing => format!("gavel-back-{number}"),
        };
        let queue = Arc::clone(self);
        let thread = thread::Builder::new().name(name);
        thread
            .stack_size(self.stack_bytes)
            .spawn(move || queue.work(number))?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, GuestQueue> {
        // Jobs run outside the lock and their panics are caught: a poisoned queue is still whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(
        &self,
        lane: Lane,
        limit: usize,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), RunError> {
        let mut waiting = self.lock();
        if waiting.jobs.len() >= limit {
            return Err(RunError::Overloaded { queue: limit });
        }
        waiting.jobs.push_back((lane, Box::new(job)));
        // A thread that is woken needs the lock first.
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    fn work(self: Arc<Self>, number: usize) {
        THREAD_MODE.set(Some(ThreadMode::Equal));
        THROTTLE.with(|throttle| {
            // The thread is new: it has none yet.
            let _ = throttle.set(self.throttle.clone());
        });
        match self.lane {
            Lane::Light => {}
            Lane::Heavy => give_way(),
            Lane::Background | Lane::Pressing => give_way_by(GIVING_WAY_IN_BACKGROUND),
        }
        while let Some((lane, job)) = self.next() {
            match lane {
                Lane::Light | Lane::Heavy | Lane::Pressing => run(job),
                Lane::Background => self.run_with_rests(job),
            }
            // A thread that has lowered its priority cannot raise it again. If no other thread can
            // be started, it continues as it is.
            let is_replaced = self.lane == Lane::Light
                && THREAD_MODE.get() == Some(ThreadMode::GivesWay)
                && self.start_thread(number).is_ok();
            if is_replaced {
                return;
            }
        }
    }

    /// Runs a job, and rests after it if live calls are made: as long as all threads of the lane
    /// together are to rest after it.
    fn run_with_rests(&self, job: GuestWork) {
        let began = processor_time();
        run(job);
        let took = processor_time().saturating_sub(began);
        if let Some(rest) = self.throttle.rest_after(took.saturating_mul(self.threads)) {
            thread::sleep(rest);
        }
    }

    fn next(&self) -> Option<(Lane, GuestWork)> {
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

impl std::fmt::Debug for LaneQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneQueue")
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
        let panicked = threads
            .run(Lane::Light, || panic!("a bug of the host"))
            .await;
        assert_eq!(panicked, Err::<(), _>(RunError::Panicked));
        assert_eq!(threads.run(Lane::Light, || 7).await, Ok(7));
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
                    .run(Lane::Light, move || {
                        started.send(()).unwrap();
                        released.recv().unwrap();
                    })
                    .await
            }
        });
        tokio::task::spawn_blocking(move || has_started.recv().unwrap())
            .await
            .unwrap();
        let mut waiting = Box::pin(threads.run(Lane::Light, || "waited"));
        assert!(futures::poll!(&mut waiting).is_pending());
        let refused = threads.run(Lane::Light, || "refused").await;
        assert_eq!(refused, Err(RunError::Overloaded { queue: 1 }));

        release.send(()).unwrap();
        assert_eq!(busy.await.unwrap(), Ok(()));
        assert_eq!(waiting.await, Ok("waited"));
    }
}
