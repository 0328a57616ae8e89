//! The builders of the appends that the cases use.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gavel_model::{
    ActivationKey, ActivationNumber, Clock, CommandOutcome, CommandRecord, DeciderName, EventType,
    ExpectedVersion, Fingerprint, Json, LedgerMode, Metadata, ModuleDigest, ModuleKind, Namespace,
    NewEvent, Position, RecordedEvent, Rejection, StreamId, Version,
};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use crate::{
    Append, AppendError, Appended, Direction, Fence, LogFilter, LogPage, NewActivation, NewModule,
    PAGE_BYTES, ResumeError, Store, StreamAppend, StreamRange,
};

/// The time limit for appended events to show up in the log.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// A clock that starts at a fixed time, advances by 7 ms with each look, and is a second late at
/// every fifth.
#[derive(Debug, Default)]
pub struct UnsteadyClock(AtomicI64);

impl Clock for UnsteadyClock {
    fn now(&self) -> OffsetDateTime {
        let looks = self.0.fetch_add(1, Ordering::Relaxed);
        let late_ms = if looks % 5 == 4 { 1_000 } else { 0 };
        datetime!(2026-02-03 04:05:06.789 UTC) + time::Duration::milliseconds(looks * 7 - late_ms)
    }
}

/// A document.
pub fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// A version.
pub fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

/// The expectation that a stream is at this version.
pub fn exactly(number: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(version(number))
}

/// A namespace.
pub fn namespace(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

/// A decider's name.
pub fn decider(text: &str) -> DeciderName {
    DeciderName::new(text).unwrap()
}

/// The stream `id` of the decider `counter` in the default namespace.
pub fn stream(id: &str) -> StreamId {
    stream_of("default", "counter", id)
}

/// A stream of any decider in any namespace.
pub fn stream_of(namespace_name: &str, decider_name: &str, id: &str) -> StreamId {
    StreamId::new(namespace(namespace_name), decider(decider_name), id).unwrap()
}

/// The key of the pointer that a stream's decider has.
pub fn key(of: &StreamId) -> ActivationKey {
    ActivationKey::of_stream(of, ModuleKind::Decider)
}

/// The event types that [`activate`] registers: `Incremented`, `Reset`, `Closed`.
pub fn event_types() -> Vec<EventType> {
    ["Incremented", "Reset", "Closed"].map(event_type).to_vec()
}

/// An event type in its first schema version.
pub fn event_type(event: &str) -> EventType {
    EventType {
        event: event.to_owned(),
        schema_version: 1,
        description: String::new(),
    }
}

/// A module of the kind `decider` whose bytes are `wasm`.
pub fn module(name: &str, wasm: &str) -> NewModule {
    NewModule {
        digest: ModuleDigest::of(wasm.as_bytes()),
        wasm: wasm.as_bytes().to_vec(),
        kind: ModuleKind::Decider,
        contract: "gavel:decider@0.1.0".to_owned(),
        name: name.to_owned(),
        manifest: json(r#"{"name":"counter"}"#),
        imports: Vec::new(),
    }
}

/// An activation of the module whose bytes are `wasm` after the activation `after`.
pub fn activation(of: &StreamId, after: ActivationNumber, wasm: &str) -> NewActivation {
    NewActivation {
        key: key(of),
        after,
        digest: Some(ModuleDigest::of(wasm.as_bytes())),
        events: event_types(),
        activated_by: None,
        message: None,
        accepted: Vec::new(),
        report: Json::empty_object(),
    }
}

/// Activates a module once more for the decider and namespace of `of`, and gives back the fence
/// that its appends carry.
pub async fn activate(store: &dyn Store, of: &StreamId) -> Fence {
    let newest = store.active(&key(of)).await.unwrap();
    let after = newest.map_or(ActivationNumber::NONE, |newest| newest.number);
    let decider = of.decider();
    let wasm = format!("{decider} {after}");
    store
        .put_module(module(decider.as_str(), &wasm))
        .await
        .unwrap();
    let activated = store
        .activate_one(activation(of, after, &wasm))
        .await
        .unwrap();
    Fence::of_decider(activated.number)
}

/// Activates `counter` in the default namespace, for the first time.
pub async fn activate_counter(store: &dyn Store) -> Fence {
    activate(store, &stream("any")).await
}

/// An event of this type.
pub fn event(name: &str) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        event: name.to_owned(),
        schema_version: 1,
        data: json(r#"{"by":1}"#),
        is_final: false,
        tags: Vec::new(),
        metadata: Metadata::default(),
        command_id: Uuid::now_v7(),
    }
}

/// An event that may be followed by others.
pub fn incremented() -> NewEvent {
    event("Incremented")
}

/// An event whose payload has `bytes` bytes, and two more.
pub fn sized(bytes: usize) -> NewEvent {
    NewEvent {
        data: json(&format!("\"{}\"", "x".repeat(bytes))),
        ..incremented()
    }
}

/// Appends an event of each of these sizes.
pub async fn grow_by(store: &dyn Store, stream: &StreamId, sizes: &[usize]) {
    let events = sizes.iter().copied().map(sized).collect();
    let part = import(stream, ExpectedVersion::Any, events);
    append(store, part).await.unwrap();
}

/// Sizes of events of which some are larger than a page, and others fit by three.
pub const SIZES: [usize; 9] = {
    let third = PAGE_BYTES / 3 - 1_000;
    [
        third,
        9,
        third,
        third,
        PAGE_BYTES,
        9,
        2 * PAGE_BYTES,
        third,
        third,
    ]
};

/// Asserts that events fit on a page, or are one.
#[track_caller]
pub fn assert_fits(events: &[RecordedEvent]) {
    let bytes: usize = events.iter().map(RecordedEvent::size_bytes).sum();
    assert!(events.len() == 1 || bytes <= PAGE_BYTES, "{bytes} bytes");
}

/// An event that nothing may follow.
pub fn closed() -> NewEvent {
    NewEvent {
        is_final: true,
        ..event("Closed")
    }
}

/// Makes `count` events that do not end the stream.
pub fn increments(count: usize) -> Vec<NewEvent> {
    (0..count).map(|_| incremented()).collect()
}

/// A part without command and fence, as an import makes it.
pub fn import(stream: &StreamId, expected: ExpectedVersion, events: Vec<NewEvent>) -> StreamAppend {
    StreamAppend {
        stream: stream.clone(),
        expected,
        expected_previous_id: None,
        events,
        command: None,
        fence: None,
    }
}

/// A part as an accepted command makes it that was decided at version `at`.
pub fn decided(
    stream: &StreamId,
    fence: Fence,
    at: u64,
    mut events: Vec<NewEvent>,
) -> StreamAppend {
    let accepted = CommandOutcome::Accepted {
        events: u32::try_from(events.len()).unwrap(),
    };
    let record = command(stream, at, accepted);
    for event in &mut events {
        event.command_id = record.command_id;
    }
    StreamAppend {
        command: Some(record),
        fence: Some(fence),
        ..import(stream, exactly(at), events)
    }
}

/// A part as a rejected command makes it that was decided at version `at`.
pub fn rejected(stream: &StreamId, fence: Fence, at: u64) -> StreamAppend {
    let outcome = CommandOutcome::Rejected(Rejection {
        code: "too-much".to_owned(),
        message: "the counter cannot go that high".to_owned(),
        data: None,
    });
    StreamAppend {
        command: Some(command(stream, at, outcome)),
        ..decided(stream, fence, at, Vec::new())
    }
}

/// The row of a command that was decided at version `at`.
pub fn command(stream: &StreamId, at: u64, outcome: CommandOutcome) -> CommandRecord {
    CommandRecord {
        command_id: Uuid::now_v7(),
        stream: stream.clone(),
        command: "Increment".to_owned(),
        data: json(r#"{"by":1}"#),
        ledger: LedgerMode::Full,
        fingerprint: Fingerprint::of(["Increment", r#"{"by":1}"#]),
        now: datetime!(2026-02-03 04:05:06.007 UTC),
        seed: 7,
        actor: None,
        metadata: Metadata::default(),
        version: version(at),
        module: ModuleDigest::of(b"counter 0"),
        outcome,
        fuel: 1_234,
    }
}

/// Appends one part.
pub async fn append(store: &dyn Store, part: StreamAppend) -> Result<Appended, AppendError> {
    let mut appended = append_all(store, vec![part]).await?;
    assert_eq!(appended.len(), 1, "one answer per part");
    Ok(appended.remove(0))
}

/// Appends several parts as one.
pub async fn append_all(
    store: &dyn Store,
    parts: Vec<StreamAppend>,
) -> Result<Vec<Appended>, AppendError> {
    store.append(Append { parts }).await
}

/// Appends `count` increments to a stream, whatever its version.
pub async fn grow(store: &dyn Store, stream: &StreamId, count: usize) -> Vec<RecordedEvent> {
    let part = import(stream, ExpectedVersion::Any, increments(count));
    append(store, part).await.unwrap().events
}

/// All of a stream, forward.
pub const WHOLE: StreamRange = StreamRange {
    after: Version::EMPTY,
    through: None,
    limit: u32::MAX,
    bytes: usize::MAX,
    direction: Direction::Forward,
};

/// All events of a stream, oldest first.
pub async fn events_of(store: &dyn Store, stream: &StreamId) -> Vec<RecordedEvent> {
    store.read_stream(stream, WHOLE).await.unwrap()
}

/// The newest version of a stream, as a number.
pub async fn version_of(store: &dyn Store, stream: &StreamId) -> u64 {
    store.head(stream).await.unwrap().version.get()
}

/// Reads the log of a namespace in pages of `limit` until it has shown `count` events, and one page
/// more.
pub async fn read_log_until(
    store: &dyn Store,
    namespace: &Namespace,
    filter: &LogFilter,
    limit: u32,
    count: usize,
) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    let mut after = Position::BEGINNING;
    let reading = async {
        loop {
            let complete = events.len() >= count;
            let page = store
                .read_log(namespace, after, filter, limit)
                .await
                .unwrap();
            assert!(
                page.events.len() <= limit as usize,
                "a page has at most `limit` events"
            );
            assert!(page.next >= after, "a reader never goes back");
            after = page.next;
            events.extend(page.events);
            if complete {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, reading).await;
    assert!(
        in_time.is_ok(),
        "the log does not show all events within {DEADLINE:?}"
    );
    events
}

/// A page of the log, once nothing is withheld from it: what others do on the server may hold
/// events back for a moment, also such that were shown before.
pub async fn page_of(
    store: &dyn Store,
    namespace: &Namespace,
    after: Position,
    filter: &LogFilter,
    limit: u32,
) -> LogPage {
    let reading = async {
        loop {
            let page = store.read_log(namespace, after, filter, limit).await;
            let page = page.unwrap();
            if !page.is_withheld {
                return page;
            }
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, reading).await;
    in_time.expect("nothing is withheld for long")
}

/// Asks for a lost position until the store reports the end of the log as `end`: while other
/// transactions hold events back, it reports an earlier one.
pub async fn end_told(store: &dyn Store, namespace: &Namespace, lost: Position, end: Position) {
    let asking = async {
        loop {
            match store.check_position(namespace, lost).await {
                Err(ResumeError::Lost {
                    position,
                    end: told,
                }) => {
                    assert_eq!(position, lost);
                    assert!(told <= end, "{lost} ends at {told}, after {end}");
                    if told == end {
                        return;
                    }
                }
                other => panic!("{lost} is lost: {other:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, asking).await;
    in_time.expect("the end of the log is told");
}

/// The whole log of a namespace, once it shows `count` events.
pub async fn log_of(store: &dyn Store, namespace: &Namespace, count: usize) -> Vec<RecordedEvent> {
    read_log_until(store, namespace, &LogFilter::default(), 1_000, count).await
}
