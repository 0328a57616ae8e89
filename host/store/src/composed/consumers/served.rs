//! The journal of a consumer, and the state that its entries fold to.

use std::collections::BTreeMap;

use gavel_model::{ConsumerId, Namespace, RecordedEvent, StreamId};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::composed::journal::{Fold, corrupt, internal_stream};
use crate::toolkit::consumers::rows::{Backlog, Registered, named};

/// The decider of the journals of consumers.
pub(super) const CONSUMERS: &str = "consumers";

/// A consumer, and the events that it has not done.
#[derive(Debug, Clone, Default)]
pub(in crate::composed) struct Served {
    /// The settings and the cursor; none if there is no such consumer.
    pub(super) consumer: Option<Registered>,
    /// The streams of which something is handed out and not done.
    pub(super) backlogs: BTreeMap<StreamId, Backlog>,
}

/// An entry of the journal of a consumer.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::composed) enum ServedEntry {
    /// The consumer is deleted, with its backlogs; later entries of the same event may register it
    /// again.
    Cleared,
    /// The settings and the cursor, in the place of those there were.
    Registered(Box<Registered>),
    /// The backlogs of streams, by decider and id, are these; or they have none any more.
    Backlogs(Vec<(String, String, Option<Backlog>)>),
}

impl Fold for Served {
    type Entry = ServedEntry;
    const WHAT: &'static str = "journal of a consumer";
    const WHOLE_EVERY: u64 = 100;

    fn apply(&mut self, entry: ServedEntry, recorded: &RecordedEvent) -> Result<(), Error> {
        match entry {
            ServedEntry::Cleared => *self = Self::default(),
            ServedEntry::Registered(consumer) => self.consumer = Some(*consumer),
            ServedEntry::Backlogs(backlogs) => {
                let consumer = id_of(recorded.stream.id())?;
                for (decider, id, backlog) in backlogs {
                    let stream = named(&consumer, &decider, &id)?;
                    match backlog {
                        Some(backlog) => self.backlogs.insert(stream, backlog),
                        None => self.backlogs.remove(&stream),
                    };
                }
            }
        }
        Ok(())
    }
}

impl Served {
    /// The entries that make this state of an earlier one.
    pub(super) fn since(&self, before: &Self) -> Vec<ServedEntry> {
        let Some(consumer) = &self.consumer else {
            let was_there = before.consumer.is_some();
            return was_there
                .then_some(ServedEntry::Cleared)
                .into_iter()
                .collect();
        };
        let mut entries = Vec::new();
        if before.consumer.as_ref() != Some(consumer) {
            entries.push(ServedEntry::Registered(Box::new(consumer.clone())));
        }
        let done = before.backlogs.keys();
        let done = done.filter(|stream| !self.backlogs.contains_key(stream));
        let kept = self.backlogs.iter();
        let kept = kept.filter(|(stream, backlog)| before.backlogs.get(stream) != Some(backlog));
        let backlogs = done
            .map(|stream| (stream, None))
            .chain(kept.map(|(stream, backlog)| (stream, Some(backlog.clone()))));
        let backlogs: Vec<_> = backlogs
            .map(|(stream, backlog)| {
                let (decider, id) = (stream.decider().to_string(), stream.id().to_owned());
                (decider, id, backlog)
            })
            .collect();
        if !backlogs.is_empty() {
            entries.push(ServedEntry::Backlogs(backlogs));
        }
        entries
    }

    /// The entries that make this state of any other.
    pub(super) fn whole(&self) -> Vec<ServedEntry> {
        let mut entries = vec![ServedEntry::Cleared];
        entries.extend(self.since(&Self::default()));
        entries
    }
}

/// The journal of a consumer.
pub(super) fn journal_of(id: &ConsumerId) -> Result<StreamId, Error> {
    let id = format!("{}/{}", id.namespace(), id.name());
    internal_stream(Namespace::internal(), CONSUMERS, &id)
}

/// The consumer of a journal.
pub(super) fn id_of(journal: &str) -> Result<ConsumerId, Error> {
    let corrupt = |reason: String| corrupt::<Served>(reason);
    let (namespace, name) = journal.split_once('/').unwrap_or_default();
    let namespace = Namespace::new(namespace).map_err(|error| corrupt(error.to_string()))?;
    ConsumerId::new(namespace, name).map_err(|error| corrupt(error.to_string()))
}
