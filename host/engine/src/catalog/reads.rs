//! The events that views and processes read, as their manifests say.

use std::collections::{BTreeSet, HashMap};

use gavel_model::{DeciderName, EventFilter, ModuleKind, ModuleName, RecordedEvent};
use gavel_store::EventKind;
use serde::{Deserialize, Serialize};

use super::manifest::check_name;

/// Most entries of `reads` (inclusive).
const READS: usize = 1_000;

/// The part of an event that names the rows which it changes, or the instances that learn of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    /// The id of its stream.
    StreamId,
    /// The values of its tags with this key, as `Ulm` is of `town:Ulm` with `town`.
    Tag(String),
}

impl KeyOrigin {
    /// The keys of an event, as it has them.
    pub fn keys<'e>(&self, event: &'e RecordedEvent) -> Vec<&'e str> {
        match self {
            Self::StreamId => vec![event.stream.id()],
            Self::Tag(key) => {
                let value = |tag: &'e String| tag.strip_prefix(&**key)?.strip_prefix(':');
                event.event.tags.iter().filter_map(value).collect()
            }
        }
    }
}

/// An event that a view or a process folds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldedEvent {
    /// The decider whose event it is.
    pub decider: String,
    /// The name of the event.
    pub event: String,
    /// The schema versions that the module can fold.
    pub schema_versions: BTreeSet<u32>,
    /// Tells whether the module's sources find it by its tags.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_tag: bool,
}

/// Checks the name of a module, and that it is of the kind which its component is of.
pub(super) fn check_kind(is: ModuleKind, name: &str, kind: &str, reasons: &mut Vec<String>) {
    if let Err(error) = ModuleName::new(is, name) {
        reasons.push(format!("the manifest's name `{name}` is refused: {error}"));
    }
    let is = is.as_str();
    if kind != is {
        reasons.push(format!(
            "the manifest's kind is `{kind}`, and the component is a `{is}`"
        ));
    }
}

/// Checks that a new module does not read too many events.
pub(super) fn check_number(reads: &[FoldedEvent], reasons: &mut Vec<String>) {
    if reads.len() > READS {
        reasons.push(format!(
            "the manifest reads {} events, of at most {READS}",
            reads.len()
        ));
    }
}

/// Checks that what a module reads makes sense, and where the keys of events come from.
pub(super) fn check_reads(
    reads: &[FoldedEvent],
    key: Option<&KeyOrigin>,
    reasons: &mut Vec<String>,
) {
    if reads.is_empty() {
        reasons.push("the manifest reads no event".to_owned());
    }
    if key == Some(&KeyOrigin::Tag(String::new())) {
        reasons.push("the manifest's `key` names an empty tag".to_owned());
    }
    let mut seen = BTreeSet::new();
    for read in reads {
        let FoldedEvent { decider, event, .. } = read;
        if let Err(error) = DeciderName::new(decider) {
            reasons.push(format!("the decider `{decider}` is refused: {error}"));
        }
        check_name("event", event, reasons);
        if read.schema_versions.is_empty() {
            reasons.push(format!("`{decider}/{event}` is read in no schema version"));
        }
        if read.schema_versions.contains(&0) {
            reasons.push(format!(
                "`{decider}/{event}` is read in schema version 0, the first is 1"
            ));
        }
        if !seen.insert((decider, event)) {
            reasons.push(format!("`{decider}/{event}` is read twice"));
        }
    }
}

/// The events that a module reads, at hand by their names.
#[derive(Debug)]
pub(super) struct Reads {
    /// The schema versions of each event, by decider and event.
    versions: HashMap<String, HashMap<String, BTreeSet<u32>>>,
    by_tag: BTreeSet<EventKind>,
}

impl Reads {
    pub(super) fn of(reads: &[FoldedEvent]) -> Self {
        let mut versions = HashMap::<_, HashMap<_, _>>::new();
        for read in reads {
            let events = versions.entry(read.decider.clone()).or_default();
            events.insert(read.event.clone(), read.schema_versions.clone());
        }
        let by_tag = reads.iter().filter(|read| read.by_tag);
        let by_tag = by_tag.map(|read| EventKind {
            decider: read.decider.clone(),
            event: read.event.clone(),
        });
        Self {
            versions,
            by_tag: by_tag.collect(),
        }
    }

    /// The kinds of events that the module's sources find by tags.
    pub(super) fn by_tag(&self) -> &BTreeSet<EventKind> {
        &self.by_tag
    }

    /// The schema versions that are read of an event; none if it is not read.
    pub(super) fn versions(&self, event: &RecordedEvent) -> Option<&BTreeSet<u32>> {
        let events = self.versions.get(event.stream.decider().as_str())?;
        events.get(&event.event.event)
    }

    /// Tells whether an event is read in its version of the schema.
    pub(super) fn can_fold(&self, event: &RecordedEvent) -> bool {
        let versions = self.versions(event);
        versions.is_some_and(|versions| versions.contains(&event.event.schema_version))
    }

    /// The filter of the log that lets through all that is read, and perhaps more.
    pub(super) fn filter(&self) -> EventFilter {
        let mut deciders: Vec<String> = self.versions.keys().cloned().collect();
        deciders.sort_unstable();
        let events = self.versions.values().flat_map(HashMap::keys);
        let events: BTreeSet<&String> = events.collect();
        EventFilter {
            deciders,
            events: events.into_iter().cloned().collect(),
            tags: Vec::new(),
        }
    }
}
