//! Tests that the reader gives what was recorded, wherever pages end.

use std::sync::Arc;

use gavel_model::{
    ActivationKey, CommandId, CommandOutcome, CommandRecord, DeciderName, EventType,
    ExpectedVersion, Fingerprint, Json, LedgerMode, Metadata, ModuleDigest, ModuleKind, Namespace,
    NewEvent, Rejection, StreamId, SystemClock, Version, new_id,
};
use gavel_sandbox::{BackgroundThrottle, CONTRACT};
use gavel_store::{
    Append, EventStore as _, MemoryStore, ModuleStore as _, NewActivation, NewModule, PastRange,
    Place, StreamAppend,
};
use time::OffsetDateTime;

use super::{Part, PastReader, Reading};

struct Past {
    store: Arc<MemoryStore>,
    range: PastRange,
}

/// The trace of a command: so many events, or a rejection.
#[derive(Clone, Copy)]
enum Left {
    Events(usize),
    Rejection,
}

impl Past {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let (namespace, decider) = (Namespace::default(), DeciderName::new("d").unwrap());
        let digest = ModuleDigest::of(b"module");
        let module = NewModule {
            digest,
            wasm: b"module".to_vec(),
            kind: ModuleKind::Decider,
            contract: CONTRACT.to_owned(),
            name: "d".to_owned(),
            manifest: Json::empty_object(),
            imports: Vec::new(),
        };
        store.put_module(module).await.unwrap();
        let activation = NewActivation {
            key: ActivationKey::of_decider(&namespace, &decider),
            after: gavel_model::ActivationNumber::NONE,
            digest: Some(digest),
            events: vec![EventType {
                event: "E".to_owned(),
                schema_version: 1,
                description: String::new(),
            }],
            activated_by: None,
            message: None,
            accepted: Vec::new(),
            report: Json::empty_object(),
        };
        store.activate_one(activation).await.unwrap();
        let range = PastRange {
            namespace,
            decider,
            streams: None,
            through: None,
            eventless_since: None,
        };
        Self { store, range }
    }

    /// Records a command at a version, with what it has left.
    async fn record(&self, id: &str, at: u64, left: Left) {
        self.keep(LedgerMode::Full, id, at, left).await;
    }

    /// Records a command, of which the ledger keeps as much as `ledger` says.
    async fn keep(&self, ledger: LedgerMode, id: &str, at: u64, left: Left) {
        let part = self.part(new_id(), ledger, id, at, left);
        self.append(part).await;
    }

    /// Imports events at a version, under the id of a command that is recorded later or has been.
    async fn import(&self, command_id: CommandId, id: &str, at: u64, count: usize) {
        let part = self.part(command_id, LedgerMode::Full, id, at, Left::Events(count));
        let command = None;
        self.append(StreamAppend { command, ..part }).await;
    }

    async fn append(&self, part: StreamAppend) {
        let parts = vec![part];
        self.store.append(Append { parts }).await.unwrap();
    }

    fn part(
        &self,
        command_id: CommandId,
        ledger: LedgerMode,
        id: &str,
        at: u64,
        left: Left,
    ) -> StreamAppend {
        let (namespace, decider) = (self.range.namespace.clone(), self.range.decider.clone());
        let stream = StreamId::new(namespace, decider, id).unwrap();
        let version = Version::new(at).unwrap();
        let count = match left {
            Left::Events(count) => count,
            Left::Rejection => 0,
        };
        let events = (0..count).map(|_| NewEvent {
            event_id: new_id(),
            event: "E".to_owned(),
            schema_version: 1,
            data: Json::empty_object(),
            is_final: false,
            tags: Vec::new(),
            metadata: Metadata::default(),
            command_id,
        });
        let outcome = match left {
            Left::Events(count) => CommandOutcome::Accepted {
                events: u32::try_from(count).unwrap(),
            },
            Left::Rejection => CommandOutcome::Rejected(Rejection {
                code: "no".to_owned(),
                message: "no".to_owned(),
                data: None,
            }),
        };
        StreamAppend {
            stream: stream.clone(),
            expected: ExpectedVersion::Exact(version),
            expected_previous_id: None,
            events: events.collect(),
            command: Some(CommandRecord {
                command_id,
                stream,
                command: "C".to_owned(),
                data: Json::empty_object(),
                ledger,
                fingerprint: Fingerprint::of([]),
                now: OffsetDateTime::UNIX_EPOCH,
                seed: 0,
                actor: None,
                metadata: Metadata::default(),
                version,
                module: ModuleDigest::of(b"module"),
                outcome,
                fuel: 1,
            }),
            fence: None,
        }
    }

    fn reader(&self, reading: Reading) -> PastReader {
        let (store, range) = (self.store.clone(), self.range.clone());
        PastReader::new(store, range, reading, BackgroundThrottle::default())
    }

    async fn read(&self, reading: Reading) -> Vec<Part> {
        let mut reader = self.reader(reading);
        let mut read = Vec::new();
        while let Some(parts) = reader.next().await.unwrap() {
            read.extend(parts);
        }
        read
    }
}

/// Decisions as (stream, version, events), in the order in which they are read, checked against the
/// places of their events.
fn decisions(parts: &[Part]) -> Vec<(&str, u64, usize)> {
    let mut found = Vec::new();
    for part in parts {
        for decision in &part.decisions {
            let first = part.events_through(decision.at);
            if !decision.events.is_empty() {
                assert_eq!(
                    decision.events.start, first,
                    "the events follow their version"
                );
            }
            assert_eq!(decision.at, decision.record.version);
            found.push((part.id.as_str(), decision.at.get(), decision.events.len()));
        }
    }
    found
}

#[tokio::test]
async fn a_command_comes_with_its_events_wherever_a_page_ends() {
    let past = Past::new().await;
    // With three events for each command no page ends between two of them, and the long stream goes
    // over several.
    let mut expected = Vec::new();
    for (id, commands) in [("a", 5), ("b", 1_800), ("c", 5)] {
        let mut version = 0;
        for _ in 0..commands {
            past.record(id, version, Left::Events(3)).await;
            expected.push((id, version, 3));
            version += 3;
        }
    }
    let parts = past.read(Reading::decisions()).await;
    assert_eq!(decisions(&parts), expected);
    let events: usize = parts.iter().map(|part| part.events.len()).sum();
    assert_eq!(events, 3 * 1_810);
    let mut versions = std::collections::HashMap::new();
    for part in &parts {
        let read = versions.entry(part.id.as_str()).or_insert(0);
        assert_eq!(part.after.get(), *read, "{} goes on where it was", part.id);
        assert_eq!(part.goes_on, *read > 0);
        *read += part.events.len() as u64;
    }
}

#[tokio::test]
async fn what_has_left_no_event_comes_where_it_was_decided() {
    let past = Past::new().await;
    past.record("0", 0, Left::Rejection).await;
    past.record("0", 0, Left::Events(0)).await;
    past.record("m", 0, Left::Rejection).await;
    past.record("m", 0, Left::Events(2)).await;
    past.record("m", 2, Left::Rejection).await;
    past.record("m", 2, Left::Events(1)).await;
    past.record("m", 3, Left::Events(0)).await;
    past.record("z", 0, Left::Rejection).await;
    let parts = past.read(Reading::decisions()).await;
    assert_eq!(
        decisions(&parts),
        [
            ("0", 0, 0),
            ("0", 0, 0),
            ("m", 0, 0),
            ("m", 0, 2),
            ("m", 2, 0),
            ("m", 2, 1),
            ("m", 3, 0),
            ("z", 0, 0),
        ]
    );
}

#[tokio::test]
async fn commands_without_events_come_in_parts_of_a_bounded_size() {
    let past = Past::new().await;
    let mut expected = Vec::new();
    // Of a stream without events, before the first event of others and between their events: more
    // than a page holds, each time.
    for (id, versions) in [("0", 0..1), ("m", 0..4), ("n", 0..1), ("z", 2..3)] {
        for at in 0..versions.end {
            for _ in 0..if versions.contains(&at) { 2_500 } else { 0 } {
                past.record(id, at, Left::Rejection).await;
                expected.push((id, at, 0));
            }
            if id != "0" {
                past.record(id, at, Left::Events(1)).await;
                expected.push((id, at, 1));
            }
        }
    }
    past.record("zz", 0, Left::Rejection).await;
    expected.push(("zz", 0, 0));

    let parts = past.read(Reading::decisions()).await;
    assert_eq!(decisions(&parts), expected);
    let largest = parts.iter().map(|part| part.decisions.len()).max();
    assert!(largest.unwrap() < 2_500, "{largest:?}");
    let begun: Vec<_> = parts
        .iter()
        .filter(|part| !part.goes_on)
        .map(|part| part.id.as_str())
        .collect();
    assert_eq!(begun, ["0", "m", "n", "z", "zz"]);
}

#[tokio::test]
async fn large_commands_come_in_parts_of_a_bounded_size() {
    const PAYLOAD: usize = 64 * 1024;
    let past = Past::new().await;
    let large = Json::from_value(&serde_json::Value::from("x".repeat(PAYLOAD))).unwrap();
    // More than a page holds: of commands that have left events, and of those that have left none.
    let mut expected = Vec::new();
    for (id, left) in [("a", Left::Events(1)), ("b", Left::Rejection)] {
        for number in 0..600 {
            let (at, events) = match left {
                Left::Events(_) => (number, 1),
                Left::Rejection => (0, 0),
            };
            let mut part = past.part(new_id(), LedgerMode::Full, id, at, left);
            part.command.as_mut().unwrap().data = large.clone();
            past.append(part).await;
            expected.push((id, at, events));
        }
    }
    let mut reader = past.reader(Reading::decisions());
    let mut read = Vec::new();
    while let Some(parts) = reader.next().await.unwrap() {
        let commands: usize = parts.iter().map(|part| part.decisions.len()).sum();
        assert!(commands <= 256 + 33, "{commands} of {PAYLOAD} bytes");
        read.extend(parts);
    }
    assert_eq!(decisions(&read), expected);
    assert!(read[1..].iter().all(|part| part.goes_on || part.id == "b"));
}

#[tokio::test]
async fn commands_without_events_are_found_where_pages_of_events_end() {
    let past = Past::new().await;
    // The first page ends within the command at 48, which comes with the next one.
    let mut expected = Vec::new();
    for at in (0..2_100).step_by(3) {
        let rejections = if at == 48 || at == 999 { 2_500 } else { 0 };
        for _ in 0..rejections {
            past.record("m", at, Left::Rejection).await;
            expected.push(("m", at, 0));
        }
        past.record("m", at, Left::Events(3)).await;
        expected.push(("m", at, 3));
    }
    past.record("m", 2_100, Left::Rejection).await;
    expected.push(("m", 2_100, 0));

    let parts = past.read(Reading::decisions()).await;
    assert_eq!(decisions(&parts), expected);
    let mut read = 0;
    for part in &parts {
        assert_eq!((part.after.get(), part.goes_on), (read, read > 0));
        read += part.events.len() as u64;
    }
    assert_eq!(read, 2_100);
}

#[tokio::test]
async fn what_is_kept_by_its_keys_only_is_set_apart_wherever_a_page_ends() {
    let past = Past::new().await;
    let (full, keys) = (LedgerMode::Full, LedgerMode::Keys);
    past.keep(keys, "0", 0, Left::Rejection).await;
    // Three events for each command: some are cut by the end of a page, of either kind.
    let mut expected = Vec::new();
    for number in 0..400 {
        let ledger = if number % 4 == 3 { full } else { keys };
        past.keep(ledger, "m", number * 3, Left::Events(3)).await;
        if ledger == full {
            expected.push(("m", number * 3, 3));
        }
    }
    past.keep(keys, "m", 1_200, Left::Rejection).await;
    past.keep(full, "m", 1_200, Left::Rejection).await;
    expected.push(("m", 1_200, 0));
    let parts = past.read(Reading::decisions()).await;
    assert_eq!(decisions(&parts), expected);
    let apart = parts.iter().flat_map(|part| &part.keys_only);
    assert_eq!(apart.count(), 1 + 300 + 1);
    let events: usize = parts.iter().map(|part| part.events.len()).sum();
    assert_eq!(events, 1_200);
}

#[tokio::test]
async fn what_was_imported_under_the_key_of_a_command_is_none_of_its_events() {
    let past = Past::new().await;
    let [same, other, rejected, cut] = [(); 4].map(|()| new_id());
    let record = async |command_id, id, at, left| {
        let part = past.part(command_id, LedgerMode::Full, id, at, left);
        past.append(part).await;
    };
    past.import(same, "a", 0, 2).await;
    record(same, "a", 2, Left::Events(3)).await;
    past.import(other, "b", 0, 2).await;
    record(other, "c", 0, Left::Events(1)).await;
    past.import(rejected, "d", 0, 2).await;
    record(rejected, "d", 2, Left::Rejection).await;
    // The first page ends among the events of the command.
    past.import(cut, "e", 0, 39).await;
    record(cut, "e", 39, Left::Events(2_000)).await;
    let parts = past.read(Reading::decisions()).await;
    assert_eq!(
        decisions(&parts),
        [("a", 2, 3), ("c", 0, 1), ("d", 2, 0), ("e", 39, 2_000)]
    );
}

#[tokio::test]
async fn streams_that_are_read_from_versions_on_begin_there() {
    let mut past = Past::new().await;
    let lengths = [("l", 3), ("m", 2_500), ("n", 4), ("o", 2)];
    for (id, events) in lengths {
        for at in 0..events {
            past.record(id, at, Left::Events(1)).await;
        }
        past.record(id, events, Left::Rejection).await;
    }
    // Where each is read from, and decided from: nothing but a rejection, several pages, one, and
    // what goes before others that do not.
    let cases: [&[(&str, u64, u64)]; 4] = [
        &[("n", 4, 4)],
        &[("m", 100, 2_400)],
        &[("n", 1, 3)],
        &[("l", 3, 3), ("m", 100, 2_400), ("o", 0, 1)],
    ];
    for streams in cases {
        let place = |id: &str, at| Place {
            id: id.to_owned(),
            version: Version::new(at).unwrap(),
        };
        let [from, decided_from] = [0, 1].map(|which| {
            let places = streams.iter();
            places.map(move |(id, from, first)| place(id, [*from, *first][which]))
        });
        past.range.streams = Some(from.collect());
        let reading = Reading::DecisionsFrom(decided_from.collect());
        let parts = past.read(reading).await;
        let end_of = |id: &str| lengths.iter().find(|(of, _)| *of == id).unwrap().1;
        let expected = streams.iter().flat_map(|(id, _, first)| {
            let end = end_of(id);
            let decided = (*first..end).map(|at| (*id, at, 1));
            decided.chain([(*id, end, 0)])
        });
        assert_eq!(decisions(&parts), expected.collect::<Vec<_>>());
        for (id, from, _) in streams {
            let mut read = *from;
            let of_stream = parts.iter().filter(|part| part.id == *id);
            for (number, part) in of_stream.enumerate() {
                assert_eq!((part.after.get(), part.goes_on), (read, number > 0));
                read = part.end().get();
            }
            assert_eq!(read, end_of(id));
        }
    }
}

#[tokio::test]
async fn whoever_wants_the_events_only_gets_no_decisions() {
    let past = Past::new().await;
    past.record("a", 0, Left::Events(2)).await;
    past.record("b", 0, Left::Rejection).await;
    let parts = past.read(Reading::Events).await;
    assert_eq!(decisions(&parts), []);
    let read: Vec<_> = parts
        .iter()
        .map(|part| (part.id.as_str(), part.events.len()))
        .collect();
    assert_eq!(read, [("a", 2)]);
}
