//! The graph of a namespace: the events that its modules write and read, the commands that they
//! send, and the events that its consumers read.
//!
//! Made from the manifests of active modules, also of kinds that only other hosts run, and from the
//! filters of consumers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use gavel_model::{
    ActivationKey, ActivationNumber, ConsumerId, EventFilter, ModuleDigest, ModuleKind, NameError,
    Namespace,
};
use gavel_sandbox::RunError;
use gavel_store::{ActivationFilter, PAGE_BYTES, Room};
use serde::{Deserialize, Serialize};

use super::manifest::first_schema_version;
use super::{Error, Modules};

/// The word for consumers where modules have their kind.
pub const CONSUMER: &str = "consumer";

/// The events that a module writes and reads, and the commands that it sends, as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// The events that the module may append, with the versions of their schemas.
    pub writes: BTreeMap<String, BTreeSet<u32>>,
    /// The events that the module reads, with the versions of their schemas that it can fold.
    pub reads: BTreeMap<EventName, BTreeSet<u32>>,
    /// The commands that the module may send.
    pub sends: BTreeSet<CommandName>,
}

/// Names an event: an event's name means one thing within its decider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct EventName {
    /// The decider that writes the event.
    pub decider: String,
    /// The name of the event.
    pub event: String,
}

/// Names a command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommandName {
    /// The decider that the command is for.
    pub decider: String,
    /// The name of the command.
    pub command: String,
}

/// The part of a decider's manifest that says what it writes.
#[derive(Deserialize)]
struct WriterManifest {
    events: Vec<WrittenEvent>,
}

#[derive(Deserialize)]
struct WrittenEvent {
    name: String,
    #[serde(default = "first_schema_version")]
    schema_version: u32,
}

/// The part of a view's manifest that says what it reads.
#[derive(Deserialize)]
struct ReaderManifest {
    reads: Vec<ReadEvent>,
}

#[derive(Deserialize)]
struct ReadEvent {
    #[serde(flatten)]
    name: EventName,
    schema_versions: BTreeSet<u32>,
}

/// The part of a process's manifest that says what it sends.
#[derive(Deserialize)]
struct SenderManifest {
    sends: BTreeSet<CommandName>,
}

impl Links {
    /// Reads the links from the manifest of a module that is stored. Takes time that grows with the
    /// manifest: not for a thread that others wait for.
    ///
    /// # Errors
    ///
    /// The fault of the manifest. There is none unless the stored row was changed: an upload is
    /// checked.
    pub fn of(kind: ModuleKind, manifest: &str) -> Result<Self, serde_json::Error> {
        let mut links = Self::default();
        match kind {
            ModuleKind::Decider => {
                for event in serde_json::from_str::<WriterManifest>(manifest)?.events {
                    let versions = links.writes.entry(event.name).or_default();
                    versions.insert(event.schema_version);
                }
            }
            ModuleKind::View => links.read(manifest)?,
            ModuleKind::Process => {
                links.read(manifest)?;
                links.sends = serde_json::from_str::<SenderManifest>(manifest)?.sends;
            }
        }
        Ok(links)
    }

    fn read(&mut self, manifest: &str) -> Result<(), serde_json::Error> {
        for read in serde_json::from_str::<ReaderManifest>(manifest)?.reads {
            let versions = self.reads.entry(read.name).or_default();
            versions.extend(read.schema_versions);
        }
        Ok(())
    }

    /// The approximate memory of the links, in bytes.
    fn size_bytes(&self) -> usize {
        const OF_EACH: usize = 48;
        let versions = |versions: &BTreeSet<u32>| OF_EACH + 4 * versions.len();
        let writes = self.writes.iter();
        let writes = writes.map(|(event, written)| event.len() + versions(written));
        let reads = self.reads.iter();
        let reads =
            reads.map(|(name, read)| name.decider.len() + name.event.len() + versions(read));
        let sends = self.sends.iter();
        let sends = sends.map(|name| name.decider.len() + name.command.len() + OF_EACH);
        writes.chain(reads).chain(sends).sum()
    }
}

/// An active module, and its links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedModule {
    /// The name, and the kind, under which the module is active.
    pub key: ActivationKey,
    /// The activation that is in force.
    pub activation: ActivationNumber,
    /// The module.
    pub digest: ModuleDigest,
    /// The links of the module.
    pub links: Links,
}

/// A consumer, and what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedConsumer {
    /// The name of the consumer.
    pub id: ConsumerId,
    /// The events that the consumer wants.
    pub filter: EventFilter,
}

/// A place in the list of all that a graph is made of: modules by kind and name, then consumers by
/// name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphPlace {
    /// The place of an activation log.
    Module(ActivationKey),
    /// The place of a consumer.
    Consumer(ConsumerId),
}

impl fmt::Display for GraphPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(key) => write!(f, "{}/{}", key.kind(), key.name()),
            Self::Consumer(id) => write!(f, "{CONSUMER}/{}", id.name()),
        }
    }
}

impl GraphPlace {
    /// Finds the place in a namespace that is written so.
    ///
    /// # Errors
    ///
    /// The reason for which there is no such place.
    pub fn parse(namespace: &Namespace, text: &str) -> Result<Self, GraphPlaceError> {
        let (kind, name) = text.split_once('/').ok_or(GraphPlaceError::Kind)?;
        let namespace = namespace.clone();
        if kind == CONSUMER {
            return Ok(Self::Consumer(ConsumerId::new(namespace, name)?));
        }
        let kind = ModuleKind::from_name(kind).ok_or(GraphPlaceError::Kind)?;
        Ok(Self::Module(ActivationKey::new(namespace, kind, name)?))
    }
}

/// The reason for which a text is no place in a graph.
#[derive(Debug, thiserror::Error)]
pub enum GraphPlaceError {
    /// The text does not begin with a kind.
    #[error("it begins with none of `decider/`, `process/`, `view/` and `consumer/`")]
    Kind,
    /// The text does not end with a name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// A page of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GraphPage {
    /// The active modules.
    pub modules: Vec<LinkedModule>,
    /// The consumers.
    pub consumers: Vec<LinkedConsumer>,
    /// The last place of the page if more follows after it. A page may be empty all the same: what
    /// is deactivated is passed over.
    pub next: Option<GraphPlace>,
}

impl Modules {
    /// Reads a page of the graph of a namespace after a place: of the first `limit` names, and no
    /// more than take up [`PAGE_BYTES`].
    ///
    /// # Errors
    ///
    /// [`Error::Store`], also for a manifest that something other than an upload has stored.
    pub async fn graph(
        &self,
        namespace: &Namespace,
        after: Option<&GraphPlace>,
        limit: u32,
    ) -> Result<GraphPage, Error> {
        let mut page = GraphPage::default();
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut last = after.cloned();
        if !matches!(after, Some(GraphPlace::Consumer(_))) {
            let filter = ActivationFilter {
                namespace: Some(namespace.clone()),
                kind: None,
            };
            let key = match after {
                Some(GraphPlace::Module(key)) => Some(key),
                Some(GraphPlace::Consumer(_)) | None => None,
            };
            let active = self.list_active(&filter, key, limit).await?;
            for newest in active.items {
                let mut bytes = 0;
                let mut linked = None;
                if let Some(digest) = newest.digest {
                    let links = self.links(digest).await?;
                    bytes = links.size_bytes();
                    linked = Some(LinkedModule {
                        key: newest.key.clone(),
                        activation: newest.number,
                        digest,
                        links,
                    });
                }
                if !room.take_bytes(bytes) {
                    page.next = last;
                    return Ok(page);
                }
                page.modules.extend(linked);
                last = Some(GraphPlace::Module(newest.key));
            }
            if active.has_more {
                page.next = last;
                return Ok(page);
            }
        }
        let id = match &last {
            Some(GraphPlace::Consumer(id)) => Some(id.clone()),
            Some(GraphPlace::Module(_)) | None => None,
        };
        let consumers = self
            .0
            .store
            .list_consumers(Some(namespace), id.as_ref(), limit, 0);
        let consumers = consumers.await.map_err(Error::Store)?;
        for consumer in consumers.items {
            let filter = consumer.settings.filter;
            if !room.take_bytes(filter.size_bytes()) {
                page.next = last;
                return Ok(page);
            }
            last = Some(GraphPlace::Consumer(consumer.id.clone()));
            page.consumers.push(LinkedConsumer {
                id: consumer.id,
                filter,
            });
        }
        page.next = last.filter(|_| consumers.has_more);
        Ok(page)
    }

    /// Reads the links of a stored module, on a thread that holds up no other work.
    ///
    /// # Errors
    ///
    /// As [`Modules::graph`], and [`Error::NotFound`].
    pub async fn links(&self, digest: ModuleDigest) -> Result<Links, Error> {
        let stored = self.module(digest).await?;
        let read = move || Links::of(stored.kind, stored.manifest.as_str());
        let links = tokio::task::spawn_blocking(read).await;
        // The panic itself has been logged by the panic hook.
        let links = links.map_err(|_| Error::NotRun(RunError::Panicked))?;
        links.map_err(|error| {
            Error::Store(gavel_store::Error::Corrupt {
                what: "manifest",
                reason: format!("that of {digest}: {error}"),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn links(kind: ModuleKind, manifest: &Value) -> Links {
        Links::of(kind, &manifest.to_string()).unwrap()
    }

    fn versions(versions: &[u32]) -> BTreeSet<u32> {
        versions.iter().copied().collect()
    }

    #[test]
    fn a_decider_writes_what_it_declares_and_reads_nothing() {
        let events = json!([
            { "name": "Placed", "schema_version": 2 }, { "name": "Placed" }, { "name": "Shipped", "schema": {} },
        ]);
        // What a manifest holds besides means nothing.
        let manifest = json!({ "kind": "decider", "name": "order", "events": events, "reads": 7, "sends": "all" });
        let expected = Links {
            writes: [("Placed", versions(&[1, 2])), ("Shipped", versions(&[1]))]
                .map(|(event, versions)| (event.to_owned(), versions))
                .into(),
            ..Links::default()
        };
        assert_eq!(links(ModuleKind::Decider, &manifest), expected);
    }

    #[test]
    fn views_and_processes_read_and_only_a_process_sends() {
        let reads = json!([
            { "decider": "order", "event": "Placed", "schema_versions": [2] },
            { "decider": "order", "event": "Placed", "schema_versions": [1, 2] },
        ]);
        let sends = json!([{ "decider": "stock", "command": "Reserve" }]);
        let manifest = json!({ "name": "orders", "reads": reads, "sends": sends, "events": [{ "name": "Placed" }] });
        let placed = EventName {
            decider: "order".to_owned(),
            event: "Placed".to_owned(),
        };
        let view = Links {
            reads: [(placed, versions(&[1, 2]))].into(),
            ..Links::default()
        };
        assert_eq!(links(ModuleKind::View, &manifest), view);
        let reserve = CommandName {
            decider: "stock".to_owned(),
            command: "Reserve".to_owned(),
        };
        let process = Links {
            sends: [reserve].into(),
            ..view
        };
        assert_eq!(links(ModuleKind::Process, &manifest), process);
    }

    #[test]
    fn a_manifest_of_another_shape_has_no_links_instead_of_too_few() {
        for (kind, manifest) in [
            (ModuleKind::Decider, json!({ "events": [{}] })),
            (ModuleKind::View, json!({ "name": "orders" })),
            (ModuleKind::Process, json!({ "reads": [] })),
            (
                ModuleKind::View,
                json!({ "reads": [{ "decider": "order", "event": "Placed" }] }),
            ),
        ] {
            assert!(
                Links::of(kind, &manifest.to_string()).is_err(),
                "{manifest}"
            );
        }
    }
}
