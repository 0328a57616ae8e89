//! Step 4: the candidate folds every stream, and what it makes of them is compared with what the active module makes of them.

use std::sync::Arc;

use super::folder::{Folder, Unfolded};
use super::past::{Part, Reader, Reading, Work, drive};
use super::refolded::{Example, Failure, Refolded, first_by};
use super::{Error, Gate, Watch};
use crate::core::{DeciderName, Event, Json, Namespace, StreamId, Version};
use crate::modules::Decider;
use crate::store::{Scope, Snapshot};

/// How many streams that the candidate cannot fold a worker takes before it looks at no more of them. One in which the candidate runs into a
/// limit, which may take as long as a deadline, counts as much as [`LIMIT_WEIGHT`] others.
const PATIENCE: u64 = 1_000;
const LIMIT_WEIGHT: u64 = 100;

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
    /// Has the candidate fold the streams of `scopes`, which are all of one decider.
    pub(super) async fn refold(
        &self,
        scopes: Vec<Scope>,
        refold: &Refold,
        watch: &Watch,
    ) -> Result<Refolded, Error> {
        let Some(scope) = scopes.first().cloned() else {
            return Ok(Refolded::default());
        };
        let runtime = self.modules.runtime();
        let memory = runtime.limits().memory_bytes;
        let worker = || Folding {
            namespace: scope.namespace.clone(),
            decider: scope.decider.clone(),
            candidate: Folder::new(refold.candidate.clone(), memory),
            active: refold
                .active
                .clone()
                .map(|active| Folder::new(active, memory)),
            snapshot_events: refold.snapshot_events,
            stream: None,
            folded: Refolded::default(),
            patience: PATIENCE,
            snapshots: Vec::new(),
            watch: watch.clone(),
        };
        let workers = (0..runtime.threads().get()).map(|_| worker()).collect();
        let scopes = scopes.into_iter();
        let readers = scopes.map(|scope| Reader::new(self.store.clone(), scope, Reading::Events));
        let workers = drive(runtime, &*self.store, readers, workers, watch).await?;
        let mut folded = Refolded::default();
        for worker in workers {
            folded.add(worker.folded);
        }
        if let Some(first) = folded.failures.first_mut()
            && first.event.is_none()
        {
            self.locate(&scope, &refold.candidate, first).await?;
        }
        Ok(folded)
    }

    /// Finds the event at which the candidate fails, one by one.
    async fn locate(
        &self,
        scope: &Scope,
        candidate: &Arc<Decider>,
        failure: &mut Failure,
    ) -> Result<(), Error> {
        let runtime = self.modules.runtime();
        let stream = StreamId::new(scope.namespace.clone(), scope.decider.clone(), &*failure.id);
        let Ok(stream) = stream else { return Ok(()) };
        let mut folder = Folder::new(candidate.clone(), runtime.limits().memory_bytes);
        let mut after = Version::EMPTY;
        loop {
            let page = self
                .store
                .history(&stream, after, None, LOCATE_EVENTS)
                .await;
            let events = page.map_err(Error::Store)?.events;
            if events.is_empty() {
                // Alone it can be folded: what failed was the whole.
                return Ok(());
            }
            let read = events.len();
            let (back, found) = runtime
                .run_in_background(move || fold_singly(folder, after, events))
                .await
                .map_err(Error::NotRun)?;
            if let Some((version, event)) = found {
                failure.version = Some(version);
                failure.event = Some(event);
                return Ok(());
            }
            folder = back;
            after = after.plus(read);
        }
    }
}

/// How many events are looked at in one job.
const LOCATE_EVENTS: u32 = 500;

fn fold_singly(
    mut folder: Folder,
    after: Version,
    events: Vec<Event>,
) -> (Folder, Option<(Version, Event)>) {
    if after == Version::EMPTY && folder.begin().is_err() {
        return (folder, None);
    }
    let mut version = after;
    for event in events {
        let failed = folder.fold(version, std::slice::from_ref(&event)).is_err();
        version = version.next();
        if failed {
            return (folder, Some((version, event)));
        }
    }
    (folder, None)
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
    patience: u64,
    snapshots: Vec<Snapshot>,
    watch: Watch,
}

/// The stream that is being folded.
#[derive(Debug)]
struct Stream {
    id: String,
    version: Version,
    failure: Option<Failure>,
    /// Whether the active module has failed.
    is_broken: bool,
}

impl Work for Folding {
    fn take(&mut self, part: Part) {
        if part.after == Version::EMPTY {
            self.end();
            if self.patience == 0 {
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
            && let Err(unfolded) = self.candidate.fold(part.after, &part.events)
        {
            stream.failure = Some(failure(&part, unfolded));
        }
        if let Some(active) = &mut self.active
            && !stream.is_broken
        {
            stream.is_broken = active.fold(part.after, &part.events).is_err();
        }
        stream.version = part.after.plus(part.events.len());
    }

    fn end(&mut self) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        self.watch.did(1, 0, 0);
        self.folded.streams += 1;
        let candidate = match stream.failure.take() {
            Some(failure) => Err(failure),
            None => self.candidate.snapshot().map_err(|fault| Failure {
                id: stream.id.clone(),
                version: None,
                fault,
                event: None,
            }),
        };
        let active = match &mut self.active {
            Some(active) if !stream.is_broken => active.snapshot().ok(),
            _ => None,
        };
        let has_active = self.active.is_some();
        match (candidate, active) {
            (Err(_), None) if has_active => self.folded.failed_before += 1,
            (Err(failure), _) => {
                self.folded.failed += 1;
                let weight = if failure.fault.is_limit() {
                    LIMIT_WEIGHT
                } else {
                    1
                };
                self.patience = self.patience.saturating_sub(weight);
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
        let failure = self.candidate.begin().err().map(|fault| Failure {
            id: part.id.clone(),
            version: None,
            fault,
            event: None,
        });
        let is_broken = self
            .active
            .as_mut()
            .is_some_and(|active| active.begin().is_err());
        self.stream = Some(Stream {
            id: part.id.clone(),
            version: Version::EMPTY,
            failure,
            is_broken,
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

fn failure(part: &Part, unfolded: Unfolded) -> Failure {
    let index = unfolded
        .version
        .map(|version| version.get() - part.after.get());
    let event = index.and_then(|index| {
        part.events
            .get(usize::try_from(index).ok()?.checked_sub(1)?)
    });
    Failure {
        id: part.id.clone(),
        version: unfolded.version,
        fault: unfolded.fault,
        event: event.cloned(),
    }
}
