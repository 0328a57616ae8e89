//! The states from which streams are folded on, where they were folded before.

use std::collections::HashMap;

use gavel_model::Version;
use gavel_store::{Place, Snapshot};

/// The most bytes of the states that are remembered for all candidates of an activation, of the
/// streams that were looked at last. A stream without a remembered state is read and folded again.
const STATES_BYTES: usize = 16 << 20;

/// States from which streams are folded on, by the id of the stream.
#[derive(Debug, Clone)]
pub(super) struct Starts {
    pub(super) candidate: HashMap<String, Snapshot>,
    pub(super) active: HashMap<String, Snapshot>,
    bytes: usize,
    most_bytes: usize,
}

impl Default for Starts {
    fn default() -> Self {
        Self::of_one_in(1)
    }
}

impl Starts {
    /// Remembers no states yet, of one of so many candidates.
    pub(super) fn of_one_in(candidates: usize) -> Self {
        Self {
            candidate: HashMap::new(),
            active: HashMap::new(),
            bytes: 0,
            most_bytes: STATES_BYTES / candidates.max(1),
        }
    }

    /// Puts a start that is later than the one that is known.
    pub(super) fn put(&mut self, candidate: Snapshot, active: Option<Snapshot>) {
        let snapshots = [Some(&candidate), active.as_ref()].into_iter().flatten();
        let bytes: usize = snapshots
            .map(|snapshot| snapshot.state.as_str().len())
            .sum();
        // What is replaced is counted all the same: it is not exact, and bounded.
        self.bytes += bytes + candidate.stream.id().len();
        if self.bytes > self.most_bytes {
            let most_bytes = self.most_bytes;
            *self = Self {
                most_bytes,
                ..Self::default()
            };
            return;
        }
        let id = candidate.stream.id().to_owned();
        self.active
            .extend(active.map(|active| (id.clone(), active)));
        self.candidate.insert(id, candidate);
    }

    /// Selects the starts of some streams.
    pub(super) fn of(&self, places: &[Place]) -> Self {
        let some = |all: &HashMap<String, Snapshot>| {
            let known = places
                .iter()
                .filter_map(|place| all.get_key_value(&place.id));
            known
                .map(|(id, snapshot)| (id.clone(), snapshot.clone()))
                .collect()
        };
        Self {
            candidate: some(&self.candidate),
            active: some(&self.active),
            ..*self
        }
    }

    /// Takes in what another worker has put, which is of other streams, or later.
    pub(super) fn add(&mut self, other: Self) {
        let Self {
            candidate,
            mut active,
            ..
        } = other;
        for (id, candidate) in candidate {
            let active = active.remove(&id);
            self.put(candidate, active);
        }
    }

    /// Finds the place from which to read a stream, so that the candidate can fold it, and the
    /// active module if there is one.
    pub(super) fn read_from(&self, id: &str, has_active: bool) -> Place {
        let version = |starts: &HashMap<String, Snapshot>| {
            let start = starts.get(id);
            start.map_or(Version::EMPTY, |start| start.version)
        };
        let candidate = version(&self.candidate);
        let version = match has_active {
            true => candidate.min(version(&self.active)),
            false => candidate,
        };
        let id = id.to_owned();
        Place { id, version }
    }
}

#[cfg(test)]
mod tests {
    use gavel_model::{DeciderName, Json, ModuleDigest, Namespace, StreamId};

    use super::*;

    #[test]
    fn the_candidates_of_a_set_share_the_room_for_states() {
        let decider = DeciderName::new("counter").unwrap();
        let snapshot = |id: &str, bytes: usize| Snapshot {
            stream: StreamId::new(Namespace::default(), decider.clone(), id).unwrap(),
            module: ModuleDigest::of(b"module"),
            version: Version::EMPTY.next(),
            state: Json::parse(&format!("\"{}\"", "x".repeat(bytes))).unwrap(),
        };
        let half = STATES_BYTES / 2;
        for (candidates, kept) in [(1, 1), (2, 0), (16, 0)] {
            let mut starts = Starts::of_one_in(candidates);
            starts.put(snapshot("a", half), None);
            assert_eq!(starts.candidate.len(), kept, "{candidates}");
            // Room is made, and is no larger then.
            starts.put(snapshot("b", half), None);
            assert_eq!(starts.candidate.len(), 0, "{candidates}");
            starts.put(snapshot("c", half / 16), None);
            assert_eq!(starts.candidate.len(), 1, "{candidates}");
        }
    }
}
