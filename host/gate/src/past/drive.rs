//! The distribution of parts of streams to workers, on background threads.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;
use futures::stream::FuturesUnordered;
use gavel_sandbox::scheduling::{BATCH_EVENTS, SMALL_BATCH_EVENTS};
use gavel_sandbox::{RunError, Runtime};
use gavel_store::{self as store, Snapshot, SnapshotStore};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::{Part, PastReader, Throttling};
use crate::{Error, Gate, Watch};

/// The number of readers that read at the same time: each reads some of the streams that have
/// moved, of which there is little to read.
const READERS: usize = 3;

/// A worker that replays parts of streams. All methods run guest code.
pub(crate) trait Work: Send + 'static {
    /// Takes the next part. A part that does not begin a stream continues the one before it.
    fn take(&mut self, part: Part);

    /// Ends the stream that was read last: no more parts come.
    fn end(&mut self);

    /// States to keep, of streams that have ended.
    fn snapshots(&mut self) -> Vec<Snapshot> {
        Vec::new()
    }
}

impl Gate {
    /// Hands everything that the readers read, one reader after the other, to workers, one for each
    /// thread, and gives the workers back.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`] when `watch` says so; why the store cannot be read; [`Error::NotRun`]
    /// when a worker has panicked.
    pub(crate) async fn drive<W: Work>(
        &self,
        readers: impl IntoIterator<Item = PastReader>,
        worker: impl Fn() -> W,
        throttling: Throttling,
        watch: &Watch,
    ) -> Result<Vec<W>, Error> {
        let runtime = self.modules.runtime();
        let workers = (0..runtime.threads().get()).map(|_| worker()).collect();
        let mut crew = Crew::new(runtime, workers, throttling);
        let mut batch: Vec<Part> = Vec::new();
        let mut size = 0;
        // Each in a task of its own: one that has the turn to read would keep the others from it
        // while it is not polled.
        let begun = readers.into_iter().map(|mut reader| {
            AbortOnDropHandle::new(tokio::spawn(async move {
                let first = reader.next().await;
                (reader, first)
            }))
        });
        let mut begun = stream::iter(begun).buffered(READERS);
        while let Some(begun) = begun.next().await {
            // It has panicked, or the runtime is shutting down.
            let gone = |error: JoinError| Error::Store(store::Error::Unavailable(error.into()));
            let (mut reader, mut read) = begun.map_err(gone)?;
            while let Some(parts) = read.map_err(Error::Store)? {
                for part in parts {
                    size += part.events.len() + part.decisions.len() + part.keys_only.len();
                    batch.push(part);
                    let most = match runtime.throttle().live_calls_running() {
                        true => SMALL_BATCH_EVENTS,
                        false => BATCH_EVENTS,
                    };
                    if size >= most {
                        watch.check()?;
                        crew.hand_over(&*self.store, std::mem::take(&mut batch))
                            .await?;
                        size = 0;
                    }
                }
                read = reader.next().await;
            }
        }
        if !batch.is_empty() {
            crew.hand_over(&*self.store, batch).await?;
        }
        crew.dismiss(&*self.store).await
    }
}

/// Keeps what a worker has made. Snapshots are disposable: without them the first command of a long
/// stream takes longer.
async fn keep(store: &dyn SnapshotStore, snapshots: Vec<Snapshot>) {
    if !snapshots.is_empty()
        && let Err(error) = store.put_snapshots(snapshots).await
    {
        tracing::warn!(%error, "states of the candidate were not kept");
    }
}

/// The workers, at rest or at work.
struct Crew<'r, W> {
    runtime: &'r Runtime,
    throttling: Throttling,
    resting: Vec<(usize, W)>,
    working: FuturesUnordered<BoxFuture<'r, Result<(usize, W), RunError>>>,
    /// The worker that has the stream that was read last.
    last: usize,
}

impl<'r, W: Work> Crew<'r, W> {
    fn new(runtime: &'r Runtime, workers: Vec<W>, throttling: Throttling) -> Self {
        Self {
            runtime,
            throttling,
            resting: workers.into_iter().enumerate().collect(),
            working: FuturesUnordered::new(),
            last: 0,
        }
    }

    /// Gives a batch to a worker that may take it, and stores the snapshots that this worker has
    /// made before.
    async fn hand_over(
        &mut self,
        store: &dyn SnapshotStore,
        batch: Vec<Part>,
    ) -> Result<(), Error> {
        let goes_on = batch.first().is_some_and(|part| part.goes_on);
        let mut worker = self.take_worker(goes_on).await?;
        keep(store, worker.snapshots()).await;
        self.send(worker, batch);
        Ok(())
    }

    /// Waits for the worker that is free first, or for the one that had the last batch.
    async fn take_worker(&mut self, the_same: bool) -> Result<W, Error> {
        loop {
            let found = match the_same {
                true => self.resting.iter().position(|(name, _)| *name == self.last),
                false => self.resting.len().checked_sub(1),
            };
            if let Some(index) = found {
                let (name, worker) = self.resting.swap_remove(index);
                self.last = name;
                return Ok(worker);
            }
            self.wait().await?;
        }
    }

    /// Sends the worker that was hired last.
    fn send(&mut self, mut worker: W, batch: Vec<Part>) {
        let name = self.last;
        let work = move || {
            for part in batch {
                worker.take(part);
            }
            (name, worker)
        };
        let working = self.run(work);
        self.working.push(working);
    }

    /// Runs a job on a thread of the background.
    fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> BoxFuture<'r, Result<T, RunError>> {
        match self.throttling {
            Throttling::GivesWay => Box::pin(self.runtime.run_in_background(job)),
            Throttling::Presses => Box::pin(self.runtime.run_pressing(job)),
        }
    }

    async fn wait(&mut self) -> Result<(), Error> {
        if let Some(done) = self.working.next().await {
            self.resting.push(done.map_err(Error::NotRun)?);
        }
        Ok(())
    }

    /// Lets all of them end what they are at, and keeps what they have made.
    async fn dismiss(mut self, store: &dyn SnapshotStore) -> Result<Vec<W>, Error> {
        while !self.working.is_empty() {
            self.wait().await?;
        }
        let mut workers = Vec::with_capacity(self.resting.len());
        for (_, mut worker) in std::mem::take(&mut self.resting) {
            let ended = self.run(move || {
                worker.end();
                worker
            });
            let mut worker = ended.await.map_err(Error::NotRun)?;
            keep(store, worker.snapshots()).await;
            workers.push(worker);
        }
        Ok(workers)
    }
}
