//! Reading one stream, and listing streams.

use std::sync::Arc;

use gavel_model::{
    Event, ExpectedVersion, ModuleDigest, NewEvent, RecordedEvent, StreamId, Version,
};
use time::Duration;

use super::support::*;
use crate::{Direction, History, PAGE_BYTES, PastRange, Place, Store, StreamHead, StreamRange};

/// The events that a range means, by the book.
fn model(events: &[RecordedEvent], range: StreamRange) -> Vec<RecordedEvent> {
    let mut wanted: Vec<_> = events
        .iter()
        .filter(|event| event.version > range.after)
        .filter(|event| range.through.is_none_or(|through| event.version <= through))
        .cloned()
        .collect();
    if range.direction == Direction::Backward {
        wanted.reverse();
    }
    wanted.truncate(range.limit as usize);
    wanted
}

pub(crate) async fn every_range_of_a_stream_in_both_directions(store: Arc<dyn Store>) {
    const HEAD: u64 = 4;
    activate_counter(&*store).await;
    grow(&*store, &stream("c"), 2).await;
    grow(&*store, &stream("another"), 3).await;
    grow(&*store, &stream("c"), 2).await;
    let events = events_of(&*store, &stream("c")).await;
    assert_eq!(events.len() as u64, HEAD);

    // At 0, inside, at the head, past it, and as far as numbers go.
    let versions: Vec<Version> = (0..=HEAD + 1)
        .chain([i64::MAX as u64])
        .map(version)
        .collect();
    let throughs = versions.iter().copied().map(Some).chain([None]);
    for (through, after) in throughs.flat_map(|t| versions.iter().map(move |&a| (t, a))) {
        for limit in [0, 1, 2, 4, 5, u32::MAX] {
            for direction in [Direction::Forward, Direction::Backward] {
                let range = StreamRange {
                    after,
                    through,
                    limit,
                    bytes: usize::MAX,
                    direction,
                };
                let read = store.read_stream(&stream("c"), range).await.unwrap();
                assert_eq!(read, model(&events, range), "{range:?}");
            }
        }
    }
}

pub(crate) async fn a_history_is_what_folding_needs_of_the_events(store: Arc<dyn Store>) {
    const HEAD: u64 = 4;
    activate_counter(&*store).await;
    grow(&*store, &stream("c"), 2).await;
    grow(&*store, &stream("another"), 3).await;
    let labelled = NewEvent {
        tags: vec!["b".to_owned(), "a".to_owned()],
        ..event("Reset")
    };
    let part = import(&stream("c"), ExpectedVersion::Any, vec![labelled, closed()]);
    append(&*store, part).await.unwrap();
    let events = events_of(&*store, &stream("c")).await;
    assert_eq!(events.len() as u64, HEAD);

    let versions = || (0..=HEAD + 1).chain([i64::MAX as u64]).map(version);
    let throughs = versions().map(Some).chain([None]);
    for (through, after) in throughs.flat_map(|t| versions().map(move |a| (t, a))) {
        for limit in [0, 1, 2, 4, 5, u32::MAX] {
            let range = StreamRange {
                after,
                through,
                limit,
                bytes: usize::MAX,
                direction: Direction::Forward,
            };
            let read = store.history(&stream("c"), after, through, limit).await;
            let mut expected = History::from(model(&events, range));
            let whole = StreamRange {
                limit: u32::MAX,
                ..range
            };
            let read = read.unwrap();
            // Whether there is more may not be known of a page that is as long as it may be.
            expected.has_more = read.has_more;
            let is_all = expected.events.len() == model(&events, whole).len();
            assert!(read.has_more || is_all, "{range:?}");
            assert_eq!(read, expected, "{range:?}");
        }
    }
}

pub(crate) async fn what_is_read_to_be_folded_is_bounded_in_bytes(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    for id in ["a", "b"] {
        grow_by(&*store, &stream(id), &SIZES).await;
        // So small that a store reads them in several steps.
        grow_by(&*store, &stream(id), &[1; 300]).await;
    }
    let fits = |events: &[Event]| {
        let bytes: usize = events.iter().map(Event::size_bytes).sum();
        assert!(bytes <= PAGE_BYTES || events.len() == 1, "{bytes} bytes");
        assert!(!events.is_empty());
    };
    let all = events_of(&*store, &stream("a")).await;
    let all: Vec<Event> = all.into_iter().map(|event| event.event.into()).collect();
    let module = ModuleDigest::of(b"module");
    for limit in [2, 250, 1_000] {
        let loaded = store.load(&stream("a"), module, limit).await.unwrap();
        let mut page = loaded.history;
        let mut read = Vec::new();
        while page.has_more {
            fits(&page.events);
            assert!(page.events.len() <= limit as usize);
            let to = page.head.unwrap().version;
            read.append(&mut page.events);
            page = store.history(&stream("a"), to, None, limit).await.unwrap();
        }
        read.extend(page.events);
        assert!(read == all, "in pages of {limit}");

        let range = past_of(&stream("a"));
        let (mut after, mut read) = (Place::default(), Vec::new());
        let mut has_more = true;
        while has_more {
            let page = store.segments(&range, &after, limit).await.unwrap();
            has_more = page.has_more;
            let events: Vec<_> = page
                .segments
                .iter()
                .flat_map(|segment| segment.events.iter().cloned())
                .collect();
            if let Some(last) = page.segments.last() {
                fits(&events);
                after = Place {
                    id: last.id.clone(),
                    version: last.after.plus(last.events.len()),
                };
            }
            read.extend(events);
        }
        assert!(read == [&*all, &*all].concat(), "in pages of {limit}");
    }
}

/// The past of the decider of a stream.
fn past_of(stream: &StreamId) -> PastRange {
    PastRange {
        namespace: stream.namespace().clone(),
        decider: stream.decider().clone(),
        streams: None,
        through: None,
        eventless_since: None,
    }
}

pub(crate) async fn a_stream_without_events_is_at_version_zero(store: Arc<dyn Store>) {
    let unheard = stream_of("nowhere", "nothing", "c");
    assert_eq!(store.head(&unheard).await.unwrap(), StreamHead::default());
    assert_eq!(events_of(&*store, &unheard).await, []);
    let now = time::macros::datetime!(9999-01-01 00:00 UTC);
    assert_eq!(
        store.version_at(&unheard, now).await.unwrap(),
        Version::EMPTY
    );
}

pub(crate) async fn the_head_names_the_newest_event(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let newest = grow(&*store, &stream("c"), 3).await.remove(2);
    let head = store.head(&stream("c")).await.unwrap();
    let open = StreamHead {
        version: version(3),
        last_event_id: Some(newest.event.event_id),
        is_final: false,
    };
    assert_eq!(head, open);

    let part = import(&stream("c"), ExpectedVersion::Any, vec![closed()]);
    let last = append(&*store, part).await.unwrap().events.remove(0);
    let head = store.head(&stream("c")).await.unwrap();
    let ended = StreamHead {
        version: version(4),
        last_event_id: Some(last.event.event_id),
        is_final: true,
    };
    assert_eq!(head, ended);
}

pub(crate) async fn the_version_at_a_time_is_that_of_the_last_event_until_then(
    store: Arc<dyn Store>,
) {
    activate_counter(&*store).await;
    for count in [2, 1, 1, 3] {
        grow(&*store, &stream("c"), count).await;
        grow(&*store, &stream("another"), 1).await;
    }
    let events = events_of(&*store, &stream("c")).await;
    let moments = events.iter().flat_map(|event| {
        [-1, 0, 1].map(|millisecond| event.created_at + Duration::milliseconds(millisecond))
    });
    for at in moments {
        let until_then = events.iter().rev().find(|event| event.created_at <= at);
        let modelled = until_then.map_or(Version::EMPTY, |event| event.version);
        let found = store.version_at(&stream("c"), at).await.unwrap();
        assert_eq!(found, modelled, "at {at}");
    }
}

pub(crate) async fn created_at_never_decreases_within_a_stream(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    for _ in 0..12 {
        grow(&*store, &stream("a"), 2).await;
        grow(&*store, &stream("b"), 1).await;
    }
    for id in ["a", "b"] {
        let events = events_of(&*store, &stream(id)).await;
        assert!(
            events.is_sorted_by_key(|event| event.created_at),
            "{events:?}"
        );
    }
}

/// The ids of all streams of `counter` in the default namespace, read in pages.
async fn listed(store: &dyn Store, limit: u32) -> Vec<String> {
    let of = stream("any");
    let mut ids: Vec<String> = Vec::new();
    loop {
        let after = ids.last().cloned();
        let page = store
            .list_streams(of.namespace(), of.decider(), after.as_deref(), limit)
            .await
            .unwrap();
        assert!(page.len() <= limit as usize);
        if page.is_empty() {
            return ids;
        }
        for summary in page {
            assert!(
                ids.last().is_none_or(|last| *last < summary.id),
                "{summary:?}"
            );
            ids.push(summary.id);
        }
    }
}

pub(crate) async fn streams_are_listed_in_pages_by_the_bytes_of_their_ids(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    activate(&*store, &stream_of("default", "account", "x")).await;
    activate(&*store, &stream_of("other", "counter", "x")).await;
    // No collation but that of the bytes puts these in this order.
    let in_order = [
        " ", "'", "B", "a", "a b", "a-b", "a.b", "aB", "aa", "a\u{301}", "b", "ß", "ä", "日本",
        "\u{fffd}", "😀",
    ];
    for id in in_order.iter().rev() {
        grow(&*store, &stream(id), 1).await;
    }
    grow(&*store, &stream_of("default", "account", "aaa"), 1).await;
    grow(&*store, &stream_of("other", "counter", "aaa"), 1).await;

    for limit in [1, 3, 16, 1_000] {
        assert_eq!(
            listed(&*store, limit).await,
            in_order,
            "in pages of {limit}"
        );
    }
    let of = stream("any");
    let after =
        |after: &'static str| store.list_streams(of.namespace(), of.decider(), Some(after), 2);
    let page: Vec<String> = after("a-")
        .await
        .unwrap()
        .into_iter()
        .map(|s| s.id)
        .collect();
    assert_eq!(page, ["a-b", "a.b"], "`after` need not be a stream");
    assert_eq!(after("😀").await.unwrap(), []);
}

pub(crate) async fn a_stream_is_listed_from_its_first_event_on(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let summary = async |of: &StreamId| {
        let mut page = store
            .list_streams(of.namespace(), of.decider(), None, 10)
            .await
            .unwrap();
        page.pop()
    };
    let stream = stream("c");
    append(&*store, rejected(&stream, fence, 0)).await.unwrap();
    assert_eq!(summary(&stream).await, None);

    let newest = grow(&*store, &stream, 2).await.remove(1);
    let open = summary(&stream).await.unwrap();
    assert_eq!(
        (open.id.as_str(), open.version.get(), open.is_final),
        ("c", 2, false)
    );
    assert_eq!(open.updated_at, newest.created_at);

    append(&*store, rejected(&stream, fence, 2)).await.unwrap();
    assert_eq!(summary(&stream).await, Some(open));

    let part = import(&stream, exactly(2), vec![closed()]);
    let last = append(&*store, part).await.unwrap().events.remove(0);
    let ended = summary(&stream).await.unwrap();
    assert_eq!((ended.version.get(), ended.is_final), (3, true));
    assert_eq!(ended.updated_at, last.created_at);
}

pub(crate) async fn the_store_answers_a_ping(store: Arc<dyn Store>) {
    store.ping().await.unwrap();
}

pub(crate) async fn a_part_of_a_stream_is_bounded_in_bytes(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let stream = stream("a");
    grow_by(&*store, &stream, &SIZES).await;
    let events = events_of(&*store, &stream).await;
    let page = StreamRange {
        bytes: PAGE_BYTES,
        ..WHOLE
    };
    let mut read: Vec<RecordedEvent> = Vec::new();
    while read.len() < events.len() {
        let after = read.last().map_or(Version::EMPTY, |last| last.version);
        let part = store.read_stream(&stream, StreamRange { after, ..page });
        let part = part.await.unwrap();
        assert_fits(&part);
        read.extend(part);
    }
    assert_eq!(read, events);
    let direction = Direction::Backward;
    let part = store.read_stream(&stream, StreamRange { direction, ..page });
    let newest: Vec<_> = events.iter().rev().take(2).cloned().collect();
    assert_eq!(part.await.unwrap(), newest);
}
