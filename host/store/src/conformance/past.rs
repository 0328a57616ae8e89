//! The past of a decider, and the ledger as the gate reads them.

use std::collections::HashMap;
use std::sync::Arc;

use gavel_model::{
    Clock as _, CommandId, CommandRecord, Event, ExpectedVersion, NewEvent, StreamId, SystemClock,
    Version,
};
use uuid::Uuid;

use super::support::*;
use crate::{Fence, Moment, PastRange, Place, Segment, Store, StreamAppend};

/// The ids in the order of their bytes, which no collation gives them.
const IDS: [&str; 7] = ["A", "a", "a\u{20}", "a-", "aa", "a\u{10000}", "ä"];

/// One event of the past: the id of its stream, its version, itself, and its command.
type Step = (String, u64, Event, CommandId);

fn all_of(of: &StreamId) -> PastRange {
    PastRange {
        namespace: of.namespace().clone(),
        decider: of.decider().clone(),
        streams: None,
        through: None,
        eventless_since: None,
    }
}

fn only(of: &StreamId) -> PastRange {
    PastRange {
        streams: Some([place(of.id(), 0)].into()),
        ..all_of(of)
    }
}

/// All streams of `counter` in the default namespace.
fn counters() -> PastRange {
    all_of(&stream("any"))
}

fn place(id: &str, at: u64) -> Place {
    Place {
        id: id.to_owned(),
        version: version(at),
    }
}

fn steps(segments: Vec<Segment>) -> Vec<Step> {
    let steps = segments.into_iter().flat_map(|segment| {
        assert_eq!(segment.events.len(), segment.command_ids.len());
        let versions = segment.after.get() + 1..;
        let events = segment.events.into_iter().zip(segment.command_ids);
        versions
            .zip(events)
            .map(move |(version, (event, command))| (segment.id.clone(), version, event, command))
    });
    steps.collect()
}

/// The steps that [`steps`] must return, computed from the streams themselves.
async fn steps_of(store: &dyn Store, streams: &[StreamId]) -> Vec<Step> {
    let mut steps = Vec::new();
    for stream in streams {
        for recorded in events_of(store, stream).await {
            let (version, command_id) = (recorded.version.get(), recorded.event.command_id);
            steps.push((
                stream.id().to_owned(),
                version,
                recorded.event.into(),
                command_id,
            ));
        }
    }
    steps
}

/// Reads everything after `after` in pages of `limit`.
async fn read(store: &dyn Store, range: &PastRange, mut after: Place, limit: u32) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    loop {
        let page = store.segments(range, &after, limit).await.unwrap().segments;
        let ids: Vec<_> = page.iter().map(|segment| segment.id.clone()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "one segment each: {ids:?}");
        let page = steps(page);
        assert!(page.len() <= limit as usize);
        let Some((id, version, ..)) = page.last() else {
            return found;
        };
        after = place(id, *version);
        found.extend(page);
    }
}

/// Streams of different lengths under [`IDS`], whose events lie across one another in the log.
async fn grow_all(store: &dyn Store) -> Vec<StreamId> {
    activate_counter(store).await;
    let streams = IDS.map(stream).to_vec();
    for round in 0..2 {
        for (index, stream) in streams.iter().enumerate().rev() {
            grow(store, stream, (index + round) % 3).await;
        }
    }
    streams
}

pub(crate) async fn the_past_is_read_stream_by_stream_and_version_by_version(
    store: Arc<dyn Store>,
) {
    let fence = activate_counter(&*store).await;
    let (a, b) = (stream("a"), stream("b"));
    let labelled = NewEvent {
        tags: vec!["y".to_owned(), "x".to_owned()],
        data: json(r#"{"by":[1.5,"é",null]}"#),
        ..event("Reset")
    };
    let last = decided(&b, fence, 0, vec![labelled, incremented(), closed()]);
    append(&*store, last).await.unwrap();
    grow(&*store, &a, 2).await;

    let page = store.segments(&counters(), &Place::default(), 100).await;
    let mut expected = Vec::new();
    for stream in [&a, &b] {
        let events = events_of(&*store, stream).await;
        expected.push(Segment {
            id: stream.id().to_owned(),
            after: Version::EMPTY,
            command_ids: events.iter().map(|event| event.event.command_id).collect(),
            events: events.into_iter().map(|event| event.event.into()).collect(),
        });
    }
    assert_eq!(page.unwrap().segments, expected);
    let tail = store.segments(&counters(), &place("b", 1), 1).await;
    let expected = Segment {
        id: "b".to_owned(),
        after: version(1),
        events: expected[1].events[1..2].to_vec(),
        command_ids: expected[1].command_ids[1..2].to_vec(),
    };
    assert_eq!(tail.unwrap().segments, [expected]);
}

pub(crate) async fn a_page_of_the_past_begins_where_the_last_one_has_ended(store: Arc<dyn Store>) {
    let streams = grow_all(&*store).await;
    let expected = steps_of(&*store, &streams).await;
    assert!(expected.len() > 10);
    for limit in (1..=expected.len() + 1).chain([10_000]) {
        let limit = u32::try_from(limit).unwrap();
        let found = read(&*store, &counters(), Place::default(), limit).await;
        assert_eq!(found, expected, "in pages of {limit}");
    }
    // After any place, be there an event or not.
    let ids = IDS.into_iter().chain(["a+", "b", "日本"]);
    for after in ids.flat_map(|id| [0, 1, 2, 9, i64::MAX as u64].map(|at| place(id, at))) {
        let found = read(&*store, &counters(), after.clone(), 3).await;
        let rest = expected
            .iter()
            .filter(|step| place(&step.0, step.1) > after);
        assert_eq!(found, rest.cloned().collect::<Vec<_>>(), "after {after:?}");
    }
    let nothing = store.segments(&counters(), &Place::default(), 0).await;
    assert_eq!(nothing.unwrap().segments, []);
}

pub(crate) async fn the_past_of_one_stream_is_that_stream(store: Arc<dyn Store>) {
    let streams = grow_all(&*store).await;
    let ids = || IDS.into_iter().chain(["", "b"]);
    for stream in streams.iter().chain([&stream("missing")]) {
        let expected = steps_of(&*store, std::slice::from_ref(stream)).await;
        for after in ids().flat_map(|id| [0, 1, 9].map(|at| place(id, at))) {
            let rest = expected
                .iter()
                .filter(|step| place(&step.0, step.1) > after);
            let rest: Vec<_> = rest.cloned().collect();
            for limit in [1, 2, 100] {
                let found = read(&*store, &only(stream), after.clone(), limit).await;
                assert_eq!(found, rest, "{stream} after {after:?}");
            }
        }
    }
}

pub(crate) async fn the_past_of_some_streams_begins_in_each_where_it_is_told_to(
    store: Arc<dyn Store>,
) {
    let streams = grow_all(&*store).await;
    let fence = activate_counter(&*store).await;
    for stream in &streams {
        for _ in 0..2 {
            let at = store.head(stream).await.unwrap().version.get();
            append(&*store, rejected(stream, fence, at)).await.unwrap();
        }
    }
    let expected = steps_of(&*store, &streams).await;
    let fruitless = eventless(&*store, &counters(), <_>::default(), 100).await;
    assert_eq!(fruitless.len(), 2 * streams.len());
    // One that has nothing behind its place, one that is not there, and those in between left out.
    let starts = [
        ("A", 0),
        ("a ", 1),
        ("aa", 9),
        ("a\u{10000}", 0),
        ("b", 0),
        ("ä", 0),
    ]
    .map(|(id, at)| place(id, at));
    let range = PastRange {
        streams: Some(starts.clone().into()),
        ..counters()
    };
    let is_read = |of: &Place, at_least: bool| {
        let start = starts.iter().find(|start| start.id == of.id);
        start.is_some_and(|start| of > start || at_least && of == start)
    };
    let expected = expected
        .into_iter()
        .filter(|step| is_read(&place(&step.0, step.1), false));
    let expected: Vec<_> = expected.collect();
    let fruitless: Vec<_> = fruitless
        .into_iter()
        .filter(|command| is_read(&key(command).0, true))
        .collect();
    assert!(expected.len() > 3 && fruitless.len() > 3);
    for limit in 1..=8 {
        let found = read(&*store, &range, Place::default(), limit).await;
        assert_eq!(found, expected, "in pages of {limit}");
        let found = eventless(&*store, &range, <_>::default(), limit).await;
        assert_eq!(found, fruitless, "in pages of {limit}");
    }
}

pub(crate) async fn the_past_holds_no_other_decider_and_no_other_namespace(store: Arc<dyn Store>) {
    let streams = [
        stream("c"),
        stream_of("default", "count", "c"),
        stream_of("default", "counter2", "c"),
        stream_of("other", "counter", "c"),
    ];
    for stream in &streams {
        let fence = activate(&*store, stream).await;
        grow(&*store, stream, 2).await;
        append(&*store, rejected(stream, fence, 2)).await.unwrap();
    }
    for stream in &streams {
        let expected = steps_of(&*store, std::slice::from_ref(stream)).await;
        for range in [all_of(stream), only(stream)] {
            let found = read(&*store, &range, Place::default(), 100).await;
            assert_eq!(found, expected, "{range:?}");
            let eventless = eventless(&*store, &range, <_>::default(), 100).await;
            let of: Vec<_> = eventless.iter().map(|command| &command.stream).collect();
            assert_eq!(of, [stream]);
        }
    }
    let nowhere = all_of(&stream_of("nowhere", "counter", "c"));
    assert_eq!(read(&*store, &nowhere, Place::default(), 100).await, []);
}

/// Reads all commands without events after `after` in pages of `limit`.
async fn eventless(
    store: &dyn Store,
    range: &PastRange,
    mut after: (Place, CommandId),
    limit: u32,
) -> Vec<CommandRecord> {
    let mut found: Vec<CommandRecord> = Vec::new();
    loop {
        let page = store.eventless(range, &after, limit).await.unwrap();
        assert!(page.len() <= limit as usize);
        let Some(last) = page.last() else {
            return found;
        };
        after = key(last);
        found.extend(page);
    }
}

/// The sort key of commands.
fn key(command: &CommandRecord) -> (Place, CommandId) {
    let place = Place {
        id: command.stream.id().to_owned(),
        version: command.version,
    };
    (place, command.command_id)
}

pub(crate) async fn commands_without_events_are_read_by_stream_version_and_id(
    store: Arc<dyn Store>,
) {
    let fence = activate_counter(&*store).await;
    let mut expected = Vec::new();
    for stream in IDS.map(stream) {
        for at in 0..2 {
            // At the same version, with ids that are not in the order in which they come.
            for lead in [0x90, 0x10, 0xff] {
                let mut part = if lead == 0x10 {
                    decided(&stream, fence, at, Vec::new())
                } else {
                    rejected(&stream, fence, at)
                };
                let command = part.command.as_mut().unwrap();
                let mut bytes = *command.command_id.as_bytes();
                bytes[0] = lead;
                command.command_id = Uuid::from_bytes(bytes);
                expected.push(command.clone());
                append(&*store, part).await.unwrap();
            }
            let accepted = decided(&stream, fence, at, increments(1));
            append(&*store, accepted).await.unwrap();
        }
    }
    expected.sort_by_key(key);

    for limit in [1, 2, 5, 41, 42, 43, 10_000] {
        let found = eventless(&*store, &counters(), <_>::default(), limit).await;
        assert_eq!(found, expected, "in pages of {limit}");
    }
    let nothing = store.eventless(&counters(), &<_>::default(), 0).await;
    assert_eq!(nothing.unwrap(), []);
    for stream in [stream("a"), stream("ä"), stream("missing")] {
        let of_stream = expected.iter().filter(|command| command.stream == stream);
        let of_stream: Vec<_> = of_stream.cloned().collect();
        let mut afters: Vec<_> = expected.iter().map(key).collect();
        afters.push(<_>::default());
        for after in afters {
            let found = eventless(&*store, &only(&stream), after.clone(), 2).await;
            let rest = of_stream.iter().filter(|command| key(command) > after);
            assert_eq!(found, rest.cloned().collect::<Vec<_>>(), "after {after:?}");
        }
    }
}

pub(crate) async fn commands_are_found_by_many_ids_at_once(store: Arc<dyn Store>) {
    let mut known = HashMap::new();
    for namespace in ["default", "other"] {
        let of = stream_of(namespace, "counter", "c");
        let fence = activate(&*store, &of).await;
        let mut parts: Vec<_> = (0..50)
            .map(|at| decided(&of, fence, at, increments(1)))
            .collect();
        parts.push(rejected(&of, fence, 50));
        let commands = parts.iter().filter_map(|part| part.command.clone());
        known.extend(commands.map(|command| (command.command_id, command)));
        append_all(&*store, parts).await.unwrap();
    }
    // All of them in each namespace, each twice, among others that nobody knows.
    let mut wanted: Vec<_> = known.keys().copied().collect();
    wanted.extend(wanted.clone());
    wanted.extend((0..5_000).map(|_| Uuid::now_v7()));
    for namespace in ["default", "other", "nowhere"].map(namespace) {
        let found = store.commands(&namespace, &wanted).await.unwrap();
        let of_namespace = known
            .iter()
            .filter(|(_, command)| *command.stream.namespace() == namespace);
        let expected: HashMap<_, _> = of_namespace
            .map(|(id, command)| (*id, command.clone()))
            .collect();
        assert_eq!(found, expected, "{namespace}");
    }
    let none = store.commands(&namespace("default"), &[]).await;
    assert_eq!(none.unwrap(), HashMap::new());
}

pub(crate) async fn an_event_is_found_by_its_id_in_its_namespace_only(store: Arc<dyn Store>) {
    let streams = [
        stream("c"),
        stream_of("default", "meter", "c"),
        stream_of("other", "counter", "c"),
    ];
    for stream in &streams {
        activate(&*store, stream).await;
        for recorded in grow(&*store, stream, 3).await {
            for namespace in ["default", "other"].map(namespace) {
                let found = store.event(&namespace, recorded.event.event_id).await;
                let is_there = *stream.namespace() == namespace;
                assert_eq!(found.unwrap(), is_there.then(|| recorded.clone()));
            }
        }
    }
    let unknown = store.event(&namespace("default"), Uuid::now_v7()).await;
    assert_eq!(unknown.unwrap(), None);
}

pub(crate) async fn the_past_can_be_counted_in_pages_of_any_size(store: Arc<dyn Store>) {
    let count = async |of: &StreamId, limit| {
        let (mut events, mut after) = (0, Some(Place::default()));
        while let Some(place) = after {
            let counted = store.count_events(of.namespace(), of.decider(), &place, limit);
            let counted = counted.await.unwrap();
            events += counted.events;
            after = counted.end;
        }
        events
    };
    assert_eq!(count(&stream("any"), 10).await, 0);
    let elsewhere = [
        stream_of("default", "meter", "a"),
        stream_of("other", "counter", "a"),
    ];
    for stream in elsewhere.iter().chain([&stream("a"), &stream("b")]) {
        let fence = activate(&*store, stream).await;
        for at in 0..3 {
            append(&*store, decided(stream, fence, at, increments(1)))
                .await
                .unwrap();
        }
        for part in [
            rejected(stream, fence, 3),
            decided(stream, fence, 3, Vec::new()),
        ] {
            append(&*store, part).await.unwrap();
        }
    }
    let part = import(&stream("b"), ExpectedVersion::Any, increments(2));
    append(&*store, part).await.unwrap();

    for limit in [1, 2, 3, 8, 9, 1_000] {
        assert_eq!(count(&stream("any"), limit).await, 8, "{limit} at a time");
        assert_eq!(count(&elsewhere[0], limit).await, 3, "{limit} at a time");
        let nowhere = stream_of("nowhere", "counter", "a");
        assert_eq!(count(&nowhere, limit).await, 0, "{limit} at a time");
    }
}

/// A command without events that is decided at `at` now, by the clock of the machine.
fn fruitless(stream: &StreamId, fence: Fence, at: u64) -> StreamAppend {
    let mut part = rejected(stream, fence, at);
    let command = part.command.as_mut().unwrap();
    command.now = SystemClock.now();
    part
}

pub(crate) async fn what_comes_after_a_moment_is_told_and_can_be_left_out(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let (home, decider) = (namespace("default"), decider("counter"));
    for id in ["a", "b", "c"] {
        grow(&*store, &stream(id), 2).await;
        append(&*store, fruitless(&stream(id), fence, 2))
            .await
            .unwrap();
    }
    let everything = async |range: &PastRange| {
        let segments = read(&*store, range, place("", 0), 100).await;
        (
            segments,
            eventless(&*store, range, <_>::default(), 100).await,
        )
    };
    let before = everything(&counters()).await;
    let moment = store.moment(&home).await.unwrap();
    let since = async |moment: &Moment, limit| {
        let moved = store.moved_since(&home, &decider, moment, limit);
        moved.await.unwrap()
    };
    assert_eq!(since(&moment, 100).await, Some(Vec::new()));

    for id in ["b", "d"] {
        grow(&*store, &stream(id), 1).await;
    }
    let mut later = Vec::new();
    // On streams that have moved, that have not, and that have no events.
    for (id, at) in [("b", 3), ("c", 2), ("c", 2), ("e", 0)] {
        let part = fruitless(&stream(id), fence, at);
        later.extend(part.command.clone());
        append(&*store, part).await.unwrap();
    }

    let until = |id: Option<&str>| PastRange {
        streams: id.map(|id| [place(id, 0)].into()),
        through: Some(moment.clone()),
        ..counters()
    };
    assert_eq!(everything(&until(None)).await, before);
    let of_a = everything(&until(Some("a"))).await;
    assert_eq!(of_a, (before.0[..2].to_vec(), before.1[..1].to_vec()));
    let from_then = PastRange {
        eventless_since: Some(moment.clone()),
        ..counters()
    };
    let found = eventless(&*store, &from_then, <_>::default(), 100).await;
    later.sort_by_key(key);
    assert_eq!(found, later);

    let moved = [place("b", 2), place("c", 2), place("d", 0), place("e", 0)];
    assert_eq!(since(&moment, 4).await, Some(moved.to_vec()));
    assert_eq!(since(&moment, 3).await, None);
    let now = store.moment(&home).await.unwrap();
    assert_eq!(since(&now, 100).await, Some(Vec::new()));
    let elsewhere = namespace("elsewhere");
    let none = store.moved_since(&elsewhere, &decider, &moment, 3).await;
    assert_eq!(none.unwrap(), Some(Vec::new()));
}
