//! A sample of streams with all that was decided on them, for what is too costly to be done with
//! all.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::compare::Checks;
use super::folder::{Again, Folder};
use super::past::Part;

/// Most streams of a sample.
const STREAMS: usize = 64;

/// Most commands of one of them: the first ones.
const STREAM_COMMANDS: usize = 32;

/// Most payload of one of them, in bytes; what has more is left out.
const STREAM_BYTES: usize = 128 << 10;

/// Streams, or what was read of them first, chosen by the hashes of their ids: neither when they
/// were written nor who reads them matters.
#[derive(Debug, Default)]
pub(super) struct Sample(BTreeMap<u64, Part>);

/// A stream of a sample, taken through a module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Played {
    /// The decisions, in order, with the fuel that each took; up to where the module failed to
    /// fold.
    pub(super) decisions: Vec<(Again, u64)>,
    /// The state at the end; none where the module has failed.
    pub(super) state: Option<String>,
}

impl Sample {
    /// Takes the beginning of a stream in, if it belongs here.
    pub(super) fn offer(&mut self, mut part: Part) {
        let mut hasher = DefaultHasher::new();
        part.id.hash(&mut hasher);
        let hash = hasher.finish();
        if !self.wants(hash) {
            return;
        }
        part.decisions.truncate(STREAM_COMMANDS);
        let Some(last) = part.decisions.last() else {
            return;
        };
        let end = part.events_through(last.at).max(last.events.end);
        part.events.truncate(end);
        if part.bytes() <= STREAM_BYTES {
            self.put(hash, part);
        }
    }

    /// Takes in what another worker has chosen.
    pub(super) fn add(&mut self, other: Self) {
        for (hash, part) in other.0 {
            self.put(hash, part);
        }
    }

    fn wants(&self, hash: u64) -> bool {
        let last = self.0.last_key_value();
        self.0.len() < STREAMS || last.is_some_and(|(last, _)| hash < *last)
    }

    fn put(&mut self, hash: u64, part: Part) {
        self.0.insert(hash, part);
        if self.0.len() > STREAMS {
            self.0.pop_last();
        }
    }

    /// Gives the streams, in an order of their own.
    pub(super) fn into_streams(self) -> Arc<[Part]> {
        self.0.into_values().collect()
    }
}

/// Takes one stream through a module. Runs guest code.
pub(super) fn play(folder: &mut Folder, checks: &Checks, part: &Part) -> Played {
    let mut played = Played {
        decisions: Vec::with_capacity(part.decisions.len()),
        state: None,
    };
    if folder.begin().is_err() {
        return played;
    }
    for decision in &part.decisions {
        if folder.fold_through(part, decision.at).is_err() {
            return played;
        }
        played
            .decisions
            .push(checks.decide(folder, &decision.record));
        if !folder.has_stream() {
            return played;
        }
    }
    if folder.fold_through(part, part.end()).is_ok() {
        let state = folder.snapshot().ok();
        played.state = state.map(|state| state.as_str().to_owned());
    }
    folder.end();
    played
}
