//! Step `dependents`: candidates against the modules and consumers that read what they write, and
//! against the deciders whose events they read. No module is called.

use std::collections::BTreeSet;

use gavel_engine::catalog::{CONSUMER, EventName, LinkedConsumer, LinkedModule, Links};
use gavel_model::{ModuleKind, Namespace};
use gavel_store::SwapCount;

use super::facts::{DependentsFacts, StepFacts};
use super::finding::{DependentEvent, DependentFinding, DependentRelation, FindingDetails};
use super::pointing::Pointing;
use super::words::{count, count_of};
use super::{Error, Finding, Gate, StepResult, Watch};

/// The number of names of the graph that are read at a time.
const PAGE_NAMES: u32 = 100;
/// The most events that a finding shows.
const SHOWN_EVENTS: usize = 20;
/// The most events that a sentence names.
const NAMED_EVENTS: usize = 3;
/// The most findings that show events: all dependents are named, and there may be many of them.
const SHOWN_FINDINGS: usize = 100;

/// The results of the step, and the swaps of the namespace after which they hold.
#[derive(Debug, Clone)]
pub(super) struct Dependents {
    /// The result for each candidate, in the order of the candidates.
    pub(super) results: Vec<StepResult>,
    pub(super) swaps: SwapCount,
}

impl Gate {
    /// Compares candidates of a namespace, which are to be activated together, with each other
    /// and with the rest of the graph, in which each takes the place of the module before it.
    pub(super) async fn dependents(
        &self,
        namespace: &Namespace,
        pointings: &[Pointing],
        watch: &Watch,
    ) -> Result<Dependents, Error> {
        // Before the graph: what is activated while it is read makes the number larger.
        let swaps = self.store.swaps(namespace).await.map_err(Error::Store)?;
        let mut candidates = Vec::with_capacity(pointings.len());
        for pointing in pointings {
            candidates.push(self.linked(pointing).await?);
        }
        let together: Vec<LinkedModule> = candidates.iter().map(|of| of.module.clone()).collect();
        for candidate in &mut candidates {
            together.iter().for_each(|other| candidate.meet(other));
        }
        let mut after = None;
        loop {
            watch.check()?;
            let page = self.modules.graph(namespace, after.as_ref(), PAGE_NAMES);
            let page = page.await.map_err(Error::Module)?;
            let is_replaced =
                |module: &LinkedModule| together.iter().any(|other| other.key == module.key);
            for module in page.modules.iter().filter(|module| !is_replaced(module)) {
                candidates.iter_mut().for_each(|of| of.meet(module));
            }
            for consumer in &page.consumers {
                candidates
                    .iter_mut()
                    .for_each(|of| of.meet_consumer(consumer));
            }
            after = page.next;
            if after.is_none() {
                let results = candidates.into_iter().map(Candidate::result).collect();
                return Ok(Dependents { results, swaps });
            }
        }
    }

    /// Finds what a candidate and the module that it would replace say in their manifests.
    async fn linked(&self, pointing: &Pointing) -> Result<Candidate, Error> {
        let digest = pointing.digest;
        let links = self.modules.links(digest).await.map_err(Error::Module)?;
        let former = match pointing.former {
            Some(former) => self.modules.links(former).await,
            None => Ok(Links::default()),
        };
        let module = LinkedModule {
            key: pointing.key.clone(),
            activation: pointing.after.next(),
            digest,
            links,
        };
        Ok(Candidate::new(module, former.map_err(Error::Module)?))
    }
}

/// A candidate, and what was found out about the modules and consumers that it has met.
#[derive(Debug)]
struct Candidate {
    module: LinkedModule,
    /// The links of the module that the candidate would replace.
    former: Links,
    /// The deciders that the candidate reads and has not met.
    missing: BTreeSet<String>,
    modules: u64,
    consumers: u64,
    findings: Vec<Finding>,
}

impl Candidate {
    fn new(module: LinkedModule, former: Links) -> Self {
        let read = module.links.reads.keys();
        Self {
            missing: read.map(|name| name.decider.clone()).collect(),
            module,
            former,
            modules: 0,
            consumers: 0,
            findings: Vec::new(),
        }
    }

    /// Compares the candidate with another module that is active with it.
    fn meet(&mut self, other: &LinkedModule) {
        let own = &self.module;
        if other.key == own.key {
            return;
        }
        let (kind, name) = (other.key.kind().as_str(), other.key.name().as_str());
        let mut found = Vec::new();
        if own.key.kind() == ModuleKind::Decider {
            let (unfolded, mut unwritten) =
                compare(&other.links, &own.links, own.key.name().as_str());
            unwritten.retain(|(event, version)| {
                let formerly = self.former.writes.get(*event);
                formerly.is_some_and(|written| written.contains(version))
            });
            found.push((DependentRelation::CannotFold, unfolded));
            found.push((DependentRelation::NoLongerWritten, unwritten));
        }
        if other.key.kind() == ModuleKind::Decider {
            let (unfolded, unwritten) = compare(&own.links, &other.links, name);
            found.push((DependentRelation::CandidateCannotFold, unfolded));
            found.push((DependentRelation::NotWritten, unwritten));
            self.missing.remove(name);
        }
        let found: Vec<_> = found
            .into_iter()
            .map(|(relation, events)| (relation, shown(events)))
            .collect();
        self.modules += 1;
        for (relation, events) in found {
            self.find(kind, name, relation, events);
        }
    }

    fn meet_consumer(&mut self, consumer: &LinkedConsumer) {
        self.consumers += 1;
        let own = &self.module;
        if own.key.kind() != ModuleKind::Decider {
            return;
        }
        let named = consumer.filter.events.iter().filter(|event| {
            let decider = own.key.name().as_str();
            self.former.writes.contains_key(*event)
                && !own.links.writes.contains_key(*event)
                && consumer.filter.passes_names(decider, event)
        });
        let events = named.map(|event| DependentEvent {
            event: event.clone(),
            schema_version: None,
        });
        let (events, name) = (events.collect(), consumer.id.name());
        self.find(CONSUMER, name, DependentRelation::NoLongerWritten, events);
    }

    fn find(
        &mut self,
        kind: &str,
        name: &str,
        relation: DependentRelation,
        mut events: Vec<DependentEvent>,
    ) {
        if events.is_empty() {
            return;
        }
        let what = in_words(&events);
        let summary = match relation {
            DependentRelation::CannotFold => {
                format!("The {kind} {name} cannot fold what the candidate writes: {what}.")
            }
            DependentRelation::CandidateCannotFold => {
                format!("The candidate cannot fold what the {kind} {name} writes: {what}.")
            }
            DependentRelation::NoLongerWritten => {
                format!("The candidate no longer declares what the {kind} {name} reads: {what}.")
            }
            DependentRelation::NotWritten => {
                format!("The candidate reads what the {kind} {name} does not write yet: {what}.")
            }
        };
        let events_total = events.len() as u64;
        let most = match self.findings.len() {
            ..SHOWN_FINDINGS => SHOWN_EVENTS,
            _ => 0,
        };
        events.truncate(most);
        let details = FindingDetails::Dependents(DependentFinding {
            kind: kind.to_owned(),
            name: name.to_owned(),
            relation,
            events_total,
            events,
        });
        let blocks = relation.blocks();
        self.findings.push(Finding::new(details, summary, blocks));
    }

    fn result(mut self) -> StepResult {
        for decider in std::mem::take(&mut self.missing) {
            let nothing = Links::default();
            let (_, unwritten) = compare(&self.module.links, &nothing, &decider);
            let (kind, unwritten) = (ModuleKind::Decider.as_str(), shown(unwritten));
            self.find(kind, &decider, DependentRelation::NotWritten, unwritten);
        }
        let (modules, consumers) = (self.modules, self.consumers);
        StepResult {
            summary: format!(
                "{} and {} of the namespace were looked at.",
                count_of(modules, "other module"),
                count_of(consumers, "consumer")
            ),
            findings: self.findings,
            facts: StepFacts::Dependents(DependentsFacts { modules, consumers }),
        }
    }
}

/// Events, each with a version of its schema.
type Versions<'l> = Vec<(&'l str, u32)>;

/// Compares what one module reads of a decider with what the decider writes. Gives the schema
/// versions that the reader cannot fold, of events that it reads, and those that nobody writes.
fn compare<'l>(
    reader: &'l Links,
    writer: &'l Links,
    decider: &str,
) -> (Versions<'l>, Versions<'l>) {
    static NONE: BTreeSet<u32> = BTreeSet::new();
    let (mut unfolded, mut unwritten) = (Vec::new(), Vec::new());
    let first = EventName {
        decider: decider.to_owned(),
        event: String::new(),
    };
    let reads = reader.reads.range(first..);
    for (EventName { event, .. }, folded) in reads.take_while(|(name, _)| name.decider == decider) {
        let written = writer.writes.get(event).unwrap_or(&NONE);
        let of_event = |version: &u32| (event.as_str(), *version);
        unfolded.extend(written.difference(folded).map(of_event));
        unwritten.extend(folded.difference(written).map(of_event));
    }
    (unfolded, unwritten)
}

fn shown(versions: Versions<'_>) -> Vec<DependentEvent> {
    let events = versions.into_iter().map(|(event, version)| DependentEvent {
        event: event.to_owned(),
        schema_version: Some(version),
    });
    events.collect()
}

/// Lists the first of the events.
fn in_words(events: &[DependentEvent]) -> String {
    let first = events.iter().take(NAMED_EVENTS);
    let mut words: Vec<_> = first
        .map(
            |DependentEvent {
                 event,
                 schema_version,
             }| match schema_version {
                Some(version) => format!("{event} version {version}"),
                None => event.clone(),
            },
        )
        .collect();
    let more = events.len().saturating_sub(NAMED_EVENTS);
    if more > 0 {
        words.push(format!("and {} more", count(more as u64)));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use gavel_model::{ActivationKey, ActivationNumber, ConsumerId, EventFilter, ModuleDigest};
    use serde_json::{Value, json};

    use super::*;

    fn module(kind: ModuleKind, name: &str, manifest: &Value) -> LinkedModule {
        LinkedModule {
            key: ActivationKey::new(Namespace::default(), kind, name).unwrap(),
            activation: ActivationNumber::new(1),
            digest: ModuleDigest::of(name.as_bytes()),
            links: Links::of(kind, &manifest.to_string()).unwrap(),
        }
    }

    fn decider(name: &str, events: &[(&str, u32)]) -> LinkedModule {
        let events: Vec<_> = events
            .iter()
            .map(|(event, version)| json!({ "name": event, "schema_version": version }))
            .collect();
        module(ModuleKind::Decider, name, &json!({ "events": events }))
    }

    fn reader(kind: ModuleKind, name: &str, reads: &[(&str, &str, &[u32])]) -> LinkedModule {
        let reads: Vec<_> = reads
            .iter()
            .map(|(decider, event, versions)| {
                json!({ "decider": decider, "event": event, "schema_versions": versions })
            })
            .collect();
        module(kind, name, &json!({ "reads": reads, "sends": [] }))
    }

    fn consumer(name: &str, deciders: &[&str], events: &[&str]) -> LinkedConsumer {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        LinkedConsumer {
            id: ConsumerId::new(Namespace::default(), name).unwrap(),
            filter: EventFilter {
                deciders: texts(deciders),
                events: texts(events),
                ..EventFilter::default()
            },
        }
    }

    /// The findings about a candidate: each by its name, whether it blocks, and its words.
    fn findings(candidate: Candidate) -> Vec<(String, bool, String)> {
        let found = candidate.result().findings.into_iter();
        found
            .map(|finding| (finding.name, finding.blocks, finding.summary))
            .collect()
    }

    fn met(candidate: LinkedModule, former: Links, others: &[LinkedModule]) -> Candidate {
        let mut candidate = Candidate::new(candidate, former);
        others.iter().for_each(|other| candidate.meet(other));
        candidate
    }

    #[test]
    fn a_decider_must_not_write_what_a_reader_of_the_event_cannot_fold() {
        let candidate = decider("order", &[("Placed", 1), ("Placed", 3), ("Paid", 1)]);
        let others = [
            reader(ModuleKind::View, "orders", &[("order", "Placed", &[1, 2])]),
            reader(
                ModuleKind::Process,
                "ship",
                &[("order", "Placed", &[3]), ("order", "Paid", &[])],
            ),
            // What the others read of it, and of other deciders, is no hindrance.
            reader(
                ModuleKind::View,
                "fine",
                &[("order", "Placed", &[1, 2, 3]), ("stock", "Placed", &[7])],
            ),
            reader(
                ModuleKind::View,
                "elsewhere",
                &[("orders", "Placed", &[9]), ("orde", "Placed", &[9])],
            ),
            decider("stock", &[("Placed", 9)]),
        ];
        let expected = [
            (
                "dependents:view/orders",
                "The view orders cannot fold what the candidate writes: Placed version 3.",
            ),
            (
                "dependents:process/ship",
                "The process ship cannot fold what the candidate writes: Paid version 1, Placed version 1.",
            ),
        ];
        let expected = expected.map(|(name, summary)| (name.to_owned(), true, summary.to_owned()));
        assert_eq!(
            findings(met(candidate, Links::default(), &others)),
            expected
        );
    }

    #[test]
    fn a_reader_must_fold_what_is_written_and_may_wait_for_what_is_not() {
        let others = [
            decider("order", &[("Placed", 1), ("Placed", 2)]),
            decider("stock", &[("Full", 1)]),
        ];
        for kind in [ModuleKind::View, ModuleKind::Process] {
            let reads: [(&str, &str, &[u32]); 3] = [
                ("order", "Placed", &[2, 3]),
                ("order", "Cancelled", &[1]),
                ("parcel", "Sent", &[1]),
            ];
            let found = findings(met(reader(kind, "all", &reads), Links::default(), &others));
            let expected = [
                (
                    "decider/order",
                    true,
                    "The candidate cannot fold what the decider order writes: Placed version 1.",
                ),
                (
                    "decider/order",
                    false,
                    "The candidate reads what the decider order does not write yet: Cancelled version 1, Placed version 3.",
                ),
                (
                    "decider/parcel",
                    false,
                    "The candidate reads what the decider parcel does not write yet: Sent version 1.",
                ),
            ];
            let expected = expected.map(|(name, blocks, summary)| {
                (format!("dependents:{name}"), blocks, summary.to_owned())
            });
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn who_reads_what_is_no_longer_declared_is_named() {
        let former = decider("order", &[("Placed", 1), ("Placed", 2), ("Paid", 1)]).links;
        let candidate = decider("order", &[("Placed", 2)]);
        let view = reader(
            ModuleKind::View,
            "orders",
            &[("order", "Placed", &[1, 2, 3])],
        );
        let mut candidate = met(candidate, former, &[view]);
        for consumer in [
            consumer("some", &["stock", "order"], &["Placed", "Paid"]),
            consumer("any", &[], &["Paid"]),
            consumer("all", &["order"], &[]),
            consumer("other", &["stock"], &["Paid"]),
            consumer("still", &["order"], &["Placed", "Shipped"]),
        ] {
            candidate.meet_consumer(&consumer);
        }
        let expected = [
            (
                "view/orders",
                "The candidate no longer declares what the view orders reads: Placed version 1.",
            ),
            (
                "consumer/some",
                "The candidate no longer declares what the consumer some reads: Paid.",
            ),
            (
                "consumer/any",
                "The candidate no longer declares what the consumer any reads: Paid.",
            ),
        ];
        let expected = expected
            .map(|(name, summary)| (format!("dependents:{name}"), false, summary.to_owned()));
        assert_eq!(findings(candidate), expected);
    }

    #[test]
    fn a_module_does_not_depend_on_the_one_that_it_replaces() {
        let reads: [(&str, &str, &[u32]); 1] = [("order", "Placed", &[1])];
        let former = reader(ModuleKind::View, "orders", &reads);
        let others = [former.clone(), decider("order", &[("Placed", 1)])];
        assert_eq!(findings(met(former, Links::default(), &others)), []);
    }

    #[test]
    fn a_report_does_not_grow_with_the_dependents_and_their_events() {
        let events: Vec<_> = (1..=1_000).map(|version| ("Placed", version)).collect();
        let readers: Vec<_> = (0..200)
            .map(|n| {
                reader(
                    ModuleKind::View,
                    &format!("v{n}"),
                    &[("order", "Placed", &[])],
                )
            })
            .collect();
        let result = met(decider("order", &events), Links::default(), &readers).result();
        assert_eq!(result.findings.len(), 200);
        let text = serde_json::to_string(&result.findings).unwrap();
        assert!(text.len() < 250_000, "{}", text.len());
        let FindingDetails::Dependents(last) = &result.findings[199].details else {
            panic!("it is about a dependent");
        };
        assert_eq!((last.events_total, last.events.len()), (1_000, 0));
    }
}
