//! The streams that have moved since they were looked at: taken once more through both modules,
//! from the version that was seen or from a state near it.

use std::sync::Arc;

use futures::future::{self, try_join_all};
use gavel_model::{ModuleDigest, StreamId, Version};
use gavel_sandbox::BackgroundThrottle;
use gavel_store::{Moment, PastRange, Place, Snapshot};

use super::past::{Part, Reading, Throttling, Work};
use super::redecide::Deciding;
use super::redecided::Redecisions;
use super::refold::Folding;
use super::refolded::Refolded;
use super::starts::Starts;
use super::subject::Subject;
use super::{Error, Gate, Watch};

/// The number of moved streams that are read at once: as many as there are events on a small page.
const STREAMS_AT_ONCE: usize = 50;
/// The number of streams whose states are loaded at the same time.
const LOADS: usize = 10;

/// A worker that does both with what is read once.
#[derive(Debug)]
struct Both {
    folding: Folding,
    deciding: Deciding,
}

impl Work for Both {
    fn take(&mut self, part: Part) {
        self.folding.fold(&part);
        self.deciding.take(part);
    }

    fn end(&mut self) {
        self.folding.end();
        self.deciding.end();
    }

    fn snapshots(&mut self) -> Vec<Snapshot> {
        self.folding.snapshots()
    }
}

impl Gate {
    /// Folds streams that had a version at one moment, and decides again what was decided on them
    /// from then until another. Known states of these streams are used, and the new ones are put.
    pub(super) async fn look_at_moved(
        &self,
        subject: &Subject,
        places: Vec<Place>,
        (since, now): (&Moment, &Moment),
        known: &mut Starts,
        throttling: Throttling,
    ) -> Result<(Refolded, Redecisions), Error> {
        if places.is_empty() {
            return Ok((Refolded::default(), Redecisions::default()));
        }
        let (starts, watch) = (
            self.starts(subject, &places, known, throttling),
            Watch::default(),
        );
        let starts = Arc::new(starts.await?);
        let worker = || Both {
            folding: self.folding(subject, &starts, &watch).remembering(),
            deciding: self.deciding(subject, &starts, &watch),
        };
        let has_active = subject.active.is_some();
        let parts: Vec<Arc<[Place]>> = places.chunks(STREAMS_AT_ONCE).map(Arc::from).collect();
        let readers = parts.into_iter().map(|places| {
            let from = places
                .iter()
                .map(|place| starts.read_from(&place.id, has_active));
            let range = PastRange {
                streams: Some(from.collect()),
                eventless_since: Some(since.clone()),
                ..subject.range(now.clone())
            };
            self.reader(range, Reading::DecisionsFrom(places), throttling)
        });
        let workers = self.drive(readers, worker, throttling, &watch).await?;
        let (mut folded, mut decisions) = (Vec::new(), Redecisions::default());
        for worker in workers {
            known.add(worker.folding.ends.unwrap_or_default());
            folded.push(worker.folding.folded);
            decisions.add(worker.deciding.into_decisions());
        }
        Ok((self.folded_by_all(folded, subject).await?, decisions))
    }

    /// Collects the known states, and the stored snapshots of other long streams: none is later
    /// than the place, for commands after it are decided again.
    async fn starts(
        &self,
        subject: &Subject,
        places: &[Place],
        known: &Starts,
        throttling: Throttling,
    ) -> Result<Starts, Error> {
        let throttle = match throttling {
            Throttling::GivesWay => self.modules.runtime().throttle().clone(),
            Throttling::Presses => BackgroundThrottle::default(),
        };
        let candidate = Some(subject.candidate.digest());
        let active = subject.active.as_ref();
        let active = active.map(|active| active.decider.digest());
        let mut starts = known.of(places);
        let mut unknown = Vec::new();
        for Place { id, version } in places {
            let (namespace, decider) = (subject.namespace.clone(), subject.decider.clone());
            if version.get() >= self.settings.snapshot_events
                && !starts.candidate.contains_key(id)
                && let Ok(stream) = StreamId::new(namespace, decider, &**id)
            {
                unknown.push((stream, *version));
            }
        }
        for streams in unknown.chunks(LOADS) {
            let mut loads = Vec::with_capacity(streams.len());
            for (stream, version) in streams {
                let of = |module| self.kept_state(stream, *version, module);
                loads.push(future::try_join(of(candidate), of(active)));
            }
            for (candidate, active) in throttle.take_turns(try_join_all(loads)).await.0? {
                let by_id = |snapshot: Snapshot| (snapshot.stream.id().to_owned(), snapshot);
                starts.candidate.extend(candidate.map(by_id));
                starts.active.extend(active.map(by_id));
            }
        }
        Ok(starts)
    }

    /// Reads the stored state of a stream for a module, if it is not later than a version.
    async fn kept_state(
        &self,
        stream: &StreamId,
        version: Version,
        module: Option<ModuleDigest>,
    ) -> Result<Option<Snapshot>, Error> {
        let Some(module) = module else {
            return Ok(None);
        };
        let loaded = self.store.load(stream, module, 1).await;
        let snapshot = loaded.map_err(Error::Store)?.snapshot;
        Ok(snapshot.filter(|snapshot| snapshot.version <= version))
    }
}
