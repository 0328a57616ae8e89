//! Step 4: the candidate folds every stream, and its states are compared with those of the active
//! module.

use std::sync::Arc;

use gavel_model::{DeciderName, Json, Namespace, StreamId, Version};
use gavel_store::{PastRange, Snapshot};

use super::folder::{FaultBudget, Folder};
use super::past::{Part, Reading, Throttling, Work};
use super::refolded::{FoldFailure, Refolded, StateExample, first_by};
use super::starts::Starts;
use super::subject::Subject;
use super::{Error, Gate, Watch};

impl Gate {
    /// Makes the candidate fold the streams of `range`. Puts their last states into `ends`, if it
    /// is given.
    pub(super) async fn refold(
        &self,
        range: PastRange,
        subject: &Subject,
        mut ends: Option<&mut Starts>,
        watch: &Watch,
    ) -> Result<Refolded, Error> {
        let worker = || {
            let worker = self.folding(subject, &Arc::default(), watch);
            match ends {
                Some(_) => worker.remembering(),
                None => worker,
            }
        };
        let readers = [self.reader(range, Reading::Events, Throttling::GivesWay)];
        let workers = self.drive(readers, worker, Throttling::GivesWay, watch);
        let mut folded = Vec::new();
        for worker in workers.await? {
            if let (Some(ends), Some(of_worker)) = (&mut ends, worker.ends) {
                ends.add(of_worker);
            }
            folded.push(worker.folded);
        }
        self.folded_by_all(folded, subject).await
    }

    /// Makes a worker that begins streams at `starts`.
    pub(super) fn folding(
        &self,
        subject: &Subject,
        starts: &Arc<Starts>,
        watch: &Watch,
    ) -> Folding {
        let active = subject.active.as_ref();
        Folding {
            namespace: subject.namespace.clone(),
            decider: subject.decider.clone(),
            candidate: self.folder(&subject.candidate),
            active: active.map(|active| self.folder(&active.decider)),
            snapshot_events: self.settings.snapshot_events,
            starts: starts.clone(),
            stream: None,
            folded: Refolded::default(),
            fault_budget: FaultBudget::default(),
            snapshots: Vec::new(),
            ends: None,
            watch: watch.clone(),
        }
    }

    /// Adds up the results of all workers.
    pub(super) async fn folded_by_all(
        &self,
        workers: impl IntoIterator<Item = Refolded>,
        subject: &Subject,
    ) -> Result<Refolded, Error> {
        let mut folded = Refolded::default();
        for worker in workers {
            folded.add(worker);
        }
        if let Some(first) = folded.failures.first_mut()
            && first.event.is_none()
        {
            self.locate(subject, first).await?;
        }
        Ok(folded)
    }

    /// Finds the event at which the candidate fails, one by one. Leaves it open when each alone can
    /// be folded: what failed was the whole.
    async fn locate(&self, subject: &Subject, failure: &mut FoldFailure) -> Result<(), Error> {
        let (namespace, decider) = (subject.namespace.clone(), subject.decider.clone());
        if let Ok(stream) = StreamId::new(namespace, decider, &*failure.id) {
            let folder = self.folder(&subject.candidate).singly();
            let (_, unfolded) = self.fold_stream(folder, &stream, None).await?;
            failure.event = unfolded.and_then(|unfolded| unfolded.event);
        }
        Ok(())
    }
}

/// A worker of the step.
#[derive(Debug)]
pub(super) struct Folding {
    namespace: Namespace,
    decider: DeciderName,
    candidate: Folder,
    /// The module to compare with; none before the first activation.
    active: Option<Folder>,
    /// The number of events from which on the candidate's state of a stream is kept as a snapshot.
    snapshot_events: u64,
    starts: Arc<Starts>,
    stream: Option<Stream>,
    pub(super) folded: Refolded,
    fault_budget: FaultBudget,
    snapshots: Vec<Snapshot>,
    /// The states to which the modules have come; none where nobody continues from there.
    pub(super) ends: Option<Starts>,
    watch: Watch,
}

/// The stream that is being folded.
#[derive(Debug)]
struct Stream {
    id: String,
    version: Version,
    failure: Option<FoldFailure>,
}

impl Work for Folding {
    fn take(&mut self, part: Part) {
        self.fold(&part);
    }

    fn end(&mut self) {
        self.end_stream();
    }

    fn snapshots(&mut self) -> Vec<Snapshot> {
        std::mem::take(&mut self.snapshots)
    }
}

impl Folding {
    /// Makes the worker remember the [`Folding::ends`].
    pub(super) fn remembering(self) -> Self {
        Self {
            ends: Some(Starts::default()),
            ..self
        }
    }

    /// Folds the next part.
    pub(super) fn fold(&mut self, part: &Part) {
        if !part.goes_on {
            self.end_stream();
            if self.fault_budget.is_over() {
                self.folded.is_cut_short = true;
                return;
            }
            self.begin(part);
        }
        let Some(stream) = &mut self.stream else {
            return;
        };
        self.watch.did(0, part.events.len(), 0);
        self.folded.events += part.events.len() as u64;
        if stream.failure.is_none()
            && let Err(unfolded) = self.candidate.fold_through(part, part.end())
        {
            stream.failure = Some(FoldFailure::new(&part.id, unfolded));
        }
        if let Some(active) = self.active.as_mut().filter(|active| active.has_stream()) {
            // Where it fails its stream is gone, and that is all there is to know.
            let _ = active.fold_through(part, part.end());
        }
        stream.version = part.end();
    }

    /// Compares the last states of the modules.
    fn end_stream(&mut self) {
        // Where nothing but rejections is recorded there is nothing to fold.
        let stream = self.stream.take();
        let Some(mut stream) = stream.filter(|stream| stream.version != Version::EMPTY) else {
            return;
        };
        self.watch.did(1, 0, 0);
        self.folded.streams += 1;
        let candidate = match stream.failure.take() {
            Some(failure) => Err(failure),
            None => {
                let state = self.candidate.snapshot();
                state.map_err(|fault| FoldFailure::new(&stream.id, fault.into()))
            }
        };
        // Without a stream there is no snapshot, either.
        let active = self
            .active
            .as_mut()
            .and_then(|active| active.snapshot().ok());
        let has_active = self.active.is_some();
        if let Ok(candidate) = &candidate
            && has_active == active.is_some()
        {
            self.note_end(&stream, candidate, active.as_ref());
        }
        match (candidate, active) {
            (Err(_), None) if has_active => self.folded.failed_before += 1,
            (Err(failure), _) => {
                self.folded.failed += 1;
                self.fault_budget.lose(&failure.fault);
                self.folded.failures.push(failure);
                first_by(&mut self.folded.failures, |failure| &failure.id);
            }
            (Ok(candidate), Some(active)) if candidate != active => {
                self.keep(&stream, &candidate);
                self.folded.different += 1;
                self.folded.differences.push(StateExample {
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

    fn begin(&mut self, part: &Part) {
        let begun = self.candidate.begin_at(self.starts.candidate.get(&part.id));
        if let Some(active) = &mut self.active {
            // As when it folds.
            let _ = active.begin_at(self.starts.active.get(&part.id));
        }
        let failure = begun
            .err()
            .map(|fault| FoldFailure::new(&part.id, fault.into()));
        self.stream = Some(Stream {
            id: part.id.clone(),
            version: Version::EMPTY,
            failure,
        });
    }

    /// Remembers the last states of a stream, for a later look that continues from there.
    fn note_end(&mut self, stream: &Stream, candidate: &Json, active: Option<&Json>) {
        let Some(ends) = &mut self.ends else {
            return;
        };
        let id = StreamId::new(self.namespace.clone(), self.decider.clone(), &*stream.id);
        let Ok(id) = id else {
            return;
        };
        let end = |module: &Folder, state: &Json| Snapshot {
            stream: id.clone(),
            module: module.decider().digest(),
            version: stream.version,
            state: state.clone(),
        };
        let active = self.active.as_ref().zip(active);
        let active = active.map(|(module, state)| end(module, state));
        ends.put(end(&self.candidate, candidate), active);
    }

    /// Keeps the candidate's state of a long stream, so that its first command after the activation
    /// need not fold it again.
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
