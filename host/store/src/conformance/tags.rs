//! The tag index: events that were appended before a guard, meanwhile and after it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use gavel_model::{ExpectedVersion, Namespace, NewEvent, Position, RecordedEvent};

use super::support::*;
use crate::{EventKind, HistoryIndex, Store, TagCondition};

/// Kinds of the decider `counter`.
fn kinds(events: &[&str]) -> BTreeSet<EventKind> {
    let kind = |event: &&str| EventKind {
        decider: "counter".to_owned(),
        event: (*event).to_owned(),
    };
    events.iter().map(kind).collect()
}

fn condition(events: &[&str], tags: &[&str]) -> TagCondition {
    TagCondition {
        kinds: kinds(events),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
    }
}

fn tagged(name: &str, tags: &[&str]) -> NewEvent {
    NewEvent {
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        ..event(name)
    }
}

async fn add(store: &dyn Store, id: &str, events: Vec<NewEvent>) -> Vec<RecordedEvent> {
    let part = import(&stream(id), ExpectedVersion::Any, events);
    append(store, part).await.unwrap().events
}

async fn guard(store: &dyn Store, events: &[&str]) {
    let home = Namespace::default();
    store.guard_tags(&home, &kinds(events)).await.unwrap();
}

/// Indexes the history of the default namespace to its end. Gives the number of steps.
async fn index(store: &dyn Store, limit: u32) -> usize {
    let indexing = async {
        let mut steps = 1;
        let home = Namespace::default();
        while store.index_history(&home, limit).await.unwrap() != HistoryIndex::Complete {
            steps += 1;
            tokio::task::yield_now().await;
        }
        steps
    };
    let in_time = tokio::time::timeout(DEADLINE, indexing).await;
    in_time.expect("history is indexed")
}

/// All events that match, in pages of `limit`, once there are `count`.
async fn found(
    store: &dyn Store,
    conditions: &[TagCondition],
    limit: u32,
    count: usize,
) -> Vec<RecordedEvent> {
    let home = Namespace::default();
    let (mut after, mut events) = (Position::BEGINNING, Vec::new());
    let reading = async {
        loop {
            let through = store.moment(&home).await.unwrap().settled;
            let page = store.tagged(&home, conditions, after, through, limit);
            let page = page.await.unwrap().expect("all kinds are indexed");
            assert!(page.events.len() <= limit as usize);
            assert_fits(&page.events);
            assert!(page.next >= after, "a reader never goes back");
            after = page.next;
            events.extend(page.events);
            if !page.has_more && events.len() >= count {
                return events;
            }
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, reading).await;
    let events = in_time.expect("all events are found");
    assert_eq!(events.len(), count);
    events
}

pub(crate) async fn events_of_before_and_after_a_guard_are_found_by_their_tags(
    store: Arc<dyn Store>,
) {
    activate_counter(&*store).await;
    let wanted = [condition(&["Incremented"], &["order:ü 1"])];
    let with = |name| tagged(name, &["a", "order:ü 1", "order:2"]);
    let mut expected = add(&*store, "a", vec![with("Incremented")]).await;
    add(&*store, "a", vec![tagged("Incremented", &["order:1", "a"])]).await;
    guard(&*store, &["Incremented"]).await;
    let meanwhile = vec![with("Incremented"), with("Reset"), incremented()];
    expected.extend(add(&*store, "b", meanwhile).await.drain(..1));
    index(&*store, 1).await;
    expected.extend(add(&*store, "a", vec![with("Incremented")]).await);
    assert_eq!(found(&*store, &wanted, 100, 3).await, expected);

    // Guarded once more it stays as it is, and so it does when there is nothing left to index.
    guard(&*store, &["Incremented"]).await;
    assert_eq!(index(&*store, 1).await, 1);
    assert_eq!(found(&*store, &wanted, 1, 3).await, expected);
}

pub(crate) async fn no_kind_is_read_by_tags_before_all_of_it_is_indexed(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    add(&*store, "a", vec![tagged("Incremented", &["t"])]).await;
    let home = Namespace::default();
    let tells = async |conditions: &[TagCondition]| {
        let through = store.moment(&home).await.unwrap().settled;
        let page = store.tagged(&home, conditions, Position::BEGINNING, through, 10);
        page.await.unwrap().is_some()
    };
    let one = [condition(&["Incremented"], &["t"])];
    let two = [condition(&["Incremented", "Reset"], &["t"])];
    let apart = [one[0].clone(), condition(&["Reset"], &["t"])];
    assert!(!tells(&one).await, "there is no guard");
    guard(&*store, &["Incremented"]).await;
    assert!(!tells(&one).await, "its history is not indexed");
    index(&*store, 10).await;
    assert!(tells(&one).await);
    assert!(!tells(&two).await && !tells(&apart).await);
    assert!(!tells(&[condition(&["Incremented"], &[])]).await);

    // A second guard takes nothing away from the first.
    guard(&*store, &["Reset"]).await;
    assert!(!tells(&two).await);
    assert!(tells(&one).await);
    index(&*store, 10).await;
    assert!(tells(&two).await && tells(&apart).await);
}

pub(crate) async fn conditions_on_tags_select_what_a_filter_of_the_log_does(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    guard(&*store, &["Incremented", "Reset"]).await;
    let tags = ["a", "b", "ab", "%", "a:\"ü\""];
    for number in 0..24 {
        let some = tags.iter().enumerate();
        let some = some.filter(|(place, _)| number & (1 << place) != 0);
        let some: Vec<&str> = some.map(|(_, tag)| *tag).collect();
        let name = ["Incremented", "Reset", "Closed"][number % 3];
        let id = format!("s-{}", number % 4);
        add(&*store, &id, vec![tagged(name, &some)]).await;
    }
    index(&*store, 7).await;
    let log = log_of(&*store, &Namespace::default(), 24).await;
    for conditions in [
        vec![condition(&["Incremented"], &["a"])],
        vec![condition(&["Incremented", "Reset"], &["a:\"ü\""])],
        vec![condition(&["Incremented", "Reset"], &["b", "a"])],
        vec![condition(&["Reset"], &["ab", "%", "nowhere"])],
        vec![
            condition(&["Incremented", "Reset"], &["a", "ab"]),
            condition(&["Reset"], &["ab"]),
            condition(&["Incremented"], &["%"]),
        ],
        vec![],
    ] {
        let expected: Vec<_> = log
            .iter()
            .filter(|event| {
                let matches = |condition: &TagCondition| {
                    let has = |tag| event.event.tags.contains(tag);
                    condition.kinds.contains(&EventKind::of(event))
                        && condition.tags.iter().all(has)
                };
                conditions.iter().any(matches)
            })
            .cloned()
            .collect();
        for limit in [1, 2, 100] {
            let read = found(&*store, &conditions, limit, expected.len()).await;
            assert_eq!(read, expected, "{conditions:?} in pages of {limit}");
        }
        for (place, event) in expected.iter().enumerate() {
            let home = Namespace::default();
            let last = expected[expected.len() - 1].position;
            let rest = store.tagged(&home, &conditions, event.position, last, 100);
            let rest = rest.await.unwrap().unwrap();
            assert_eq!(rest.events, expected[place + 1..]);
            let begin = Position::BEGINNING;
            let first = store.tagged(&home, &conditions, begin, event.position, 100);
            let first = first.await.unwrap().unwrap();
            assert_eq!(first.events, expected[..=place]);
            assert!(!first.has_more);
        }
    }
}

pub(crate) async fn tags_are_those_of_one_namespace_and_one_decider(store: Arc<dyn Store>) {
    let streams = [
        stream_of("default", "counter", "s"),
        stream_of("elsewhere", "counter", "s"),
        stream_of("default", "meter", "s"),
    ];
    for of in &streams {
        activate(&*store, of).await;
    }
    guard(&*store, &["Incremented"]).await;
    index(&*store, 10).await;
    let elsewhere = namespace("elsewhere");
    let wanted = [condition(&["Incremented"], &["t"])];
    let through = store.moment(&elsewhere).await.unwrap().settled;
    let foreign = store.tagged(&elsewhere, &wanted, Position::BEGINNING, through, 10);
    assert_eq!(foreign.await.unwrap(), None);
    for of in &streams {
        let part = import(
            of,
            ExpectedVersion::Any,
            vec![tagged("Incremented", &["t"])],
        );
        append(&*store, part).await.unwrap();
    }
    let events = found(&*store, &wanted, 10, 1).await;
    assert_eq!(events[0].stream, streams[0]);
}

pub(crate) async fn history_is_indexed_while_writers_append(store: Arc<dyn Store>) {
    const WRITERS: usize = 4;
    const APPENDS: usize = 40;
    activate_counter(&*store).await;
    let of_before = (0..200).map(|number| tagged("Incremented", &["t", &format!("n:{number}")]));
    add(&*store, "before", of_before.collect()).await;
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 0..APPENDS {
                let number = format!("n:{number}");
                let events = vec![tagged("Incremented", &["t", &number]), incremented()];
                add(&*store, &format!("w-{writer}"), events).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    guard(&*store, &["Incremented"]).await;
    // Two hosts do it at the same time.
    tokio::join!(index(&*store, 7), index(&*store, 13));
    for outcome in join_all(writers).await {
        outcome.unwrap();
    }
    let count = 200 + WRITERS * APPENDS;
    let all = found(&*store, &[condition(&["Incremented"], &["t"])], 50, count).await;
    assert!(all.is_sorted_by(|a, b| a.position < b.position));
    let some = [condition(&["Incremented"], &["n:7", "t"])];
    found(&*store, &some, 50, 1 + WRITERS).await;
}

pub(crate) async fn pages_of_tagged_events_are_bounded(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    guard(&*store, &["Incremented"]).await;
    index(&*store, 10).await;
    let large = SIZES.map(|bytes| NewEvent {
        tags: vec!["t".to_owned()],
        ..sized(bytes)
    });
    let expected = add(&*store, "a", large.to_vec()).await;
    let wanted = [condition(&["Incremented"], &["t"])];
    assert_eq!(found(&*store, &wanted, 100, 9).await, expected);

    // More have the first tag than are looked at for a page.
    let many = (0..2_500).map(|number| {
        let other = if number % 500 == 499 {
            "rare"
        } else {
            "common"
        };
        tagged("Incremented", &["many", other])
    });
    let many = add(&*store, "b", many.collect()).await;
    let rare = [condition(&["Incremented"], &["many", "rare"])];
    let rare = found(&*store, &rare, 100, 5).await;
    assert_eq!(rare[4], many[2_499]);
}
