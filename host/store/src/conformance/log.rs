//! Reading the log of all streams.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use gavel_model::{EventFilter, ExpectedVersion, Namespace, NewEvent, Position, RecordedEvent};

use super::support::*;
use crate::{LogFilter, Store};

/// Appends six events to two streams in turns, waits until the log shows them, and gives them back
/// in its order.
async fn six_events(store: &dyn Store) -> Vec<RecordedEvent> {
    activate_counter(store).await;
    for _ in 0..2 {
        grow(store, &stream("a"), 1).await;
        grow(store, &stream("b"), 2).await;
    }
    let log = log_of(store, &Namespace::default(), 6).await;
    assert_eq!(log.len(), 6);
    log
}

/// The ids of the streams whose events pass the filter, in the order of the log.
async fn ids_that_pass(store: &dyn Store, filter: &LogFilter, count: usize) -> Vec<String> {
    read_log_until(store, &Namespace::default(), filter, 1, count)
        .await
        .into_iter()
        .map(|event| event.stream.id().to_owned())
        .collect()
}

pub(crate) async fn pages_of_the_log_join_without_loss_or_repetition(store: Arc<dyn Store>) {
    let log = six_events(&*store).await;
    assert!(log.is_sorted_by(|a, b| a.position < b.position));
    for id in ["a", "b"] {
        let of_stream: Vec<_> = log
            .iter()
            .filter(|e| e.stream.id() == id)
            .cloned()
            .collect();
        assert_eq!(of_stream, events_of(&*store, &stream(id)).await);
    }
    for limit in [1, 2, 3, 5, 6, 7] {
        let filter = LogFilter::default();
        let read = read_log_until(&*store, &Namespace::default(), &filter, limit, 6).await;
        assert_eq!(read, log, "in pages of {limit}");
    }
}

pub(crate) async fn events_are_found_by_their_positions(store: Arc<dyn Store>) {
    let log = six_events(&*store).await;
    let home = Namespace::default();
    let last = log[5].position;
    let beyond = Position::new(last.generation(), last.transaction(), last.offset() + 1);
    let other = Position::new(last.generation() + 1, last.transaction(), last.offset());
    let wanted = [
        last,
        beyond,
        log[0].position,
        Position::BEGINNING,
        other,
        log[3].position,
        last,
    ];
    let found = store.events_at(&home, &wanted).await.unwrap();
    let expected = [&log[0], &log[3], &log[5]].map(Clone::clone);
    assert_eq!(found, expected);
    let elsewhere = store.events_at(&namespace("elsewhere"), &wanted).await;
    assert_eq!(elsewhere.unwrap(), []);
    assert_eq!(store.events_at(&home, &[]).await.unwrap(), []);
}

pub(crate) async fn reading_resumes_after_a_position_never_at_it(store: Arc<dyn Store>) {
    let log = six_events(&*store).await;
    for (index, event) in log.iter().enumerate() {
        let page = page_of(
            &*store,
            &Namespace::default(),
            event.position,
            &LogFilter::default(),
            100,
        )
        .await;
        assert_eq!(page.events, log[index + 1..]);
    }
}

pub(crate) async fn the_log_is_filtered_by_decider_and_event(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let mut appended = Vec::new();
    for name in ["counter", "account", "Counter"] {
        let stream = stream_of("default", name, "x");
        if name != "counter" {
            activate(&*store, &stream).await;
        }
        let events = vec![event("Incremented"), event("Reset"), event("Closed")];
        let part = import(&stream, ExpectedVersion::NoStream, events);
        appended.extend(append(&*store, part).await.unwrap().events);
    }
    log_of(&*store, &Namespace::default(), 9).await;

    let sets: [&[&str]; 5] = [
        &[],
        &["counter"],
        &["account", "counter"],
        &["Count"],
        &["%"],
    ];
    let events: [&[&str]; 5] = [
        &[],
        &["Reset"],
        &["Closed", "Incremented"],
        &["reset"],
        &["_"],
    ];
    for deciders in sets {
        for events in events {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let filter = LogFilter::from(EventFilter {
                deciders: owned(deciders),
                events: owned(events),
                tags: Vec::new(),
            });
            let modelled: Vec<_> = appended
                .iter()
                .filter(|e| deciders.is_empty() || deciders.contains(&e.stream.decider().as_str()))
                .filter(|e| events.is_empty() || events.contains(&e.event.event.as_str()))
                .cloned()
                .collect();
            let namespace = Namespace::default();
            let read = read_log_until(&*store, &namespace, &filter, 2, modelled.len()).await;
            let position = |event: &RecordedEvent| event.position;
            let mut modelled = modelled;
            modelled.sort_by_key(position);
            assert_eq!(read, modelled, "{filter:?}");
        }
    }
}

pub(crate) async fn the_log_is_filtered_by_tags(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let tagged = |tags: &[&str]| NewEvent {
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        ..event("Incremented")
    };
    let events = [
        ("none", tagged(&[])),
        ("one", tagged(&["a:1"])),
        ("two", tagged(&["b:\"ü\"", "a:1"])),
        ("other", tagged(&["a:10", "A:1", "a:1,b", "%"])),
    ];
    for (id, event) in events {
        let part = import(&stream(id), ExpectedVersion::NoStream, vec![event]);
        append(&*store, part).await.unwrap();
    }
    log_of(&*store, &Namespace::default(), 4).await;

    let wanted: [(&[&str], &[&str]); 7] = [
        (&[], &["none", "one", "two", "other"]),
        (&["a:1"], &["one", "two"]),
        (&["b:\"ü\""], &["two"]),
        (&["a:1", "b:\"ü\""], &["two"]),
        (&["%", "A:1"], &["other"]),
        (&["a", ""], &[]),
        (&["A:1", "nowhere"], &[]),
    ];
    for (tags, ids) in wanted {
        let filter = LogFilter::from(EventFilter {
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            ..EventFilter::default()
        });
        assert_eq!(ids_that_pass(&*store, &filter, ids.len()).await, ids);
    }
    // The conditions hold together.
    let filter = LogFilter {
        events: EventFilter {
            tags: vec!["a:1".to_owned()],
            ..EventFilter::default()
        },
        id_pattern: Some("two".to_owned()),
    };
    assert_eq!(ids_that_pass(&*store, &filter, 1).await, ["two"]);
}

pub(crate) async fn the_log_is_filtered_by_patterns_of_stream_ids(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let ids = [
        "a", "a.b", "a.c", "a.b.c", "a.b.d.c", "b.b", "A.b", "a-b", "a.", ".", "a..c", "axb", "*",
        "a.*", ">", "ü.ß",
    ];
    for id in ids {
        grow(&*store, &stream(id), 1).await;
    }
    log_of(&*store, &Namespace::default(), ids.len()).await;

    let patterns: [(&str, &[&str]); 14] = [
        (">", &ids),
        ("*", &["a", "A", "a-b", "axb", "*", ">"]),
        ("a", &["a"]),
        ("a.*", &["a.b", "a.c", "a.", "a.*"]),
        ("*.b", &["a.b", "b.b", "A.b"]),
        (
            "*.*",
            &["a.b", "a.c", "b.b", "A.b", "a.", ".", "a.*", "ü.ß"],
        ),
        (
            "a.>",
            &["a.b", "a.c", "a.b.c", "a.b.d.c", "a.", "a..c", "a.*"],
        ),
        ("a.*.c", &["a.b.c", "a..c"]),
        ("*.b.>", &["a.b.c", "a.b.d.c"]),
        ("a.*.*.c", &["a.b.d.c"]),
        ("a.%", &[]),
        ("a?b", &[]),
        ("[ab]*", &[]),
        ("*b", &[]),
    ];
    for (pattern, matching) in patterns {
        let filter = LogFilter {
            id_pattern: Some(pattern.to_owned()),
            ..LogFilter::default()
        };
        let expected: Vec<&str> = ids.into_iter().filter(|id| matching.contains(id)).collect();
        let read = ids_that_pass(&*store, &filter, expected.len()).await;
        let in_any_order = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(in_any_order(read), in_any_order(expected), "{pattern}");
    }
}

pub(crate) async fn next_is_past_what_the_filter_left_out(store: Arc<dyn Store>) {
    let log = six_events(&*store).await;
    let filters = [
        LogFilter::from(EventFilter {
            events: vec!["Unheard".to_owned()],
            ..EventFilter::default()
        }),
        LogFilter {
            id_pattern: Some("nowhere.>".to_owned()),
            ..LogFilter::default()
        },
    ];
    for (filter, count) in filters.into_iter().zip(log.len() + 1..) {
        let page = page_of(
            &*store,
            &Namespace::default(),
            Position::BEGINNING,
            &filter,
            10,
        )
        .await;
        assert_eq!(page.events, []);
        assert!(page.caught_up);
        assert!(page.next >= log[5].position, "{page:?}");
        // What is appended later is after it all the same.
        let later = grow(&*store, &stream("a"), 1).await;
        let all = LogFilter::default();
        log_of(&*store, &Namespace::default(), count).await;
        let resumed = page_of(&*store, &Namespace::default(), page.next, &all, 10).await;
        assert!(resumed.events.ends_with(&later), "{resumed:?}");
    }
}

pub(crate) async fn a_page_says_whether_there_was_more(store: Arc<dyn Store>) {
    let log = six_events(&*store).await;
    let only_a = LogFilter {
        id_pattern: Some("a".to_owned()),
        ..LogFilter::default()
    };
    for (filter, limit, caught_up) in [
        (LogFilter::default(), 1, false),
        (LogFilter::default(), 5, false),
        (LogFilter::default(), 6, true),
        (LogFilter::default(), 7, true),
        (LogFilter::default(), u32::MAX, true),
        (only_a.clone(), 1, false),
        (only_a, 2, true),
    ] {
        let page = page_of(
            &*store,
            &Namespace::default(),
            Position::BEGINNING,
            &filter,
            limit,
        )
        .await;
        assert_eq!(page.caught_up, caught_up, "{limit} with {filter:?}");
        let last = page.events.last().unwrap().position;
        assert!(page.next >= last);
        assert!(caught_up || page.next == last || page.next < log[5].position);
    }
}

pub(crate) async fn a_page_of_nothing_stays_where_it_is(store: Arc<dyn Store>) {
    let namespace = Namespace::default();
    let all = LogFilter::default();
    let page = page_of(&*store, &namespace, Position::BEGINNING, &all, 10).await;
    assert_eq!((page.events, page.caught_up), (Vec::new(), true));

    let log = six_events(&*store).await;
    let page = page_of(&*store, &namespace, page.next, &all, 10).await;
    assert_eq!(page.events, log);
    let again = page_of(&*store, &namespace, page.next, &all, 10).await;
    assert_eq!((again.events, again.caught_up), (Vec::new(), true));
    assert!(again.next >= page.next);
    let none = page_of(&*store, &namespace, Position::BEGINNING, &all, 0).await;
    assert_eq!((none.events, none.next), (Vec::new(), Position::BEGINNING));
    assert!(!none.caught_up);

    let far = Position::new(u64::MAX, u64::MAX >> 1, u64::MAX >> 1);
    let beyond = page_of(&*store, &namespace, far, &all, 10).await;
    assert_eq!((beyond.events, beyond.next), (Vec::new(), far));
}

pub(crate) async fn only_the_positions_of_its_events_are_of_a_log(store: Arc<dyn Store>) {
    let here = Namespace::default();
    let log = six_events(&*store).await;
    let elsewhere = stream_of("elsewhere", "counter", "c");
    activate(&*store, &elsewhere).await;
    let foreign = grow(&*store, &elsewhere, 1).await.remove(0).position;
    log_of(&*store, elsewhere.namespace(), 1).await;

    let known = log.iter().map(|event| event.position);
    for position in known.chain([Position::BEGINNING, foreign]) {
        for namespace in [&here, elsewhere.namespace()] {
            store.check_position(namespace, position).await.unwrap();
        }
    }
    // Of a future that is lost, in this generation or in a later one; and of a generation that
    // there never was, before all or between.
    let last = log[5].position;
    let at = |generation, offset| Position::new(generation, foreign.transaction(), offset);
    let (generation, offset) = (foreign.generation(), foreign.offset());
    for (lost, end) in [
        (at(generation, offset + 1), last),
        (at(generation + 1, 1), last),
        (at(u64::MAX, offset), last),
        (Position::new(generation, u64::MAX, offset), last),
        (Position::new(0, 0, 1), Position::BEGINNING),
    ] {
        end_told(&*store, &here, lost, end).await;
    }
}

pub(crate) async fn a_reader_misses_nothing_while_writers_race(store: Arc<dyn Store>) {
    const WRITERS: usize = 8;
    const APPENDS: usize = 12;
    activate_counter(&*store).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for append in 0..APPENDS {
                    grow(&*store, &stream(&format!("w-{writer}")), 1 + append % 2).await;
                }
            })
        })
        .collect();
    let count = WRITERS * APPENDS * 3 / 2;
    let all = LogFilter::default();
    let read = read_log_until(&*store, &Namespace::default(), &all, 7, count).await;
    for outcome in join_all(writers).await {
        outcome.unwrap();
    }

    assert_eq!(read.len(), count);
    let positions: HashSet<Position> = read.iter().map(|event| event.position).collect();
    assert_eq!(positions.len(), count, "no event twice");
    assert!(read.is_sorted_by_key(|event| event.position));
    let mut versions: HashMap<&str, u64> = HashMap::new();
    for event in &read {
        let version = versions.entry(event.stream.id()).or_default();
        *version += 1;
        assert_eq!(event.version.get(), *version, "in the order of the stream");
    }
}

pub(crate) async fn pages_of_the_log_are_bounded_in_bytes(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    grow_by(&*store, &stream("a"), &SIZES).await;
    let namespace = Namespace::default();
    let log = log_of(&*store, &namespace, SIZES.len()).await;
    let all = LogFilter::from(EventFilter {
        events: vec!["Incremented".to_owned()],
        ..EventFilter::default()
    });
    for filter in [LogFilter::default(), all] {
        let (mut after, mut read) = (Position::BEGINNING, Vec::new());
        loop {
            let page = page_of(&*store, &namespace, after, &filter, 1_000).await;
            assert_fits(&page.events);
            after = page.next;
            read.extend(page.events);
            // Whoever has read everything is told so, and nobody else.
            assert!(!page.caught_up || read.len() == SIZES.len());
            if page.caught_up {
                break;
            }
        }
        assert_eq!(read, log);
    }
}
