//! Step 4: the candidate folds every stream, and what it makes of them is compared with what the active module makes of them.

use std::sync::Arc;

use super::folder::{Folder, Patience};
use super::past::{Part, Reading, Work, drive};
use super::refolded::{Example, Failure, Refolded, first_by};
use super::{Error, Gate, Watch};
use crate::core::{DeciderName, Json, Namespace, StreamId, Version};
use crate::modules::Decider;
use crate::store::{PastRange, Snapshot};

/// Which modules fold what.
#[derive(Debug, Clone)]
pub(super) struct Refold {
    pub(super) candidate: Arc<Decider>,
    /// The module to compare with; none before the first activation.
    pub(super) active: Option<Arc<Decider>>,
    /// From how many events on a state of the candidate's is kept as a snapshot.
    pub(super) snapshot_events: u64,
}

impl Gate {
    /// Has the candidate fold the streams of `ranges`, which are all of one decider.
    pub(super) async fn refold(
        &self,
        ranges: Vec<PastRange>,
        refold: &Refold,
        watch: &Watch,
    ) -> Result<Refolded, Error> {
        let Some(range) = ranges.first().cloned() else {
            return Ok(Refolded::default());
        };
        let runtime = self.modules.runtime();
        let worker = || Folding {
            namespace: range.namespace.clone(),
            decider: range.decider.clone(),
            candidate: self.folder(&refold.candidate),
            active: refold.active.as_ref().map(|active| self.folder(active)),
            snapshot_events: refold.snapshot_events,
            stream: None,
            folded: Refolded::default(),
            patience: Patience::default(),
            snapshots: Vec::new(),
            watch: watch.clone(),
        };
        let workers = (0..runtime.threads().get()).map(|_| worker()).collect();
        let ranges = ranges.into_iter();
        let readers = ranges.map(|range| self.reader(range, Reading::Events));
        let workers = drive(runtime, &*self.store, readers, workers, watch).await?;
        let mut folded = Refolded::default();
        for worker in workers {
            folded.add(worker.folded);
        }
        if let Some(first) = folded.failures.first_mut()
            && first.event.is_none()
        {
            self.locate(&range, &refold.candidate, first).await?;
        }
        Ok(folded)
    }

    /// Finds the event at which the candidate fails, one by one. Leaves it open when each alone can be folded: what failed was the whole.
    async fn locate(
        &self,
        range: &PastRange,
        candidate: &Arc<Decider>,
        failure: &mut Failure,
    ) -> Result<(), Error> {
        let (namespace, decider) = (range.namespace.clone(), range.decider.clone());
        if let Ok(stream) = StreamId::new(namespace, decider, &*failure.id) {
            let folder = self.folder(candidate).singly();
            let (_, unfolded) = self.fold_stream(folder, &stream, None).await?;
            failure.event = unfolded.and_then(|unfolded| unfolded.event);
        }
        Ok(())
    }
}

/// One worker.
#[derive(Debug)]
struct Folding {
    namespace: Namespace,
    decider: DeciderName,
    candidate: Folder,
    active: Option<Folder>,
    snapshot_events: u64,
    stream: Option<Stream>,
    folded: Refolded,
    patience: Patience,
    snapshots: Vec<Snapshot>,
    watch: Watch,
}

/// The stream that is being folded.
#[derive(Debug)]
struct Stream {
    id: String,
    version: Version,
    failure: Option<Failure>,
}

impl Work for Folding {
    fn take(&mut self, part: Part) {
        if !part.goes_on {
            self.end();
            if self.patience.is_over() {
                self.folded.is_cut_short = true;
                return;
            }
            self.begin(&part);
        }
        let Some(stream) = &mut self.stream else {
            return;
        };
        self.watch.did(0, part.events.len(), 0);
        self.folded.events += part.events.len() as u64;
        if stream.failure.is_none()
            && let Err(unfolded) = self.candidate.fold_through(&part, part.end())
        {
            stream.failure = Some(Failure::new(&part.id, unfolded));
        }
        if let Some(active) = self.active.as_mut().filter(|active| active.has_stream()) {
            // Where it fails its stream is gone, and that is all there is to know.
            let _ = active.fold_through(&part, part.end());
        }
        stream.version = part.end();
    }

    fn end(&mut self) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        self.watch.did(1, 0, 0);
        self.folded.streams += 1;
        let candidate = match stream.failure.take() {
            Some(failure) => Err(failure),
            None => {
                let state = self.candidate.snapshot();
                state.map_err(|fault| Failure::new(&stream.id, fault.into()))
            }
        };
        // Without a stream there is no snapshot, either.
        let active = self
            .active
            .as_mut()
            .and_then(|active| active.snapshot().ok());
        let has_active = self.active.is_some();
        match (candidate, active) {
            (Err(_), None) if has_active => self.folded.failed_before += 1,
            (Err(failure), _) => {
                self.folded.failed += 1;
                self.patience.lose(&failure.fault);
                self.folded.failures.push(failure);
                first_by(&mut self.folded.failures, |failure| &failure.id);
            }
            (Ok(candidate), Some(active)) if candidate != active => {
                self.keep(&stream, &candidate);
                self.folded.different += 1;
                self.folded.differences.push(Example {
                    id: stream.id,
                    version: stream.version,
                    active,
                    candidate,
                });
                first_by(&mut self.folded.differences, |example| &example.id);
            }
            (Ok(candidate), active) => {
                self.keep(&stream, &candidate);
                self.folded.equal += u64::from(active.is_some());
            }
        }
        self.candidate.end();
        if let Some(active) = &mut self.active {
            active.end();
        }
    }

    fn snapshots(&mut self) -> Vec<Snapshot> {
        std::mem::take(&mut self.snapshots)
    }
}

impl Folding {
    fn begin(&mut self, part: &Part) {
        let begun = self.candidate.begin();
        if let Some(active) = &mut self.active {
            // As when it folds.
            let _ = active.begin();
        }
        let failure = begun
            .err()
            .map(|fault| Failure::new(&part.id, fault.into()));
        self.stream = Some(Stream {
            id: part.id.clone(),
            version: Version::EMPTY,
            failure,
        });
    }

    /// Keeps the candidate's state of a long stream, so that its first command after the activation need not fold it again.
    fn keep(&mut self, stream: &Stream, state: &Json) {
        if stream.version.get() < self.snapshot_events {
            return;
        }
        let id = StreamId::new(self.namespace.clone(), self.decider.clone(), &*stream.id);
        self.snapshots.extend(id.ok().map(|stream_id| Snapshot {
            stream: stream_id,
            module: self.candidate.decider().digest(),
            version: stream.version,
            state: state.clone(),
        }));
    }
}
